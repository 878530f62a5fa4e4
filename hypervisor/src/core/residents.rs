//! Which containers are in memory, and which of them was used the longest time ago.

use std::collections::BTreeMap;

use everturn_port_manager::ContainerId;

/// Containers in memory whose state is in the store, by when they were used last.
#[derive(Debug, Default)]
pub(super) struct Residents {
    by_use: BTreeMap<u64, ContainerId>,
    /// When each was used, and what it takes, in bytes or another measure.
    of: BTreeMap<ContainerId, (u64, u64)>,
    bytes: u64,
    uses: u64,
}

impl Residents {
    /// A container was used, and takes this much now.
    pub(super) fn used(&mut self, id: ContainerId, bytes: u64) {
        self.gone(id);
        self.uses += 1;
        self.by_use.insert(self.uses, id);
        self.of.insert(id, (self.uses, bytes));
        self.bytes += bytes;
    }

    /// What they take together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A container is in memory no more.
    pub(super) fn gone(&mut self, id: ContainerId) {
        if let Some((used, bytes)) = self.of.remove(&id) {
            self.by_use.remove(&used);
            self.bytes -= bytes;
        }
    }

    /// Takes the one out that was used the longest time ago, while together they take more than this.
    pub(super) fn pop_above(&mut self, bytes_max: u64) -> Option<ContainerId> {
        let (_, id) = self.by_use.first_key_value().filter(|_| self.bytes > bytes_max)?;
        let id = *id;
        self.gone(id);
        Some(id)
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
}
