//! A store in memory, for tests and for hosts that need no durability.

mod key;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use key::Key;

use super::{Batch, Change, Reader, Space, Store, StoreError};

/// The content, each space shared until it is written.
#[derive(Clone, Debug, Default)]
struct Spaces(BTreeMap<Space, Arc<Entries>>);

/// One space: rows are found by a hash of their keys, and visited in the keys' order. Nothing is visited in the hash's order.
#[derive(Clone, Debug, Default)]
struct Entries {
    rows: HashMap<Key, Vec<u8>, BuildHasherDefault<DefaultHasher>>,
    order: BTreeSet<Key>,
}

impl Entries {
    fn get(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.rows.get(&Key::new(key))
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        match self.rows.entry(Key::new(key)) {
            Entry::Occupied(mut row) => drop(row.insert(value)),
            Entry::Vacant(row) => {
                self.order.insert(row.key().clone());
                row.insert(value);
            }
        }
    }

    fn delete(&mut self, key: &[u8]) {
        let key = Key::new(key);
        if self.rows.remove(&key).is_some() {
            self.order.remove(&key);
        }
    }

    /// Rows from a key on, in order.
    fn rows_from(&self, key: &[u8]) -> impl Iterator<Item = (&[u8], &Vec<u8>)> {
        self.order.range(Key::new(key)..).filter_map(|key| Some((key.as_bytes(), self.rows.get(key)?)))
    }
}

/// Keeps everything in memory; a sync is a no-op.
#[derive(Debug, Default)]
pub struct MemoryStore {
    spaces: RwLock<Spaces>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn apply(&self, batch: Batch) {
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        for change in batch.into_changes() {
            match change {
                Change::Put { space, key, value } => {
                    Arc::make_mut(spaces.0.entry(space).or_default()).put(&key, value);
                }
                Change::Delete { space, key } => {
                    Arc::make_mut(spaces.0.entry(space).or_default()).delete(&key);
                }
            }
        }
    }

    /// A store of its own with the same content.
    pub(super) fn duplicate(&self) -> Self {
        MemoryStore { spaces: RwLock::new(self.spaces().clone()) }
    }

    fn spaces(&self) -> RwLockReadGuard<'_, Spaces> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for Spaces {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&space).and_then(|entries| entries.get(key)).cloned())
    }

    fn has(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.0.get(&space).is_some_and(|entries| entries.get(key).is_some()))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let Some(entries) = self.0.get(&space) else { return Ok(()) };
        for (key, value) in entries.rows_from(prefix) {
            if !key.starts_with(prefix) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

read_through!(MemoryStore, store => store.spaces());

impl Store for MemoryStore {
    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.apply(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(self.spaces().clone()))
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}
