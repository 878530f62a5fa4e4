//! How a version of a block differs from the one before, in what they link to.

use super::leans::beyond;
use super::{Address, blocks};
use crate::{Batch, Cid, StoreError, address};

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
        batch.differs(Address::new(&address::to_bytes(cid)), self);
    }
}
