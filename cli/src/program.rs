//! Which program a data folder runs: the file `program` beside the store.
//!
//! It is written before the store learns of the program, and while an edited one is being loaded it names none, so
//! that after a kill at any instant it never names a program that the heap does not run.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use everturn::Cid;
use everturn::address::raw_cid;
use serde::{Deserialize, Serialize};

use crate::draft::{self, Durability};
use crate::failure::Failure;

/// A program's file and its address.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) code: Code,
    pub(crate) cid: Cid,
}

/// What a file holds, and so which container type runs it.
pub(crate) enum Code {
    /// JavaScript.
    Script(String),
    /// A WebAssembly module.
    Module(Vec<u8>),
}

/// How a WebAssembly module begins.
const MODULE_MAGIC: &[u8] = b"\0asm";

impl Program {
    pub(crate) fn read(path: &Path) -> Result<Program, Failure> {
        let bytes = fs::read(path).map_err(|source| Failure::reading(path, source))?;
        let (name, cid) = (path.display().to_string(), raw_cid(&bytes));
        let ends_with = |ending: &str| path.extension().is_some_and(|extension| extension == ending);
        if ends_with("wat") {
            return Err(Failure::Usage(format!(
                "{name} is WebAssembly as text, which has to be translated first, for example by `wat2wasm`"
            )));
        }
        let code = if bytes.starts_with(MODULE_MAGIC) || ends_with("wasm") {
            Code::Module(bytes)
        } else {
            let text = String::from_utf8(bytes).map_err(|error| {
                Failure::reading(path, std::io::Error::new(ErrorKind::InvalidData, error.utf8_error()))
            })?;
            Code::Script(text)
        };
        Ok(Program { name, code, cid })
    }

    /// The text that a living heap can evaluate.
    ///
    /// # Errors
    /// If it is a module: there is nothing in a module's heap that could.
    pub(crate) fn script(&self) -> Result<&str, Failure> {
        match &self.code {
            Code::Script(text) => Ok(text),
            Code::Module(_) => Err(Failure::Usage(format!(
                "{} is a WebAssembly module, which cannot be loaded into a living heap; --data DIR begins it in another folder",
                self.name
            ))),
        }
    }
}

/// What a folder is known to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(crate) enum Known {
    /// No file was ever run or loaded.
    Nothing,
    /// Loading an edited program was begun and its end not noted.
    Loading,
    /// The program with this address.
    Runs {
        /// Its CID as text.
        cid: String,
        /// The file it was read from.
        file: String,
    },
}

impl Known {
    pub(crate) fn of(program: &Program) -> Known {
        Known::Runs { cid: program.cid.to_string(), file: program.name.clone() }
    }

    pub(crate) fn is(&self, program: &Program) -> bool {
        matches!(self, Known::Runs { cid, .. } if *cid == program.cid.to_string())
    }
}

/// The note in a data folder.
#[derive(Clone)]
pub(crate) struct Note {
    path: PathBuf,
}

impl Note {
    pub(crate) fn in_folder(folder: &Path) -> Note {
        Note { path: folder.join("program") }
    }

    /// What it says; a note that cannot be understood says as little as one of an interrupted load.
    pub(crate) fn read(&self) -> Result<Known, Failure> {
        match fs::read(&self.path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or(Known::Loading)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Known::Nothing),
            Err(error) => Err(Failure::reading(&self.path, error)),
        }
    }

    /// Replaces it, durably.
    pub(crate) fn write(&self, known: &Known) -> Result<(), Failure> {
        let text = serde_json::to_vec(known).map_err(|error| Failure::writing(&self.path, error.into()))?;
        draft::replace(&self.path, &text, Durability::PowerCut)
            .map_err(|source| Failure::writing(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_noted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.js");
        fs::write(&file, "let n = 0;").unwrap();
        let program = Program::read(&file).unwrap();
        let note = Note::in_folder(folder.path());
        assert_eq!(note.read().unwrap(), Known::Nothing);
        note.write(&Known::of(&program)).unwrap();
        assert!(note.read().unwrap().is(&program));
        fs::write(&file, "let n = 1;").unwrap();
        assert!(!note.read().unwrap().is(&Program::read(&file).unwrap()));
    }

    #[test]
    fn a_damaged_note_is_an_unfinished_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("program"), "{\"state\": ").unwrap();
        assert_eq!(Note::in_folder(folder.path()).read().unwrap(), Known::Loading);
    }

    #[test]
    fn a_module_is_known_by_its_beginning_or_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content, is_module) in
            [("a", &b"\0asm\x01\0\0\0"[..], true), ("b.wasm", b"let x", true), ("c.js", b"let x", false)]
        {
            let file = folder.path().join(name);
            fs::write(&file, content).unwrap();
            let program = Program::read(&file).unwrap();
            assert_eq!(matches!(program.code, Code::Module(_)), is_module, "{name}");
            assert_eq!(program.script().is_err(), is_module, "{name}");
        }
        let text = folder.path().join("d.wat");
        fs::write(&text, "(module)").unwrap();
        assert!(matches!(Program::read(&text), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_program_that_is_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.js");
        fs::write(&file, [0xff]).unwrap();
        assert!(Program::read(&file).is_err());
        assert!(Program::read(&folder.path().join("absent.js")).is_err());
    }
}
