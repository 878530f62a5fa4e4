//! A store for tests, whose power can be cut: what was written but not synced is gone.
//!
//! ```
//! use everturn_dag::store::power_cut::PowerCutStore;
//! use everturn_dag::{Batch, Reader, Space, Store};
//!
//! let store = PowerCutStore::new();
//! let put = |value: &str| {
//!     let mut batch = Batch::new();
//!     batch.put(Space::Meta, "key", value);
//!     store.write(batch)
//! };
//! put("durable")?;
//! store.sync()?;
//! put("lost")?;
//! let reopened = store.cut(0);
//! assert_eq!(reopened.get(Space::Meta, b"key")?, Some(b"durable".to_vec()));
//! assert!(store.sync().is_err(), "the process that had it open is gone");
//! # Ok::<(), everturn_dag::StoreError>(())
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Batch, MemoryStore, Reader, Store, StoreError};

/// Keeps what is synced apart from what is only written. Bytes lie in memory.
#[derive(Debug, Default)]
pub struct PowerCutStore {
    live: MemoryStore,
    disk: Mutex<Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    durable: MemoryStore,
    /// Written since the last sync, oldest first.
    unsynced: Vec<Batch>,
    writes: u64,
    syncs: u64,
    fails: Option<Failure>,
    dead: bool,
}

/// When the disk starts to refuse, counted in calls from the creation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// This write and everything after it.
    Write(u64),
    /// This sync and everything after it. What it should have made durable is not.
    Sync(u64),
}

impl PowerCutStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the disk fail later on; the first call is number 1.
    pub fn fail(&self, failure: Failure) {
        self.disk().fails = Some(failure);
    }

    /// Cuts the power and gives the store as the next process finds it: everything synced, and the oldest `kept` of
    /// the batches after that (0 is the harshest disk; a kinder one keeps some). This one accepts nothing more.
    pub fn cut(&self, kept: usize) -> PowerCutStore {
        let mut disk = self.disk();
        disk.dead = true;
        let durable = std::mem::take(&mut disk.durable);
        for batch in disk.unsynced.drain(..).take(kept) {
            durable.apply(batch);
        }
        let live = durable.duplicate();
        PowerCutStore { live, disk: Mutex::new(Disk { durable, ..Disk::default() }) }
    }

    /// Batches that a cut would take away now.
    pub fn unsynced(&self) -> usize {
        self.disk().unsynced.len()
    }

    /// Syncs that succeeded.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// Writes that succeeded.
    pub fn writes(&self) -> u64 {
        self.disk().writes
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn refuse(&mut self, call: Failure) -> Result<(), StoreError> {
        if self.dead {
            return Err(StoreError::Poisoned);
        }
        if self.fails != Some(call) {
            return Ok(());
        }
        self.dead = true;
        let source = std::io::Error::other("the simulated disk refuses");
        Err(StoreError::Io { place: "memory".to_owned(), source })
    }
}

read_through!(PowerCutStore, store => store.live);

impl Store for PowerCutStore {
    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        let mut disk = self.disk();
        let call = Failure::Write(disk.writes + 1);
        disk.refuse(call)?;
        disk.writes += 1;
        disk.unsynced.push(batch.clone());
        self.live.apply(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut disk = self.disk();
        let call = Failure::Sync(disk.syncs + 1);
        disk.refuse(call)?;
        disk.syncs += 1;
        for batch in std::mem::take(&mut disk.unsynced) {
            disk.durable.apply(batch);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn Reader>, StoreError> {
        match self.disk().dead {
            true => Err(StoreError::Poisoned),
            false => self.live.snapshot(),
        }
    }

    fn name(&self) -> &'static str {
        "power cut"
    }
}
