//! A data folder of one's own, and the program on it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::Once;

use tempfile::TempDir;

const EVERTURN: &str = env!("CARGO_BIN_EXE_everturn");

/// A folder that goes with the test; its data folder is `data` in it.
pub(crate) struct World {
    folder: TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> World {
        compile_the_engine_once();
        World { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).expect("a file can be written");
        self.path(name)
    }

    /// A command on the data folder, in the world's folder.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_on("data", words)
    }

    /// A command on another data folder, in the world's folder.
    pub(crate) fn command_on(&self, data: &str, words: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.folder.path()).args(words).args(["--data", data]);
        command
    }

    pub(crate) fn everturn(&self, words: &[&str]) -> Ran {
        self.command(words).stdin(Stdio::null()).output().expect("everturn starts").into()
    }

    /// A shell that reads these lines to their end.
    pub(crate) fn lines(&self, lines: &[&str]) -> Ran {
        self.lines_with(&[], lines)
    }

    pub(crate) fn lines_with(&self, options: &[&str], lines: &[&str]) -> Ran {
        let mut talk = Talk::begin(self.command(&[&["shell"], options].concat()));
        for line in lines {
            talk.type_line(line);
        }
        talk.end()
    }

    /// A shell to talk to line by line.
    pub(crate) fn shell(&self) -> Talk {
        Talk::begin(self.command(&["shell"]))
    }

    /// The state root, which has to be there.
    pub(crate) fn root(&self) -> String {
        let ran = self.everturn(&["root"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out.trim_end().to_owned()
    }
}

impl Ran {
    /// The lines of standard output.
    pub(crate) fn answers(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("everturn writes UTF-8");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A shell that is running.
pub(crate) struct Talk {
    pub(crate) child: Child,
    typed: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Talk {
    pub(crate) fn begin(mut command: Command) -> Talk {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("everturn starts");
        let typed = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        Talk { child, typed, answers }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        let typed = self.typed.as_mut().expect("the input is open");
        writeln!(typed, "{line}").expect("everturn reads its input");
    }

    /// The next line that it answers.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("everturn writes UTF-8");
        if line.is_empty() {
            panic!("no answer; standard error: {}", self.errors());
        }
        line.trim_end_matches('\n').to_owned()
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.type_line(line);
        self.answer()
    }

    /// Sends SIGKILL and sees that it was that which ended it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is still running");
        assert_eq!(self.child.wait().expect("it ends").code(), None);
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("kill is there");
        assert!(status.success());
    }

    /// Ends the input and waits.
    pub(crate) fn end(mut self) -> Ran {
        self.typed = None;
        self.finish()
    }

    /// Waits with the input still open.
    pub(crate) fn finish(mut self) -> Ran {
        let mut out = String::new();
        self.answers.read_to_string(&mut out).expect("everturn writes UTF-8");
        let err = self.errors();
        Ran { code: self.wait().code(), out, err }
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    fn errors(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut text).expect("everturn writes UTF-8");
        }
        text
    }
}

/// Nothing outlives its test: a server does not end with its input.
impl Drop for Talk {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(EVERTURN);
    command.env("EVERTURN_CACHE", cache()).env_remove("RUST_LOG").env_remove("EVERTURN_TRACKER");
    command
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("everturn-cache")
}

/// Compiling takes seconds; tests that run side by side should not all do it.
fn compile_the_engine_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("the folder for tests can be made");
        let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("everturn-cache.lock"));
        let lock = lock.expect("a lock file can be made");
        lock.lock().expect("it can be locked");
        let ran = Ran::from(program().arg("version").output().expect("everturn starts"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
    });
}
