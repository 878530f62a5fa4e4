//! The one table of exit codes.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done. Also when whoever read our output has gone, and when the shell or a server was asked to stop.
    Success = 0,
    /// The program that ran threw; what its turn did was discarded. Or a replay has come to another end.
    Exception = 1,
    /// The command line cannot be understood, or asks for what cannot be had.
    Usage = 2,
    /// The host failed: the disk, the folder, a file.
    Host = 3,
    /// Ctrl-C, a signal before the work was done, or another one while stopping.
    Interrupted = 130,
}

/// The table as `--help` shows it.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done
  1    the JavaScript threw; nothing of that turn happened. Of a replay: it differs
  2    the command line is wrong, or asks for what cannot be had
  3    the host failed: the disk, the data folder, a file
  130  Ctrl-C, or a signal before the work was done or while stopping";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
