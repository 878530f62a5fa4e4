//! A store in memory, for tests and for hosts that need no durability.

use std::cell::LazyCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rustc_hash::FxHashMap;

use super::{Batch, Change, Reader, Space, Store, StoreError};
use crate::small::{SmallBytes, Value};

/// Bytes of a container's id, with which keys begin.
const GROUP_BYTES: usize = 32;

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
    /// As [`Entries::Visited`], but nearly always those of one container, if there are any: the rows of each are in a tree of
    /// their own, found by a hash of its id, by what follows the id in their keys.
    Grouped(FxHashMap<SmallBytes, BTreeMap<SmallBytes, Value>>),
    /// Both: the keys lie in their order beside the rows.
    Both(FxHashMap<SmallBytes, Value>, BTreeSet<SmallBytes>),
}

impl Entries {
    fn new(space: Space) -> Entries {
        match space {
            Space::Blocks => Entries::Found(FxHashMap::default()),
            Space::Meta | Space::Inputs => Entries::Visited(BTreeMap::new()),
            Space::Stale => Entries::Grouped(FxHashMap::default()),
            Space::State | Space::Runtime | Space::References => {
                Entries::Both(FxHashMap::default(), BTreeSet::new())
            }
        }
    }

    fn get(&self, key: &[u8]) -> Option<&Value> {
        match self {
            Entries::Found(rows) | Entries::Both(rows, _) => rows.get(key),
            Entries::Visited(rows) => rows.get(&SmallBytes::new(key)),
            Entries::Grouped(groups) => {
                let (group, rest) = grouped(key);
                groups.get(group)?.get(&SmallBytes::new(rest))
            }
        }
    }

    fn put(&mut self, key: SmallBytes, value: Vec<u8>) {
        let value = Value::new(value);
        match self {
            Entries::Found(rows) => drop(rows.insert(key, value)),
            Entries::Visited(rows) => drop(rows.insert(key, value)),
            Entries::Grouped(groups) => {
                let (group, rest) = grouped(&key);
                groups.entry(SmallBytes::new(group)).or_default().insert(SmallBytes::new(rest), value);
            }
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
            Entries::Grouped(groups) => {
                let (group, rest) = grouped(key);
                if let Some(rows) = groups.get_mut(group) {
                    rows.remove(&SmallBytes::new(rest));
                    if rows.is_empty() {
                        groups.remove(group);
                    }
                }
            }
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
        let mut visit = |key: &[u8], value: &Value| visit(key, value.as_bytes());
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
            Entries::Grouped(groups) => {
                let (group, rest) = grouped(prefix);
                if group.len() == GROUP_BYTES {
                    let _ = groups.get(group).is_none_or(|rows| visit_group(group, rows, rest, &mut visit));
                    return;
                }
                let mut groups: Vec<_> = groups.iter().filter(|(group, _)| begins(group)).collect();
                groups.sort_unstable_by_key(|(group, _)| *group);
                let _ = groups.into_iter().all(|(group, rows)| visit_group(group, rows, &[], &mut visit));
            }
            Entries::Both(rows, order) => {
                let keys = order.range(SmallBytes::new(prefix)..).take_while(|key| begins(key));
                let _ = { keys }.all(|key| rows.get(key).is_none_or(|value| visit(key, value)));
            }
        }
    }
}

/// A key, taken apart where the id of its container ends.
fn grouped(key: &[u8]) -> (&[u8], &[u8]) {
    key.split_at(key.len().min(GROUP_BYTES))
}

/// Visits the rows of a group whose keys go on so; `false` if the visitor has seen enough.
fn visit_group(
    group: &[u8],
    rows: &BTreeMap<SmallBytes, Value>,
    prefix: &[u8],
    visit: &mut dyn FnMut(&[u8], &Value) -> bool,
) -> bool {
    let mut key = group.to_vec();
    let rows = rows.range(SmallBytes::new(prefix)..).take_while(|(rest, _)| rest.starts_with(prefix));
    { rows }.all(|(rest, value)| {
        key.truncate(group.len());
        key.extend_from_slice(rest);
        visit(&key, value)
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_space_is_visited_in_the_order_of_its_keys_below_a_prefix(
            keys in prop::collection::vec((prop::collection::vec(0..2u8, 30..36), any::<bool>()), 0..40),
            prefix in prop::collection::vec(0..2u8, 0..36),
        ) {
            for space in Space::ALL {
                let (store, mut batch, mut model) = (MemoryStore::new(), Batch::new(), BTreeMap::new());
                for (at, (key, stays)) in keys.iter().enumerate() {
                    // Many begin with the same container.
                    let key = [&[0; 28], &key[28..]].concat();
                    if *stays {
                        batch.put(space, &key, [at as u8]);
                        model.insert(key, at as u8);
                    } else {
                        batch.delete(space, &key);
                        model.remove(&key);
                    }
                }
                store.write(batch).unwrap();
                for prefix in [prefix.clone(), vec![0; prefix.len()]] {
                    let mut found = Vec::new();
                    store.scan(space, &prefix, &mut |key, value| {
                        found.push((key.to_vec(), value[0]));
                        found.len() < 7
                    }).unwrap();
                    let expected = model.iter().filter(|(key, _)| key.starts_with(&prefix)).take(7);
                    let expected: Vec<_> = expected.map(|(key, at)| (key.clone(), *at)).collect();
                    prop_assert_eq!(&found, &expected, "{:?}", space);
                }
                for (key, at) in &model {
                    prop_assert_eq!(store.get(space, key).unwrap(), Some(vec![*at]));
                }
            }
        }
    }
}
