//! A map in blocks of bounded size, whose form depends on its content alone. Entries are dag-cbor maps; whoever uses it
//! says what an entry's key is.
//!
//! ```text
//! up to 32 entries below a prefix     {entries: [entry...]}                 by key
//! more                                {shards: [link or null, 16 of them]}  by the next four bits of the key
//! ```
//!
//! Invariants:
//! 1. The same entries have the same blocks, in whichever order they came and whatever was there in between.
//! 2. A map that is read is of this form and no other, or an error: bytes from elsewhere may lie.
//!
//! Keys are hashes, so the tree is as deep as the logarithm of the number of entries; no path is longer than the key.

use everturn_dag::node::{self, Composer};
use everturn_dag::{Cid, Ipld, NodeError, StoreError};

mod update;

pub(crate) use update::{Blocks, Few, Made, Part, Update, collect_few, update};

/// Entries that one block holds at most.
pub(crate) const ENTRIES_MAX: usize = 32;
/// Shards of a block.
const SHARDS: usize = 16;
/// Steps of four bits in a key.
const DEPTH_MAX: usize = 64;

pub(crate) type Key = [u8; 32];

/// An entry: its key and its bytes.
pub(crate) type Entry = (Key, Vec<u8>);

/// The key of an entry, if it has one.
pub(crate) type KeyOf<'a> = dyn Fn(&[u8]) -> Option<Key> + Sync + 'a;

/// A block that is no part of a map, or of another than it is in.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) cid: Cid,
    pub(crate) what: String,
}

impl Wrong {
    pub(crate) fn new(cid: &Cid, what: impl Into<String>) -> Wrong {
        Wrong { cid: *cid, what: what.into() }
    }
}

impl From<Wrong> for StoreError {
    fn from(Wrong { cid, what }: Wrong) -> Self {
        StoreError::Damaged { place: format!("block {cid}"), what }
    }
}

/// Writes the entries, which are sorted by key; gives the link to them.
pub(crate) fn write<E>(entries: &[Entry], put: &mut dyn FnMut(Vec<u8>) -> Result<Cid, E>) -> Result<Cid, E> {
    write_below(entries, 0, put)
}

fn write_below<E>(
    entries: &[Entry],
    depth: usize,
    put: &mut dyn FnMut(Vec<u8>) -> Result<Cid, E>,
) -> Result<Cid, E> {
    if entries.len() <= ENTRIES_MAX {
        return put(leaf(entries));
    }
    let mut shards = [None; SHARDS];
    for (shard, mine) in shards.iter_mut().zip(split(entries, depth)) {
        if !mine.is_empty() {
            *shard = Some(write_below(mine, depth + 1, put)?);
        }
    }
    put(inner(&shards))
}

fn leaf(entries: &[Entry]) -> Vec<u8> {
    let bytes: usize = entries.iter().map(|(_, entry)| entry.len()).sum();
    let mut node = Composer::with_capacity(bytes + 16);
    node.map(1).text("entries").list(entries.len());
    for (_, entry) in entries {
        node.encoded(entry);
    }
    node.finish()
}

fn inner(shards: &[Option<Cid>; SHARDS]) -> Vec<u8> {
    let mut node = Composer::with_capacity(16 + 42 * SHARDS);
    node.map(1).text("shards").list(SHARDS);
    for shard in shards {
        node.link(shard.as_ref());
    }
    node.finish()
}

/// Sorted entries by the four bits of their keys at a depth.
fn split<T>(mut entries: &[(Key, T)], depth: usize) -> impl Iterator<Item = &[(Key, T)]> {
    (0..SHARDS as u8).map(move |slot| {
        let (mine, after) = entries.split_at(entries.partition_point(|(key, _)| bits(key, depth) <= slot));
        entries = after;
        mine
    })
}

/// Four bits of a key.
fn bits(key: &Key, depth: usize) -> u8 {
    let byte = key.get(depth / 2).copied().unwrap_or_default();
    if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

/// A block of a map.
enum Block {
    Leaf(Vec<Entry>),
    Inner(Box<[Option<Cid>; SHARDS]>),
}

/// Reads one block that lies below a prefix: the first `depth` steps of `path`.
fn open(cid: &Cid, block: &[u8], path: &Key, depth: usize, key_of: &KeyOf<'_>) -> Result<Block, Wrong> {
    let wrong = |what: &str| Wrong::new(cid, what);
    let not_cbor = |error: NodeError| Wrong::new(cid, error.to_string());
    // What the fields hold is looked at in full below.
    let fields = node::entries_of_valid(block).map_err(not_cbor)?;
    match fields[..] {
        [("entries", entries)] => {
            let mut leaf: Vec<Entry> = Vec::new();
            for entry in node::items(entries).map_err(not_cbor)? {
                let key = key_of(entry).ok_or_else(|| wrong("an entry of its map has no key"))?;
                if leaf.last().is_some_and(|(before, _)| *before >= key) {
                    return Err(wrong("the entries of its map are not in the order of their keys"));
                }
                if (0..depth).any(|step| bits(&key, step) != bits(path, step)) {
                    return Err(wrong("it has an entry that belongs into another shard of its map"));
                }
                leaf.push((key, entry.to_vec()));
            }
            match leaf.len() {
                ..=ENTRIES_MAX => Ok(Block::Leaf(leaf)),
                more => Err(Wrong::new(cid, format!("it has {more} entries in one shard of its map"))),
            }
        }
        [("shards", shards)] => {
            let shards: Vec<Ipld> = node::decode(shards).map_err(not_cbor)?;
            let links = shards.into_iter().map(|shard| match shard {
                Ipld::Link(cid) => Ok(Some(cid)),
                Ipld::Null => Ok(None),
                _ => Err(wrong("one of the shards of its map is no link")),
            });
            let links: Vec<Option<Cid>> = links.collect::<Result<_, _>>()?;
            let links = links.try_into().map_err(|_| wrong("its map has not 16 shards"))?;
            Ok(Block::Inner(Box::new(links)))
        }
        _ => Err(wrong("it is no part of a map: neither {entries} nor {shards}")),
    }
}

/// Takes an entry.
pub(crate) type Visit<'a, E> = dyn FnMut(Key, &[u8]) -> Result<(), E> + 'a;

/// What goes over a map.
pub(crate) struct Walk<'a, E> {
    pub(crate) load: &'a mut dyn FnMut(&Cid) -> Result<Vec<u8>, E>,
    pub(crate) key_of: &'a KeyOf<'a>,
    pub(crate) visit: &'a mut Visit<'a, E>,
}

impl<E: From<Wrong>> Walk<'_, E> {
    /// Visits the entries in the order of their keys, and gives their number. The form is checked on the way: what is visited
    /// is only to be relied on when this has ended well.
    pub(crate) fn read(&mut self, root: &Cid) -> Result<usize, E> {
        self.read_below(root, &mut [0; 32], 0)
    }

    fn read_below(&mut self, cid: &Cid, path: &mut Key, depth: usize) -> Result<usize, E> {
        let block = (self.load)(cid)?;
        match open(cid, &block, path, depth, self.key_of)? {
            Block::Leaf(entries) => {
                if entries.is_empty() && depth > 0 {
                    return Err(Wrong::new(cid, "it is a shard of a map and has no entries").into());
                }
                for (key, entry) in &entries {
                    (self.visit)(*key, entry)?;
                }
                Ok(entries.len())
            }
            Block::Inner(_) if depth == DEPTH_MAX => {
                Err(Wrong::new(cid, "its map is deeper than a key is long").into())
            }
            Block::Inner(shards) => {
                let mut number = 0;
                for (slot, shard) in (0..).zip(&*shards) {
                    if let Some(shard) = shard {
                        set_bits(path, depth, slot);
                        number += self.read_below(shard, path, depth + 1)?;
                    }
                }
                if number <= ENTRIES_MAX {
                    let what = format!("its map is split for {number} entries, which belong into one shard");
                    return Err(Wrong::new(cid, what).into());
                }
                Ok(number)
            }
        }
    }
}

fn set_bits(path: &mut Key, depth: usize, slot: u8) {
    if let Some(byte) = path.get_mut(depth / 2) {
        *byte = if depth.is_multiple_of(2) { slot << 4 } else { *byte & 0xf0 | slot };
    }
}

#[cfg(test)]
mod tests;
