//! One batch's effect on the counts.
//!
//! All increments come before the first decrement, so a block is judged dead only when nothing in the batch can need it
//! any more. A new version of a block leans on the one before, where that pays, so a link that they share is not even
//! looked at ([`leans`](super::leans)). Which block another is a version of is a guess: what a name held before, and in a
//! version the links that are new in place of those that are gone. A wrong guess costs rows, nothing else.

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::leans::{LINKS_MIN, Leans, beyond, let_go_by};
use super::notes::Difference;
use super::{Address, COUNT, DOOMED, Unreferenced, blocks, damaged, key, to_cid, to_number};
use crate::address::RAW;
use crate::{Batch, Reader, Space, StoreError};

pub(super) struct Tally<'a> {
    reader: &'a dyn Reader,
    may_have_doomed: bool,
    /// All that the batch is about, in the order in which it came up.
    known: Vec<Known>,
    index: FxHashMap<Address, usize>,
    leans: Leans,
    /// Offered blocks that are referred to now and were not looked at yet.
    unseen: Vec<usize>,
}

/// What the batch does to one address.
struct Known {
    address: Address,
    /// The block, if the batch brings it.
    offered: Option<Vec<u8>>,
    /// What it is a version of, as far as that is known.
    earlier: Earlier,
    /// Whether anything said how many refer to it.
    is_counted: bool,
    /// The change of its reference count.
    change: i64,
    fate: Fate,
    /// References beyond the first as the store has them, once asked; -1 for a doomed block.
    stored: Option<i64>,
}

/// What a block is a version of.
enum Earlier {
    Unknown,
    Guessed(Address),
    Compared(Box<Difference>),
}

/// What becomes of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is there or not, as it was.
    Stays,
    /// It comes into the store.
    Inserted,
    /// It leaves it.
    Removed,
}

impl<'a> Tally<'a> {
    /// Of a batch that brings or takes so many blocks, roughly.
    pub(super) fn new(reader: &'a dyn Reader, may_have_doomed: bool, blocks: usize) -> Self {
        // Most bring one in place of another, and link to a new one or two.
        let addresses = 2 * blocks;
        Tally {
            reader,
            may_have_doomed,
            known: Vec::with_capacity(2 * addresses),
            index: FxHashMap::with_capacity_and_hasher(addresses, FxBuildHasher),
            leans: Leans::default(),
            unseen: Vec::new(),
        }
    }

    /// Where an address is in the tally.
    pub(super) fn number(&mut self, address: &[u8]) -> usize {
        if let Some(number) = self.index.get(address) {
            return *number;
        }
        let address = Address::new(address);
        self.index.insert(address.clone(), self.known.len());
        self.known.push(Known {
            address,
            offered: None,
            earlier: Earlier::Unknown,
            is_counted: false,
            change: 0,
            fate: Fate::Stays,
            stored: None,
        });
        self.known.len() - 1
    }

    pub(super) fn offer(&mut self, address: Address, block: Vec<u8>) {
        let number = self.number(&address);
        self.known[number].offered = Some(block);
    }

    /// One more reference.
    pub(super) fn refer(&mut self, number: usize) {
        let known = &mut self.known[number];
        if !known.is_counted && known.offered.is_some() {
            self.unseen.push(number);
        }
        known.is_counted = true;
        known.change += 1;
    }

    /// One less.
    fn let_go(&mut self, number: usize) {
        let known = &mut self.known[number];
        known.is_counted = true;
        known.change -= 1;
    }

    /// Takes in the offered blocks that something refers to, and what they refer to in turn.
    pub(super) fn admit(&mut self, unreferenced: Unreferenced) -> Result<(), StoreError> {
        if unreferenced == Unreferenced::Wait {
            self.unseen = (0..self.known.len()).filter(|of| self.known[*of].offered.is_some()).collect();
        }
        while let Some(number) = self.unseen.pop() {
            let known = &mut self.known[number];
            if known.fate == Fate::Inserted || self.reader.has(Space::Blocks, known.address.as_bytes())? {
                continue;
            }
            let Some(block) = known.offered.take() else { continue };
            known.fate = Fate::Inserted;
            known.is_counted = true;
            let (address, earlier) =
                (known.address.clone(), std::mem::replace(&mut known.earlier, Earlier::Unknown));
            self.take_in(&address, &block, earlier, unreferenced)?;
            self.known[number].offered = Some(block);
        }
        Ok(())
    }

    /// Says what a block takes the place of.
    pub(super) fn follow(&mut self, new: usize, earlier: &[u8]) {
        let known = &mut self.known[new];
        if known.offered.is_some() && matches!(known.earlier, Earlier::Unknown) {
            known.earlier = Earlier::Guessed(Address::new(earlier));
        }
    }

    /// Says how an offered block differs from what it takes the place of. Where several say so of an equal block, the least base
    /// counts, whichever comes first.
    pub(super) fn differs(&mut self, new: &Address, difference: Difference) {
        let Some(number) = self.index.get(new) else { return };
        let earlier = &mut self.known[*number].earlier;
        match earlier {
            Earlier::Compared(known) if known.base <= difference.base => {}
            _ => *earlier = Earlier::Compared(Box::new(difference)),
        }
    }

    /// Refers to what a new block links to, less what the version that it leans on links to.
    fn take_in(
        &mut self,
        address: &Address,
        block: &[u8],
        earlier: Earlier,
        unreferenced: Unreferenced,
    ) -> Result<(), StoreError> {
        if let Earlier::Compared(difference) = &earlier
            && self.reader.has(Space::Blocks, difference.base.as_bytes())?
            && self.leans_now(address, difference)?
        {
            return Ok(());
        }
        let cid = to_cid(address.as_bytes())?;
        let links = match unreferenced {
            // Ours: made from parts that were looked at.
            Unreferenced::AreLeftOut => blocks::links_of_stored(&cid, block)?,
            Unreferenced::Wait => blocks::links_as_they_stand(&cid, block)?,
        };
        if let Earlier::Guessed(base) = &earlier
            && !links.is_empty()
            && let Some(before) = self.reader.get(Space::Blocks, base.as_bytes())?
        {
            let base = to_cid(base.as_bytes())?;
            let before = blocks::links_of_stored(&base, &before)?;
            if self.leans_now(address, &Difference::of(&links, &base, &before))? {
                return Ok(());
            }
        }
        for link in beyond(&links, &[]) {
            let number = self.number(link);
            self.refer(number);
        }
        Ok(())
    }

    /// Lets a new block lean on what it takes the place of, if that pays, and refers to what it has beyond that.
    fn leans_now(&mut self, address: &Address, difference: &Difference) -> Result<bool, StoreError> {
        let Difference { base, new, gone, shared } = difference;
        for (link, before) in new.iter().zip(gone) {
            if let Some(link) = self.index.get(link) {
                self.follow(*link, before);
            }
        }
        if *shared < LINKS_MIN || self.leans.leaner(self.reader, base)?.is_some() {
            return Ok(false);
        }
        self.leans.lean(address, base);
        for link in new {
            let number = self.number(link);
            self.refer(number);
        }
        Ok(true)
    }

    /// Takes references back, and removes up to `blocks_max` of the blocks that nobody needs then.
    pub(super) fn drop_all(&mut self, released: Vec<usize>, blocks_max: usize) -> Result<(), StoreError> {
        for number in &released {
            self.let_go(*number);
        }
        self.reclaim(released, blocks_max)
    }

    /// Removes those of the blocks that nobody needs, and what only they referred to, up to `blocks_max` blocks.
    pub(super) fn reclaim(&mut self, mut suspects: Vec<usize>, blocks_max: usize) -> Result<(), StoreError> {
        let mut left = blocks_max;
        while let Some(number) = suspects.pop() {
            if left == 0 {
                // What is dead and stays is found when the rows are written.
                break;
            }
            if self.known[number].fate == Fate::Removed || self.excess_after(number)? >= 0 {
                continue;
            }
            left -= 1;
            self.remove(number, &mut suspects)?;
        }
        Ok(())
    }

    /// Takes a block away, and the references that were counted for it.
    fn remove(&mut self, number: usize, suspects: &mut Vec<usize>) -> Result<(), StoreError> {
        let address = &self.known[number].address.clone();
        let cid = to_cid(address.as_bytes())?;
        if cid.codec() != RAW {
            let block = self.block(address)?;
            let links = blocks::links_of_stored(&cid, &block)?;
            let pair = links.len() >= LINKS_MIN;
            let base = if pair { self.leans.base(self.reader, address)? } else { None };
            let leaner = if pair { self.leans.leaner(self.reader, address)? } else { None };
            let below = base.as_ref().map(|base| self.block(base)).transpose()?;
            let above = leaner.as_ref().map(|leaner| self.block(leaner)).transpose()?;
            let (below, above) = (neighbour(base.as_ref(), &below)?, neighbour(leaner.as_ref(), &above)?);
            for link in let_go_by(&links, &below, &above) {
                let link = self.number(link);
                self.let_go(link);
                suspects.push(link);
            }
            self.leans.take_out(address, base.as_ref(), leaner.as_ref());
        }
        let known = &mut self.known[number];
        known.fate = Fate::Removed;
        known.is_counted = true;
        Ok(())
    }

    /// A block of the store or of the batch.
    fn block(&self, address: &Address) -> Result<Vec<u8>, StoreError> {
        let known = self.index.get(address).map(|number| &self.known[*number]);
        if let Some(block) =
            known.filter(|known| known.fate == Fate::Inserted).and_then(|known| known.offered.as_ref())
        {
            return Ok(block.clone());
        }
        match self.reader.get(Space::Blocks, address.as_bytes())? {
            Some(block) => Ok(block),
            None => Err(blocks::missing(&to_cid(address.as_bytes())?)),
        }
    }

    /// What `c` or `d` will say of an address: -1 if nothing refers to the block.
    fn excess_after(&mut self, number: usize) -> Result<i64, StoreError> {
        let Known { change, fate, .. } = self.known[number];
        if change >= 0 && fate != Fate::Inserted && !self.may_have_doomed {
            return Ok(0);
        }
        Ok(self.stored(number)? + change - i64::from(fate == Fate::Inserted))
    }

    fn stored(&mut self, number: usize) -> Result<i64, StoreError> {
        let known = &mut self.known[number];
        if let Some(excess) = known.stored {
            return Ok(excess);
        }
        let address = known.address.as_bytes();
        let excess = match self.reader.get(Space::References, &key(COUNT, address))? {
            Some(count) => i64::try_from(to_number(&count)?).map_err(|_| damaged("a count is too large"))?,
            None if self.may_have_doomed && self.reader.has(Space::References, &key(DOOMED, address))? => -1,
            None => 0,
        };
        known.stored = Some(excess);
        Ok(excess)
    }

    /// Writes blocks and counts; `true` if there is something to reclaim later.
    pub(super) fn write(mut self, batch: &mut Batch) -> Result<bool, StoreError> {
        let mut leaves_doomed = false;
        std::mem::take(&mut self.leans).write(batch);
        for number in 0..self.known.len() {
            let Known { is_counted, change, fate, .. } = self.known[number];
            if !is_counted || change == 0 && fate == Fate::Stays {
                continue;
            }
            let before = self.stored(number)?;
            let Known { address, offered, .. } = &mut self.known[number];
            let address = address.as_bytes();
            let after = before + change - i64::from(fate == Fate::Inserted);
            if after < -1 {
                let cid = to_cid(address)?;
                return Err(damaged(&format!("block {cid} has fewer references than refer to it")));
            }
            if fate == Fate::Removed {
                batch.delete(Space::Blocks, address);
                write_count(batch, address, before, 0);
                continue;
            }
            leaves_doomed |= after < 0;
            write_count(batch, address, before, after);
            if fate == Fate::Inserted
                && let Some(block) = offered.take()
            {
                batch.put(Space::Blocks, address, block);
            }
        }
        Ok(leaves_doomed)
    }
}

/// The links of a neighbour in a chain, if there is one.
fn neighbour<'a>(of: Option<&Address>, block: &'a Option<Vec<u8>>) -> Result<Vec<&'a [u8]>, StoreError> {
    match (of, block) {
        (Some(address), Some(block)) => blocks::links_of_stored(&to_cid(address.as_bytes())?, block),
        _ => Ok(Vec::new()),
    }
}

/// Replaces the row of one excess by that of another.
fn write_count(batch: &mut Batch, address: &[u8], before: i64, after: i64) {
    let row = |excess: i64| match excess {
        0 => None,
        1.. => Some(key(COUNT, address)),
        _ => Some(key(DOOMED, address)),
    };
    let (old, new) = (row(before), row(after));
    if let Some(old) = old.filter(|old| new.as_ref() != Some(old)) {
        batch.delete(Space::References, old);
    }
    match new {
        Some(key) if after > 0 => batch.put(Space::References, key, (after as u64).to_be_bytes()),
        Some(key) => batch.put(Space::References, key, []),
        None => {}
    }
}
