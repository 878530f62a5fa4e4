//! Random graphs against a naive model: what is there is what can be reached, and the counts are right after every batch.

use std::collections::BTreeSet;

use super::*;
use crate::address::{node_cid, raw_cid};
use crate::{Ipld, MemoryStore, Store, node};

struct World {
    store: MemoryStore,
    references: References,
}

impl World {
    fn new() -> World {
        let store = MemoryStore::new();
        World { references: References::open(&store).unwrap(), store }
    }

    fn apply(&mut self, batch: Batch, blocks_max: usize) {
        let settled = self.references.settle(&self.store, batch, Unreferenced::AreLeftOut, blocks_max);
        self.store.write(settled.unwrap()).unwrap();
        self.check();
    }

    /// Everything is counted right, also half-way.
    fn check(&self) {
        assert_eq!(audit(&self.store).problems, [""; 0]);
    }

    fn step(&mut self, blocks_max: usize) -> bool {
        let Some(batch) = self.references.reclaim(&self.store, blocks_max).unwrap() else { return false };
        let removed = batch
            .changes()
            .iter()
            .filter(|change| matches!(change, Change::Delete { space: Space::Blocks, .. }));
        assert!(removed.count() <= blocks_max);
        self.store.write(batch).unwrap();
        self.check();
        true
    }

    fn blocks(&self) -> BTreeSet<Cid> {
        let mut blocks = BTreeSet::new();
        self.store.scan(Space::Blocks, &[], &mut |key, _| blocks.insert(to_cid(key).unwrap())).unwrap();
        blocks
    }

    fn rows(&self) -> usize {
        let mut rows = 0;
        self.store
            .scan(Space::References, &[], &mut |_, _| {
                rows += 1;
                true
            })
            .unwrap();
        rows
    }
}

fn list(links: &[Cid]) -> (Cid, Vec<u8>) {
    let block = node::encode(&Ipld::List(links.iter().copied().map(Ipld::Link).collect())).unwrap();
    (node_cid(&block), block)
}

fn pin(store: &MemoryStore, batch: &mut Batch, cid: &Cid) {
    set_pins(batch, cid, pins_of(store, cid).unwrap() + 1);
}

fn unpin(store: &MemoryStore, batch: &mut Batch, cid: &Cid) {
    set_pins(batch, cid, pins_of(store, cid).unwrap() - 1);
}

fn put(batch: &mut Batch, (cid, block): (Cid, Vec<u8>)) -> Cid {
    batch.put(Space::Blocks, cid.to_bytes(), block);
    cid
}

fn leaf(number: u8) -> (Cid, Vec<u8>) {
    (raw_cid(&[number]), vec![number])
}

#[test]
fn what_nobody_refers_to_is_not_written() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let needed = put(&mut batch, leaf(1));
    put(&mut batch, leaf(2));
    let root = put(&mut batch, list(&[needed]));
    hold(&mut batch, b"root", &root);
    world.apply(batch, 9);
    assert_eq!(world.blocks(), [needed, root].into());
    assert_eq!(world.rows(), 1, "one reference each needs no count");
    assert_eq!(held(&world.store, b"root").unwrap(), Some(root));
}

#[test]
fn a_block_goes_with_the_last_that_refers_to_it() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let shared = put(&mut batch, leaf(1));
    let (a, b) = (put(&mut batch, list(&[shared])), put(&mut batch, list(&[shared, raw_cid(b"far")])));
    hold(&mut batch, b"a", &a);
    hold(&mut batch, b"b", &b);
    world.apply(batch, 9);
    let mut batch = Batch::new();
    let_go(&mut batch, b"a");
    world.apply(batch, 9);
    assert_eq!(world.blocks(), [shared, b].into());
    let mut batch = Batch::new();
    let_go(&mut batch, b"b");
    world.apply(batch, 9);
    assert_eq!(world.blocks(), BTreeSet::new());
    assert_eq!(world.rows(), 0);
}

#[test]
fn a_root_that_is_pinned_twice_needs_two_releases() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let root = put(&mut batch, leaf(1));
    pin(&world.store, &mut batch, &root);
    world.apply(batch, 9);
    let mut batch = Batch::new();
    pin(&world.store, &mut batch, &root);
    world.apply(batch, 9);
    assert_eq!(pins(&world.store).unwrap(), [(root, 2)].into());
    for left in [1, 0] {
        let mut batch = Batch::new();
        unpin(&world.store, &mut batch, &root);
        world.apply(batch, 9);
        assert_eq!(world.blocks().len(), left);
    }
    assert_eq!(pins_of(&world.store, &root).unwrap(), 0);
}

#[test]
fn a_large_graph_goes_in_steps_also_after_a_restart() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let leaves: Vec<Cid> = (0..200).map(|number| put(&mut batch, leaf(number))).collect();
    let nodes: Vec<Cid> = leaves.chunks(10).map(|leaves| put(&mut batch, list(leaves))).collect();
    let root = put(&mut batch, list(&nodes));
    pin(&world.store, &mut batch, &root);
    world.apply(batch, 9);
    let mut batch = Batch::new();
    unpin(&world.store, &mut batch, &root);
    world.apply(batch, 7);
    assert_eq!(world.blocks().len(), 221 - 7);
    let mut steps = 0;
    loop {
        // A kill between two steps: whoever opens the store goes on.
        world.references = References::open(&world.store).unwrap();
        assert_eq!(world.references.may_reclaim(), !world.blocks().is_empty());
        if !world.step(7) {
            break;
        }
        steps += 1;
    }
    assert_eq!((world.blocks().len(), world.rows()), (0, 0));
    assert!(steps >= 30, "{steps}");
}

#[test]
fn a_block_that_was_to_go_and_is_needed_again_stays() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let inner = put(&mut batch, leaf(1));
    let root = put(&mut batch, list(&[inner]));
    hold(&mut batch, b"old", &root);
    world.apply(batch, 9);
    let mut batch = Batch::new();
    let_go(&mut batch, b"old");
    world.apply(batch, 0);
    assert!(world.references.may_reclaim());
    let mut batch = Batch::new();
    let again = put(&mut batch, list(&[root]));
    hold(&mut batch, b"new", &again);
    world.apply(batch, 9);
    while world.step(9) {}
    assert_eq!(world.blocks(), [inner, root, again].into());
}

#[test]
fn blocks_that_arrive_in_any_order_wait_for_what_refers_to_them() {
    let inner = list(&[leaf(1).0]);
    let blocks = [list(&[inner.0, leaf(2).0]), leaf(1), inner, leaf(2)];
    for first in 0..blocks.len() {
        let mut world = World::new();
        for (cid, block) in blocks.iter().cycle().skip(first).take(blocks.len()) {
            let mut batch = Batch::new();
            put(&mut batch, (*cid, block.clone()));
            let settled = world.references.settle(&world.store, batch, Unreferenced::Wait, 0).unwrap();
            world.store.write(settled).unwrap();
            world.check();
        }
        let mut batch = Batch::new();
        pin(&world.store, &mut batch, &blocks[0].0);
        world.apply(batch, 9);
        while world.step(9) {}
        assert_eq!(world.blocks().len(), 4, "from block {first}");
        let mut batch = Batch::new();
        unpin(&world.store, &mut batch, &blocks[0].0);
        world.apply(batch, 2);
        while world.step(2) {}
        assert_eq!((world.blocks().len(), world.rows()), (0, 0), "from block {first}");
    }
}

#[test]
fn a_count_that_is_wrong_is_found() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let root = put(&mut batch, leaf(1));
    hold(&mut batch, b"root", &root);
    world.apply(batch, 9);
    let damage = |space, key: Vec<u8>, value: Option<Vec<u8>>| {
        let mut batch = Batch::new();
        match value {
            Some(value) => batch.put(space, key.clone(), value),
            None => batch.delete(space, key.clone()),
        }
        let store = world.store.snapshot().unwrap();
        let before = store.get(space, &key).unwrap();
        world.store.write(batch).unwrap();
        let problems = audit(&world.store).problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        let mut back = Batch::new();
        match before {
            Some(value) => back.put(space, key, value),
            None => back.delete(space, key),
        }
        world.store.write(back).unwrap();
        world.check();
        problems.into_iter().next().unwrap()
    };
    let address = root.to_bytes();
    let many = damage(Space::References, key(COUNT, &address).to_vec(), Some(1u64.to_be_bytes().to_vec()));
    assert!(many.contains("1 beyond the first"), "{many}");
    let doomed = damage(Space::References, key(DOOMED, &address).to_vec(), Some(vec![]));
    assert!(doomed.contains("to be removed"), "{doomed}");
    let lost = damage(Space::Blocks, address.clone(), None);
    assert!(lost.contains("not there"), "{lost}");
    let other = damage(Space::Blocks, address.clone(), Some(vec![2]));
    assert!(other.contains("another address"), "{other}");
    let loose = damage(Space::References, key(HOLD, b"root").to_vec(), None);
    assert!(loose.contains("nothing refers"), "{loose}");
    let unknown = damage(Space::References, b"x".to_vec(), Some(vec![]));
    assert!(unknown.contains("address"), "{unknown}");
}

/// A node over many leaves, and what holds of it when some versions of it are kept and others go.
#[test]
fn a_version_that_is_kept_costs_what_differs() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let mut links: Vec<Cid> = (0..40).map(|number| put(&mut batch, leaf(number))).collect();
    let first = put(&mut batch, list(&links));
    hold(&mut batch, b"newest", &first);
    pin(&world.store, &mut batch, &first);
    world.apply(batch, 99);
    let (mut roots, mut rows) = (vec![first], world.rows());
    for version in 0..6u8 {
        let mut batch = Batch::new();
        links[usize::from(version)] = put(&mut batch, leaf(100 + version));
        let root = put(&mut batch, list(&links));
        hold(&mut batch, b"newest", &root);
        pin(&world.store, &mut batch, &root);
        world.apply(batch, 99);
        roots.push(root);
        assert!(world.rows() <= rows + 4, "{} rows more", world.rows() - rows);
        rows = world.rows();
    }
    // From the middle, the beginning and the end.
    for at in [3, 0, 5, 1, 2, 4] {
        let mut batch = Batch::new();
        unpin(&world.store, &mut batch, &roots[at]);
        world.apply(batch, 99);
        assert!(!world.blocks().contains(&roots[at]));
    }
    assert_eq!(world.blocks().len(), 41);
    let mut batch = Batch::new();
    let_go(&mut batch, b"newest");
    unpin(&world.store, &mut batch, &roots[6]);
    world.apply(batch, 99);
    assert_eq!((world.blocks().len(), world.rows()), (0, 0));
}

#[test]
fn a_version_that_replaces_another_leaves_no_row_behind() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let mut links: Vec<Cid> = (0..40).map(|number| put(&mut batch, leaf(number))).collect();
    for version in 0..4u8 {
        links[usize::from(version)] = put(&mut batch, leaf(100 + version));
        let root = put(&mut batch, list(&links));
        hold(&mut batch, b"newest", &root);
        world.apply(std::mem::take(&mut batch), 99);
        assert_eq!((world.blocks().len(), world.rows()), (41, 1));
    }
}

#[test]
fn a_chain_that_is_broken_is_found() {
    let (mut world, mut batch) = (World::new(), Batch::new());
    let mut links: Vec<Cid> = (0..20).map(|number| put(&mut batch, leaf(number))).collect();
    let first = put(&mut batch, list(&links));
    hold(&mut batch, b"newest", &first);
    pin(&world.store, &mut batch, &first);
    world.apply(batch, 99);
    let mut batch = Batch::new();
    links[7] = put(&mut batch, leaf(100));
    let second = put(&mut batch, list(&links));
    hold(&mut batch, b"newest", &second);
    world.apply(batch, 99);
    let rows = [(BASE, second, first), (LEANER, first, second)];
    for (kind, of, to) in rows {
        let row = key(kind, &of.to_bytes());
        assert_eq!(world.store.get(Space::References, &row).unwrap(), Some(to.to_bytes()));
        for damage in [None, Some(links[0].to_bytes())] {
            let mut batch = Batch::new();
            match damage {
                Some(other) => batch.put(Space::References, row.clone(), other),
                None => batch.delete(Space::References, row.clone()),
            }
            world.store.write(batch).unwrap();
            assert!(!audit(&world.store).problems.is_empty());
            let mut batch = Batch::new();
            batch.put(Space::References, row.clone(), to.to_bytes());
            world.store.write(batch).unwrap();
            world.check();
        }
    }
    let mut batch = Batch::new();
    batch.put(Space::References, key(BASE, &first.to_bytes()), second.to_bytes());
    batch.put(Space::References, key(LEANER, &second.to_bytes()), first.to_bytes());
    world.store.write(batch).unwrap();
    let problems = audit(&world.store).problems;
    assert!(problems.iter().any(|problem| problem.contains("circle")), "{problems:?}");
}

mod random {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// Replaces what a name holds by a new node over some of the nodes so far.
        Hold(u8, Vec<u8>, u8),
        /// Replaces one leaf in a tree of ten by ten that a name holds; that name holds the new tree, or another does.
        Change(u8, u8, u8, u8),
        LetGo(u8),
        Pin(u8),
        Unpin(u8),
        Reclaim,
        Reopen,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..4u8, prop::collection::vec(any::<u8>(), 0..5), any::<u8>())
                .prop_map(|(name, links, leaf)| Step::Hold(name, links, leaf)),
            6 => (0..2u8, 0..100u8, 0..8u8, 0..9u8)
                .prop_map(|(name, at, leaf, to)| Step::Change(4 + name, at, leaf, if to < 7 { 4 + name } else { to - 7 + 4 })),
            2 => (0..6u8).prop_map(Step::LetGo),
            2 => any::<u8>().prop_map(Step::Pin),
            2 => any::<u8>().prop_map(Step::Unpin),
            1 => Just(Step::Reclaim),
            1 => Just(Step::Reopen),
        ];
        prop::collection::vec(step, 1..60)
    }

    fn reach(roots: impl IntoIterator<Item = Cid>, all: &BTreeMap<Cid, Vec<u8>>) -> BTreeSet<Cid> {
        let (mut open, mut reached) = (roots.into_iter().collect::<Vec<_>>(), BTreeSet::new());
        while let Some(cid) = open.pop() {
            if let Some(block) = all.get(&cid).filter(|_| reached.insert(cid)) {
                open.extend(blocks::links(&cid, block).unwrap());
            }
        }
        reached
    }

    proptest! {
        #[test]
        fn what_is_there_is_what_can_be_reached(steps in steps(), blocks_max in 0..6usize) {
            let mut world = World::new();
            let mut all: BTreeMap<Cid, Vec<u8>> = BTreeMap::new();
            for step in steps {
                let (present, mut batch): (Vec<Cid>, _) = (world.blocks().into_iter().collect(), Batch::new());
                let pick = |index: u8| present.get(usize::from(index) % present.len().max(1)).copied();
                match step {
                    Step::Hold(name, links, number) => {
                        let mut links: Vec<Cid> = links.into_iter().filter_map(pick).collect();
                        let leaf = leaf(number % 16);
                        links.push(leaf.0);
                        let root = list(&links);
                        all.extend([leaf.clone(), root.clone()]);
                        put(&mut batch, leaf);
                        let root = put(&mut batch, root);
                        hold(&mut batch, &[name], &root);
                    }
                    Step::Change(name, at, number, to) => {
                        let at = usize::from(at);
                        let mut tree: Vec<Vec<Cid>> = vec![(0..10).map(|number| leaf(number).0).collect(); 10];
                        if let Some(root) = held(&world.store, &[name]).unwrap() {
                            let links = |cid: &Cid| -> Vec<Cid> {
                                let links = node::links_as_they_stand(&all[cid]).unwrap();
                                links.into_iter().map(|link| to_cid(link).unwrap()).collect()
                            };
                            tree = links(&root).iter().map(links).collect();
                        } else {
                            for number in 0..10 {
                                all.extend([leaf(number)]);
                                put(&mut batch, leaf(number));
                            }
                        }
                        let leaf = leaf(number);
                        tree[at / 10][at % 10] = leaf.0;
                        all.extend([leaf.clone()]);
                        put(&mut batch, leaf);
                        let mut above = Vec::new();
                        for links in &tree {
                            all.extend([list(links)]);
                            above.push(put(&mut batch, list(links)));
                        }
                        all.extend([list(&above)]);
                        let root = put(&mut batch, list(&above));
                        hold(&mut batch, &[to], &root);
                    }
                    Step::LetGo(name) => let_go(&mut batch, &[name]),
                    Step::Pin(index) => {
                        if let Some(cid) = pick(index) {
                            pin(&world.store, &mut batch, &cid);
                        }
                    }
                    Step::Unpin(index) => {
                        let pinned: Vec<Cid> = pins(&world.store).unwrap().into_keys().collect();
                        if let Some(cid) = pinned.get(usize::from(index) % pinned.len().max(1)) {
                            unpin(&world.store, &mut batch, cid);
                        }
                    }
                    Step::Reclaim => drop(world.step(blocks_max.max(1))),
                    Step::Reopen => world.references = References::open(&world.store).unwrap(),
                }
                world.apply(batch, blocks_max);
                let holds = names(&world.store, b"").unwrap().into_iter();
                let held = holds.map(|name| held(&world.store, &name).unwrap().unwrap());
                let needed = reach(held.chain(pins(&world.store).unwrap().into_keys()), &all);
                prop_assert!(world.blocks().is_superset(&needed));
            }
            while world.step(blocks_max.max(1)) {}
            let holds = names(&world.store, b"").unwrap().into_iter();
            let held = holds.map(|name| held(&world.store, &name).unwrap().unwrap());
            let needed = reach(held.chain(pins(&world.store).unwrap().into_keys()), &all);
            prop_assert_eq!(world.blocks(), needed);
        }
    }
}
