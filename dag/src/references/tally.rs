//! One batch's effect on the counts.
//!
//! All increments come before the first decrement, so a block is judged dead only when nothing in the batch can need it
//! any more. A new version of a block leans on the one before, where that pays, so a link that they share is not even
//! looked at ([`leans`](super::leans)). Which block another is a version of is a guess: what a name held before, and in a
//! version the links that are new in place of those that are gone. A wrong guess costs rows, nothing else.

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::leans::{LINKS_MIN, Leans, beyond, let_go_by};
use super::{COUNT, DOOMED, Unreferenced, blocks, damaged, key, to_cid, to_number};
use crate::{Batch, Cid, Reader, Space, StoreError, address};

pub(super) struct Tally<'a> {
    reader: &'a dyn Reader,
    may_have_doomed: bool,
    /// All that the batch is about, in the order in which it came up.
    known: Vec<Known>,
    index: FxHashMap<Cid, usize>,
    leans: Leans,
    /// Offered blocks that are referred to now and were not looked at yet.
    unseen: Vec<usize>,
}

/// What the batch does to one address.
struct Known {
    cid: Cid,
    /// The block, if the batch brings it.
    offered: Option<Vec<u8>>,
    /// What it is a version of, as far as that is known.
    earlier: Option<Cid>,
    /// Whether anything said how many refer to it.
    is_counted: bool,
    /// The change of its reference count.
    change: i64,
    fate: Fate,
    /// References beyond the first as the store has them, once asked; -1 for a doomed block.
    stored: Option<i64>,
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
        // Most bring one in place of another.
        let addresses = 2 * blocks;
        Tally {
            reader,
            may_have_doomed,
            known: Vec::with_capacity(addresses),
            index: FxHashMap::with_capacity_and_hasher(addresses, FxBuildHasher),
            leans: Leans::default(),
            unseen: Vec::new(),
        }
    }

    fn number(&mut self, cid: Cid) -> usize {
        let next = self.known.len();
        let number = *self.index.entry(cid).or_insert(next);
        if number == next {
            self.known.push(Known {
                cid,
                offered: None,
                earlier: None,
                is_counted: false,
                change: 0,
                fate: Fate::Stays,
                stored: None,
            });
        }
        number
    }

    fn known(&mut self, cid: Cid) -> &mut Known {
        let number = self.number(cid);
        &mut self.known[number]
    }

    pub(super) fn offer(&mut self, cid: Cid, block: Vec<u8>) {
        self.known(cid).offered = Some(block);
    }

    /// One more reference.
    pub(super) fn refer(&mut self, cid: Cid) {
        let number = self.number(cid);
        let known = &mut self.known[number];
        if !known.is_counted && known.offered.is_some() {
            self.unseen.push(number);
        }
        known.is_counted = true;
        known.change += 1;
    }

    /// One less.
    fn let_go(&mut self, cid: Cid) {
        let known = self.known(cid);
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
            if known.fate == Fate::Inserted || blocks::has(self.reader, &known.cid)? {
                continue;
            }
            let Some(block) = known.offered.take() else { continue };
            known.fate = Fate::Inserted;
            known.is_counted = true;
            let (cid, earlier) = (known.cid, known.earlier.take());
            self.take_in(cid, &block, earlier, unreferenced)?;
            self.known[number].offered = Some(block);
        }
        Ok(())
    }

    /// Says what a block takes the place of.
    pub(super) fn follow(&mut self, cid: Cid, earlier: Cid) {
        if let Some(number) = self.index.get(&cid) {
            let known = &mut self.known[*number];
            if known.offered.is_some() {
                known.earlier.get_or_insert(earlier);
            }
        }
    }

    /// Refers to what a new block links to, less what the version that it leans on links to.
    fn take_in(
        &mut self,
        cid: Cid,
        block: &[u8],
        earlier: Option<Cid>,
        unreferenced: Unreferenced,
    ) -> Result<(), StoreError> {
        let links = match unreferenced {
            // Ours: made from parts that were looked at.
            Unreferenced::AreLeftOut => blocks::links_of_stored(&cid, block)?,
            Unreferenced::Wait => blocks::links_as_they_stand(&cid, block)?,
        };
        if let Some(base) = earlier.filter(|_| !links.is_empty())
            && let Some(before) = blocks::get_unhashed(self.reader, &base)?
        {
            let before = blocks::links_of_stored(&base, &before)?;
            let (new, gone) = (beyond(&links, &before), beyond(&before, &links));
            for (link, before) in new.iter().zip(gone) {
                self.follow(to_cid(link)?, to_cid(before)?);
            }
            let shared = (links.len() - new.len()).min(before.len());
            if shared >= LINKS_MIN && self.leans.leaner(self.reader, &base)?.is_none() {
                self.leans.lean(cid, base);
                return self.refer_to(&new);
            }
        }
        self.refer_to(&beyond(&links, &[]))
    }

    fn refer_to(&mut self, links: &[&[u8]]) -> Result<(), StoreError> {
        for link in links {
            self.refer(to_cid(link)?);
        }
        Ok(())
    }

    /// Takes references back, and removes up to `blocks_max` of the blocks that nobody needs then.
    pub(super) fn drop_all(&mut self, released: Vec<Cid>, blocks_max: usize) -> Result<(), StoreError> {
        for cid in &released {
            self.let_go(*cid);
        }
        self.reclaim(released, blocks_max)
    }

    /// Removes those of the blocks that nobody needs, and what only they referred to, up to `blocks_max` blocks.
    pub(super) fn reclaim(&mut self, mut suspects: Vec<Cid>, blocks_max: usize) -> Result<(), StoreError> {
        let mut left = blocks_max;
        while let Some(cid) = suspects.pop() {
            if left == 0 {
                // What is dead and stays is found when the rows are written.
                break;
            }
            let number = self.number(cid);
            if self.known[number].fate == Fate::Removed || self.excess_after(number)? >= 0 {
                continue;
            }
            left -= 1;
            self.remove(number, &mut suspects)?;
        }
        Ok(())
    }

    /// Takes a block away, and the references that were counted for it.
    fn remove(&mut self, number: usize, suspects: &mut Vec<Cid>) -> Result<(), StoreError> {
        let cid = self.known[number].cid;
        if cid.codec() != address::RAW {
            let block = self.block(&cid)?;
            let links = blocks::links_of_stored(&cid, &block)?;
            let pair = links.len() >= LINKS_MIN;
            let base = if pair { self.leans.base(self.reader, &cid)? } else { None };
            let leaner = if pair { self.leans.leaner(self.reader, &cid)? } else { None };
            let [below, above] = [base, leaner].map(|cid| Some((cid?, self.block(&cid?))));
            let (below, above) = (opened(below)?, opened(above)?);
            for link in let_go_by(&links, &neighbour(&below)?, &neighbour(&above)?) {
                let link = to_cid(link)?;
                self.let_go(link);
                suspects.push(link);
            }
            self.leans.take_out(cid, base, leaner);
        }
        let known = &mut self.known[number];
        known.fate = Fate::Removed;
        known.is_counted = true;
        Ok(())
    }

    /// A block of the store or of the batch.
    fn block(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        let known = self.index.get(cid).map(|number| &self.known[*number]);
        if let Some(block) =
            known.filter(|known| known.fate == Fate::Inserted).and_then(|known| known.offered.as_ref())
        {
            return Ok(block.clone());
        }
        blocks::get_unhashed(self.reader, cid)?.ok_or_else(|| blocks::missing(cid))
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
        let address = address::to_bytes(&known.cid);
        let excess = match self.reader.get(Space::References, &key(COUNT, &address))? {
            Some(count) => i64::try_from(to_number(&count)?).map_err(|_| damaged("a count is too large"))?,
            None if self.may_have_doomed && self.reader.has(Space::References, &key(DOOMED, &address))? => -1,
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
            let Known { cid, is_counted, change, fate, .. } = self.known[number];
            if !is_counted || change == 0 && fate == Fate::Stays {
                continue;
            }
            let before = self.stored(number)?;
            let after = before + change - i64::from(fate == Fate::Inserted);
            if after < -1 {
                return Err(damaged(&format!("block {cid} has fewer references than refer to it")));
            }
            if fate == Fate::Removed {
                batch.delete(Space::Blocks, blocks::key(&cid));
                write_count(batch, &cid, before, 0);
                continue;
            }
            leaves_doomed |= after < 0;
            write_count(batch, &cid, before, after);
            if fate == Fate::Inserted
                && let Some(block) = self.known[number].offered.take()
            {
                batch.put(Space::Blocks, blocks::key(&cid), block);
            }
        }
        Ok(leaves_doomed)
    }
}

type Neighbour = Option<(Cid, Vec<u8>)>;

fn opened(read: Option<(Cid, Result<Vec<u8>, StoreError>)>) -> Result<Neighbour, StoreError> {
    read.map(|(cid, block)| Ok((cid, block?))).transpose()
}

fn neighbour(block: &Neighbour) -> Result<Vec<&[u8]>, StoreError> {
    block.as_ref().map_or(Ok(Vec::new()), |(cid, block)| blocks::links_of_stored(cid, block))
}

/// Replaces the row of one excess by that of another.
fn write_count(batch: &mut Batch, cid: &Cid, before: i64, after: i64) {
    let address = address::to_bytes(cid);
    let row = |excess: i64| match excess {
        0 => None,
        1.. => Some(key(COUNT, &address)),
        _ => Some(key(DOOMED, &address)),
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
