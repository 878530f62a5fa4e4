use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use everturn_dag::address::node_cid;
use everturn_dag::node;

use super::*;
use crate::crew::Crew;

type Blocks = BTreeMap<Cid, Vec<u8>>;

fn key_of(entry: &[u8]) -> Option<Key> {
    let Ipld::Map(fields) = node::decode(entry).ok()? else { return None };
    let Some(Ipld::Bytes(key)) = fields.get("key") else { return None };
    key.as_slice().try_into().ok()
}

fn entry(number: u64) -> Entry {
    let cid = node_cid(&number.to_be_bytes());
    let key: Key = cid.hash().digest().try_into().unwrap();
    (key, encoded(&[("key", Ipld::Bytes(key.to_vec()))]))
}

fn encoded(fields: &[(&str, Ipld)]) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    node::encode(&Ipld::Map(fields)).unwrap()
}

fn entries(numbers: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = numbers.into_iter().map(entry).collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

fn put(blocks: &mut Blocks, block: Vec<u8>) -> Cid {
    let cid = node_cid(&block);
    blocks.insert(cid, block);
    cid
}

fn written(entries: &[Entry]) -> (Cid, Blocks) {
    let mut blocks = Blocks::new();
    let root = write(entries, &mut |block| Ok::<_, StoreError>(put(&mut blocks, block)));
    (root.unwrap(), blocks)
}

fn read_back(root: &Cid, blocks: &Blocks) -> Result<Vec<Entry>, String> {
    let mut found = Vec::new();
    let walk = Walk::<'_, StoreError> {
        load: &mut |cid| Ok(blocks[cid].clone()),
        key_of: &key_of,
        visit: &mut |key, entry| {
            found.push((key, entry.to_vec()));
            Ok(())
        },
    }
    .read(root);
    let number = walk.map_err(|error| error.to_string())?;
    assert_eq!(number, found.len());
    Ok(found)
}

/// Applies changes: an entry by its number is there afterwards, or not.
fn changed(root: Cid, blocks: &mut Blocks, changes: &[(u64, bool)]) -> Cid {
    let mut sorted: Vec<(Key, (u64, bool))> =
        changes.iter().map(|change| (entry(change.0).0, *change)).collect();
    sorted.sort_by_key(|(key, _)| *key);
    sorted.dedup_by_key(|(key, _)| *key);
    let crew = Crew::new(NonZeroUsize::new(3).unwrap());
    let by = |crew| {
        let load = |cid: &Cid| Ok(blocks[cid].clone());
        let mut blocks = update::Blocks { load: &load, crew, made: Vec::new() };
        let apply =
            |_: Option<&[u8]>, (number, is_there): &(u64, bool)| Ok(is_there.then(|| entry(*number).1));
        let replace = |_: &[u8], _: &(u64, bool), _: &mut Composer| false;
        let by = Update { blocks: &mut blocks, key_of: &key_of, replace: &replace, apply: &apply };
        let part = update::update(by, &root, &sorted).unwrap();
        (part, blocks.made.into_iter().map(|made| (made.cid, made.block)).collect::<Vec<_>>())
    };
    let (part, made) = by(Some(&crew));
    assert_eq!(made, by(None).1, "alone the same blocks are made, in the same order");
    blocks.extend(made);
    match part {
        Part::Many(root) => root,
        Part::Few(few, _) => put(blocks, leaf(&few)),
    }
}

#[test]
fn what_was_written_is_read_back_in_order() {
    for number in [0, 1, 32, 33, 5_000] {
        let entries = entries(0..number);
        let (root, blocks) = written(&entries);
        assert_eq!(read_back(&root, &blocks), Ok(entries), "{number} entries");
    }
}

#[test]
fn one_more_entry_changes_one_path() {
    let mut entries = entries(0..5_000);
    let (_, before) = written(&entries);
    entries.remove(1_234);
    let (_, after) = written(&entries);
    let new = after.keys().filter(|cid| !before.contains_key(cid)).count();
    assert!((1..=4).contains(&new), "{new} new blocks");
}

#[test]
fn an_update_reads_and_writes_one_path() {
    let (root, mut blocks) = written(&entries(0..5_000));
    let before = blocks.len();
    let after = changed(root, &mut blocks, &[(7_777, true)]);
    assert!((1..=4).contains(&(blocks.len() - before)), "{} new blocks", blocks.len() - before);
    assert_eq!(after, written(&entries((0..5_000).chain([7_777]))).0);
}

#[test]
fn the_form_is_that_of_the_content_whatever_came_before() {
    // Grows past every split and shrinks again, a few entries at a time.
    let (mut root, mut blocks) = written(&[]);
    let mut there = std::collections::BTreeSet::new();
    let mut dice = 1u64;
    for round in 0..400u64 {
        let changes: Vec<(u64, bool)> = (0..1 + round % 7)
            .map(|_| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (dice >> 33).wrapping_rem(900)
            })
            .map(|number| (number, (number + round) % 4 < if round < 200 { 3 } else { 1 }))
            .collect();
        let mut first = BTreeMap::new();
        for (number, is_there) in &changes {
            first.entry(*number).or_insert(*is_there);
        }
        let changes: Vec<_> = first.into_iter().collect();
        for (number, is_there) in &changes {
            if *is_there {
                there.insert(*number)
            } else {
                there.remove(number)
            };
        }
        root = changed(root, &mut blocks, &changes);
        let expected = written(&entries(there.iter().copied())).0;
        assert_eq!(root, expected, "{} entries in round {round}", there.len());
    }
    let all: Vec<_> = there.iter().map(|number| (*number, false)).collect();
    assert!(all.len() > 32, "{}", all.len());
    assert_eq!(changed(root, &mut blocks, &all), written(&[]).0);
}

/// An entry that says something beside its key.
fn saying(number: u64, what: u64) -> Entry {
    let key = entry(number).0;
    (key, encoded(&[("key", Ipld::Bytes(key.to_vec())), ("says", Ipld::Integer(what.into()))]))
}

#[test]
fn entries_that_keep_their_keys_are_replaced_where_they_stand() {
    let mut says: BTreeMap<u64, u64> = (0..900).map(|number| (number, 0)).collect();
    let all = |says: &BTreeMap<u64, u64>| {
        let mut all: Vec<Entry> = says.iter().map(|(number, what)| saying(*number, *what)).collect();
        all.sort_by_key(|(key, _)| *key);
        written(&all)
    };
    let (mut root, mut blocks) = all(&says);
    let asked = AtomicUsize::new(0);
    let key_of = |entry: &[u8]| {
        asked.fetch_add(1, Ordering::Relaxed);
        key_of(entry)
    };
    let (mut replaced, mut sought) = (0, 0);
    for round in 1..200u64 {
        // Every third round only says other things, of many or of few; the others add and take away as well, more and more.
        let number = |at: u64| (round * 131 + at * 977) % 1_000;
        let mut changes = BTreeMap::new();
        for number in (0..1 + (round % 5) * 40).map(number) {
            let stays = round % 3 == 0 || (number + round) % 120 > round;
            changes
                .insert(number, (stays && (round % 3 != 0 || says.contains_key(&number))).then_some(round));
        }
        if round % 3 == 0 {
            changes.retain(|_, says| says.is_some());
        }
        let mut sorted: Vec<(Key, (u64, Option<u64>))> =
            changes.iter().map(|(number, what)| (entry(*number).0, (*number, *what))).collect();
        sorted.sort_by_key(|(key, _)| *key);
        let load = |cid: &Cid| Ok(blocks[cid].clone());
        let mut made = update::Blocks { load: &load, crew: None, made: Vec::new() };
        let apply = |_: Option<&[u8]>, (number, what): &(u64, Option<u64>)| {
            Ok(what.map(|what| saying(*number, what).1))
        };
        let replace = |before: &[u8], (number, what): &(u64, Option<u64>), into: &mut Composer| {
            let is_of = super::tests::key_of(before) == Some(entry(*number).0);
            match what {
                Some(what) if is_of => drop(into.encoded(&saying(*number, *what).1)),
                _ => return false,
            }
            true
        };
        asked.store(0, Ordering::Relaxed);
        let by = Update { blocks: &mut made, key_of: &key_of, replace: &replace, apply: &apply };
        let part = update::update(by, &root, &sorted).unwrap();
        match asked.load(Ordering::Relaxed) {
            0 => replaced += 1,
            _ => sought += 1,
        }
        let made: Vec<_> = made.made.into_iter().map(|made| (made.cid, made.block)).collect();
        blocks.extend(made);
        root = match part {
            Part::Many(root) => root,
            Part::Few(few, _) => put(&mut blocks, leaf(&few)),
        };
        for (number, what) in changes {
            match what {
                Some(what) => says.insert(number, what),
                None => says.remove(&number),
            };
        }
        assert_eq!(root, all(&says).0, "{} entries in round {round}", says.len());
    }
    assert!(replaced > 50 && sought > 100, "{replaced} rounds without a key, {sought} with");
    assert!(says.len() < 100, "{}", says.len());
}

#[test]
fn few_are_collected_and_many_are_not() {
    for (number, fits) in [(33, true), (64, true), (65, false), (5_000, false)] {
        let entries = entries(0..number);
        let (root, blocks) = written(&entries);
        let reads = AtomicUsize::new(0);
        let load = |cid: &Cid| {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(blocks[cid].clone())
        };
        let blocks = update::Blocks { load: &load, crew: None, made: Vec::new() };
        let few = collect_few(&root, 64, &blocks, &key_of).unwrap();
        assert_eq!(few, fits.then_some(entries), "{number}");
        assert!(reads.load(Ordering::Relaxed) <= 20, "{reads:?} blocks read");
    }
}

/// What is wrong with a map of which one block was replaced, links to it included.
fn lie(change: impl Fn(&[Option<Cid>; SHARDS], &mut Blocks) -> Vec<u8>) -> String {
    let (root, mut blocks) = written(&entries(0..300));
    let Block::Inner(shards) = open(&root, &blocks[&root], &[0; 32], 0, &key_of).unwrap() else {
        panic!("300 entries are split")
    };
    let lie = change(&shards, &mut blocks);
    let root = put(&mut blocks, lie);
    read_back(&root, &blocks).unwrap_err()
}

#[test]
fn a_map_that_lies_is_refused() {
    let swapped = lie(|shards, _| {
        let mut shards = *shards;
        shards.swap(3, 4);
        inner(&shards)
    });
    assert!(swapped.contains("belongs into another shard"), "{swapped}");
    let moved = lie(|shards, blocks| {
        let mut shards = *shards;
        let all = entries(0..300);
        let first: Vec<&[Entry]> = split(&all, 0).collect();
        shards[0] = Some(put(blocks, leaf(&[first[0], &first[1][..1]].concat())));
        inner(&shards)
    });
    assert!(moved.contains("belongs into another shard"), "{moved}");
    let backwards = lie(|shards, blocks| {
        let mut shards = *shards;
        let all = entries(0..300);
        let mut first = split(&all, 0).next().unwrap().to_vec();
        first.reverse();
        shards[0] = Some(put(blocks, leaf(&first)));
        inner(&shards)
    });
    assert!(backwards.contains("order of their keys"), "{backwards}");
    let twice = lie(|shards, blocks| {
        let mut shards = *shards;
        let all = entries(0..300);
        let first = split(&all, 0).next().unwrap();
        shards[0] = Some(put(blocks, leaf(&[first, &first[first.len() - 1..]].concat())));
        inner(&shards)
    });
    assert!(twice.contains("order of their keys"), "{twice}");
    let whole = lie(|_, _| leaf(&entries(0..40)));
    assert!(whole.contains("40 entries in one shard"), "{whole}");
    let split_too_early = lie(|_, blocks| {
        let all = entries(0..20);
        let parts: Vec<Option<Cid>> =
            split(&all, 0).map(|mine| (!mine.is_empty()).then(|| put(blocks, leaf(mine)))).collect();
        inner(&parts.try_into().unwrap())
    });
    assert!(split_too_early.contains("split for 20 entries"), "{split_too_early}");
    let hollow = lie(|shards, blocks| {
        let mut shards = *shards;
        shards[5] = Some(put(blocks, leaf(&[])));
        inner(&shards)
    });
    assert!(hollow.contains("has no entries"), "{hollow}");
    let short = lie(|shards, _| {
        let links = shards[..15].iter().map(|shard| Ipld::Link(shard.unwrap())).collect();
        encoded(&[("shards", Ipld::List(links))])
    });
    assert!(short.contains("16 shards"), "{short}");
    let nameless = lie(|_, _| encoded(&[("entries", Ipld::List(vec![Ipld::Null]))]));
    assert!(nameless.contains("no key"), "{nameless}");
    let else_wise = lie(|_, _| encoded(&[("entries", Ipld::List(vec![])), ("more", Ipld::Null)]));
    assert!(else_wise.contains("no part of a map"), "{else_wise}");
}

#[test]
fn a_chain_of_shards_ends_with_the_key() {
    // Below one slot at a time, deeper than any key reaches; each block is linked to before it is there.
    let mut below = leaf(&entries(0..1));
    let mut blocks = Blocks::new();
    for _ in 0..70 {
        let mut shards = [None; SHARDS];
        shards[0] = Some(put(&mut blocks, below));
        below = inner(&shards);
    }
    let root = put(&mut blocks, below);
    let error = read_back(&root, &blocks).unwrap_err();
    assert!(error.contains("deeper than a key"), "{error}");
}
