//! Which blocks are needed: holds, pins and counts, kept in the same batch as the blocks.
//!
//! A block stays while something refers to it: a *hold* (a named row that names it), a *pin*, or a link from another
//! block that is there. When nothing does any more, it goes, and so does what only it referred to: at once within the
//! batch as far as that stays small, else later in steps. What is still to go is a row of the store, so a kill between
//! two steps costs nothing.
//!
//! | key in [`Space::References`] | value |
//! |---|---|
//! | `h`, name | the CID that is held |
//! | `p`, CID | how often it is pinned: u64, big-endian |
//! | `c`, CID | references beyond the first: u64, big-endian; absent for none |
//! | `d`, CID | empty: nothing refers to the block, it is to go |
//! | `l`, `u`, CID | the block that this one leans on, and the one that leans on it |
//!
//! Invariants, after every batch:
//! 1. The references of an address are its holds, one for its pins, and one for each block that is there and links to
//!    it. A block counts once however often it repeats a link, and not at all if the block that it leans on has it too.
//! 2. A block that is there has `c` = references - 1, or `d` if it has none. An address without a block has `c` =
//!    references: a link may lead outside (a CID that is data).
//! 3. What goes into the store goes through [`References::settle`], from one writer.
//!
//! Most blocks have one reference, and no row here. What a block means is not known here.

mod audit;
mod leans;
mod notes;
mod tally;

use std::collections::BTreeMap;

use tally::Tally;

use crate::small::SmallBytes as Address;
use crate::{Batch, Change, Cid, Reader, Space, StoreError, address, blocks};

pub use audit::{Audit, audit};
pub(crate) use notes::Notes;
pub use notes::{Difference, hold_in_place_of};

const HOLD: u8 = b'h';
const PIN: u8 = b'p';
const COUNT: u8 = b'c';
const DOOMED: u8 = b'd';
const BASE: u8 = b'l';
const LEANER: u8 = b'u';

/// Blocks that one batch takes away at most; the rest waits for [`References::reclaim`].
pub const STEP_BLOCKS_MAX: usize = 1024;

/// Holds a block under a name, in place of what that name held before.
pub fn hold(batch: &mut Batch, name: &[u8], cid: &Cid) {
    batch.put(Space::References, key(HOLD, name), address::to_bytes(cid).as_bytes());
}

/// Lets go of what a name holds.
pub fn let_go(batch: &mut Batch, name: &[u8]) {
    batch.delete(Space::References, key(HOLD, name));
}

/// What a name holds.
///
/// # Errors
/// If the store cannot be read.
pub fn held(reader: &dyn Reader, name: &[u8]) -> Result<Option<Cid>, StoreError> {
    let Some(bytes) = reader.get(Space::References, &key(HOLD, name))? else { return Ok(None) };
    to_cid(&bytes).map(Some)
}

/// The names under a prefix that hold something.
///
/// # Errors
/// If the store cannot be read.
pub fn names(reader: &dyn Reader, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut names = Vec::new();
    reader.scan(Space::References, &key(HOLD, prefix), &mut |key, _| {
        names.push(key[1..].to_vec());
        true
    })?;
    Ok(names)
}

/// How often a block is pinned.
///
/// # Errors
/// If the store cannot be read.
pub fn pins_of(reader: &dyn Reader, cid: &Cid) -> Result<u64, StoreError> {
    let pins = reader.get(Space::References, &key(PIN, &address::to_bytes(cid)))?;
    pins.map_or(Ok(0), |pins| to_number(&pins))
}

/// Says how often a block is pinned from now on. It stays as long as that is not 0.
pub fn set_pins(batch: &mut Batch, cid: &Cid, pins: u64) {
    let row = key(PIN, &address::to_bytes(cid));
    match pins {
        0 => batch.delete(Space::References, row),
        pins => batch.put(Space::References, row, pins.to_be_bytes()),
    }
}

/// Every pinned address, and how often it is.
///
/// # Errors
/// If the store cannot be read.
pub fn pins(reader: &dyn Reader) -> Result<BTreeMap<Cid, u64>, StoreError> {
    let mut pins = BTreeMap::new();
    let mut failed = None;
    reader.scan(Space::References, &[PIN], &mut |key, value| {
        match to_cid(&key[1..]).and_then(|cid| Ok((cid, to_number(value)?))) {
            Ok((cid, number)) => drop(pins.insert(cid, number)),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(pins), Err)
}

/// The writer's side: turns what a batch says of blocks and holds into what the store has to keep.
#[derive(Debug)]
pub struct References {
    may_have_doomed: bool,
}

/// A change of a hold or a pin: where it is in its batch, and what its row says so far, if that was noted.
struct Hold {
    at: usize,
    known: Option<Option<Address>>,
}

/// What becomes of blocks in a batch that nothing refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreferenced {
    /// They are not written.
    AreLeftOut,
    /// They are written and wait, to be referred to or to be reclaimed: blocks that arrive one after another.
    Wait,
}

impl References {
    /// Looks whether something was left to reclaim.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn open(reader: &dyn Reader) -> Result<References, StoreError> {
        Ok(References { may_have_doomed: !doomed(reader, 1)?.is_empty() })
    }

    /// Whether [`References::reclaim`] may have something to do.
    pub fn may_reclaim(&self) -> bool {
        self.may_have_doomed
    }

    /// Makes a batch complete. Of the blocks that it puts, those stay that are needed and not there yet; counts follow;
    /// of what nobody needs any more, at most `blocks_max` blocks are removed with it.
    ///
    /// # Errors
    /// If the store cannot be read, or its counts contradict its blocks.
    pub fn settle(
        &mut self,
        reader: &dyn Reader,
        batch: Batch,
        unreferenced: Unreferenced,
        blocks_max: usize,
    ) -> Result<Batch, StoreError> {
        let (mut changes, notes) = batch.into_parts();
        let brings = |change: &Change| matches!(change, Change::Put { space: Space::Blocks, .. });
        let blocks = changes.iter().filter(|change| brings(change)).count();
        let mut tally = Tally::new(reader, self.may_have_doomed, blocks);
        for change in changes.extract_if(.., |change| brings(change)) {
            if let Change::Put { key, value, .. } = change {
                tally.offer(key, value);
            }
        }
        for (block, difference) in notes.differences {
            tally.differs(&block, difference);
        }
        let holds = holds_of(&changes, notes.held);
        // What says nothing new. Everything else stays where it is: batches may be large.
        let (mut idle, mut released) = (Vec::new(), Vec::with_capacity(holds.len()));
        let mut holds = holds.into_iter().peekable();
        while let Some(Hold { at, known }) = holds.next() {
            let (row, after) = row_of(&changes[at]);
            if holds.peek().is_some_and(|next| row_of(&changes[next.at]).0 == row) {
                idle.push(at);
                continue;
            }
            let stored;
            let before = match &known {
                Some(before) => before.as_deref(),
                None => {
                    stored = reader.get(Space::References, row)?;
                    stored.as_deref()
                }
            };
            let (was, is) = (named(row, before)?, named(row, after)?);
            if was != is {
                if let Some(is) = is {
                    let is = tally.number(is);
                    tally.refer(is);
                    was.into_iter().for_each(|was| tally.follow(is, was));
                }
                released.extend(was.map(|was| tally.number(was)));
            }
            if before == after {
                idle.push(at);
            }
        }
        without(&mut changes, idle);
        let mut settled = Batch::from(changes);
        tally.admit(unreferenced)?;
        tally.drop_all(released, blocks_max)?;
        self.may_have_doomed |= tally.write(&mut settled)?;
        Ok(settled)
    }

    /// The next step of what is left to reclaim: a batch that removes at most `blocks_max` blocks; `None` if nothing is
    /// left.
    ///
    /// # Errors
    /// As [`References::settle`].
    pub fn reclaim(&mut self, reader: &dyn Reader, blocks_max: usize) -> Result<Option<Batch>, StoreError> {
        let doomed = doomed(reader, blocks_max.max(1))?;
        self.may_have_doomed = !doomed.is_empty();
        if doomed.is_empty() {
            return Ok(None);
        }
        let (mut tally, mut batch) = (Tally::new(reader, true, doomed.len()), Batch::new());
        let doomed = doomed.iter().map(|address| tally.number(address)).collect();
        tally.reclaim(doomed, blocks_max.max(1))?;
        tally.write(&mut batch)?;
        Ok(Some(batch))
    }
}

/// The changes of holds and pins, in the order of their keys; of one key the last counts.
fn holds_of(changes: &[Change], noted: Vec<(Address, Option<Address>)>) -> Vec<Hold> {
    let row = |at: usize| row_of(&changes[at]).0;
    // They come in the order of the changes that they are about.
    let mut noted = noted.into_iter().peekable();
    let is_hold = |at: &usize| {
        let (Change::Put { space, .. } | Change::Delete { space, .. }) = &changes[*at];
        *space == Space::References
    };
    let mut holds = Vec::with_capacity(noted.len());
    holds.extend((0..changes.len()).filter(is_hold).map(|at| {
        let is_put = matches!(changes[at], Change::Put { .. });
        let known = noted.next_if(|(noted, _)| is_put && **noted == *row(at));
        Hold { at, known: known.map(|(_, before)| before) }
    }));
    holds.sort_by(|left, right| row(left.at).cmp(row(right.at)));
    holds
}

/// What row a change is about, and what that says from now on.
fn row_of(change: &Change) -> (&[u8], Option<&[u8]>) {
    match change {
        Change::Put { key, value, .. } => (key, Some(value)),
        Change::Delete { key, .. } => (key, None),
    }
}

/// Takes changes away; the others stay in their order.
fn without(changes: &mut Vec<Change>, mut idle: Vec<usize>) {
    idle.sort_unstable();
    let (mut at, mut idle) = (0, idle.into_iter().peekable());
    if idle.peek().is_some() {
        changes.retain(|_| {
            at += 1;
            idle.next_if_eq(&(at - 1)).is_none()
        });
    }
}

/// The address that a hold or a pin stands for.
fn named<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Option<&'a [u8]>, StoreError> {
    let Some(value) = value else { return Ok(None) };
    match key.split_first() {
        Some((&HOLD, _)) => address(value).map(Some),
        Some((&PIN, cid)) => address(cid).map(Some),
        _ => Err(damaged("a batch writes a count of its own")),
    }
}

fn doomed(reader: &dyn Reader, most: usize) -> Result<Vec<Address>, StoreError> {
    let mut doomed = Vec::new();
    reader.scan(Space::References, &[DOOMED], &mut |key, _| {
        doomed.push(address(&key[1..]).map(Address::new));
        doomed.len() < most
    })?;
    doomed.into_iter().collect()
}

fn key(kind: u8, name: &[u8]) -> Address {
    Address::joined(&[&[kind], name])
}

/// Bytes of which it is looked whether they are an address.
fn address(bytes: &[u8]) -> Result<&[u8], StoreError> {
    if !address::is_usual(bytes) {
        to_cid(bytes)?;
    }
    Ok(bytes)
}

fn to_cid(bytes: &[u8]) -> Result<Cid, StoreError> {
    address::from_bytes(bytes).map_err(|error| damaged(&format!("an address cannot be read: {error}")))
}

fn to_number(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| damaged("a count has not eight bytes"))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged { place: "the references of blocks".to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests;
