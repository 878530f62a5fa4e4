//! Changing some entries of a map: reads and writes the paths to them, and what has to be joined when entries go.

use std::borrow::Cow;

use everturn_dag::address::node_cid;
use everturn_dag::node::{self, Composer};
use everturn_dag::references::Difference;
use everturn_dag::{Cid, StoreError};

use super::{Block, ENTRIES_MAX, Entry, Key, KeyOf, SHARDS, Wrong, inner, leaf, open, split, write_below};
use crate::crew::Crew;

/// Bytes by which a changed entry is longer than before at most, mostly: a link where there was none.
const GROWTH_BYTES: usize = 41;

/// Entries that fit into one block, by key; not written yet.
pub(crate) type Few = Vec<Entry>;

/// A block as it was.
type Old = (Cid, Vec<u8>);

/// A map, or what of it lies below a prefix.
pub(crate) enum Part {
    /// Not more than one block holds, and that block as it was; none has no block at all, but at the root.
    Few(Few, Option<Old>),
    /// More.
    Many(Cid),
}

/// Reads a block.
pub(crate) type Load<'a> = dyn Fn(&Cid) -> Result<Vec<u8>, StoreError> + Sync + 'a;

/// Blocks that maps are read from and written to.
pub(crate) struct Blocks<'a> {
    pub(crate) load: &'a Load<'a>,
    /// Who helps where much has changed.
    pub(crate) crew: Option<&'a Crew>,
    pub(crate) made: Vec<Made>,
}

/// A new block.
pub(crate) struct Made {
    pub(crate) cid: Cid,
    pub(crate) block: Vec<u8>,
    /// From the one that it takes the place of.
    pub(crate) difference: Option<Difference>,
}

impl Blocks<'_> {
    /// Takes a new block, in place of another if that is known.
    pub(crate) fn put(&mut self, block: Vec<u8>, before: Option<(&Cid, &[u8])>) -> Result<Cid, StoreError> {
        let cid = node_cid(&block);
        let before = before.filter(|(before, _)| **before != cid);
        let difference = before.map(|(before, old)| Difference::between(&cid, &block, before, old));
        self.made.push(Made { cid, block, difference: difference.transpose()? });
        Ok(cid)
    }

    /// A block that was made, or one from before.
    pub(crate) fn get(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        match self.made.iter().find(|made| made.cid == *cid) {
            Some(made) => Ok(made.block.clone()),
            None => (self.load)(cid),
        }
    }
}

/// What becomes of an entry by a change.
pub(crate) type Apply<'a, C> = dyn Fn(Option<&[u8]>, &C) -> Result<Option<Vec<u8>>, StoreError> + Sync + 'a;

/// Writes an entry as a change leaves it, if it is the one that the change is about and keeps its key, and says so. For every
/// other it says `false` and writes nothing: it is looked for by its key.
pub(crate) type Replace<'a, C> = dyn Fn(&[u8], &C, &mut Composer) -> bool + Sync + 'a;

/// What changes a map.
pub(crate) struct Update<'a, 'b, C> {
    pub(crate) blocks: &'a mut Blocks<'b>,
    pub(crate) key_of: &'a KeyOf<'a>,
    pub(crate) replace: &'a Replace<'a, C>,
    pub(crate) apply: &'a Apply<'a, C>,
}

/// What lies in a shard of a block.
enum Shard {
    Part(Part),
    /// The same number of entries under the same keys, in one block that is not written yet, and that block as it was.
    Replaced(Vec<u8>, Old),
}

/// The changes in one of a block's shards, for whoever is free.
struct Job<'a, C> {
    slot: usize,
    path: Key,
    changes: &'a [(Key, C)],
    blocks: Blocks<'a>,
    shard: Result<Shard, StoreError>,
}

/// Applies changes, which are sorted by key, to a map.
pub(crate) fn update<C: Sync>(
    mut by: Update<'_, '_, C>,
    root: &Cid,
    changes: &[(Key, C)],
) -> Result<Part, StoreError> {
    let block = (by.blocks.load)(root)?;
    by.block((*root, block), &mut [0; 32], 0, changes)
}

impl<C: Sync> Update<'_, '_, C> {
    /// What becomes of what lies below one of a block's shards.
    fn shard(
        &mut self,
        cid: Option<&Cid>,
        path: &mut Key,
        depth: usize,
        changes: &[(Key, C)],
    ) -> Result<Shard, StoreError> {
        let Some(cid) = cid else { return self.change(Vec::new(), None, depth, changes).map(Shard::Part) };
        let old = (*cid, (self.blocks.load)(cid)?);
        match self.replaced(&old.1, changes) {
            Some(block) => Ok(Shard::Replaced(block, old)),
            None => self.block(old, path, depth, changes).map(Shard::Part),
        }
    }

    /// The block of a few entries after changes that are all about one of them and leave it its key. Such a block is known to
    /// be of the right form, so its entries' keys need not be found: they come in the order of the changes' own.
    fn replaced(&self, block: &[u8], changes: &[(Key, C)]) -> Option<Vec<u8>> {
        let mut entries = None;
        node::visit_valid(block, &mut |name, value| {
            entries = (name == b"entries").then_some(value);
            false
        })
        .ok()?;
        let entries = node::items_of_valid(entries?).ok()?;
        let mut after = Composer::with_capacity(block.len() + GROWTH_BYTES * changes.len());
        after.map(1).text("entries").list(entries.len());
        let mut changes = changes.iter().peekable();
        for entry in entries {
            let replaced = changes.next_if(|(_, change)| (self.replace)(entry, change, &mut after));
            if replaced.is_none() {
                after.encoded(entry);
            }
        }
        changes.next().is_none().then(|| after.finish())
    }

    fn block(
        &mut self,
        (cid, block): Old,
        path: &mut Key,
        depth: usize,
        changes: &[(Key, C)],
    ) -> Result<Part, StoreError> {
        match open(&cid, &block, path, depth, self.key_of)? {
            Block::Leaf(entries) => self.change(entries, Some((cid, block)), depth, changes),
            Block::Inner(_) if depth >= super::DEPTH_MAX => {
                Err(Wrong::new(&cid, "its map is deeper than a key is long").into())
            }
            Block::Inner(shards) => self.descend(*shards, (&cid, &block), path, depth, changes),
        }
    }

    fn change(
        &mut self,
        entries: Vec<Entry>,
        old: Option<Old>,
        depth: usize,
        changes: &[(Key, C)],
    ) -> Result<Part, StoreError> {
        let mut after = Vec::with_capacity(entries.len() + changes.len());
        let mut entries = entries.into_iter().peekable();
        for (key, change) in changes {
            while let Some(entry) = entries.next_if(|(other, _)| other < key) {
                after.push(entry);
            }
            let before = entries.next_if(|(other, _)| other == key).map(|(_, entry)| entry);
            after.extend((self.apply)(before.as_deref(), change)?.map(|entry| (*key, entry)));
        }
        after.extend(entries);
        match after.len() {
            ..=ENTRIES_MAX => Ok(Part::Few(after, old)),
            _ => Ok(Part::Many(write_below(&after, depth, &mut |block| self.blocks.put(block, None))?)),
        }
    }

    fn descend(
        &mut self,
        mut shards: [Option<Cid>; SHARDS],
        old: (&Cid, &[u8]),
        path: &mut Key,
        depth: usize,
        changes: &[(Key, C)],
    ) -> Result<Part, StoreError> {
        let mut few: [Option<(Few, Option<Old>)>; SHARDS] = Default::default();
        let mut replaced: [Option<(Vec<u8>, Old)>; SHARDS] = Default::default();
        let mut may_join = true;
        for (slot, shard) in self.shards(&shards, path, depth, changes)? {
            match shard {
                Shard::Part(Part::Few(entries, old)) => few[slot] = Some((entries, old)),
                Shard::Replaced(block, old) => replaced[slot] = Some((block, old)),
                Shard::Part(Part::Many(cid)) => {
                    shards[slot] = Some(cid);
                    may_join = false;
                }
            }
        }
        // As many entries as before were not to be joined before.
        let changed = few.iter().flatten().map(|(few, _)| few.len()).reduce(|some, more| some + more);
        if may_join
            && changed.is_some_and(|changed| changed <= ENTRIES_MAX)
            && let Some(joined) = self.join(&shards, &few, &replaced, path, depth)?
        {
            return Ok(Part::Few(joined, None));
        }
        for (shard, (few, replaced)) in shards.iter_mut().zip(few.into_iter().zip(replaced)) {
            let (block, old) = match (few, replaced) {
                (Some((few, _)), _) if few.is_empty() => {
                    *shard = None;
                    continue;
                }
                (Some((few, old)), _) => (leaf(&few), old),
                (None, Some((block, old))) => (block, Some(old)),
                (None, None) => continue,
            };
            let old = old.as_ref().map(|(cid, block)| (cid, block.as_slice()));
            *shard = Some(self.blocks.put(block, old)?);
        }
        self.blocks.put(inner(&shards), Some(old)).map(Part::Many)
    }

    /// What becomes of those of a block's shards that changes fall into.
    fn shards(
        &mut self,
        shards: &[Option<Cid>; SHARDS],
        path: &mut Key,
        depth: usize,
        changes: &[(Key, C)],
    ) -> Result<Vec<(usize, Shard)>, StoreError> {
        let groups = split(changes, depth).enumerate().filter(|(_, changes)| !changes.is_empty());
        let Some(crew) = self.blocks.crew.filter(|crew| crew.pays_for(changes.len())) else {
            let below = |(slot, changes): (usize, &[(Key, C)])| {
                super::set_bits(path, depth, slot as u8);
                Ok((slot, self.shard(shards[slot].as_ref(), path, depth + 1, changes)?))
            };
            return groups.map(below).collect();
        };
        let (load, key_of, replace, apply) = (self.blocks.load, self.key_of, self.replace, self.apply);
        let job = |(slot, changes): (usize, _)| {
            super::set_bits(path, depth, slot as u8);
            let blocks = Blocks { load, crew: None, made: Vec::new() };
            Job { slot, path: *path, changes, blocks, shard: Ok(Shard::Part(Part::Few(Vec::new(), None))) }
        };
        let mut jobs: Vec<Job<'_, C>> = groups.map(job).collect();
        crew.each(&mut jobs, |job| {
            let mut by = Update { blocks: &mut job.blocks, key_of, replace, apply };
            job.shard = by.shard(shards[job.slot].as_ref(), &mut job.path, depth + 1, job.changes);
        });
        let done = |job: Job<'_, C>| {
            self.blocks.made.extend(job.blocks.made);
            Ok((job.slot, job.shard?))
        };
        jobs.into_iter().map(done).collect()
    }

    /// All entries of the shards, if one block holds them. Stops reading as soon as it does not.
    fn join(
        &mut self,
        shards: &[Option<Cid>; SHARDS],
        few: &[Option<(Few, Option<Old>)>; SHARDS],
        replaced: &[Option<(Vec<u8>, Old)>; SHARDS],
        path: &mut Key,
        depth: usize,
    ) -> Result<Option<Few>, StoreError> {
        let mut number: usize = few.iter().flatten().map(|(few, _)| few.len()).sum();
        let mut read: [Few; SHARDS] = Default::default();
        for (slot, shard) in shards.iter().enumerate() {
            let (None, Some(cid)) = (&few[slot], shard) else { continue };
            super::set_bits(path, depth, slot as u8);
            let block = match &replaced[slot] {
                Some((block, _)) => Cow::Borrowed(block),
                None => Cow::Owned((self.blocks.load)(cid)?),
            };
            match open(cid, &block, path, depth + 1, self.key_of)? {
                Block::Inner(_) => return Ok(None),
                Block::Leaf(entries) => {
                    number += entries.len();
                    read[slot] = entries;
                }
            }
            if number > ENTRIES_MAX {
                return Ok(None);
            }
        }
        let both = few.iter().zip(read);
        Ok(Some(both.flat_map(|(few, read)| few.as_ref().map_or(read, |(few, _)| few.clone())).collect()))
    }
}

/// All entries of a map, if there are not more than so many. Stops reading as soon as there are.
pub(crate) fn collect_few(
    root: &Cid,
    most: usize,
    blocks: &Blocks<'_>,
    key_of: &KeyOf<'_>,
) -> Result<Option<Few>, StoreError> {
    let (mut few, mut open_blocks) = (Few::new(), vec![(*root, [0; 32], 0)]);
    while let Some((cid, mut path, depth)) = open_blocks.pop() {
        match open(&cid, &blocks.get(&cid)?, &path, depth, key_of)? {
            Block::Leaf(entries) => few.extend(entries),
            Block::Inner(shards) => {
                for (slot, shard) in shards.iter().enumerate().rev() {
                    if let Some(shard) = shard {
                        super::set_bits(&mut path, depth, slot as u8);
                        open_blocks.push((*shard, path, depth + 1));
                    }
                }
            }
        }
        // Each block that is still to be read has one entry at least.
        if few.len() + open_blocks.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(few))
}
