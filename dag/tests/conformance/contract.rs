//! The promises of the `Store` trait, on every implementation.

use everturn_dag::store::power_cut::PowerCutStore;
use everturn_dag::{Backend, Batch, DiskStore, MemoryStore, Reader, Space, Store};

use crate::world::{Model, Random, put};

/// Runs a check on a fresh store of every kind.
fn on_every_store(check: impl Fn(&dyn Store)) {
    check(&MemoryStore::new());
    check(&PowerCutStore::new());
    for backend in Backend::ALL.iter().copied() {
        let folder = tempfile::tempdir().unwrap();
        check(&DiskStore::open_with(folder.path(), backend).unwrap());
    }
}

fn keys(reader: &dyn Reader, space: Space, prefix: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        true
    };
    reader.scan(space, prefix, &mut visit).unwrap();
    keys
}

#[test]
fn a_value_is_what_was_put_last() {
    on_every_store(|store| {
        assert_eq!(store.get(Space::State, b"key").unwrap(), None);
        store.write(put(Space::State, b"key", b"one")).unwrap();
        store.write(put(Space::State, b"key", b"two")).unwrap();
        assert_eq!(store.get(Space::State, b"key").unwrap(), Some(b"two".to_vec()));
        let mut batch = Batch::new();
        batch.delete(Space::State, "key");
        batch.delete(Space::State, "absent");
        store.write(batch).unwrap();
        assert_eq!(store.get(Space::State, b"key").unwrap(), None);
    });
}

#[test]
fn the_last_change_of_a_key_in_a_batch_wins() {
    on_every_store(|store| {
        let mut batch = Batch::new();
        batch.put(Space::Meta, "a", "1");
        batch.put(Space::Meta, "a", "2");
        batch.delete(Space::Meta, "b");
        batch.put(Space::Meta, "b", "1");
        batch.put(Space::Meta, "c", "1");
        batch.delete(Space::Meta, "c");
        store.write(batch).unwrap();
        assert_eq!(store.get(Space::Meta, b"a").unwrap(), Some(b"2".to_vec()));
        assert_eq!(store.get(Space::Meta, b"b").unwrap(), Some(b"1".to_vec()));
        assert_eq!(store.get(Space::Meta, b"c").unwrap(), None);
    });
}

#[test]
fn spaces_do_not_meet() {
    on_every_store(|store| {
        for space in Space::ALL {
            store.write(put(space, b"key", space.name().as_bytes())).unwrap();
        }
        for space in Space::ALL {
            assert_eq!(store.get(space, b"key").unwrap(), Some(space.name().as_bytes().to_vec()));
            assert_eq!(keys(store, space, b""), [b"key"]);
        }
    });
}

#[test]
fn empty_keys_and_values_and_long_ones_are_kept() {
    on_every_store(|store| {
        let long = vec![0xab; 3 << 20];
        for key in [&b""[..], b"\0", b"\xff\xff", &[7; 300]] {
            for value in [&b""[..], &long] {
                store.write(put(Space::Blocks, key, value)).unwrap();
                assert_eq!(store.get(Space::Blocks, key).unwrap().as_deref(), Some(value));
            }
        }
    });
}

#[test]
fn a_scan_is_in_byte_order_within_its_prefix_and_stops_when_told() {
    on_every_store(|store| {
        let mut batch = Batch::new();
        for key in ["b", "a\u{7f}", "ab", "a", "", "aba", "ac", "\u{80}"] {
            batch.put(Space::State, key, key);
        }
        batch.put(Space::State, [0xff, 0xff], "last");
        batch.put(Space::State, [0xff], "before last");
        store.write(batch).unwrap();
        assert_eq!(keys(store, Space::State, b"ab"), [b"ab".to_vec(), b"aba".to_vec()]);
        assert_eq!(keys(store, Space::State, b"a").len(), 5);
        assert_eq!(keys(store, Space::State, b"").len(), 10);
        assert!(keys(store, Space::State, b"").is_sorted());
        assert_eq!(keys(store, Space::State, &[0xff]), [vec![0xff], vec![0xff, 0xff]]);
        assert!(keys(store, Space::State, b"z").is_empty());
        let mut seen = 0;
        let mut visit = |_: &[u8], _: &[u8]| {
            seen += 1;
            seen < 3
        };
        store.scan(Space::State, b"", &mut visit).unwrap();
        assert_eq!(seen, 3);
    });
}

#[test]
fn a_snapshot_stays_where_it_was() {
    on_every_store(|store| {
        store.write(put(Space::State, b"a", b"old")).unwrap();
        let snapshot = store.snapshot().unwrap();
        let mut batch = put(Space::State, b"a", b"new");
        batch.put(Space::State, "b", "new");
        batch.put(Space::Runtime, "a", "new");
        store.write(batch).unwrap();
        let mut batch = Batch::new();
        batch.delete(Space::State, "a");
        store.write(batch).unwrap();
        store.sync().unwrap();
        assert_eq!(snapshot.get(Space::State, b"a").unwrap(), Some(b"old".to_vec()));
        assert_eq!(keys(&*snapshot, Space::State, b""), [b"a"]);
        assert_eq!(keys(&*snapshot, Space::Runtime, b""), [[0u8; 0]; 0]);
        assert_eq!(keys(&*store.snapshot().unwrap(), Space::State, b""), [b"b"]);
    });
}

#[test]
fn random_batches_match_the_model() {
    on_every_store(|store| {
        let (mut random, mut model) = (Random(7), Model::default());
        for round in 0..200 {
            let batch = random.batch();
            model.apply(&batch);
            store.write(batch).unwrap();
            if round % 10 == 0 {
                store.sync().unwrap();
                assert_eq!(Model::of(store).unwrap(), model, "after batch {round}");
                assert_eq!(Model::of(&*store.snapshot().unwrap()).unwrap(), model, "snapshot {round}");
            }
        }
    });
}

/// A batch writes the same number under many keys; no reader may see two numbers.
#[test]
fn nobody_sees_half_a_batch() {
    on_every_store(|store| {
        let write = |number: u32| {
            let mut batch = Batch::new();
            for key in 0..50u8 {
                batch.put(Space::ALL[usize::from(key % 3)], [key], number.to_be_bytes());
            }
            store.write(batch).unwrap();
        };
        write(0);
        let rounds = 300;
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=rounds).for_each(write));
            let mut newest = 0;
            while newest < rounds {
                let model = Model::of(&*store.snapshot().unwrap()).unwrap();
                let mut numbers: Vec<_> = model.0.values().collect();
                assert_eq!(numbers.len(), 50);
                numbers.dedup();
                assert_eq!(numbers.len(), 1, "{numbers:?}");
                let number = u32::from_be_bytes(numbers[0].as_slice().try_into().unwrap());
                assert!(number >= newest, "time goes forward");
                newest = number;
            }
        });
    });
}

#[test]
fn syncs_run_beside_writes_and_reads() {
    on_every_store(|store| {
        std::thread::scope(|scope| {
            scope.spawn(|| (0..50).for_each(|_| store.sync().unwrap()));
            let (mut random, mut model) = (Random(3), Model::default());
            for _ in 0..300 {
                let batch = random.batch();
                model.apply(&batch);
                store.write(batch).unwrap();
            }
            assert_eq!(Model::of(store).unwrap(), model);
        });
    });
}
