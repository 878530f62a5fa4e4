//! A store in memory, for tests and for hosts that need no durability.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rustc_hash::FxHashMap;

use super::{Batch, Change, Reader, Space, Store, StoreError};
use crate::small::SmallBytes;

/// The content, each space shared until it is written; in the order of [`Space::ALL`].
#[derive(Clone, Debug)]
struct Spaces([Arc<Entries>; Space::ALL.len()]);

/// One space: rows are found by a hash of their keys, and visited in the keys' order. Nothing is visited in the hash's order.
#[derive(Clone, Debug)]
struct Entries {
    rows: FxHashMap<SmallBytes, Vec<u8>>,
    /// The keys in their order; none for a space that is visited so seldom that they are sorted then.
    order: Option<BTreeSet<SmallBytes>>,
}

impl Entries {
    fn new(space: Space) -> Entries {
        let order = (space != Space::Blocks).then(BTreeSet::new);
        Entries { rows: FxHashMap::default(), order }
    }

    fn get(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.rows.get(key)
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        match self.rows.entry(SmallBytes::new(key)) {
            Entry::Occupied(mut row) => drop(row.insert(value)),
            Entry::Vacant(row) => {
                if let Some(order) = &mut self.order {
                    order.insert(row.key().clone());
                }
                row.insert(value);
            }
        }
    }

    fn delete(&mut self, key: &[u8]) {
        if let Some((key, _)) = self.rows.remove_entry(key)
            && let Some(order) = &mut self.order
        {
            order.remove(&key);
        }
    }

    /// Visits the rows whose keys begin so, in the keys' order.
    fn visit(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let begins = |key: &&SmallBytes| key.as_bytes().starts_with(prefix);
        let mut visit =
            |key: &SmallBytes| self.rows.get(key).is_none_or(|value| visit(key.as_bytes(), value));
        match &self.order {
            Some(order) => {
                let _ = order.range(SmallBytes::new(prefix)..).take_while(begins).all(&mut visit);
            }
            None => {
                let mut keys: Vec<&SmallBytes> = self.rows.keys().filter(begins).collect();
                keys.sort_unstable();
                let _ = keys.into_iter().all(&mut visit);
            }
        }
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
                Change::Put { space, key, value } => spaces.written(space).put(&key, value),
                Change::Delete { space, key } => spaces.written(space).delete(&key),
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

impl Default for Spaces {
    fn default() -> Self {
        Spaces(Space::ALL.map(|space| Arc::new(Entries::new(space))))
    }
}

impl Spaces {
    fn of(&self, space: Space) -> &Entries {
        &self.0[space as usize]
    }

    /// A space that is written to: its own copy, if a snapshot has it as well.
    fn written(&mut self, space: Space) -> &mut Entries {
        Arc::make_mut(&mut self.0[space as usize])
    }
}

impl Reader for Spaces {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.of(space).get(key).cloned())
    }

    fn has(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.of(space).get(key).is_some())
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.of(space).visit(prefix, visit);
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
