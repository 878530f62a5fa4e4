//! The seal: what lets a reopened store say that no batch is missing.
//!
//! Every batch carries a seal in the same atomic write: its number, a hash of what it changes, and the hash of the
//! batch before. The newest [`RING`] seals stay readable, one key each, so that on opening the chain can be followed
//! back; the newest one is compared with the [note](super::note) of the last sync.
//!
//! A seal on disk is 40 bytes, then the check that every value has (see [`super::check`]):
//! ```text
//! 0        8                 24                40
//! | number | hash before it  | hash            |   integers and hashes little-endian
//! ```
//! Hashes are xxh3-128: they find damage, they do not stop someone who forges a folder.

use xxhash_rust::xxh3::Xxh3;

use super::adapter::{Fault, Row};
use super::check;

/// What the keys of seals start with. Spaces start with other bytes (see [`super::sealed`]).
pub(super) const TAG: u8 = 0;
/// Seals that stay on disk. Enough to span what is written between two syncs in ordinary use.
pub(super) const RING: u64 = 64;

/// The place of a batch in the chain. The default is the place before the first batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) number: u64,
    pub(super) hash: u128,
}

impl Seal {
    /// The seal of the batch that follows this one, and the row that stores it.
    pub(super) fn next(self, rows: &[Row]) -> (Seal, Row) {
        let number = self.number + 1;
        let mut hasher = Hasher::default();
        for (key, value) in rows {
            hasher.row(key, value.as_deref());
        }
        let next = Seal { number, hash: hasher.finish(self.hash, number) };
        let mut value = Vec::with_capacity(48);
        value.extend(number.to_le_bytes());
        value.extend(self.hash.to_le_bytes());
        value.extend(next.hash.to_le_bytes());
        let key = vec![TAG, slot(number)];
        check::append(&key, &mut value);
        (next, (key, Some(value)))
    }

    /// Reads the chain back and returns its newest seal.
    pub(super) fn newest(get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, Fault>) -> Result<Seal, Fault> {
        let mut links = Vec::new();
        for slot in 0..RING as u8 {
            let key = [TAG, slot];
            if let Some(value) = get(&key)? {
                links.push(Link::read(&key, &value).map_err(Fault::Damaged)?);
            }
        }
        links.sort_by_key(|link| link.seal.number);
        follow(&links).map_err(Fault::Damaged)
    }
}

fn follow(links: &[Link]) -> Result<Seal, String> {
    let Some(newest) = links.last() else { return Ok(Seal::default()) };
    let number = newest.seal.number;
    if links.len() as u64 != number.min(RING) {
        return Err(format!("{} of the {} newest batches have their seal", links.len(), number.min(RING)));
    }
    for pair in links.windows(2) {
        if !pair[1].follows(pair[0].seal) {
            return Err(format!("batch {} does not follow the one before it", pair[1].seal.number));
        }
    }
    Ok(newest.seal)
}

/// A stored seal: a batch, and the hash of the batch that it says it follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) seal: Seal,
    pub(super) before: u128,
}

impl Link {
    /// Whether this batch comes right after that one.
    pub(super) fn follows(&self, seal: Seal) -> bool {
        self.seal.number == seal.number + 1 && self.before == seal.hash
    }

    pub(super) fn read(key: &[u8], value: &[u8]) -> Result<Link, String> {
        let unreadable = || format!("the seal under {key:02x?} is not readable");
        let value = check::strip(key, value).ok_or_else(unreadable)?;
        let (number, hashes) = value.split_first_chunk::<8>().ok_or_else(unreadable)?;
        let (before, hash) = hashes.split_first_chunk::<16>().ok_or_else(unreadable)?;
        let number = u64::from_le_bytes(*number);
        let hash = u128::from_le_bytes(hash.try_into().map_err(|_| unreadable())?);
        if key != [TAG, slot(number)] {
            return Err(format!("the seal of batch {number} lies under {key:02x?}"));
        }
        Ok(Link { seal: Seal { number, hash }, before: u128::from_le_bytes(*before) })
    }
}

fn slot(number: u64) -> u8 {
    (number % RING) as u8
}

/// Hashes what a batch changes, then its place. Values enter through the check they already end with.
#[derive(Default)]
pub(super) struct Hasher(Xxh3);

impl Hasher {
    pub(super) fn row(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.0.update(&(key.len() as u32).to_le_bytes());
        self.0.update(key);
        self.0.update(&value.map_or(u32::MAX, |value| value.len() as u32).to_le_bytes());
        self.0.update(value.map_or(&[], check::of));
    }

    pub(super) fn finish(mut self, before: u128, number: u64) -> u128 {
        self.0.update(&before.to_le_bytes());
        self.0.update(&number.to_le_bytes());
        self.0.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: u64) -> Vec<Link> {
        let mut before = Seal::default();
        (0..length)
            .map(|_| {
                let (seal, (key, value)) = before.next(&[]);
                before = seal;
                Link::read(&key, &value.unwrap()).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_whole_chain_ends_in_its_newest() {
        assert_eq!(follow(&[]), Ok(Seal::default()));
        let mut links = chain(RING + 9);
        let newest = links.last().unwrap().seal;
        assert_eq!(follow(&links.split_off(9)), Ok(newest));
    }

    #[test]
    fn a_batch_that_is_missing_or_foreign_breaks_it() {
        let mut links = chain(9);
        links.remove(4);
        assert!(follow(&links).is_err(), "one in the middle");
        let mut links = chain(9);
        links.remove(0);
        assert!(follow(&links).is_err(), "the first");
        let mut links = chain(9);
        links[5].before ^= 1;
        assert!(follow(&links).is_err(), "another history");
        let mut links = chain(RING);
        links.remove(0);
        assert!(follow(&links).is_err(), "a ring with a hole at its end");
    }

    #[test]
    fn what_a_batch_changes_is_in_its_hash() {
        let row = |key: &[u8], value: Option<&[u8]>| {
            let value = value.map(|value| {
                let mut value = value.to_vec();
                check::append(key, &mut value);
                value
            });
            vec![(key.to_vec(), value)]
        };
        let rows = [row(b"a", Some(b"")), row(b"a", None), row(b"b", None), row(b"a", Some(b"x")), vec![]];
        for (index, left) in rows.iter().enumerate() {
            for right in &rows[index + 1..] {
                assert_ne!(Seal::default().next(left).0, Seal::default().next(right).0);
            }
        }
    }

    #[test]
    fn a_flipped_seal_is_unreadable() {
        let (_, (key, value)) = Seal::default().next(&[]);
        let value = value.unwrap();
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Link::read(&key, &flipped).is_err(), "bit {bit}");
        }
    }
}
