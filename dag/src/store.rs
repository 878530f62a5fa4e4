//! Where live state and blocks are kept: ordered key spaces, atomic batches, an explicit sync.
//!
//! Invariants every implementation keeps (the conformance suite in `tests/` checks them):
//! 1. A [`Batch`] is applied whole or not at all, also across a crash.
//! 2. After [`Store::write`] returns, readers see the batch; after [`Store::sync`] returns, so does a reopened store.
//! 3. Batches become durable in the order in which they were written: a reopened store holds a prefix of them.
//! 4. A [`Reader`] from [`Store::snapshot`] never sees a later batch.
//! 5. After a failed write or sync, every later write and sync fails with [`StoreError::Poisoned`].

/// Lets a store be read through a part of itself: `read_through!(Type, store => part)`.
macro_rules! read_through {
    ($store:ty, $this:ident => $part:expr) => {
        impl $crate::store::Reader for $store {
            fn get(
                &self,
                space: $crate::store::Space,
                key: &[u8],
            ) -> Result<Option<Vec<u8>>, $crate::store::StoreError> {
                let $this = self;
                $part.get(space, key)
            }

            fn has(
                &self,
                space: $crate::store::Space,
                key: &[u8],
            ) -> Result<bool, $crate::store::StoreError> {
                let $this = self;
                $part.has(space, key)
            }

            fn scan(
                &self,
                space: $crate::store::Space,
                prefix: &[u8],
                visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
            ) -> Result<(), $crate::store::StoreError> {
                let $this = self;
                $part.scan(space, prefix, visit)
            }
        }
    };
}

mod adapter;
mod check;
mod disk;
mod fjall;
mod memory;
mod note;
pub mod power_cut;
mod redb;
mod seal;
mod sealed;
#[cfg(feature = "sled")]
mod sled;

use std::fmt;

pub use disk::{Backend, DiskStore};
pub use memory::MemoryStore;

use crate::SmallBytes;
use crate::references::Notes;

/// The longest key that a store on disk takes, in bytes.
pub const KEY_BYTES_MAX: usize = 4096;

/// A key space. Keys of different spaces never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Space {
    /// Facts about the store itself: format version, configuration, seal.
    Meta,
    /// Live state of containers, by (container, key of its own).
    State,
    /// Runtime records of containers, by container.
    Runtime,
    /// Immutable blocks, by CID.
    Blocks,
    /// What a later flush must hash, by container and part.
    Stale,
    /// What holds blocks, and how often each is referred to ([`references`](crate::references)).
    References,
    /// What came from outside, where it is kept.
    Inputs,
}

impl Space {
    /// Every space, in a fixed order.
    pub const ALL: [Space; 7] = [
        Space::Meta,
        Space::State,
        Space::Runtime,
        Space::Blocks,
        Space::Stale,
        Space::References,
        Space::Inputs,
    ];

    /// The space's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Space::Meta => "meta",
            Space::State => "state",
            Space::Runtime => "runtime",
            Space::Blocks => "blocks",
            Space::Stale => "stale",
            Space::References => "references",
            Space::Inputs => "inputs",
        }
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Sets a key's value.
    Put {
        /// Where.
        space: Space,
        /// Which key.
        key: SmallBytes,
        /// The new value.
        value: Vec<u8>,
    },
    /// Removes a key; removing an absent one is no error.
    Delete {
        /// Where.
        space: Space,
        /// Which key.
        key: SmallBytes,
    },
}

impl Change {
    /// Bytes of its key and value.
    fn bytes(&self) -> usize {
        match self {
            Change::Put { key, value, .. } => key.len() + value.len(),
            Change::Delete { key, .. } => key.len(),
        }
    }
}

/// Changes that are applied together; the last change of a key wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<Change>,
    bytes: usize,
    notes: Notes,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for so many changes.
    pub fn with_capacity(changes: usize) -> Self {
        Batch { changes: Vec::with_capacity(changes), ..Batch::default() }
    }

    /// Sets a key's value.
    pub fn put(&mut self, space: Space, key: impl Into<SmallBytes>, value: impl Into<Vec<u8>>) {
        self.push(Change::Put { space, key: key.into(), value: value.into() });
    }

    /// Removes a key.
    pub fn delete(&mut self, space: Space, key: impl Into<SmallBytes>) {
        self.push(Change::Delete { space, key: key.into() });
    }

    /// Adds a change.
    pub(crate) fn push(&mut self, change: Change) {
        self.bytes += change.bytes();
        self.changes.push(change);
    }

    /// The changes, in the order in which they were made.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Takes the changes out, for an implementation that applies them.
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    pub(crate) fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// The changes, and what was noted of them.
    pub(crate) fn into_parts(self) -> (Vec<Change>, Notes) {
        (self.changes, self.notes)
    }

    /// Adds another batch's changes after these.
    pub fn append(&mut self, mut other: Batch) {
        if self.changes.capacity() == 0 {
            std::mem::swap(&mut self.changes, &mut other.changes);
        }
        self.bytes += other.bytes;
        self.changes.append(&mut other.changes);
        self.notes.append(other.notes);
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl From<Vec<Change>> for Batch {
    fn from(changes: Vec<Change>) -> Batch {
        let bytes = changes.iter().map(Change::bytes).sum();
        Batch { changes, bytes, notes: Notes::default() }
    }
}

/// Reading: from the newest state (a [`Store`]) or from one instant (a snapshot).
pub trait Reader: Send + Sync {
    /// A key's value.
    ///
    /// # Errors
    /// If the disk cannot be read or a block of it is corrupt.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Whether a key has a value, which need not be read for that.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn has(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.get(space, key)?.is_some())
    }

    /// Visits the keys that start with `prefix`, in byte order, until `visit` returns `false`.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;
}

/// A place that keeps state. See the module's invariants.
pub trait Store: Reader + fmt::Debug + 'static {
    /// Applies a batch atomically; it need not be durable yet.
    ///
    /// # Errors
    /// If the disk refuses it. Nothing is accepted afterwards.
    fn write(&self, batch: Batch) -> Result<(), StoreError>;

    /// Makes every batch written so far durable.
    ///
    /// # Errors
    /// If the disk cannot promise that. Nothing is accepted afterwards.
    fn sync(&self) -> Result<(), StoreError>;

    /// The state as it is now, unmoved by later batches.
    ///
    /// # Errors
    /// If the store is poisoned.
    fn snapshot(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// A short name for people: "memory", "fjall", "redb", "sled".
    fn name(&self) -> &'static str;
}

/// Why the store could not do what was asked. Always a host error: nothing above can repair it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk or the file system said no.
    #[error("the store at {place} failed: {source}")]
    Io {
        /// Folder or file.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Bytes are not what was written, or committed batches are missing.
    #[error("the store at {place} is damaged: {what}")]
    Damaged {
        /// Folder or file.
        place: String,
        /// What was found.
        what: String,
    },
    /// The folder holds other things and no store.
    #[error("{place} holds {found} and no Everturn store; choose an empty folder")]
    NotAStore {
        /// The folder.
        place: String,
        /// One of the things in it.
        found: String,
    },
    /// Another process has the folder open.
    #[error("{place} is in use by {holder}; stop that program or choose another folder")]
    InUse {
        /// The folder.
        place: String,
        /// Pid and command of the holder.
        holder: String,
    },
    /// The folder was written by a newer Everturn.
    #[error("{place} has format {found}, this program reads up to {known}; use a newer everturn")]
    NewerFormat {
        /// The folder.
        place: String,
        /// Its format version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The folder was written by an Everturn before the first release.
    #[error(
        "{place} has format {found}, this program reads {known}; it was written before the first release, begin another"
    )]
    OlderFormat {
        /// The folder.
        place: String,
        /// Its format version.
        found: u32,
        /// The one this program knows.
        known: u32,
    },
    /// An earlier write or sync failed.
    #[error("the store stopped after a failed write or sync; reopen it")]
    Poisoned,
    /// A backend's own complaint.
    #[error("the {backend} store at {place} failed: {what}")]
    Backend {
        /// Which backend.
        backend: &'static str,
        /// Folder or file.
        place: String,
        /// Its message.
        what: String,
    },
}
