//! A store in memory, for tests and for hosts that need no durability.

use std::cell::LazyCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rustc_hash::FxHashMap;

use super::{Batch, Change, Reader, Space, Store, StoreError};
use crate::small::{SmallBytes, Value};

/// The content, each space shared until it is written; in the order of [`Space::ALL`].
#[derive(Clone, Debug)]
struct Spaces([Arc<Entries>; Space::ALL.len()]);

/// One space, indexed as it is used. Nothing is ever visited in a hash's order.
#[derive(Clone, Debug)]
enum Entries {
    /// Rows are found by a hash of their keys; they are visited so seldom that their keys are sorted then.
    Found(FxHashMap<SmallBytes, Value>),
    /// Rows are visited in the keys' order, and few are looked for.
    Visited(BTreeMap<SmallBytes, Value>),
    /// Both: the keys lie in their order beside the rows.
    Both(FxHashMap<SmallBytes, Value>, BTreeSet<SmallBytes>),
}

impl Entries {
    fn new(space: Space) -> Entries {
        match space {
            Space::Blocks => Entries::Found(FxHashMap::default()),
            Space::Meta | Space::Stale | Space::Inputs => Entries::Visited(BTreeMap::new()),
            Space::State | Space::Runtime | Space::References => {
                Entries::Both(FxHashMap::default(), BTreeSet::new())
            }
        }
    }

    fn get(&self, key: &[u8]) -> Option<&Value> {
        match self {
            Entries::Found(rows) | Entries::Both(rows, _) => rows.get(key),
            Entries::Visited(rows) => rows.get(&SmallBytes::new(key)),
        }
    }

    fn put(&mut self, key: SmallBytes, value: Vec<u8>) {
        let value = Value::new(value);
        match self {
            Entries::Found(rows) => drop(rows.insert(key, value)),
            Entries::Visited(rows) => drop(rows.insert(key, value)),
            Entries::Both(rows, order) => match rows.entry(key) {
                Entry::Occupied(mut row) => drop(row.insert(value)),
                Entry::Vacant(row) => {
                    order.insert(row.key().clone());
                    row.insert(value);
                }
            },
        }
    }

    fn delete(&mut self, key: &SmallBytes) {
        match self {
            Entries::Found(rows) => drop(rows.remove(key)),
            Entries::Visited(rows) => drop(rows.remove(key)),
            Entries::Both(rows, order) => {
                if let Some((key, _)) = rows.remove_entry(key) {
                    order.remove(&key);
                }
            }
        }
    }

    /// Visits the rows whose keys begin so, in the keys' order.
    fn visit(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let begins = |key: &SmallBytes| key.as_bytes().starts_with(prefix);
        let mut visit = |key: &SmallBytes, value: &Value| visit(key.as_bytes(), value.as_bytes());
        match self {
            Entries::Found(rows) => {
                let mut rows: Vec<_> = rows.iter().filter(|(key, _)| begins(key)).collect();
                rows.sort_unstable_by_key(|(key, _)| *key);
                let _ = rows.into_iter().all(|(key, value)| visit(key, value));
            }
            Entries::Visited(rows) => {
                let rows = rows.range(SmallBytes::new(prefix)..).take_while(|(key, _)| begins(key));
                let _ = { rows }.all(|(key, value)| visit(key, value));
            }
            Entries::Both(rows, order) => {
                let keys = order.range(SmallBytes::new(prefix)..).take_while(|key| begins(key));
                let _ = { keys }.all(|key| rows.get(key).is_none_or(|value| visit(key, value)));
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
        // A space that is written to: its own copy, if a snapshot has it as well.
        let mut written = spaces.0.each_mut().map(|space| LazyCell::new(|| Arc::make_mut(space)));
        for change in batch.into_changes() {
            match change {
                Change::Put { space, key, value } => written[space as usize].put(key, value),
                Change::Delete { space, key } => written[space as usize].delete(&key),
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
}

impl Reader for Spaces {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.of(space).get(key).map(|value| value.as_bytes().to_vec()))
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
