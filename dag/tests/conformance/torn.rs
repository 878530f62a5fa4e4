//! Power cuts on real files: the process is gone, and of what was not synced the disk kept what it liked.
//!
//! fjall alone: what redb has not synced is not reachable from its header, and its own tests cover that.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use everturn_dag::{Backend, DiskStore, Store};

use crate::disk::copy;
use crate::world::{Model, Random, count};

/// Cuts, zeroes or scrambles the journal behind its last sync; what opens must be a state after whole batches, at
/// least those synced.
#[test]
fn a_torn_journal_leaves_every_synced_batch_and_whole_ones_after_it() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let original = folder.path().join("original");
    let store = DiskStore::open_with(&original, Backend::Fjall).unwrap();
    let (mut random, mut model, mut states) = (Random(21), Model::default(), Vec::new());
    let mut write = |store: &DiskStore, batches: usize| {
        for _ in 0..batches {
            let batch = random.batch();
            model.apply(&batch);
            states.push(model.clone());
            store.write(batch).unwrap();
        }
    };
    write(&store, 20);
    store.sync().unwrap();
    let synced = journal_end(&original);
    write(&store, 15);
    // Brings the rest to the file, as the system does some time or other, but not to the note.
    let note = std::fs::read(original.join("store/NOTE")).unwrap();
    store.sync().unwrap();
    let end = journal_end(&original);
    let gone = folder.path().join("gone");
    copy(&original, &gone);
    drop(store);
    std::fs::write(gone.join("store/NOTE"), note).unwrap();
    let states = states.split_off(19);

    let (mut random, mut found) = (Random(22), Vec::new());
    for case in 0..count("EVERTURN_TORN_CASES", 200) {
        let folder = tempfile::tempdir_in(folder.path()).unwrap();
        copy(&gone, folder.path());
        tear(folder.path(), &mut random, case, synced, end);
        let store = DiskStore::open(folder.path()).unwrap_or_else(|error| panic!("case {case}: {error}"));
        let state = Model::of(&store).unwrap();
        let kept = states.iter().position(|known| *known == state);
        found.push(kept.unwrap_or_else(|| panic!("case {case}: no state after whole batches")));
        store.write(everturn_dag::Batch::new()).unwrap();
        store.sync().unwrap();
        drop(store);
        assert_eq!(Model::of(&DiskStore::open(folder.path()).unwrap()).unwrap(), state, "case {case}: again");
    }
    found.sort_unstable();
    found.dedup();
    println!("kept after the last sync, of 15 batches: {found:?}");
    assert!(found.len() > 5, "{found:?}");
}

fn tear(folder: &Path, random: &mut Random, case: usize, synced: u64, end: u64) {
    let journal = folder.join("store/fjall/0.jnl");
    let file = std::fs::OpenOptions::new().write(true).open(journal).unwrap();
    let at = synced + random.next() % (end - synced);
    let bytes = (random.below(5000) as u64).min(end - at) as usize;
    match case % 4 {
        0 => file.set_len(at).unwrap(),
        // The room stays, its content does not.
        1 => file.write_all_at(&vec![0; (end - at) as usize], at).unwrap(),
        // A later part arrived, an earlier one did not.
        2 => file.write_all_at(&vec![0; bytes], at).unwrap(),
        _ => file.write_all_at(&random.bytes(bytes), at).unwrap(),
    }
}

/// Where the journal's last byte that is not zero lies.
fn journal_end(folder: &Path) -> u64 {
    let journal = std::fs::read(folder.join("store/fjall/0.jnl")).unwrap();
    journal.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}
