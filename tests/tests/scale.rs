//! Very many containers and very many ports: what something costs follows what changes, not what there is.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use everturn::native::{Incoming, Native, NativeType};
use everturn::{Cid, ContainerId, Exception, Hypervisor, Ipld, Kind, Settings, Turn, Unloading, node};
use everturn_dag::address::node_cid;
use everturn_dag::car::{CarReader, CarWriter};
use everturn_dag::{Reader, Space};
use serde::{Deserialize, Serialize};

use crate::counting::{Counting, Counts};
use crate::host::Host;

fn encode(number: u64) -> Vec<u8> {
    node::encode(&number).unwrap()
}

fn number(data: &Ipld) -> u64 {
    match data {
        Ipld::Integer(number) => u64::try_from(*number).unwrap(),
        _ => 0,
    }
}

/// Has children down to a level. A message goes on to one of them, by the digits of its number, and is counted where it ends.
#[derive(Clone, Serialize, Deserialize)]
struct Branch {
    level: u64,
    fan_out: u64,
    count: u64,
}

impl Native for Branch {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Branch, Exception> {
        let (fan_out, level) = (number(&init) / 10, number(&init) % 10);
        for child in 0..if level > 0 { fan_out } else { 0 } {
            let port = turn.create("branch", &encode(fan_out * 10 + level - 1))?;
            turn.bind(&format!("{child}"), port)?;
        }
        Ok(Branch { level, fan_out, count: 0 })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let number = number(&message.data());
        if self.level == 0 || message.kind != Kind::Message {
            self.count += 1;
            return Ok(());
        }
        let child = turn.get(&format!("{}", number % self.fan_out))?;
        Ok(turn.send(child, &encode(number / self.fan_out), &[], 0)?)
    }
}

/// Has very many ports: ends of channels, and some children.
#[derive(Clone, Serialize, Deserialize)]
struct Hub {
    made: u64,
}

/// So many ports are made in a turn.
const AT_ONCE: u64 = 10_000;
/// Of so many, the first and the last lead to children.
const HUNDRED: u64 = 100;

impl Native for Hub {
    fn create(_: &mut Turn, _: Ipld) -> Result<Hub, Exception> {
        Ok(Hub { made: 0 })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        match message.data() {
            // What is closed says null.
            _ if message.kind != Kind::Message => {}
            Ipld::Null => {
                let end = self.made + AT_ONCE;
                while self.made < end {
                    let made = match self.made % HUNDRED {
                        0 | 99 => vec![turn.create("branch", &encode(0))?],
                        _ => <[_; 2]>::from(turn.channel()?).to_vec(),
                    };
                    for port in made {
                        turn.bind(&format!("{}", self.made), port)?;
                        self.made += 1;
                    }
                }
            }
            Ipld::Integer(child) => {
                let port = turn.get(&format!("{child}"))?;
                turn.send(port, &encode(1), &[], 0)?;
            }
            Ipld::List(names) => {
                for name in names {
                    let Ipld::String(name) = name else { continue };
                    turn.delete(&name)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

struct World {
    host: Host,
    store: Arc<Counting>,
    settings: Settings,
}

impl Deref for World {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl World {
    fn new(settings: Settings) -> World {
        let store: Arc<Counting> = Arc::default();
        let mut world = World { host: Host::on(store.clone()), store, settings };
        world.start();
        world
    }

    fn start(&mut self) {
        let hypervisor = self.host.start(Hypervisor::builder().settings(self.settings)).unwrap();
        hypervisor.register_container("branch", NativeType::<Branch>::new());
        hypervisor.register_container("hub", NativeType::<Hub>::new());
    }

    fn root(&self, kind: &str, init: u64) -> ContainerId {
        let made = self.hypervisor().create_instance(kind, "", Ipld::Integer(init.into()));
        self.block_on(made).unwrap()
    }

    fn tell(&self, to: &ContainerId, data: Ipld) {
        self.send(to, data).outcome.unwrap();
    }

    /// How many blocks the store has.
    fn blocks(&self) -> usize {
        let mut blocks = 0;
        let mut count = |_: &[u8], _: &[u8]| {
            blocks += 1;
            true
        };
        self.store.store.scan(Space::Blocks, &[], &mut count).unwrap();
        blocks
    }

    fn block(&self, cid: &Cid) -> Ipld {
        node::decode(&self.store.store.get(Space::Blocks, &cid.to_bytes()).unwrap().unwrap()).unwrap()
    }
}

/// The owners of a leaf, from the root down, as paths; itself included.
fn paths(fan_out: u64, levels: u32, mut leaf: u64) -> Vec<Vec<u64>> {
    let mut path = Vec::new();
    let mut paths = vec![path.clone()];
    for _ in 0..levels {
        path.push(leaf % fan_out);
        leaf /= fan_out;
        paths.push(path.clone());
    }
    paths
}

#[test]
fn a_root_reads_what_has_changed_and_a_message_what_it_meets() {
    // 99,499 containers and 156, both three levels deep.
    let mut costs = Vec::new();
    for fan_out in [46u64, 5] {
        let budget = 200_000;
        let settings = Settings { unloading: Unloading::Above { bytes: budget }, ..Settings::default() };
        let mut world = World::new(settings);
        let root = world.root("branch", fan_out * 10 + 3);
        world.wait(&root);
        let first = world.state_root(&root);
        let leaves = fan_out.pow(3);
        let changed: BTreeSet<u64> = (0..leaves.min(1_000)).map(|n| n * 7_919 % leaves).collect();
        for leaf in &changed {
            world.tell(&root, Ipld::Integer((*leaf).into()));
        }
        world.wait(&root);

        // In memory is what the budget allows, and what is being written.
        let all = world.inspect();
        let loaded = all.iter().filter_map(|container| container.footprint);
        let bytes: u64 = loaded.map(|footprint| footprint.heap_bytes + footprint.bookkeeping_bytes).sum();
        assert!(bytes <= budget + 10_000, "{bytes} bytes in memory");
        if fan_out == 46 {
            let asleep = all.iter().filter(|container| container.footprint.is_none()).count();
            assert!(asleep > 90_000, "{asleep} of {} containers are not in memory", all.len());
        }

        world.store.take();
        let second = world.state_root(&root);
        assert_ne!(first, second);
        let Counts { reads, writes, .. } = world.store.take();
        let stale: BTreeSet<Vec<u64>> = changed.iter().flat_map(|leaf| paths(fan_out, 3, *leaf)).collect();
        let ids = |spaces: &[Space]| -> BTreeSet<&[u8]> {
            let read = reads.iter().filter(|(space, _)| spaces.contains(space));
            read.filter_map(|(_, key)| key.get(..32)).collect()
        };
        assert_eq!(ids(&[Space::State, Space::Runtime]).len(), stale.len(), "no other container is read");
        assert_eq!(ids(&[Space::Stale]).len(), stale.len());
        let blocks = reads.iter().filter(|(space, _)| *space == Space::Blocks).count();
        assert!(blocks <= 4 * stale.len(), "{blocks} blocks read for {} nodes", stale.len());
        assert!(reads.len() <= 14 * stale.len(), "{} rows read for {} nodes", reads.len(), stale.len());
        assert!(writes.len() <= 12 * stale.len(), "{} rows written for {} nodes", writes.len(), stale.len());
        assert_eq!(world.state_root(&root), second, "nothing has changed");

        // One that sleeps.
        let leaf = (0..leaves).find(|leaf| !changed.contains(leaf)).unwrap_or_default();
        world.store.take();
        world.tell(&root, Ipld::Integer(leaf.into()));
        world.wait(&root);
        let Counts { reads, writes, .. } = world.store.take();
        costs.push((reads.len(), writes.len()));
        world.host.stop();
    }
    let [(reads, writes), (few_reads, few_writes)] = costs[..] else { panic!("two worlds") };
    // Which turns share a batch is the committer's affair: a few rows more or less.
    assert!(reads <= few_reads + 4, "{reads} rows read among 100,000, {few_reads} among 156");
    assert!(writes <= few_writes + 20, "{writes} rows written among 100,000, {few_writes} among 156");
}

#[test]
fn a_hundred_thousand_ports_on_one_container() {
    let mut world = World::new(Settings::default());
    let root = world.root("hub", 0);
    for _ in 0..10 {
        world.tell(&root, Ipld::Null);
    }
    world.wait(&root);
    let first = world.state_root(&root);
    assert!(matches!(&world.block(&first), Ipld::Map(fields) if matches!(fields["ports"], Ipld::Link(_))));

    // One child changes: its node, the hub's, and a path of the map.
    world.tell(&root, Ipld::Integer(70_000));
    world.wait(&root);
    world.store.take();
    let second = world.state_root(&root);
    assert_ne!(first, second);
    let Counts { reads, writes, .. } = world.store.take();
    let blocks: BTreeSet<_> = writes.iter().filter(|(space, _)| *space == Space::Blocks).collect();
    assert!((5..=7).contains(&blocks.len()), "{} blocks written", blocks.len());
    assert!(reads.len() < 100, "{} rows read", reads.len());

    // Half of one shard goes, and the rest of the map is left alone.
    let gone: Vec<Ipld> = (1..10).map(|port| Ipld::String(format!("{port}"))).collect();
    world.tell(&root, Ipld::List(gone));
    world.wait(&root);
    world.store.take();
    let third = world.state_root(&root);
    let Counts { reads, writes, .. } = world.store.take();
    assert!(reads.len() < 1_000, "{} rows read", reads.len());
    assert!(writes.len() < 500, "{} rows written", writes.len());

    // The same after a restart, and made anew from the state in another store.
    world.host.stop();
    world.start();
    assert_eq!(world.state_root(&root), third);
    let car = world.export(&third);
    let elsewhere = World::new(Settings::default());
    let imported = elsewhere.import(car.clone()).unwrap();
    let revived = elsewhere.hypervisor().revive_instance("hub", "", &imported);
    let revived = elsewhere.block_on(revived).unwrap();
    assert_eq!(elsewhere.state_root(&revived), third);
    for world in [&world, &elsewhere] {
        world.tell(&root, Ipld::Integer(500));
        world.wait(&root);
    }
    assert_eq!(world.state_root(&root), elsewhere.state_root(&root), "they go on alike");
    refuse_lies(&elsewhere, &car);
}

#[test]
fn ports_become_many_and_few_again() {
    let mut world = World::new(Settings::default());
    let root = world.root("hub", 0);
    let empty = world.state_root(&root);
    world.tell(&root, Ipld::Null);
    let all = world.state_root(&root);
    let names = |range: std::ops::Range<u64>| range.map(|port| Ipld::String(format!("{port}"))).collect();
    let mut left = AT_ONCE;
    let is_inline = |root: &Cid| match &world.block(root) {
        Ipld::Map(fields) => matches!(&fields["ports"], Ipld::Map(_)),
        _ => panic!("a state node is a map"),
    };
    assert!(!is_inline(&all) && is_inline(&empty));
    for (rest, inline) in [(1_000, false), (65, false), (64, true), (0, true)] {
        world.tell(&root, Ipld::List(names(rest..left)));
        world.wait(&root);
        let cid = world.state_root(&root);
        let bound = world.inspect()[0].ports.len() as u64;
        assert_eq!(bound, rest);
        assert_eq!(is_inline(&cid), inline, "{rest} ports");
        left = rest;
    }
    world.host.stop();
}

/// Maps of ports that are not what their content makes them.
fn refuse_lies(world: &World, car: &[u8]) {
    let blocks: Vec<(Cid, Vec<u8>)> = CarReader::new(car).unwrap().map(Result::unwrap).collect();
    let (root, state) = &blocks[0];
    let Ipld::Map(fields) = node::decode(state).unwrap() else { panic!("a state node is a map") };
    let Ipld::Link(map) = fields["ports"] else { panic!("its ports are a map of their own") };
    let (_, block) = blocks.iter().find(|(cid, _)| *cid == map).unwrap();
    let Ipld::Map(shards) = node::decode(block).unwrap() else { panic!("a part of a map is a map") };
    let Ipld::List(shards) = shards["shards"].clone() else { panic!("it is split") };
    let refuse = |ports: Ipld, more: Vec<Vec<u8>>, why: &str| {
        let mut fields = fields.clone();
        fields.insert("ports".into(), ports);
        let state = node::encode(&Ipld::Map(fields)).unwrap();
        let mut lying = CarWriter::new(Vec::new(), &[node_cid(&state)]).unwrap();
        lying.write(&node_cid(&state), &state).unwrap();
        for block in more {
            lying.write(&node_cid(&block), &block).unwrap();
        }
        for (cid, block) in blocks.iter().filter(|(cid, _)| cid != root) {
            lying.write(cid, block).unwrap();
        }
        let before = world.blocks();
        let error = world.import(lying.finish().unwrap()).unwrap_err();
        assert!(matches!(&error, everturn::HypervisorError::Archive(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(world.blocks(), before, "nothing came in");
    };
    let part = |field: &str, list: Vec<Ipld>| {
        let block = node::encode(&Ipld::Map([(field.to_owned(), Ipld::List(list))].into())).unwrap();
        (Ipld::Link(node_cid(&block)), block)
    };
    let mut swapped = shards.clone();
    swapped.swap(2, 9);
    let (link, block) = part("shards", swapped);
    refuse(link, vec![block], "belongs into another shard");
    let (link, block) = part("shards", shards[..15].to_vec());
    refuse(link, vec![block], "has not 16 shards");

    // A shard of the lowest level, found by going down.
    let mut path = vec![(map, 0)];
    let entries = loop {
        let (cid, _) = path[path.len() - 1];
        let (_, block) = blocks.iter().find(|(other, _)| *other == cid).unwrap();
        let Ipld::Map(part) = node::decode(block).unwrap() else { panic!("a part of a map is a map") };
        if let Some(Ipld::List(entries)) = part.get("entries") {
            break entries.clone();
        }
        let Ipld::List(shards) = &part["shards"] else { panic!("it is split") };
        let at = shards.iter().position(|shard| *shard != Ipld::Null).unwrap();
        let Ipld::Link(below) = shards[at] else { panic!("a shard is a link") };
        path.push((below, at));
    };
    let mut backwards = entries.clone();
    backwards.reverse();
    let (link, block) = part("entries", backwards);
    refuse(link, vec![block], "not in the order of their keys");
    let (link, block) = part("entries", entries[..3].to_vec());
    refuse(link, vec![block], "belong into the state node itself");
    let halves: Vec<Ipld> = vec![Ipld::Null; 15];
    let (few, below) = part("entries", entries);
    let (link, block) = part("shards", std::iter::once(few).chain(halves).collect());
    refuse(link, vec![block, below], "which belong into one shard");
    let (_, leaf) = blocks.iter().find(|(cid, _)| *cid == path[path.len() - 1].0).unwrap();
    let Ipld::Map(leaf) = node::decode(leaf).unwrap() else { panic!("a part of a map is a map") };
    let Ipld::List(leaf) = &leaf["entries"] else { panic!("the lowest level has entries") };
    let named = |port: &Ipld, number: usize| {
        let Ipld::Map(mut port) = port.clone() else { panic!("a port is a map") };
        port.remove("name");
        (format!("port {number}"), Ipld::Map(port))
    };
    let inline = (0..65).map(|number| named(&leaf[number % leaf.len()], number)).collect();
    refuse(Ipld::Map(inline), vec![], "holds 65 ports itself");
    refuse(Ipld::Null, vec![], "neither a map nor a link");
}
