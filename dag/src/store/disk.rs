//! The store on disk: a folder, its format, its lock, and a library behind a [seal](super::seal).
//!
//! ```text
//! data/
//!   LOCK            who has the folder open; held by the operating system, so it ends with the process
//!   store/          appears whole, by a rename, when the store has been created
//!     FORMAT        this layout's version and the library
//!     NOTE          the newest durable batch
//!     fjall/ or redb/ (or sled/)
//!   store.new/      a store whose creation was interrupted; made anew
//! ```
//!
//! Opening refuses rather than repairs: see [`StoreError`]. What it finds wrong it leaves as it was.

mod folder;
mod lock;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use self::lock::Lock;
use super::adapter::{Adapter, Fault};
use super::fjall::Fjall;
use super::note::Note;
use super::redb::Redb;
use super::sealed::{Origin, Sealed, View};
#[cfg(feature = "sled")]
use super::sled::Sled;
use super::{Batch, Reader, Store, StoreError};

/// A library that keeps the bytes. A folder stays with the one it was created with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// fjall 3: a log-structured tree.
    #[default]
    Fjall,
    /// redb 4: a copy-on-write tree.
    Redb,
    /// sled 0.34: a log of segments. With the feature `sled`.
    #[cfg(feature = "sled")]
    Sled,
}

impl Backend {
    /// Every backend.
    pub const ALL: &[Backend] = &[
        Backend::Fjall,
        Backend::Redb,
        #[cfg(feature = "sled")]
        Backend::Sled,
    ];

    /// Its name, in errors and on disk.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Fjall => "fjall",
            Backend::Redb => "redb",
            #[cfg(feature = "sled")]
            Backend::Sled => "sled",
        }
    }

    fn create(self, folder: &Path) -> Result<Box<dyn Adapter>, Fault> {
        match self {
            Backend::Fjall => Ok(Box::new(Fjall::create(folder)?)),
            Backend::Redb => Ok(Box::new(Redb::create(folder)?)),
            #[cfg(feature = "sled")]
            Backend::Sled => Ok(Box::new(Sled::create(folder)?)),
        }
    }

    fn open(self, folder: &Path, noted: u64) -> Result<Box<dyn Adapter>, Fault> {
        match self {
            Backend::Fjall => Ok(Box::new(Fjall::open(folder, noted)?)),
            Backend::Redb => Ok(Box::new(Redb::open(folder, noted)?)),
            #[cfg(feature = "sled")]
            Backend::Sled => Ok(Box::new(Sled::open(folder, noted)?)),
        }
    }
}

/// Live state and blocks on disk.
///
/// Values and keys pass through as they are; beside them lies the seal. One process opens a folder at a time.
/// Dropping the store loses nothing that was synced; what was only written may or may not be there.
pub struct DiskStore {
    sealed: Sealed,
    backend: Backend,
    place: String,
    // The last to go: the folder is free when the library has let go of it.
    lock: Arc<Lock>,
}

impl DiskStore {
    /// Opens the store in `folder`, or creates it with the default backend if the folder is absent or empty.
    ///
    /// # Errors
    /// If the folder is something else, in use, newer, damaged, or the disk refuses. Nothing is changed then.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_or_create(folder.as_ref(), None)
    }

    /// As [`DiskStore::open`], with a chosen backend.
    ///
    /// # Errors
    /// Also if the store was created with another backend.
    pub fn open_with(folder: impl AsRef<Path>, backend: Backend) -> Result<Self, StoreError> {
        Self::open_or_create(folder.as_ref(), Some(backend))
    }

    fn open_or_create(folder: &Path, wanted: Option<Backend>) -> Result<Self, StoreError> {
        let place = folder.display().to_string();
        folder::admit(folder)?;
        let lock = Arc::new(Lock::acquire(folder)?);
        let backend = match folder::format(folder)? {
            Some(backend) => backend,
            None => {
                let backend = wanted.unwrap_or_default();
                folder::create(folder, backend)?;
                backend
            }
        };
        let origin = Origin { place: place.clone(), backend: backend.name() };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != backend) {
            let what = format!("it was created with {}, not with {}", backend.name(), wanted.name());
            return Err(origin.error(Fault::Other(what)));
        }
        let note = folder::note(folder)?;
        let library = folder::library(folder, backend)?;
        let adapter = origin.guard(|| backend.open(&library, note.noted().number))?;
        Ok(DiskStore { sealed: Sealed::open(origin, adapter, note)?, backend, place, lock })
    }

    /// Which library keeps the bytes.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// How often the disk was asked to make batches durable since opening. A sync with nothing new to make durable
    /// asks for nothing.
    pub fn syncs(&self) -> u64 {
        self.sealed.syncs()
    }
}

read_through!(DiskStore, store => store.sealed.newest_state());

impl Store for DiskStore {
    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.sealed.write(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.sealed.sync()
    }

    fn snapshot(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(Snapshot { view: self.sealed.snapshot()?, _lock: Arc::clone(&self.lock) }))
    }

    fn name(&self) -> &'static str {
        self.backend.name()
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DiskStore")
            .field("place", &self.place)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

struct Snapshot {
    view: View,
    // A snapshot may outlive the store; the folder stays taken while it does.
    _lock: Arc<Lock>,
}

read_through!(Snapshot, snapshot => snapshot.view);
