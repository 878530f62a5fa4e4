//! Power cuts on the simulated disk: what is left is a prefix of what was written, and never less than was synced.

use everturn_dag::store::power_cut::{Failure, PowerCutStore};
use everturn_dag::{Space, Store, StoreError};

use crate::world::{Model, Random, count, put};

#[test]
fn a_cut_leaves_what_was_synced_and_whole_batches_after_it() {
    let cuts = count("EVERTURN_POWER_CUTS", 200);
    let mut random = Random(2);
    let (mut store, mut state) = (PowerCutStore::new(), Model::default());
    let mut lost = 0;
    for cut in 0..cuts {
        // `states[i]` is the state after i batches of this life; the first `synced` are safe.
        let (mut states, mut synced) = (vec![state.clone()], 0);
        for _ in 0..random.below(40) {
            if random.below(4) == 0 {
                store.sync().unwrap();
                synced = states.len() - 1;
            } else {
                let batch = random.batch();
                state.apply(&batch);
                states.push(state.clone());
                store.write(batch).unwrap();
            }
        }
        let unsynced = states.len() - 1 - synced;
        assert_eq!(store.unsynced(), unsynced);
        let kept = if random.below(2) == 0 { 0 } else { random.below(unsynced + 1) };
        store = store.cut(kept);
        state = states[synced + kept].clone();
        assert_eq!(Model::of(&store).unwrap(), state, "cut {cut}");
        lost += unsynced - kept;
    }
    println!("{cuts} power cuts, {lost} unsynced batches lost, no synced one");
    assert!(lost > 0, "some cut must have hurt");
}

#[test]
fn a_disk_that_refuses_once_refuses_for_good() {
    for failure in [Failure::Write(3), Failure::Sync(2)] {
        let store = PowerCutStore::new();
        store.fail(failure);
        let mut outcomes = Vec::new();
        for number in 0..4u8 {
            outcomes.push(store.write(put(Space::Meta, b"key", &[number])).is_ok());
            outcomes.push(store.sync().is_ok());
        }
        let refused = outcomes.iter().position(|fine| !fine).expect("it fails at some point");
        assert!(outcomes[refused..].iter().all(|fine| !fine), "{failure:?}: {outcomes:?}");
        assert!(matches!(store.snapshot().err(), Some(StoreError::Poisoned)));
        // What the failed sync should have made durable is not.
        let kept = store.cut(0).syncs();
        assert_eq!(kept, 0);
    }
}

#[test]
fn a_failed_sync_makes_nothing_durable() {
    let store = PowerCutStore::new();
    store.write(put(Space::Meta, b"key", b"one")).unwrap();
    store.sync().unwrap();
    store.fail(Failure::Sync(2));
    store.write(put(Space::Meta, b"key", b"two")).unwrap();
    assert!(matches!(store.sync(), Err(StoreError::Io { .. })));
    let mut expected = Model::default();
    expected.apply(&put(Space::Meta, b"key", b"one"));
    assert_eq!(Model::of(&store.cut(0)).unwrap(), expected);
}
