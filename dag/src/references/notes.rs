//! What whoever fills a batch knows already of what it replaces. No store writes it; without it the same is looked for when the
//! batch is settled.

use super::leans::beyond;
use super::{Address, HOLD, blocks, hold, key};
use crate::{Batch, Cid, StoreError, address};

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

/// As [`hold`], of a name of which one knows what it holds.
pub fn hold_in_place_of(batch: &mut Batch, name: &[u8], before: Option<&Cid>, cid: &Cid) {
    let before = before.map(|before| Address::new(&address::to_bytes(before)));
    batch.notes_mut().held.push((Address::new(&key(HOLD, name)), before));
    hold(batch, name, cid);
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
        let links = blocks::links_of_stored(cid, block)?;
        Ok(Difference::of(&links, base, &blocks::links_of_stored(base, before)?))
    }

    /// As [`Difference::between`], of links that were found already.
    pub(super) fn of(links: &[&[u8]], base: &Cid, before: &[&[u8]]) -> Difference {
        let (new, gone) = (beyond(links, before), beyond(before, links));
        let shared = (links.len() - new.len()).min(before.len());
        let addresses = |links: Vec<&[u8]>| links.into_iter().map(Address::new).collect();
        let base = Address::new(&address::to_bytes(base));
        Difference { base, new: addresses(new), gone: addresses(gone), shared }
    }

    /// Lets a batch that puts the block say so.
    pub fn note(self, batch: &mut Batch, cid: &Cid) {
        if self.shared == 0 && self.new.is_empty() {
            return;
        }
        batch.notes_mut().differences.push((Address::new(&address::to_bytes(cid)), self));
    }
}
