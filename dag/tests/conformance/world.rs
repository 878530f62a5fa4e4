//! A naive model of a store, and seeded random batches for both.

use std::collections::BTreeMap;

use everturn_dag::store::Change;
use everturn_dag::{Batch, Reader, Space};

/// What a store should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model(pub(crate) BTreeMap<(Space, Vec<u8>), Vec<u8>>);

impl Model {
    pub(crate) fn apply(&mut self, batch: &Batch) {
        for change in batch.changes() {
            match change.clone() {
                Change::Put { space, key, value } => drop(self.0.insert((space, key.to_vec()), value)),
                Change::Delete { space, key } => drop(self.0.remove(&(space, key.to_vec()))),
                change => panic!("unknown change {change:?}"),
            }
        }
    }

    /// Reads everything a store holds.
    pub(crate) fn of(reader: &dyn Reader) -> Result<Model, everturn_dag::StoreError> {
        let mut model = Model::default();
        for space in Space::ALL {
            reader.scan(space, &[], &mut |key, value| {
                model.0.insert((space, key.to_vec()), value.to_vec());
                true
            })?;
        }
        Ok(model)
    }
}

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): small, seeded, good enough to choose test cases.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A batch over few keys, so that batches meet: puts, deletes, twice the same key, empty keys and values.
    pub(crate) fn batch(&mut self) -> Batch {
        let mut batch = Batch::new();
        for _ in 0..self.below(8) {
            let space = Space::ALL[self.below(Space::ALL.len())];
            // Some as long as the id of a container, with which most keys begin, and longer.
            let length = [0, 1, 2, 3, 32, 34][self.below(6)];
            let key = vec![self.below(3) as u8 + 253; length];
            if self.below(4) == 0 {
                batch.delete(space, key);
            } else {
                let length = [0, 1, 20, 300, 5000][self.below(5)];
                batch.put(space, key, self.bytes(length));
            }
        }
        batch
    }
}

/// A batch with one value.
pub(crate) fn put(space: Space, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(space, key, value);
    batch
}

/// The number in a variable, or what the ordinary run takes.
pub(crate) fn count(variable: &str, ordinary: usize) -> usize {
    std::env::var(variable).map_or(ordinary, |text| text.parse().expect("the variable holds a number"))
}
