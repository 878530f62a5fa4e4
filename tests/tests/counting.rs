//! A store in memory that counts what is asked of it.

use std::sync::Mutex;

use everturn::{MemoryStore, Store};
use everturn_dag::{Batch, Change, Reader, Space, StoreError};

/// Rows by their keys.
pub(crate) type Keys = Vec<(Space, Vec<u8>)>;

/// What was asked of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reads: Keys,
    pub(crate) writes: Keys,
    /// Batches that change anything.
    pub(crate) batches: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counting {
    /// The store itself, to look into without being counted.
    pub(crate) store: MemoryStore,
    counts: Mutex<Counts>,
}

impl Counting {
    /// What was asked of it since this was called last.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut self.counts.lock().unwrap())
    }

    fn read(&self, space: Space, key: &[u8]) {
        self.counts.lock().unwrap().reads.push((space, key.to_vec()));
    }
}

impl Reader for Counting {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(space, key);
        self.store.get(space, key)
    }

    fn has(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        self.read(space, key);
        self.store.has(space, key)
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        // One that finds nothing is a read, too.
        self.read(space, prefix);
        self.store.scan(space, prefix, &mut |key, value| {
            self.read(space, key);
            visit(key, value)
        })
    }
}

impl Store for Counting {
    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        let written = batch.changes().iter().map(|change| match change {
            Change::Put { space, key, .. } | Change::Delete { space, key } => (*space, key.to_vec()),
            _ => unreachable!("a change puts or deletes"),
        });
        let mut counts = self.counts.lock().unwrap();
        counts.writes.extend(written);
        counts.batches += u64::from(!batch.is_empty());
        drop(counts);
        self.store.write(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }

    fn snapshot(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.store.snapshot()
    }

    fn name(&self) -> &'static str {
        "counting"
    }
}
