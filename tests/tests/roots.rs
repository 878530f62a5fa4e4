//! Roots that are made, kept for a while and released: what only they held goes, what anything needs stays.

use std::sync::Arc;

use everturn::{Cid, HypervisorError, MemoryStore, Store};
use everturn_dag::Space;
use everturn_dag::store::power_cut::PowerCutStore;

use crate::host::assert_whole;
use crate::world::{Ways, World};

/// A container with a child, and a heap that changes in many pages with every line.
const PROGRAM: &str = "var rounds = 0; const block = new Uint8Array(300_000);
    ports.bind('child', ports.create('js', 'var got = 0; export default { message(m) { got = m.data; } }'));
    function round() { rounds++; for (let i = 0; i < block.length; i += 5_000) block[i] = rounds + i; send(ports.get('child'), rounds); return rounds; }";

fn count(store: &dyn Store, space: Space) -> usize {
    let mut rows = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        rows += 1;
        true
    };
    store.scan(space, &[], &mut visit).unwrap();
    rows
}

fn release(world: &World, root: Cid) {
    world.block_on(world.hypervisor().release_root(&root)).unwrap();
}

/// Runs rounds of a line and a root, of which the newest `kept` are kept; the most blocks that there were.
fn rounds(world: &mut World, store: &dyn Store, number: usize, kept: usize) -> usize {
    let (mut roots, mut most) = (std::collections::VecDeque::new(), 0);
    for _ in 0..number {
        world.eval("round()");
        world.idle();
        roots.push_back(world.state_root());
        while roots.len() > kept {
            release(world, roots.pop_front().unwrap());
        }
        most = most.max(count(store, Space::Blocks));
    }
    roots.into_iter().for_each(|root| release(world, root));
    most
}

#[test]
fn rounds_of_roots_and_releases_stay_within_a_bound() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), PROGRAM, Ways::default());
    let first = rounds(&mut world, &*store, 6, 3);
    let later = rounds(&mut world, &*store, 60, 3);
    world.stop();
    assert_whole(&*store);
    assert!(later <= 2 * first, "{first} blocks at most in 6 rounds, {later} in 60 more");
    let unreleased = 60 * 60;
    assert!(later < unreleased / 2, "{later}: the rounds change too little to show anything");
}

#[test]
fn a_root_needs_as_many_releases_as_it_was_made() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), PROGRAM, Ways::default());
    world.eval("round()");
    world.idle();
    let root = world.state_root();
    assert_eq!(world.state_root(), root);
    let pins = world.block_on(world.hypervisor().pinned_roots()).unwrap();
    assert_eq!(pins, [(root, 2)].into());
    world.eval("round()");
    world.idle();
    release(&world, root);
    let hypervisor = world.hypervisor().clone();
    world.block_on(hypervisor.restore(&world.root, &root)).unwrap();
    assert_eq!(world.eval("rounds"), "1", "it is still there");
    release(&world, root);
    let again = world.block_on(hypervisor.release_root(&root)).unwrap_err();
    assert!(matches!(again, HypervisorError::NotPinned(_)), "{again}");
    drop(hypervisor);
    world.stop();
    assert_whole(&*store);
}

/// The node of the container's own id is in no state of its own, but in those of its children.
#[test]
fn who_went_back_still_has_its_id() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), PROGRAM, Ways::default());
    let root = world.state_root();
    world.eval("round()");
    world.idle();
    world.block_on(world.hypervisor().restore(&world.root, &root)).unwrap();
    assert_whole(&*store);
    world.eval("ports.bind('another', ports.create('js', '0')); 0");
    world.idle();
    let later = world.state_root();
    release(&world, root);
    world.restart();
    assert_whole(&*store);
    world.block_on(world.hypervisor().restore(&world.root, &later)).unwrap();
    assert_eq!(world.eval("ports.names().includes('another')"), "true");
    assert_whole(&*store);
}

#[test]
fn a_root_that_was_released_cannot_be_gone_back_to() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), PROGRAM, Ways::default());
    let root = world.state_root();
    world.eval("round()");
    world.idle();
    let later = world.state_root();
    release(&world, root);
    world.restart();
    // Everything that was only in the first root is gone by now, or goes with these.
    for _ in 0..3 {
        world.eval("0");
    }
    let hypervisor = world.hypervisor().clone();
    let error = world.block_on(hypervisor.restore(&world.root, &root)).unwrap_err();
    assert!(matches!(error, HypervisorError::NoSuchRoot(_)), "{error}");
    world.block_on(hypervisor.restore(&world.root, &later)).unwrap();
    assert_eq!(world.eval("rounds"), "1");
    drop(hypervisor);
    world.stop();
    assert_whole(&*store);
}

#[test]
fn what_a_later_root_shares_with_a_released_one_stays() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut world = World::on(store.clone(), PROGRAM, Ways::default());
    let mut roots = Vec::new();
    for _ in 0..8 {
        world.eval("round()");
        world.idle();
        roots.push(world.state_root());
    }
    // Not in the order in which they were made.
    for index in [3, 0, 6, 2, 5] {
        release(&world, roots[index]);
        world.restart();
        assert_whole(&*store);
    }
    let hypervisor = world.hypervisor().clone();
    for index in [1, 7, 4] {
        world.block_on(hypervisor.restore(&world.root, &roots[index])).unwrap();
        assert_eq!(world.eval("rounds"), (index + 1).to_string());
        assert_eq!(world.eval("block[5_000]"), ((index + 1 + 5_000) % 256).to_string());
        // A root of what was restored is counted like any other.
        let root = world.state_root();
        release(&world, root);
        assert_whole(&*store);
    }
}

#[test]
fn a_power_cut_between_two_steps_leaves_counts_that_are_right_and_the_rest_to_go() {
    let mut store = Arc::new(PowerCutStore::new());
    let mut seed = 5u64;
    let mut largest = 0;
    for cut in 0..12 {
        let mut world = World::on(store.clone() as Arc<dyn Store>, PROGRAM, Ways::default());
        let mut roots = Vec::new();
        for _ in 0..3 {
            world.eval("round()");
            world.idle();
            roots.push(world.state_root());
        }
        for root in roots {
            release(&world, root);
        }
        largest = largest.max(count(&*store, Space::Blocks));
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let kept = (seed >> 33) as usize % (store.unsynced() + 1);
        store = Arc::new(store.cut(kept));
        assert_whole(&*store);
        if cut == 3 {
            largest = 0;
        }
    }
    let mut world = World::on(store.clone() as Arc<dyn Store>, PROGRAM, Ways::default());
    world.eval("0");
    world.stop();
    let left = count(&*store, Space::Blocks);
    assert!(left <= largest, "{left} blocks after everything was released, {largest} before");
}
