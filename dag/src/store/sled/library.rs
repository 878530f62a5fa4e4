//! The library behind a door: one caller at a time, and closed for good when the disk has failed it.
//!
//! What its source says (0.34.7, `src/pagecache/`), and what follows here:
//! 1. A page that finds no room for its file (`logger.rs`, `reserve_inner`) leaves its buffer of the log with a writer
//!    that never ends. Nobody is told, and whoever waits for that buffer waits for good: the next flush, a read, and
//!    every drop, because a drop flushes. So nobody waits beside a caller, and after a failure nothing is dropped.
//! 2. A buffer that a batch was the last to leave is written by another thread, which records a failure but does not
//!    wake those who wait (`exit_reservation`). So a thread of ours looks for a recorded failure, and wakes them.
//! 3. Reading splits and merges pages, which is writing. So a reader is a caller like any other.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use ::sled::{Config, Db, Tree};

use super::super::adapter::Fault;

const ROWS: &str = "rows";
const CACHE_BYTES: u64 = 64 << 20;
/// How long somebody may sleep whom the library forgot to wake.
const WATCH_EVERY: Duration = Duration::from_millis(200);
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
pub(super) const CLOSED: &str =
    "its library gave up on the disk before; end this process before the store is opened again";

pub(super) struct Library {
    open: Mutex<Option<Open>>,
    // Ends after the database, whose drop may have to be woken as well.
    _watch: Watch,
}

/// What a caller has for itself.
pub(super) struct Open {
    // Dropped first, so that the database is the last that has the files.
    pub(super) rows: Tree,
    pub(super) database: Db,
}

impl Library {
    pub(super) fn start(folder: &Path) -> Result<Self, Fault> {
        let database = open(folder)?;
        let watch = Watch::over(&database)?;
        let rows = database.open_tree(ROWS)?;
        Ok(Library { open: Mutex::new(Some(Open { rows, database })), _watch: watch })
    }

    /// Runs one call. If the disk fails it, or it panics, the library is left as it is, and nobody calls it again.
    pub(super) fn enter<T>(&self, run: impl FnOnce(&Open) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut door = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = door.take().ok_or_else(|| Fault::Other(CLOSED.to_owned()))?;
        let open = ManuallyDrop::new(open);
        let result = run(&open);
        if !matches!(result, Err(Fault::Io(_))) {
            *door = Some(ManuallyDrop::into_inner(open));
        }
        result
    }
}

/// Waits for a store that was open before: its files are free when the library's threads have ended their last task, and
/// when processes that were started meanwhile run their own program.
fn open(folder: &Path) -> Result<Db, Fault> {
    for _ in 0..LOCK_TRIES {
        let config = Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        match config.open() {
            Err(::sled::Error::Io(error)) if error.to_string().starts_with("could not acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return Ok(opened?),
        }
    }
    Err(Fault::Other(CLOSED.to_owned()))
}

impl Drop for Library {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // It panics if its last sync fails. What was acknowledged was synced before.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(open)));
    }
}

/// Wakes whoever waits for a write that has failed.
struct Watch {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn over(database: &Db) -> std::io::Result<Self> {
        let context = database.context.clone();
        let (end, ended) = mpsc::channel();
        let watch = move || {
            while ended.recv_timeout(WATCH_EVERY) == Err(RecvTimeoutError::Timeout) {
                if context.global_error().is_err() {
                    // Returns that failure, and wakes all others for it.
                    let _ = context.pagecache.log.make_stable(i64::MAX);
                }
            }
        };
        let thread = Builder::new().name("sled-watch".to_owned()).spawn(watch)?;
        Ok(Watch { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the library's, as above.
            let _ = thread.join();
        }
    }
}

impl From<::sled::Error> for Fault {
    fn from(error: ::sled::Error) -> Self {
        use ::sled::Error;
        match error {
            Error::Io(error) => match error.kind() {
                // The library reads files of known layout; what it refuses is damage and no failure of the disk.
                std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::InvalidInput
                | std::io::ErrorKind::Other => Fault::Damaged(error.to_string()),
                _ => Fault::Io(error),
            },
            Error::Corruption { .. } | Error::ReportableBug(_) | Error::CollectionNotFound(_) => {
                Fault::Damaged(error.to_string())
            }
            Error::Unsupported(what) => Fault::Other(what),
        }
    }
}
