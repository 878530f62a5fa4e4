//! Changing some entries of a map: reads and writes the paths to them, and what has to be joined when entries go.

use everturn_dag::Cid;

use super::{Block, ENTRIES_MAX, Entry, Key, KeyOf, SHARDS, Wrong, inner, leaf, open, split, write_below};

/// Entries that fit into one block, by key; not written yet.
pub(crate) type Few = Vec<Entry>;

/// A map, or what of it lies below a prefix.
pub(crate) enum Part {
    /// Not more than one block holds; none has no block at all, but at the root.
    Few(Few),
    /// More.
    Many(Cid),
}

/// What becomes of an entry by a change.
pub(crate) type Apply<'a, C, E> = dyn Fn(Option<Vec<u8>>, &C) -> Result<Option<Vec<u8>>, E> + 'a;

/// What reads and writes the blocks of a map.
pub(crate) struct Update<'a, C, E> {
    pub(crate) load: &'a dyn Fn(&Cid) -> Result<Vec<u8>, E>,
    pub(crate) put: &'a mut dyn FnMut(Vec<u8>) -> Result<Cid, E>,
    pub(crate) key_of: &'a KeyOf<'a>,
    pub(crate) apply: &'a Apply<'a, C, E>,
}

/// Applies changes, which are sorted by key, to a map.
pub(crate) fn update<C, E: From<Wrong>>(
    mut by: Update<'_, C, E>,
    root: &Cid,
    changes: &[(Key, C)],
) -> Result<Part, E> {
    by.below(Some(root), &mut [0; 32], 0, changes)
}

impl<C, E: From<Wrong>> Update<'_, C, E> {
    fn below(
        &mut self,
        cid: Option<&Cid>,
        path: &mut Key,
        depth: usize,
        changes: &[(Key, C)],
    ) -> Result<Part, E> {
        let block = match cid {
            Some(cid) => open(cid, &(self.load)(cid)?, path, depth, self.key_of)?,
            None => Block::Leaf(Vec::new()),
        };
        match block {
            Block::Leaf(entries) => self.change(entries, depth, changes),
            Block::Inner(_) if depth >= super::DEPTH_MAX => {
                let cid = cid.copied().unwrap_or_default();
                Err(Wrong::new(&cid, "its map is deeper than a key is long").into())
            }
            Block::Inner(shards) => self.descend(*shards, path, depth, changes),
        }
    }

    fn change(&mut self, entries: Vec<Entry>, depth: usize, changes: &[(Key, C)]) -> Result<Part, E> {
        let mut after = Vec::with_capacity(entries.len() + changes.len());
        let mut entries = entries.into_iter().peekable();
        for (key, change) in changes {
            while let Some(entry) = entries.next_if(|(other, _)| other < key) {
                after.push(entry);
            }
            let before = entries.next_if(|(other, _)| other == key).map(|(_, entry)| entry);
            after.extend((self.apply)(before, change)?.map(|entry| (*key, entry)));
        }
        after.extend(entries);
        match after.len() {
            ..=ENTRIES_MAX => Ok(Part::Few(after)),
            _ => Ok(Part::Many(write_below(&after, depth, self.put)?)),
        }
    }

    fn descend(
        &mut self,
        mut shards: [Option<Cid>; SHARDS],
        path: &mut Key,
        depth: usize,
        changes: &[(Key, C)],
    ) -> Result<Part, E> {
        let mut few: [Option<Few>; SHARDS] = Default::default();
        let mut may_join = true;
        for (slot, mine) in split(changes, depth).enumerate().filter(|(_, mine)| !mine.is_empty()) {
            super::set_bits(path, depth, slot as u8);
            match self.below(shards[slot].as_ref(), path, depth + 1, mine)? {
                Part::Few(entries) => few[slot] = Some(entries),
                Part::Many(cid) => {
                    shards[slot] = Some(cid);
                    may_join = false;
                }
            }
        }
        let changed: usize = few.iter().flatten().map(Vec::len).sum();
        if may_join
            && changed <= ENTRIES_MAX
            && let Some(joined) = self.join(&shards, &few, path, depth)?
        {
            return Ok(Part::Few(joined));
        }
        for (shard, few) in shards.iter_mut().zip(few) {
            match few {
                Some(few) if few.is_empty() => *shard = None,
                Some(few) => *shard = Some((self.put)(leaf(&few))?),
                None => {}
            }
        }
        (self.put)(inner(&shards)).map(Part::Many)
    }

    /// All entries of the shards, if one block holds them. Stops reading as soon as it does not.
    fn join(
        &mut self,
        shards: &[Option<Cid>; SHARDS],
        few: &[Option<Few>; SHARDS],
        path: &mut Key,
        depth: usize,
    ) -> Result<Option<Few>, E> {
        let mut number: usize = few.iter().flatten().map(Vec::len).sum();
        let mut read: [Few; SHARDS] = Default::default();
        for (slot, shard) in shards.iter().enumerate() {
            let (None, Some(cid)) = (&few[slot], shard) else { continue };
            super::set_bits(path, depth, slot as u8);
            match open(cid, &(self.load)(cid)?, path, depth + 1, self.key_of)? {
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
        Ok(Some(both.flat_map(|(few, read)| few.clone().unwrap_or(read)).collect()))
    }
}

/// All entries of a map, if there are not more than so many. Stops reading as soon as there are.
pub(crate) fn collect_few<E: From<Wrong>>(
    root: &Cid,
    most: usize,
    load: &dyn Fn(&Cid) -> Result<Vec<u8>, E>,
    key_of: &KeyOf<'_>,
) -> Result<Option<Few>, E> {
    let (mut few, mut open_blocks) = (Few::new(), vec![(*root, [0; 32], 0)]);
    while let Some((cid, mut path, depth)) = open_blocks.pop() {
        match open(&cid, &load(&cid)?, &path, depth, key_of)? {
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
