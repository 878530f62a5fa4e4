//! What whoever fills a batch knows already of what it replaces. No store writes it; without it the same is looked for when the
//! batch is settled.

use super::leans::{FEW, beyond};
use super::{Address, HOLD, blocks, key};
use crate::node::{self, Versions};
use crate::{Batch, Cid, Space, StoreError, address};

/// Notes of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// How blocks that it puts differ from those before them.
    pub(super) differences: Vec<(Address, Difference)>,
    /// What rows of holds that it sets say so far.
    pub(super) held: Vec<(Address, Option<Address>)>,
}

impl Notes {
    pub(crate) fn append(&mut self, mut other: Notes) {
        self.differences.append(&mut other.differences);
        self.held.append(&mut other.held);
    }
}

/// As [`hold`](super::hold), of a name of which one knows what it holds.
pub fn hold_in_place_of(batch: &mut Batch, name: &[u8], before: Option<&Cid>, cid: &Cid) {
    let row = key(HOLD, name);
    batch.notes_mut().held.push((row.clone(), before.map(address::to_bytes)));
    batch.put(Space::References, row, address::to_bytes(cid).as_bytes());
}

/// What a block has in place of what the one before it had. Whoever makes the block has both at hand; looked for later, the one
/// before has to be read once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is a version of.
    pub(super) base: Address,
    /// Links that the base has not, each once.
    pub(super) new: Vec<Address>,
    /// Links of the base that it has not, each once.
    pub(super) gone: Vec<Address>,
    /// Links that both have.
    pub(super) shared: usize,
}

impl Difference {
    /// Compares a block of one's own with the one that it takes the place of.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if one of them is no dag-cbor though its address says so, or of another codec.
    pub fn between(cid: &Cid, block: &[u8], base: &Cid, before: &[u8]) -> Result<Difference, StoreError> {
        if cid.codec() == address::DAG_CBOR
            && base.codec() == address::DAG_CBOR
            && let Ok(Some(pairs)) = node::links_beside(block, before)
        {
            return Ok(Difference::beside(&pairs, base));
        }
        let links = blocks::links_of_stored(cid, block)?;
        Ok(Difference::of(&links, base, &blocks::links_of_stored(base, before)?))
    }

    /// As [`Difference::of`], of links each of which takes the place of another.
    pub(super) fn beside(pairs: &[Versions<'_>], base: &Cid) -> Difference {
        let mut changed: Vec<Versions<'_>> = Vec::with_capacity(pairs.len());
        changed.extend(pairs.iter().filter(|(link, before)| !is_same(link, before)));
        if changed.len() > FEW {
            let (links, before): (Vec<&[u8]>, Vec<&[u8]>) = pairs.iter().copied().unzip();
            return Difference::of(&links, base, &before);
        }
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        for (link, before) in changed {
            add_once(&mut new, link, || pairs.iter().any(|(_, before)| is_same(before, link)));
            add_once(&mut gone, before, || pairs.iter().any(|(link, _)| is_same(link, before)));
        }
        let shared = pairs.len() - new.len();
        Difference { base: address::to_bytes(base), new, gone, shared }
    }

    /// As [`Difference::between`], of links that were found already.
    pub(super) fn of(links: &[&[u8]], base: &Cid, before: &[&[u8]]) -> Difference {
        let (new, gone) = (beyond(links, before), beyond(before, links));
        let shared = (links.len() - new.len()).min(before.len());
        let addresses = |links: Vec<&[u8]>| links.into_iter().map(Address::new).collect();
        let base = address::to_bytes(base);
        Difference { base, new: addresses(new), gone: addresses(gone), shared }
    }

    /// Lets a batch that puts the block say so.
    pub fn note(self, batch: &mut Batch, cid: &Cid) {
        if self.shared == 0 && self.new.is_empty() {
            return;
        }
        batch.notes_mut().differences.push((address::to_bytes(cid), self));
    }
}

fn add_once(links: &mut Vec<Address>, link: &[u8], is_known: impl Fn() -> bool) {
    if !links.iter().any(|other| is_same(other, link)) && !is_known() {
        links.push(Address::new(link));
    }
}

/// Whether two addresses are the same. Most that are not differ in the first bytes of their digests.
#[inline]
fn is_same(left: &[u8], right: &[u8]) -> bool {
    left.get(4..12) == right.get(4..12) && left == right
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn links_beside_each_other_differ_as_any_others(pairs in prop::collection::vec((0..6u8, 0..6u8), 0..24)) {
            let address = |number: &u8| address::to_bytes(&address::raw_cid(&[*number]));
            let addresses: Vec<_> = pairs.iter().map(|(link, before)| (address(link), address(before))).collect();
            let pairs: Vec<Versions<'_>> =
                addresses.iter().map(|(link, before)| (link.as_bytes(), before.as_bytes())).collect();
            let (links, before): (Vec<&[u8]>, Vec<&[u8]>) = pairs.iter().copied().unzip();
            let base = address::raw_cid(b"base");
            prop_assert_eq!(Difference::beside(&pairs, &base), Difference::of(&links, &base, &before));
        }
    }
}
