//! Which containers are in memory, and which of them was used the longest time ago.

use std::collections::VecDeque;

use everturn_port_manager::ContainerId;
use rustc_hash::FxHashMap;

/// Uses that are kept beyond two for each container before those that count for nothing are thrown out.
const SLACK: usize = 64;

/// Containers in memory whose state is in the store, by when they were used last.
#[derive(Debug, Default)]
pub(super) struct Residents {
    /// When each was used last, and what it takes, in bytes. Never visited, only asked.
    of: FxHashMap<ContainerId, (u64, u64)>,
    /// All uses, the oldest first; only the last of each container counts.
    uses: VecDeque<(u64, ContainerId)>,
    bytes: u64,
    last_use: u64,
}

impl Residents {
    /// A container was used, and takes this much now.
    pub(super) fn used(&mut self, id: ContainerId, bytes: u64) {
        self.last_use += 1;
        let before = self.of.insert(id, (self.last_use, bytes));
        self.bytes = self.bytes - before.map_or(0, |(_, bytes)| bytes) + bytes;
        self.uses.push_back((self.last_use, id));
        if self.uses.len() > 2 * self.of.len() + SLACK {
            let Residents { of, uses, .. } = self;
            uses.retain(|(used, id)| of.get(id).is_some_and(|(last, _)| last == used));
        }
    }

    /// What they take together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A container is in memory no more.
    pub(super) fn gone(&mut self, id: ContainerId) {
        if let Some((_, bytes)) = self.of.remove(&id) {
            self.bytes -= bytes;
        }
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    /// Takes the one out that was used the longest time ago.
    pub(super) fn pop(&mut self) -> Option<ContainerId> {
        loop {
            let (used, id) = self.uses.pop_front()?;
            if self.of.get(&id).is_some_and(|(last, _)| *last == used) {
                self.gone(id);
                return Some(id);
            }
        }
    }

    /// The same, while together they take more than this.
    pub(super) fn pop_above(&mut self, bytes_max: u64) -> Option<ContainerId> {
        if self.bytes > bytes_max { self.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use everturn_port_manager::Nonce;

    use super::*;

    #[test]
    fn the_least_recently_used_leave_first() {
        let id = |n| ContainerId::ROOT.child(Nonce(n));
        let mut residents = Residents::default();
        for n in 0..4 {
            residents.used(id(n), 10);
        }
        residents.used(id(0), 10);
        residents.gone(id(2));
        assert_eq!(residents.pop_above(30), None, "three of ten bytes fit");
        assert_eq!(residents.pop_above(15), Some(id(1)));
        assert_eq!(residents.pop_above(15), Some(id(3)));
        assert_eq!(residents.pop_above(15), None);
        assert_eq!(residents.pop_above(0), Some(id(0)));
        assert_eq!(residents.pop_above(0), None);
    }

    #[test]
    fn uses_that_count_for_nothing_are_thrown_out() {
        let id = |n| ContainerId::ROOT.child(Nonce(n));
        let mut residents = Residents::default();
        residents.used(id(7), 1);
        for n in 0..10_000 {
            residents.used(id(n % 3), n);
        }
        assert!(residents.uses.len() <= 2 * 4 + SLACK, "{}", residents.uses.len());
        assert_eq!(residents.bytes(), 1 + 9_999 + 9_998 + 9_997);
        let left: Vec<_> = std::iter::from_fn(|| residents.pop_above(0)).collect();
        assert_eq!(left, [7, 1, 2, 0].map(id));
    }
}
