//! The control socket: how commands reach a session that another process has open.
//!
//! A Unix socket beside the session's files. [`Listener`] is the session's end of it, [`connect`] the command's; then both
//! have a [`Connection`] over which frames go either way. What a frame says is the business of those who talk.
//!
//! Invariants:
//! 1. Both ends belong to one user: each asks the system who the other is before a byte counts.
//! 2. Both ends begin with the same greeting, which names the version; whoever says anything else is sent away.
//! 3. A frame is bounded, and memory is taken for what has come, not for what was announced.
//!
//! It does not know who may have the folder: whoever listens holds its lock, so a socket that is there already is one that a
//! killed process left behind.

mod frames;
mod place;

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

pub use frames::{FRAME_BYTES_MAX, Incoming, Outgoing};
use place::Place;

/// What is said over the socket. Another version is another language.
pub const VERSION: u32 = 1;

/// What both ends say first, before the version as four bytes, the highest first.
const GREETING: &[u8; 17] = b"everturn control\n";
/// How long the other end may take for it.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after a connection could not be let in, so that a lack of descriptors is no busy loop.
const PAUSE: Duration = Duration::from_millis(100);

/// Why nobody can be talked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The system refused.
    #[error("the control socket {place} cannot be used: {source}")]
    Io {
        /// Where it lies.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever listens is another user.
    #[error("the control socket {0} belongs to another user")]
    Foreign(String),
    /// Whoever listens says what we do not understand.
    #[error("whoever listens at {0} does not speak as a session of everturn does")]
    Strange(String),
    /// Whoever listens is an everturn of another version.
    #[error(
        "the session at {place} speaks version {theirs} of the control socket, this program version {VERSION}"
    )]
    Version {
        /// Where it lies.
        place: String,
        /// Its version.
        theirs: u32,
    },
}

/// Where commands come in.
pub struct Listener {
    listener: UnixListener,
    place: Place,
    owner: u32,
}

/// The way to the other end.
pub struct Connection {
    /// What comes.
    pub incoming: Incoming,
    /// What goes.
    pub outgoing: Outgoing,
}

impl Listener {
    /// Listens in a folder that is ours alone; what a killed process left there is replaced.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn open(folder: &Path) -> Result<Listener, ControlError> {
        let place = Place::of(folder);
        let opened = own_user().and_then(|owner| Ok((place.bind()?, owner)));
        match opened {
            Ok((listener, owner)) => Ok(Listener { listener, place, owner }),
            Err(source) => Err(ControlError::Io { place: place.to_string(), source }),
        }
    }

    /// The next one who comes in, not greeted yet. Strangers are sent away.
    pub async fn accept(&self) -> Newcomer {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_user(&stream, self.owner) => {
                    return Newcomer { stream, place: self.place.to_string() };
                }
                Ok(_) => tracing::warn!(target: "everturn::control", "another user was sent away"),
                Err(error) => {
                    tracing::warn!(target: "everturn::control", %error, "a connection could not be let in");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.place.clear();
    }
}

/// One who has come in and said nothing yet.
pub struct Newcomer {
    stream: UnixStream,
    place: String,
}

impl Newcomer {
    /// Exchanges greetings.
    ///
    /// # Errors
    /// If the other end has none, or another version.
    pub async fn greet(self) -> Result<Connection, ControlError> {
        greet(self.stream, self.place).await
    }
}

/// Reaches the session that has a folder open; `None` if none listens there.
///
/// # Errors
/// If one does who is not to be talked to.
pub async fn connect(folder: &Path) -> Result<Option<Connection>, ControlError> {
    let place = Place::of(folder);
    let failed = |source| ControlError::Io { place: place.to_string(), source };
    let stream = match place.connect().await {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                return Ok(None);
            }
            io::ErrorKind::PermissionDenied => return Err(ControlError::Foreign(place.to_string())),
            _ => return Err(failed(error)),
        },
    };
    if !is_user(&stream, own_user().map_err(failed)?) {
        return Err(ControlError::Foreign(place.to_string()));
    }
    greet(stream, place.to_string()).await.map(Some)
}

async fn greet(mut stream: UnixStream, place: String) -> Result<Connection, ControlError> {
    let mut theirs = [0; GREETING.len() + 4];
    let greeted = timeout(GREETING_TIMEOUT, async {
        stream.write_all(GREETING).await?;
        stream.write_all(&VERSION.to_be_bytes()).await?;
        stream.read_exact(&mut theirs).await
    });
    match greeted.await {
        Err(_) => return Err(ControlError::Strange(place)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(ControlError::Strange(place));
        }
        Ok(Err(source)) => return Err(ControlError::Io { place, source }),
        Ok(Ok(_)) => {}
    }
    match theirs.split_last_chunk::<4>() {
        Some((said, version)) if said == GREETING => match u32::from_be_bytes(*version) {
            VERSION => {}
            theirs => return Err(ControlError::Version { place, theirs }),
        },
        _ => return Err(ControlError::Strange(place)),
    }
    let (incoming, outgoing) = stream.into_split();
    Ok(Connection { incoming: Incoming::new(incoming), outgoing: Outgoing::new(outgoing) })
}

/// The user that this process acts for, as the system says it of a socket of ours.
fn own_user() -> io::Result<u32> {
    let (one, _other) = UnixStream::pair()?;
    Ok(one.peer_cred()?.uid())
}

fn is_user(stream: &UnixStream, user: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == user)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

    use super::*;

    async fn pair(folder: &Path) -> (Listener, Connection, Connection) {
        let listener = Listener::open(folder).unwrap();
        let (here, there) =
            tokio::join!(async { listener.accept().await.greet().await.unwrap() }, connect(folder));
        let there = there.unwrap().expect("somebody listens");
        (listener, here, there)
    }

    #[tokio::test]
    async fn frames_go_both_ways_and_end_with_the_other_end() {
        let folder = tempfile::tempdir().unwrap();
        let (_listener, mut here, mut there) = pair(folder.path()).await;
        let long = vec![7; 100_000];
        here.outgoing.send(b"one").await.unwrap();
        here.outgoing.send(b"").await.unwrap();
        assert_eq!(there.incoming.next().await.unwrap().unwrap(), b"one");
        assert_eq!(there.incoming.next().await.unwrap().unwrap(), b"");
        let (sent, got) = tokio::join!(there.outgoing.send(&long), here.incoming.next());
        sent.unwrap();
        assert_eq!(got.unwrap().unwrap(), long);
        drop(there);
        assert!(here.incoming.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_socket_is_the_owners_alone_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let listener = Listener::open(folder.path()).unwrap();
        let entry = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
        let metadata = entry.metadata().unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(!is_user(&UnixStream::pair().unwrap().0, own_user().unwrap() + 1), "others are told apart");
        drop(listener);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(connect(folder.path()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_nobody_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        // A kill leaves the file and takes the listener.
        drop(Place::of(folder.path()).bind().unwrap());
        assert!(connect(folder.path()).await.unwrap().is_none(), "nobody listens any more");
        let (_listener, mut here, mut there) = pair(folder.path()).await;
        here.outgoing.send(b"x").await.unwrap();
        assert_eq!(there.incoming.next().await.unwrap().unwrap(), b"x");
    }

    #[tokio::test]
    async fn a_path_may_be_longer_than_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        let (_listener, mut here, mut there) = pair(&deep).await;
        here.outgoing.send(b"deep").await.unwrap();
        assert_eq!(there.incoming.next().await.unwrap().unwrap(), b"deep");
    }

    #[tokio::test]
    async fn whoever_greets_otherwise_is_sent_away_and_told_why() {
        let folder = tempfile::tempdir().unwrap();
        let listener = Listener::open(folder.path()).unwrap();
        let path = Place::of(folder.path());
        for (said, is_version) in [
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), false),
            (vec![0xff; 64], false),
            ([GREETING.as_slice(), &[0, 0, 0, 99]].concat(), true),
            (b"everturn".to_vec(), false),
        ] {
            let mut stream = path.connect().await.unwrap();
            let newcomer = listener.accept().await;
            stream.write_all(&said).await.unwrap();
            stream.shutdown().await.unwrap();
            match newcomer.greet().await {
                Err(ControlError::Version { theirs: 99, .. }) => assert!(is_version),
                Err(ControlError::Strange(_)) => assert!(!is_version, "{said:?}"),
                other => panic!("{said:?}: {:?}", other.err()),
            }
        }
    }

    #[tokio::test]
    async fn frames_that_are_too_long_or_break_off_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        for (said, kind) in [
            (u32::MAX.to_be_bytes().to_vec(), io::ErrorKind::InvalidData),
            ([&100_u32.to_be_bytes()[..], b"short"].concat(), io::ErrorKind::UnexpectedEof),
            (vec![0, 0], io::ErrorKind::UnexpectedEof),
        ] {
            let (_listener, mut here, mut there) = pair(folder.path()).await;
            there.outgoing.raw().write_all(&said).await.unwrap();
            drop(there);
            assert_eq!(here.incoming.next().await.unwrap_err().kind(), kind);
        }
        let (_listener, mut here, _there) = pair(folder.path()).await;
        let huge = vec![0; FRAME_BYTES_MAX + 1];
        assert_eq!(here.outgoing.send(&huge).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
