//! A map from 32 bytes to nodes, in blocks of bounded size, whose form depends on its content alone.
//!
//! ```text
//! up to 32 entries below a prefix     {entries: [entry...]}                 by key
//! more                                {shards: [link or null, 16 of them]}  by the next four bits of the key
//! ```

use everturn_dag::{Cid, Ipld, StoreError};

use crate::keys;

/// Entries that one block holds at most.
const ENTRIES_MAX: usize = 32;

/// Writes the entries, which are sorted by key; gives the link to them.
pub(super) fn write(
    entries: &[([u8; 32], Ipld)],
    put: &mut dyn FnMut(Ipld) -> Result<Cid, StoreError>,
) -> Result<Cid, StoreError> {
    write_below(entries, 0, put)
}

fn write_below(
    entries: &[([u8; 32], Ipld)],
    depth: usize,
    put: &mut dyn FnMut(Ipld) -> Result<Cid, StoreError>,
) -> Result<Cid, StoreError> {
    if entries.len() <= ENTRIES_MAX {
        let entries = entries.iter().map(|(_, entry)| entry.clone()).collect();
        return put(super::map([("entries", Ipld::List(entries))]));
    }
    let (mut rest, mut shards) = (entries, Vec::with_capacity(16));
    for slot in 0..16 {
        let (mine, after) = rest.split_at(rest.partition_point(|(key, _)| bits(key, depth) <= slot));
        rest = after;
        shards.push(match mine.is_empty() {
            true => Ipld::Null,
            false => Ipld::Link(write_below(mine, depth + 1, put)?),
        });
    }
    put(super::map([("shards", Ipld::List(shards))]))
}

/// Four bits of a key.
fn bits(key: &[u8; 32], depth: usize) -> u8 {
    let byte = key.get(depth / 2).copied().unwrap_or_default();
    if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

/// Visits the entries in the order of their keys until `visit` returns `false`.
pub(super) fn read(
    root: &Cid,
    load: &dyn Fn(&Cid) -> Result<Vec<u8>, StoreError>,
    visit: &mut dyn FnMut([u8; 32], Ipld) -> bool,
) -> Result<(), StoreError> {
    let mut open = vec![*root];
    while let Some(cid) = open.pop() {
        let wrong = || StoreError::Damaged {
            place: format!("block {cid}"),
            what: "it is no part of a checkpoint's runtime".to_owned(),
        };
        let Ipld::Map(mut fields) = keys::decode("a part of a checkpoint", &load(&cid)?)? else {
            return Err(wrong());
        };
        match (fields.remove("entries"), fields.remove("shards")) {
            (Some(Ipld::List(entries)), None) => {
                for entry in entries {
                    let key = key_of(&entry).ok_or_else(wrong)?;
                    if !visit(key, entry) {
                        return Ok(());
                    }
                }
            }
            (None, Some(Ipld::List(shards))) => {
                for shard in shards.into_iter().rev() {
                    match shard {
                        Ipld::Link(cid) => open.push(cid),
                        Ipld::Null => {}
                        _ => return Err(wrong()),
                    }
                }
            }
            _ => return Err(wrong()),
        }
    }
    Ok(())
}

fn key_of(entry: &Ipld) -> Option<[u8; 32]> {
    let Ipld::Map(fields) = entry else { return None };
    let Some(Ipld::Bytes(key)) = fields.get("key") else { return None };
    key.as_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use everturn_dag::address::node_cid;

    use super::*;

    type Blocks = BTreeMap<Cid, Vec<u8>>;

    fn entries(number: u64) -> Vec<([u8; 32], Ipld)> {
        let mut entries: Vec<_> = (0..number)
            .map(|number| {
                let cid = node_cid(&number.to_be_bytes());
                let key: [u8; 32] = cid.hash().digest().try_into().unwrap();
                (key, super::super::map([("key", Ipld::Bytes(key.to_vec()))]))
            })
            .collect();
        entries.sort_by_key(|(key, _)| *key);
        entries
    }

    fn written(entries: &[([u8; 32], Ipld)]) -> (Cid, Blocks) {
        let mut blocks = Blocks::new();
        let root = write(entries, &mut |node| {
            let block = keys::encode("a test", &node)?;
            let cid = node_cid(&block);
            blocks.insert(cid, block);
            Ok(cid)
        });
        (root.unwrap(), blocks)
    }

    #[test]
    fn what_was_written_is_read_back_in_order() {
        for number in [0, 1, 32, 33, 5_000] {
            let entries = entries(number);
            let (root, blocks) = written(&entries);
            let mut read_back = Vec::new();
            read(&root, &|cid| Ok(blocks[cid].clone()), &mut |key, entry| {
                read_back.push((key, entry));
                true
            })
            .unwrap();
            assert_eq!(read_back, entries, "{number} entries");
        }
    }

    #[test]
    fn one_more_entry_changes_one_path() {
        let mut entries = entries(5_000);
        let (_, before) = written(&entries);
        entries.remove(1_234);
        let (_, after) = written(&entries);
        let new = after.keys().filter(|cid| !before.contains_key(cid)).count();
        assert!((1..=4).contains(&new), "{new} new blocks");
    }

    #[test]
    fn what_has_another_form_is_damage() {
        for node in [Ipld::Null, super::super::map([("entries", Ipld::List(vec![Ipld::Null]))])] {
            let block = keys::encode("a test", &node).unwrap();
            let read = read(&node_cid(&block), &|_| Ok(block.clone()), &mut |_, _| true);
            assert!(matches!(read, Err(StoreError::Damaged { .. })));
        }
    }
}
