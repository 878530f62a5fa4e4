//! Counting everything anew and comparing.

use std::collections::{BTreeMap, BTreeSet};

use super::leans::{LINKS_MIN, beyond};
use super::{BASE, COUNT, DOOMED, HOLD, LEANER, PIN, blocks, to_cid, to_number};
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
    let mut leans = Leans::default();
    let done = leans.read(reader);
    audit.note(done);
    let done = read_blocks(reader, &leans, &mut audit, &mut known);
    audit.note(done);
    leans.judge(reader, &mut audit, &mut known);
    let done = read_references(reader, &mut audit, &mut known);
    audit.note(done);
    for (cid, known) in known {
        judge(&cid, known, &mut audit);
    }
    audit
}

type All = BTreeMap<Cid, Known>;

/// Which blocks lean on which.
#[derive(Default)]
struct Leans {
    bases: BTreeMap<Cid, Cid>,
    leaners: BTreeMap<Cid, Cid>,
}

impl Leans {
    fn read(&mut self, reader: &dyn Reader) -> Result<(), StoreError> {
        for (kind, rows) in [(BASE, &mut self.bases), (LEANER, &mut self.leaners)] {
            let mut failed = None;
            reader.scan(Space::References, &[kind], &mut |key, value| {
                match to_cid(&key[1..]).and_then(|cid| Ok((cid, to_cid(value)?))) {
                    Ok((cid, other)) => drop(rows.insert(cid, other)),
                    Err(error) => failed = Some(error),
                }
                failed.is_none()
            })?;
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// Counts what each block has beyond the one that it leans on, and follows the chains.
    fn judge(&self, reader: &dyn Reader, audit: &mut Audit, known: &mut All) {
        for (leaner, base) in self.leaners.iter().map(|(base, leaner)| (leaner, base)) {
            if self.bases.get(leaner) != Some(base) {
                audit.problem(format!("block {leaner} is said to lean on {base}, and does not"));
            }
        }
        for (cid, base) in &self.bases {
            if self.leaners.get(base) != Some(cid) {
                audit.problem(format!("block {cid} leans on {base}, which does not know of it"));
            }
            let counted = count_beyond(reader, cid, base, known);
            audit.note(counted);
        }
        self.find_circles(audit);
    }

    fn find_circles(&self, audit: &mut Audit) {
        let mut seen = BTreeSet::new();
        let oldest = self.leaners.keys().filter(|cid| !self.bases.contains_key(cid));
        for first in oldest {
            let mut next = self.leaners.get(first);
            while let Some(cid) = next.filter(|cid| seen.insert(**cid)) {
                next = self.leaners.get(cid);
            }
        }
        if let Some(cid) = self.bases.keys().find(|cid| !seen.contains(*cid)) {
            audit.problem(format!("blocks lean on each other in a circle, among them {cid}"));
        }
    }
}

fn count_beyond(reader: &dyn Reader, cid: &Cid, base: &Cid, known: &mut All) -> Result<(), StoreError> {
    let get = |cid| blocks::get_unhashed(reader, cid)?.ok_or_else(|| blocks::missing(cid));
    let (block, before) = (get(cid)?, get(base)?);
    let links = blocks::links_as_they_stand(cid, &block)?;
    let before = blocks::links_as_they_stand(base, &before)?;
    if links.len().min(before.len()) < LINKS_MIN {
        let what = format!("it leans on {base}, though one of them has hardly any links");
        return Err(blocks::damaged(cid, what));
    }
    for link in beyond(&links, &before) {
        known.entry(to_cid(link)?).or_default().references += 1;
    }
    Ok(())
}

fn read_blocks(
    reader: &dyn Reader,
    leans: &Leans,
    audit: &mut Audit,
    known: &mut All,
) -> Result<(), StoreError> {
    reader.scan(Space::Blocks, &[], &mut |key, block| {
        audit.blocks += 1;
        audit.bytes += block.len() as u64;
        let done = to_cid(key).and_then(|cid| read_block(cid, block, leans, known));
        audit.note(done);
        true
    })
}

fn read_block(cid: Cid, block: &[u8], leans: &Leans, known: &mut All) -> Result<(), StoreError> {
    known.entry(cid).or_default().is_there = true;
    if address::check(&cid, block) != Verdict::Right {
        return Err(blocks::damaged(&cid, "its bytes have another address".to_owned()));
    }
    if leans.bases.contains_key(&cid) {
        return Ok(());
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
    if matches!(*kind, BASE | LEANER) {
        return Ok(());
    }
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
