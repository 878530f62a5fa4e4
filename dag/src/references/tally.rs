//! One batch's effect on the counts.
//!
//! All increments come before the first decrement, so a block is judged dead only when nothing in the batch can need it
//! any more. A new version of a block leans on the one before, where that pays, so a link that they share is not even
//! looked at ([`leans`](super::leans)). Which block another is a version of is a guess: what a name held before, and in a
//! version the links that are new in place of those that are gone. A wrong guess costs rows, nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::leans::{LINKS_MIN, Leans, beyond, let_go_by};
use super::{COUNT, DOOMED, Unreferenced, blocks, damaged, key, to_cid, to_number};
use crate::{Batch, Cid, Reader, Space, StoreError};

pub(super) struct Tally<'a> {
    reader: &'a dyn Reader,
    may_have_doomed: bool,
    /// Blocks that the batch brings.
    offered: BTreeMap<Cid, Vec<u8>>,
    /// Changes of reference counts.
    changes: BTreeMap<Cid, i64>,
    /// What a block is a version of, as far as that is known.
    earlier: BTreeMap<Cid, Cid>,
    leans: Leans,
    /// Offered blocks that are referred to now and were not looked at yet.
    unseen: Vec<Cid>,
    /// Blocks that come into the store.
    inserted: BTreeSet<Cid>,
    /// Blocks that leave it.
    removed: BTreeSet<Cid>,
    /// References beyond the first as the store has them; -1 for a doomed block.
    stored: BTreeMap<Cid, i64>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(reader: &'a dyn Reader, may_have_doomed: bool) -> Self {
        Tally {
            reader,
            may_have_doomed,
            offered: BTreeMap::new(),
            changes: BTreeMap::new(),
            earlier: BTreeMap::new(),
            leans: Leans::default(),
            unseen: Vec::new(),
            inserted: BTreeSet::new(),
            removed: BTreeSet::new(),
            stored: BTreeMap::new(),
        }
    }

    pub(super) fn offer(&mut self, cid: Cid, block: Vec<u8>) {
        self.offered.insert(cid, block);
    }

    /// One more reference.
    pub(super) fn refer(&mut self, cid: Cid) {
        let is_first = !self.changes.contains_key(&cid);
        *self.changes.entry(cid).or_default() += 1;
        if is_first && self.offered.contains_key(&cid) {
            self.unseen.push(cid);
        }
    }

    /// Takes in the offered blocks that something refers to, and what they refer to in turn.
    pub(super) fn admit(&mut self, unreferenced: Unreferenced) -> Result<(), StoreError> {
        if unreferenced == Unreferenced::Wait {
            self.unseen = self.offered.keys().copied().collect();
        }
        while let Some(cid) = self.unseen.pop() {
            if self.inserted.contains(&cid) || blocks::has(self.reader, &cid)? {
                continue;
            }
            let Some(block) = self.offered.get_mut(&cid).map(std::mem::take) else { continue };
            self.inserted.insert(cid);
            self.changes.entry(cid).or_default();
            self.take_in(cid, &block)?;
            self.offered.insert(cid, block);
        }
        Ok(())
    }

    /// Says what a block takes the place of.
    pub(super) fn follow(&mut self, cid: Cid, earlier: Cid) {
        if self.offered.contains_key(&cid) {
            self.earlier.entry(cid).or_insert(earlier);
        }
    }

    /// Refers to what a new block links to, less what the version that it leans on links to.
    fn take_in(&mut self, cid: Cid, block: &[u8]) -> Result<(), StoreError> {
        let links = blocks::links_as_they_stand(&cid, block)?;
        let earlier = self.earlier.remove(&cid).filter(|_| !links.is_empty());
        if let Some(base) = earlier
            && let Some(before) = blocks::get_unhashed(self.reader, &base)?
        {
            let before = blocks::links_as_they_stand(&base, &before)?;
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
            *self.changes.entry(*cid).or_default() -= 1;
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
            if self.removed.contains(&cid) || self.excess_after(cid)? >= 0 {
                continue;
            }
            left -= 1;
            self.remove(cid, &mut suspects)?;
        }
        Ok(())
    }

    /// Takes a block away, and the references that were counted for it.
    fn remove(&mut self, cid: Cid, suspects: &mut Vec<Cid>) -> Result<(), StoreError> {
        if cid.codec() != crate::address::RAW {
            let block = self.block(&cid)?;
            let links = blocks::links_as_they_stand(&cid, &block)?;
            let pair = links.len() >= LINKS_MIN;
            let base = if pair { self.leans.base(self.reader, &cid)? } else { None };
            let leaner = if pair { self.leans.leaner(self.reader, &cid)? } else { None };
            let [below, above] = [base, leaner].map(|cid| Some((cid?, self.block(&cid?))));
            let (below, above) = (opened(below)?, opened(above)?);
            for link in let_go_by(&links, &neighbour(&below)?, &neighbour(&above)?) {
                let link = to_cid(link)?;
                *self.changes.entry(link).or_default() -= 1;
                suspects.push(link);
            }
            self.leans.take_out(cid, base, leaner);
        }
        self.removed.insert(cid);
        self.changes.entry(cid).or_default();
        Ok(())
    }

    /// A block of the store or of the batch.
    fn block(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        if let Some(block) = self.offered.get(cid).filter(|_| self.inserted.contains(cid)) {
            return Ok(block.clone());
        }
        blocks::get_unhashed(self.reader, cid)?.ok_or_else(|| blocks::missing(cid))
    }

    /// What `c` or `d` will say of an address: -1 if nothing refers to the block.
    fn excess_after(&mut self, cid: Cid) -> Result<i64, StoreError> {
        let change = self.changes.get(&cid).copied().unwrap_or_default();
        let inserted = i64::from(self.inserted.contains(&cid));
        if change >= 0 && inserted == 0 && !self.may_have_doomed {
            return Ok(0);
        }
        Ok(self.stored(cid)? + change - inserted)
    }

    fn stored(&mut self, cid: Cid) -> Result<i64, StoreError> {
        if let Some(excess) = self.stored.get(&cid) {
            return Ok(*excess);
        }
        let address = cid.to_bytes();
        let excess = match self.reader.get(Space::References, &key(COUNT, &address))? {
            Some(count) => i64::try_from(to_number(&count)?).map_err(|_| damaged("a count is too large"))?,
            None if self.may_have_doomed && self.reader.has(Space::References, &key(DOOMED, &address))? => -1,
            None => 0,
        };
        self.stored.insert(cid, excess);
        Ok(excess)
    }

    /// Writes blocks and counts; `true` if there is something to reclaim later.
    pub(super) fn write(mut self, batch: &mut Batch) -> Result<bool, StoreError> {
        let mut leaves_doomed = false;
        std::mem::take(&mut self.leans).write(batch);
        for (cid, change) in std::mem::take(&mut self.changes) {
            let inserted = self.inserted.contains(&cid);
            if change == 0 && !inserted && !self.removed.contains(&cid) {
                continue;
            }
            let before = self.stored(cid)?;
            let after = before + change - i64::from(inserted);
            if after < -1 {
                return Err(damaged(&format!("block {cid} has fewer references than refer to it")));
            }
            if self.removed.contains(&cid) {
                batch.delete(Space::Blocks, blocks::key(&cid));
                write_count(batch, &cid, before, 0);
                continue;
            }
            leaves_doomed |= after < 0;
            write_count(batch, &cid, before, after);
            if inserted && let Some(block) = self.offered.remove(&cid) {
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
    block.as_ref().map_or(Ok(Vec::new()), |(cid, block)| blocks::links_as_they_stand(cid, block))
}

/// Replaces the row of one excess by that of another.
fn write_count(batch: &mut Batch, cid: &Cid, before: i64, after: i64) {
    let address = cid.to_bytes();
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
