//! The seal over a library that fails, panics and loses batches on command.

use std::collections::BTreeMap;
use std::sync::RwLock;

use super::*;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A library in memory, with a fault to come.
#[derive(Clone, Default)]
struct Fake {
    rows: Arc<RwLock<Rows>>,
    fault: Arc<Mutex<Option<Trouble>>>,
    syncs: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    WriteFails,
    SyncFails,
    WritePanics,
    SyncPanics,
    ReadPanics,
}

impl Fake {
    fn trouble(&self, trouble: Trouble) {
        *self.fault.lock().unwrap() = Some(trouble);
    }

    fn is(&self, wanted: fn(Trouble) -> bool) -> bool {
        self.fault.lock().unwrap().is_some_and(wanted)
    }
}

impl Read for Fake {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        assert!(!self.is(|trouble| matches!(trouble, Trouble::ReadPanics)), "a library's panic");
        Ok(self.rows.read().unwrap().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
        for (key, value) in self.rows.read().unwrap().range(prefix.to_vec()..) {
            if !key.starts_with(prefix) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Adapter for Fake {
    fn write(&self, rows: Vec<Row>) -> Result<(), Fault> {
        assert!(!self.is(|trouble| matches!(trouble, Trouble::WritePanics)), "a library's panic");
        if self.is(|trouble| matches!(trouble, Trouble::WriteFails)) {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
        }
        assert!(rows[..rows.len() - 1].is_sorted_by(|left, right| left.0 < right.0), "sorted, each key once");
        let mut live = self.rows.write().unwrap();
        for (key, value) in rows {
            match value {
                Some(value) => drop(live.insert(key, value)),
                None => drop(live.remove(&key)),
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        assert!(!self.is(|trouble| matches!(trouble, Trouble::SyncPanics)), "a library's panic");
        if self.is(|trouble| matches!(trouble, Trouble::SyncFails)) {
            return Err(std::io::Error::other("the disk is gone").into());
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn Read>, Fault> {
        let rows = Arc::new(RwLock::new(self.rows.read().unwrap().clone()));
        Ok(Box::new(Fake { rows, ..Fake::default() }))
    }
}

struct Bench {
    fake: Fake,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Note::create(&folder.path().join("NOTE")).unwrap();
        Bench { fake: Fake::default(), folder }
    }

    fn open(&self) -> Result<Sealed, StoreError> {
        let note = Note::open(&self.folder.path().join("NOTE")).unwrap().unwrap();
        let origin = Origin { place: "here".to_owned(), backend: "fake" };
        Sealed::open(origin, Box::new(self.fake.clone()), note)
    }
}

fn batch(value: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::Meta, "key", value);
    batch
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_accepted_until_reopened() {
    for trouble in [Trouble::WriteFails, Trouble::SyncFails, Trouble::WritePanics, Trouble::SyncPanics] {
        let bench = Bench::new();
        let store = bench.open().unwrap();
        store.write(batch("one")).unwrap();
        store.sync().unwrap();
        bench.fake.trouble(trouble);
        let error = store.write(batch("two")).and_then(|()| store.sync()).unwrap_err();
        assert!(!matches!(error, StoreError::Poisoned), "the first error says what happened");
        *bench.fake.fault.lock().unwrap() = None;
        for _ in 0..2 {
            assert!(matches!(store.write(batch("three")), Err(StoreError::Poisoned)), "{trouble:?}");
            assert!(matches!(store.sync(), Err(StoreError::Poisoned)), "{trouble:?}");
            assert!(matches!(store.snapshot().err(), Some(StoreError::Poisoned)), "{trouble:?}");
        }
        drop(store);
        let store = bench.open().unwrap();
        store.write(batch("four")).unwrap();
        store.sync().unwrap();
        assert_eq!(store.newest_state().get(Space::Meta, b"key").unwrap(), Some(b"four".to_vec()));
    }
}

#[test]
fn a_panic_in_the_library_is_damage_with_its_message() {
    let bench = Bench::new();
    let store = bench.open().unwrap();
    store.write(batch("one")).unwrap();
    bench.fake.trouble(Trouble::ReadPanics);
    let error = store.newest_state().get(Space::Meta, b"key").unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { what, .. } if what.contains("a library's panic")),
        "{error}"
    );
    drop(store);
    assert!(matches!(bench.open().err(), Some(StoreError::Damaged { .. })), "also while opening");
}

#[test]
fn a_refused_key_changes_nothing_and_poisons_nothing() {
    let bench = Bench::new();
    let store = bench.open().unwrap();
    let mut long = batch("one");
    long.put(Space::Meta, vec![1; KEY_BYTES_MAX + 1], "value");
    assert!(matches!(store.write(long), Err(StoreError::Backend { .. })));
    assert_eq!(store.newest_state().get(Space::Meta, b"key").unwrap(), None);
    let mut longest = Batch::new();
    longest.put(Space::Meta, vec![1; KEY_BYTES_MAX], "value");
    store.write(longest).unwrap();
    store.sync().unwrap();
}

#[test]
fn what_was_written_but_not_noted_is_made_durable_on_opening() {
    let bench = Bench::new();
    let store = bench.open().unwrap();
    store.write(batch("one")).unwrap();
    drop(store);
    assert_eq!(bench.fake.syncs.load(Ordering::Relaxed), 0);
    let store = bench.open().unwrap();
    assert_eq!(bench.fake.syncs.load(Ordering::Relaxed), 1);
    drop(store);
    bench.fake.rows.write().unwrap().clear();
    assert!(matches!(bench.open().err(), Some(StoreError::Damaged { .. })), "and missed from then on");
}

#[test]
fn a_batch_that_was_lost_or_rolled_back_is_missed() {
    let bench = Bench::new();
    let store = bench.open().unwrap();
    let mut states = Vec::new();
    for number in 0..5 {
        store.write(batch(&number.to_string())).unwrap();
        states.push(bench.fake.rows.read().unwrap().clone());
    }
    store.sync().unwrap();
    drop(store);
    for state in &states[..4] {
        *bench.fake.rows.write().unwrap() = state.clone();
        let error = bench.open().err().unwrap();
        assert!(matches!(&error, StoreError::Damaged { what, .. } if what.contains("batch 5")), "{error}");
    }
    // One in the middle: the newest is there, and so is its seal, but the chain has a gap.
    let mut gap = states[4].clone();
    gap.remove(&vec![0, 3]).unwrap();
    *bench.fake.rows.write().unwrap() = gap;
    assert!(matches!(bench.open().err(), Some(StoreError::Damaged { .. })));
    *bench.fake.rows.write().unwrap() = states[4].clone();
    bench.open().unwrap();
}

#[test]
fn a_flipped_value_is_damage_wherever_it_is_read() {
    let bench = Bench::new();
    let store = bench.open().unwrap();
    store.write(batch("value")).unwrap();
    bench.fake.rows.write().unwrap().get_mut(&b"\x01key"[..]).unwrap()[2] ^= 4;
    let damaged = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Damaged { .. }));
    assert!(damaged(store.newest_state().get(Space::Meta, b"key").map(drop)));
    assert!(damaged(store.newest_state().scan(Space::Meta, b"", &mut |_, _| true)));
    assert!(damaged(store.snapshot().unwrap().get(Space::Meta, b"key").map(drop)));
    assert_eq!(store.newest_state().get(Space::State, b"key").unwrap(), None, "others are not concerned");
}
