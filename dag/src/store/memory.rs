//! A store in memory, for tests and for hosts that need no durability.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::{Batch, Change, Reader, Space, Store, StoreError};

type Spaces = BTreeMap<Space, Arc<BTreeMap<Vec<u8>, Vec<u8>>>>;

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
                    Arc::make_mut(spaces.entry(space).or_default()).insert(key, value);
                }
                Change::Delete { space, key } => {
                    Arc::make_mut(spaces.entry(space).or_default()).remove(&key);
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

struct Snapshot(Spaces);

fn get(spaces: &Spaces, space: Space, key: &[u8]) -> Option<Vec<u8>> {
    spaces.get(&space)?.get(key).cloned()
}

fn scan(spaces: &Spaces, space: Space, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
    let Some(entries) = spaces.get(&space) else { return };
    for (key, value) in entries.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded)) {
        if !key.starts_with(prefix) || !visit(key, value) {
            return;
        }
    }
}

impl Reader for Snapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(get(&self.0, space, key))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        scan(&self.0, space, prefix, visit);
        Ok(())
    }
}

impl Reader for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(get(&self.spaces(), space, key))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        scan(&self.spaces(), space, prefix, visit);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.apply(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(Snapshot(self.spaces().clone())))
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}
