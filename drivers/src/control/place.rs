//! Where the socket lies: `control` in the folder.
//!
//! A socket's address holds about a hundred bytes. Where the path is longer it is named through a descriptor of its
//! folder, which Linux offers.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

const NAME: &str = "control";
/// Made beside it and renamed, so that what has the name can be used by its owner alone from the beginning.
const DRAFT: &str = "control.new";
/// The longest path that every system's addresses hold, with the draft's ending.
const PATH_BYTES_MAX: usize = 90;

#[derive(Clone, Debug)]
pub(super) struct Place {
    folder: PathBuf,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.join(NAME).display().fmt(formatter)
    }
}

impl Place {
    pub(super) fn of(folder: &Path) -> Place {
        Place { folder: folder.to_owned() }
    }

    /// Listens here, in place of whoever did.
    pub(super) fn bind(&self) -> io::Result<UnixListener> {
        let (draft, name) = (self.folder.join(DRAFT), self.folder.join(NAME));
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = self.with_short(DRAFT, |path| UnixListener::bind(path))?;
        fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
        fs::rename(draft, name)?;
        Ok(listener)
    }

    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        // A local socket answers at once or not at all.
        let stream = self.with_short(NAME, std::os::unix::net::UnixStream::connect)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    /// Nobody listens any more.
    pub(super) fn clear(&self) {
        // A file that stays is found to be nobody's.
        let _ = fs::remove_file(self.folder.join(NAME));
    }

    fn with_short<T>(&self, name: &str, act: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
        let path = self.folder.join(name);
        if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
            return act(path);
        }
        let folder = File::open(&self.folder)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        if !short.parent().is_some_and(Path::exists) {
            let why = format!("{} is longer than the address of a socket may be", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        act(short)
    }
}
