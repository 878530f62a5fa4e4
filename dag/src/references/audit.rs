//! Counting everything anew and comparing.

use std::collections::BTreeMap;

use super::{COUNT, DOOMED, HOLD, PIN, blocks, to_cid, to_number};
use crate::address::{self, Verdict};
use crate::{Cid, Reader, Space, StoreError};

/// Problems that are told one by one; more are only counted.
const PROBLEMS_MAX: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Blocks that are there.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Addresses that are pinned.
    pub pins: u64,
    /// Blocks that nothing refers to and that are still to be removed.
    pub doomed: u64,
    /// What is wrong, for people.
    pub problems: Vec<String>,
    /// What is wrong beside these.
    pub problems_more: u64,
}

impl Audit {
    /// Notes something that is wrong.
    pub fn problem(&mut self, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what.into());
        } else {
            self.problems_more += 1;
        }
    }

    /// Notes what a part of the work failed with.
    pub fn note(&mut self, done: Result<(), StoreError>) {
        if let Err(error) = done {
            self.problem(error.to_string());
        }
    }
}

/// What is known of one address.
#[derive(Clone, Copy, Default)]
struct Known {
    is_there: bool,
    references: u64,
    /// A hold or a pin is among them.
    is_needed: bool,
    count: u64,
    is_doomed: bool,
}

/// Hashes every block and counts all references anew.
///
/// Memory grows with the number of blocks, not with their bytes.
pub fn audit(reader: &dyn Reader) -> Audit {
    let (mut audit, mut known) = (Audit::default(), BTreeMap::new());
    let done = read_blocks(reader, &mut audit, &mut known);
    audit.note(done);
    let done = read_references(reader, &mut audit, &mut known);
    audit.note(done);
    for (cid, known) in known {
        judge(&cid, known, &mut audit);
    }
    audit
}

type All = BTreeMap<Cid, Known>;

fn read_blocks(reader: &dyn Reader, audit: &mut Audit, known: &mut All) -> Result<(), StoreError> {
    reader.scan(Space::Blocks, &[], &mut |key, block| {
        audit.blocks += 1;
        audit.bytes += block.len() as u64;
        let done = to_cid(key).and_then(|cid| read_block(cid, block, known));
        audit.note(done);
        true
    })
}

fn read_block(cid: Cid, block: &[u8], known: &mut All) -> Result<(), StoreError> {
    known.entry(cid).or_default().is_there = true;
    if address::check(&cid, block) != Verdict::Right {
        return Err(blocks::damaged(&cid, "its bytes have another address".to_owned()));
    }
    for link in blocks::links(&cid, block)? {
        known.entry(link).or_default().references += 1;
    }
    Ok(())
}

fn read_references(reader: &dyn Reader, audit: &mut Audit, known: &mut All) -> Result<(), StoreError> {
    reader.scan(Space::References, &[], &mut |key, value| {
        let done = read_reference(key, value, audit, known);
        audit.note(done);
        true
    })
}

fn read_reference(key: &[u8], value: &[u8], audit: &mut Audit, all: &mut All) -> Result<(), StoreError> {
    let (kind, name) = key.split_first().ok_or_else(|| super::damaged("a key is empty"))?;
    let known = all.entry(to_cid(if *kind == HOLD { value } else { name })?).or_default();
    match *kind {
        HOLD | PIN => {
            known.references += 1;
            known.is_needed = true;
            audit.pins += u64::from(*kind == PIN);
        }
        COUNT => known.count = to_number(value)?,
        DOOMED => known.is_doomed = true,
        _ => return Err(super::damaged("a key is of no known kind")),
    }
    Ok(())
}

fn judge(cid: &Cid, known: Known, audit: &mut Audit) {
    let Known { is_there, references, is_needed, count, is_doomed } = known;
    audit.doomed += u64::from(is_doomed && is_there);
    if is_needed && !is_there {
        return audit.problem(format!("block {cid} is held and not there"));
    }
    let (count_right, doomed_right) = match (is_there, references) {
        (true, 0) => (0, true),
        (true, references) => (references - 1, false),
        (false, references) => (references, false),
    };
    if is_doomed != doomed_right && references == 0 {
        audit.problem(format!("nothing refers to block {cid}, and it is not marked to be removed"));
    } else if is_doomed != doomed_right || count != count_right {
        let marked =
            if is_doomed { "to be removed".to_owned() } else { format!("with {count} beyond the first") };
        audit.problem(format!("block {cid} has {references} references and is marked {marked}"));
    }
}
