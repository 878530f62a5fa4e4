//! Why a command could not do its work, and what a person can do about it.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use everturn::control::ControlError;
use everturn::http::ServerError;
use everturn::link::LinkError;
use everturn::outbound::StartError;
use everturn::{Exception, HypervisorError, StoreError};

use crate::exit::Exit;

/// The end of a command that did not get to its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was asked for cannot be had as it was asked.
    #[error("{0}")]
    Usage(String),
    /// The program threw.
    #[error("{0}")]
    Exception(Exception),
    /// The data folder holds nothing that this command could work on.
    #[error("there is no session in {}", .0.display())]
    NoSession(PathBuf),
    /// A file that was named cannot be read.
    #[error("{} cannot be {verb}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What we wanted of it: "read", "written".
        verb: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The JavaScript engine cannot be started.
    #[error("the JavaScript engine cannot start: {0}")]
    Engine(Box<dyn Error + Send + Sync>),
    /// The hypervisor failed.
    #[error("{0}")]
    Hypervisor(HypervisorError),
    /// A server cannot be put together.
    #[error("{0}")]
    Server(ServerError),
    /// There can be no links.
    #[error("{0}")]
    Link(LinkError),
    /// The system refused something else.
    #[error(transparent)]
    System(#[from] io::Error),
    /// Whoever has the folder open cannot be talked to.
    #[error("{0}")]
    Control(ControlError),
    /// Whoever has the folder open could not do it.
    #[error("{text}")]
    Told {
        /// What went wrong there.
        text: String,
        /// What to do about it.
        advice: Option<String>,
        /// The exit code that says it.
        exit: Exit,
    },
    /// The session that we were attached to is no more.
    #[error("the session that this command was attached to is gone: {0}")]
    Detached(String),
    /// Nobody reads our output any more.
    #[error("nobody reads the output any more")]
    Unread,
    /// A signal came before the work was done.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// A file that could not be read.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Failure {
        Failure::File { path: path.to_owned(), verb: "read", source }
    }

    /// A file that could not be written.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Failure {
        Failure::File { path: path.to_owned(), verb: "written", source }
    }

    /// The exit code that says it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Exception(_) => Exit::Exception,
            Failure::Unread => Exit::Success,
            Failure::Interrupted => Exit::Interrupted,
            Failure::Told { exit, .. } => *exit,
            Failure::NoSession(_)
            | Failure::File { .. }
            | Failure::Engine(_)
            | Failure::Hypervisor(_)
            | Failure::Server(_)
            | Failure::Control(_)
            | Failure::Detached(_)
            | Failure::Link(_)
            | Failure::System(_) => Exit::Host,
        }
    }

    /// What to do about it, where the message does not say so itself.
    pub(crate) fn advice(&self) -> Option<&str> {
        match self {
            Failure::NoSession(_) => {
                Some("begin one with `everturn shell` or `everturn run FILE`, or name another with --data")
            }
            Failure::Hypervisor(HypervisorError::Store(error)) => store_advice(error),
            Failure::Hypervisor(HypervisorError::Stopped(_)) => {
                Some("see to what it says, and start again: nothing that was answered is lost")
            }
            Failure::Hypervisor(error) => io_advice(error),
            Failure::File { source, .. } => kind_advice(source.kind()),
            Failure::Server(error) => server_advice(error),
            Failure::Told { advice, .. } => advice.as_deref(),
            Failure::Control(error) => Some(control_advice(error)),
            Failure::Detached(_) => {
                Some("what it had answered is kept; start it again, or go on with the folder alone")
            }
            Failure::Link(LinkError::Address { source, .. }) => address_advice(source.kind()),
            Failure::Link(LinkError::KeyFile { source, .. }) => key_advice(source.kind()),
            _ => None,
        }
    }
}

impl From<HypervisorError> for Failure {
    fn from(error: HypervisorError) -> Failure {
        match error {
            HypervisorError::Exception(exception) => Failure::Exception(exception),
            HypervisorError::Configuration { field, stored, given } => Failure::Usage(format!(
                "what is there was made with {field} = {stored}, not {given}; say --limit {field}={stored}, or use a new folder"
            )),
            error @ (HypervisorError::CutPassed { .. }
            | HypervisorError::Message(_)
            | HypervisorError::NoSuchRoot(_)
            | HypervisorError::NameInUse { .. }
            | HypervisorError::PortInUse { .. }
            | HypervisorError::Alive(_)) => Failure::Usage(error.to_string()),
            error => Failure::Hypervisor(error),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        match error {
            StartError::Hypervisor(error) => error.into(),
            other => Failure::System(io::Error::other(other)),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Hypervisor(error.into())
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Failure {
        match error {
            ServerError::File { path, source } => Failure::File { path, verb: "read", source },
            ServerError::Address { address, source } if !is_of_the_system(source.kind()) => {
                Failure::Usage(format!(
                    "{address:?} is no address to listen on ({source}); give HOST:PORT, as in 127.0.0.1:8080"
                ))
            }
            error => Failure::Server(error),
        }
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Failure {
        match error {
            LinkError::Address { address, source } if !is_of_the_system(source.kind()) => {
                Failure::Usage(format!(
                    "{address:?} is no address to listen on ({source}); give HOST:PORT, as in 127.0.0.1:6001"
                ))
            }
            error => Failure::Link(error),
        }
    }
}

/// Whether an address could be understood, and it was the system that did not give it.
fn is_of_the_system(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable | ErrorKind::PermissionDenied)
}

fn server_advice(error: &ServerError) -> Option<&'static str> {
    match error {
        ServerError::Address { source, .. } => address_advice(source.kind()),
        _ => Some("--tls-cert takes a certificate and --tls-key its private key, both as text in PEM"),
    }
}

fn control_advice(error: &ControlError) -> &'static str {
    match error {
        ControlError::Version { .. } => "use the everturn that has the folder open, or end it first",
        ControlError::Foreign(_) => "only the user whose session it is may attach to it",
        _ => "end whoever has the folder open, and try again",
    }
}

fn address_advice(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::AddrInUse => {
            "another program listens there; end it, or choose another port (0: any that is free)"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; 127.0.0.1 is for itself alone, 0.0.0.0 for everyone"
        }
        _ => "the system does not let you; a port from 1024 on needs no privilege",
    })
}

fn key_advice(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::InvalidData => {
            Some("bring the file back from a backup; without it this folder is another one to its peers")
        }
        kind => kind_advice(kind),
    }
}

fn store_advice(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Damaged { .. } => Some(
            "nothing was changed; keep a copy of the folder as it is, and go back to a backup or another folder",
        ),
        error => io_advice(error),
    }
}

/// Advice by what the system said, however deep it lies.
fn io_advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return kind_advice(error.kind());
        }
        next = error.source();
    }
    None
}

fn kind_advice(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::PermissionDenied => {
            Some("you may not use it; ask for the permission or choose another with --data")
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            Some("a data folder has to be a folder; choose another with --data")
        }
        ErrorKind::IsADirectory => Some("it is a folder; name a file"),
        ErrorKind::NotFound => Some("check the name"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("make room and start again: nothing that was committed is lost")
        }
        ErrorKind::FileTooLarge => Some("the system lets files grow no further here; see `ulimit -f`"),
        ErrorKind::ReadOnlyFilesystem => {
            Some("the disk is read-only; copy the folder to one that can be written")
        }
        ErrorKind::InvalidData => Some("it has to be UTF-8 text"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_io(kind: ErrorKind) -> Failure {
        StoreError::Io { place: "d".into(), source: kind.into() }.into()
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        let thrown = Exception::new(everturn::ExceptionKind::Throw, "Error: x");
        assert_eq!(Failure::from(HypervisorError::Exception(thrown)).exit(), Exit::Exception);
        let passed = HypervisorError::CutPassed { earliest: everturn::Ticks(7) };
        assert_eq!(Failure::from(passed).exit(), Exit::Usage);
        assert_eq!(store_io(ErrorKind::PermissionDenied).exit(), Exit::Host);
        assert_eq!(Failure::Interrupted.exit(), Exit::Interrupted);
    }

    #[test]
    fn advice_follows_what_the_system_said() {
        assert!(store_io(ErrorKind::StorageFull).advice().unwrap().contains("make room"));
        assert!(store_io(ErrorKind::NotADirectory).advice().unwrap().contains("--data"));
        assert_eq!(store_io(ErrorKind::Other).advice(), None);
    }
}
