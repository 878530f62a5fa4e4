//! A map that can go back to its last savepoint, and knows what was not written yet.
//!
//! What each costs follows what changed: nothing here looks at entries that nobody touched.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

#[derive(Clone, Debug)]
pub(super) struct Tracked<K, V> {
    now: BTreeMap<K, V>,
    /// What was there at the savepoint, of all that changed since.
    before: BTreeMap<K, Option<V>>,
    /// What changed between the last commit and the savepoint.
    unwritten: BTreeSet<K>,
}

impl<K: Ord + Clone, V: Clone> Tracked<K, V> {
    /// As a commit left it.
    pub(super) fn written(entries: BTreeMap<K, V>) -> Self {
        Tracked { now: entries, before: BTreeMap::new(), unwritten: BTreeSet::new() }
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.now.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.now.iter()
    }

    pub(super) fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &V)> {
        self.now.range(range)
    }

    /// The value, to be changed.
    pub(super) fn change(&mut self, key: &K) -> Option<&mut V> {
        let value = self.now.get_mut(key)?;
        self.before.entry(key.clone()).or_insert_with(|| Some(value.clone()));
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let old = self.now.insert(key.clone(), value);
        self.before.entry(key).or_insert(old);
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(old) = self.now.remove(key) {
            self.before.entry(key.clone()).or_insert(Some(old));
        }
    }

    pub(super) fn savepoint(&mut self) {
        let changed = std::mem::take(&mut self.before);
        self.unwritten.extend(changed.into_keys());
    }

    pub(super) fn rollback(&mut self) {
        for (key, before) in std::mem::take(&mut self.before) {
            let _ = match before {
                Some(value) => self.now.insert(key, value),
                None => self.now.remove(&key),
            };
        }
    }

    /// Gives what a commit has to write: each key that was touched, with its value if it is still there.
    pub(super) fn write(&mut self, mut write: impl FnMut(&K, Option<&V>)) {
        self.savepoint();
        for key in std::mem::take(&mut self.unwritten) {
            write(&key, self.now.get(&key));
        }
    }
}

impl<K: Ord + Clone, V: Clone> Default for Tracked<K, V> {
    fn default() -> Self {
        Tracked::written(BTreeMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(map: &mut Tracked<u8, u8>) -> Vec<(u8, Option<u8>)> {
        let mut all = Vec::new();
        map.write(|key, value| all.push((*key, value.copied())));
        all
    }

    #[test]
    fn it_goes_back_to_the_savepoint_and_no_further() {
        let mut map = Tracked::written([(1, 10), (2, 20)].into());
        map.insert(3, 30);
        map.savepoint();
        map.insert(3, 31);
        map.insert(3, 32);
        map.remove(&1);
        *map.change(&2).unwrap() = 21;
        map.insert(4, 40);
        map.remove(&4);
        map.rollback();
        assert_eq!(
            map.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>(),
            [(1, 10), (2, 20), (3, 30)]
        );
        assert_eq!(written(&mut map), [(3, Some(30))]);
    }

    #[test]
    fn a_commit_writes_what_was_touched_since_the_last() {
        let mut map = Tracked::written([(1, 10), (2, 20)].into());
        map.insert(3, 30);
        map.savepoint();
        map.remove(&1);
        assert_eq!(written(&mut map), [(1, None), (3, Some(30))]);
        assert_eq!(written(&mut map), []);
        *map.change(&2).unwrap() = 22;
        assert_eq!(written(&mut map), [(2, Some(22))]);
    }
}
