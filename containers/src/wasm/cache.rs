//! Compiled modules and images on disk, so that a later start need not compile.
//!
//! A file holds machine code that will be run: it is used only if its digest is right, it was made by this very
//! version of the engine and configuration, and only its owner could have written it (the folder is made private).
//! Anything else is as if it were not there.
//!
//! The folder keeps the files that were used last, as their times of change say: whoever reads one marks it.
//!
//! File: 32 bytes sha2-256 of the rest; 8 bytes length of the compiled module, little-endian; the module; 8 bytes length
//! of the image, little-endian; the image without the zeros at its end.
#![allow(
    unsafe_code,
    reason = "a compiled module is trusted code; deserializing it is how wasmtime loads it"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use everturn_dag::address::raw_cid;
use wasmtime::{Engine, Module};

use super::program::WasmError;

/// A folder of compiled modules.
#[derive(Clone, Debug)]
pub struct ModuleCache {
    folder: PathBuf,
}

const DIGEST_BYTES: usize = 32;
/// Files that are kept: some 3 MB each for an engine, less for most modules.
const FILES_MAX: usize = 64;

impl ModuleCache {
    /// A cache in this folder, which is made when first written to.
    pub fn new(folder: impl Into<PathBuf>) -> ModuleCache {
        ModuleCache { folder: folder.into() }
    }

    /// The user's own cache: `EVERTURN_CACHE`, else `everturn` in `XDG_CACHE_HOME` or `~/.cache`; `None` if there is
    /// neither.
    pub fn of_user() -> Option<ModuleCache> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let shared = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        set("EVERTURN_CACHE").or_else(|| Some(shared()?.join("everturn"))).map(ModuleCache::new)
    }

    /// A module and its image, if they are there and whole.
    pub(crate) fn get(&self, engine: &Engine, key: &str) -> Option<(Module, Vec<u8>)> {
        let file = self.file(engine, key);
        let bytes = fs::read(&file).ok()?;
        let (digest, rest) = bytes.split_at_checked(DIGEST_BYTES)?;
        if raw_cid(rest).hash().digest() != digest {
            return None;
        }
        let (len, rest) = rest.split_first_chunk::<8>()?;
        let (module, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        let (len, image) = rest.split_first_chunk::<8>()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?.max(image.len());
        // SAFETY: the bytes are what `put` wrote (their digest is right) with this engine's version and
        // configuration (both are part of the file's name), into a folder that only its owner may write.
        let module = unsafe { Module::deserialize(engine, module) }.ok()?;
        let mut whole = vec![0; len];
        whole.get_mut(..image.len())?.copy_from_slice(image);
        mark_as_used(&file);
        Some((module, whole))
    }

    /// Keeps a module and its image. Readers see the whole file or none.
    pub(crate) fn put(&self, key: &str, module: &Module, image: &[u8]) -> Result<(), WasmError> {
        let compiled = module.serialize()?;
        let mut rest = (compiled.len() as u64).to_le_bytes().to_vec();
        rest.extend_from_slice(&compiled);
        rest.extend_from_slice(&(image.len() as u64).to_le_bytes());
        let end = image.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        rest.extend_from_slice(&image[..end]);
        let file = self.file(module.engine(), key);
        self.write(&file, &rest)
            .map_err(|source| WasmError::Cache { place: file.display().to_string(), source })
    }

    fn write(&self, file: &Path, rest: &[u8]) -> std::io::Result<()> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(&self.folder)?;
        let draft = file.with_extension(format!("{}.draft", std::process::id()));
        let mut writer = fs::File::create(&draft)?;
        writer.write_all(raw_cid(rest).hash().digest())?;
        writer.write_all(rest)?;
        writer.sync_all()?;
        fs::rename(&draft, file)?;
        self.prune()
    }

    /// Removes the files that were used longest ago, and drafts that a kill left. Another process may do the same.
    fn prune(&self) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let ours =
                path.extension().is_some_and(|extension| extension == "module" || extension == "draft");
            if let Some(metadata) = fs::metadata(&path).ok().filter(|metadata| ours && metadata.is_file()) {
                files.push((metadata.modified()?, path));
            }
        }
        files.sort();
        for (_, path) in files.iter().rev().skip(FILES_MAX) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&self, engine: &Engine, key: &str) -> PathBuf {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut compatible = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compatible);
        let name = raw_cid(format!("{key} {:016x}", compatible.finish()).as_bytes());
        self.folder.join(format!("{name}.module"))
    }
}

/// Gives a file the system's time as its time of change. Setting the length that it has does that without asking anybody for
/// the time; a cache that cannot be written to is read all the same.
fn mark_as_used(file: &Path) {
    let marked = fs::OpenOptions::new().write(true).open(file).and_then(|file| {
        let len = file.metadata()?.len();
        file.set_len(len)
    });
    if let Err(error) = marked {
        tracing::debug!(%error, "a cached module could not be marked as used");
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn modules_in(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn the_files_that_were_used_last_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, engine) = (ModuleCache::new(folder.path()), Engine::default());
        let module = Module::new(&engine, wat::parse_str("(module)").unwrap()).unwrap();
        for number in 0..FILES_MAX {
            cache.put(&number.to_string(), &module, &[1, 2, 3]).unwrap();
            let file =
                fs::File::options().write(true).open(cache.file(&engine, &number.to_string())).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000 + number as u64)).unwrap();
        }
        let draft = folder.path().join("left.1.draft");
        fs::write(&draft, "half").unwrap();
        fs::File::options().write(true).open(&draft).unwrap().set_modified(UNIX_EPOCH).unwrap();
        fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        assert_eq!(modules_in(folder.path()), FILES_MAX + 2);
        assert!(cache.get(&engine, "0").is_some(), "the first is used again");
        cache.put("one more", &module, &[1, 2, 3]).unwrap();
        assert_eq!(modules_in(folder.path()), FILES_MAX + 1, "and what is not ours");
        assert!(!draft.exists(), "what a kill left is the oldest");
        for (key, is_there) in [("0", true), ("1", false), ("2", true), ("63", true), ("one more", true)] {
            assert_eq!(cache.get(&engine, key).is_some(), is_there, "{key}");
        }
    }
}
