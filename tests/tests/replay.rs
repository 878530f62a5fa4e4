//! Inputs that are kept, run again from their checkpoint: the same roots, however often the first life was cut; and what is changed shows.

use std::num::NonZeroUsize;
use std::sync::Arc;

use everturn::native::{Incoming, Native, NativeType};
use everturn::replay::{Comparison, ReplayError, Replayed, replay};
use everturn::{
    Builder, Cid, ContainerId, Exception, ExceptionKind, Hypervisor, Ipld, MemoryStore, Receipt, Settings,
    SideBySide, Store, Turn, node,
};
use everturn_dag::{Batch, Reader, Space};
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::entropy::Derived;
use crate::host::{Host, assert_whole};
use crate::world::{Ways, World, js};

/// Random numbers, a timer, a child that is called and throws, promises over turns and a try that is caught.
const PROGRAM: &str = r#"
globalThis.log = [];
let beats = 0;
ports.bind("child", ports.create("js", `
    let n = 0;
    export default { message(msg) {
        n += msg.data;
        const uuid = crypto.randomUUID();
        if (msg.data === 13) throw new Error("unlucky " + uuid);
        return uuid + n;
    } };`));
setInterval(() => { beats++; log.push(crypto.getRandomValues(new Uint8Array(3)).join()); }, 1000);
export default {
    async message(msg) {
        log.push(Math.random(), Date.now());
        if (msg.data === "throw") { crypto.randomUUID(); throw new Error("no"); }
        if (msg.from === "peer" || typeof msg.data !== "number") return log.push(msg.data);
        try { log.push(await call(ports.get("child"), msg.data)); } catch (error) { log.push(error.message); }
        const peer = ports.get("peer");
        if (peer) send(peer, log.at(-1));
        return log.length;
    },
};"#;

fn builder(settings: Settings) -> Builder {
    Hypervisor::builder().settings(settings).register_container("js", js(&Ways::default()))
}

/// Runs what a store keeps again.
#[expect(clippy::result_large_err, reason = "nothing here is called often")]
fn again(
    store: &dyn Reader,
    from: &Cid,
    builder: Builder,
) -> Result<(Replayed, Vec<Comparison>), ReplayError> {
    let host = Host::on(Arc::new(MemoryStore::new()));
    let mut told = Vec::new();
    let replayed = host.block_on(replay(store, from, builder, &mut |comparison| told.push(*comparison)))?;
    Ok((replayed, told))
}

fn assert_same_life(store: &dyn Reader, from: &Cid) -> u64 {
    let one_by_one = Settings { threads: NonZeroUsize::new(1), ..Settings::default() };
    let threads = NonZeroUsize::new(3);
    let side_by_side = Settings { threads, side_by_side: SideBySide::Always, ..Settings::default() };
    let mut compared = 0;
    for settings in [one_by_one, side_by_side] {
        let (replayed, told) = again(store, from, builder(settings)).unwrap();
        assert_eq!(replayed.difference, None, "{told:?}");
        assert!(told.iter().all(Comparison::is_equal) && told.len() as u64 == replayed.compared);
        compared = replayed.compared;
    }
    compared
}

impl World {
    fn keep(&self) -> Cid {
        self.block_on(self.hypervisor().keep_inputs()).unwrap().checkpoint
    }

    fn fire(&self, now_ms: u64) {
        self.block_on(self.hypervisor().fire_timers(now_ms)).unwrap();
    }

    /// A line that somebody interrupts once it runs.
    fn interrupted(&self, line: &str) -> Receipt {
        let ended = self.hypervisor().evaluate(&self.root, "line", line);
        self.block_on(async {
            tokio::pin!(ended);
            loop {
                // Before it runs, that does nothing.
                self.hypervisor().interrupt();
                tokio::select! {
                    ended = &mut ended => return ended.unwrap(),
                    () = tokio::task::yield_now() => {}
                }
            }
        })
    }
}

/// A life with all that can come from outside; gives the roots that were made.
fn live(world: &mut World) -> Vec<Cid> {
    let mut roots = Vec::new();
    world.create("main", PROGRAM.into()).unwrap();
    for n in 0..5 {
        world.send(n);
    }
    world.fire(1_500);
    roots.push(world.state_root());
    let main = world.root;
    world.create("other", PROGRAM.into()).unwrap();
    let other = world.root;
    world.root = main;
    assert!(world.send("throw").outcome.is_err());
    world.send(13);
    world.restart();
    world.fire(4_000);
    world.eval("log.push(crypto.randomUUID()); log.length");
    world.line("crypto.randomUUID(); throw new Error('typed')").unwrap_err();
    roots.push(world.state_root());
    world.send(7);
    world.block_on(world.hypervisor().restore(&main, &roots[0])).unwrap();
    world.send(8);
    world.create("bad", "throw new Error('never')".into()).unwrap_err();
    world.root = other;
    // Sent at once, to two containers.
    let send = |to: ContainerId, n: i128| {
        let message = everturn::Message { data: node::encode(&n).unwrap(), ..Default::default() };
        world.hypervisor().send(&to, message)
    };
    let all: Vec<_> = (0..40).map(|n| send(if n % 3 == 0 { main } else { other }, n)).collect();
    for receipt in all {
        world.block_on(receipt).unwrap();
    }
    world.fire(9_000);
    roots.push(world.state_root());
    roots
}

#[test]
fn a_life_is_run_again_and_comes_to_the_same() {
    for ways in Ways::to_survive() {
        let mut world = World::with_nothing(ways);
        let from = world.keep();
        let roots = live(&mut world);
        world.stop();
        assert!(assert_same_life(&*world.store, &from) >= roots.len() as u64 + 2);
        // The living store is as it was, and goes on.
        assert_whole(&*world.store);
        world.start();
        world.send(1);
        world.stop();
        assert_same_life(&*world.store, &from);
    }
}

#[test]
fn what_was_connected_revived_and_interrupted_is_so_again() {
    for ways in Ways::to_survive() {
        let mut world = World::with_nothing(ways);
        let from = world.keep();
        world.create("main", PROGRAM.into()).unwrap();
        let main = world.root;
        world.create("other", PROGRAM.into()).unwrap();
        let other = std::mem::replace(&mut world.root, main);
        let connect = |world: &World, name_there: &str| {
            world.block_on(world.hypervisor().connect(&main, "peer", &other, name_there))
        };
        connect(&world, "peer").unwrap();
        connect(&world, "elsewhere").unwrap_err();
        world.send(3);
        world.idle();
        world.root = other;
        assert_eq!(world.eval("typeof log[2]"), "'string'", "what was sent through the channel");
        world.root = main;
        // A child's state lives on as a root of its own, once the child is gone.
        let child = world.inspect().into_iter().find(|found| found.parent == Some(main)).unwrap().id;
        let root = Host::state_root(&world, &child);
        world.eval("ports.delete('child')");
        let revived = world.hypervisor().revive_instance("js", "revived", &root);
        world.root = world.block_on(revived).unwrap();
        world.send(4);
        world.root = main;
        let discarded = world.interrupted("log.push('never'); for (;;) {}");
        assert_eq!(discarded.outcome.unwrap_err().kind, ExceptionKind::Interrupted);
        assert_eq!(world.eval("log.includes('never')"), "false");
        world.state_root();
        world.stop();
        assert_same_life(&*world.store, &from);
    }
}

#[test]
fn keeping_changes_no_outcome_and_goes_on_in_a_reopened_store() {
    let mut plain = World::with_nothing(Ways::default());
    let mut kept = World::with_nothing(Ways::default());
    kept.keep();
    assert_eq!(live(&mut plain), live(&mut kept));
    let before = kept.block_on(kept.hypervisor().kept_inputs()).unwrap().unwrap();
    kept.restart();
    kept.send(1);
    let after = kept.block_on(kept.hypervisor().kept_inputs()).unwrap().unwrap();
    assert!(after.rows > before.rows && after.turns > before.turns && after.bytes > before.bytes);
    assert_eq!(after.checkpoint, before.checkpoint);
}

#[test]
fn keeping_begins_in_the_middle_of_a_life_and_anew() {
    let mut world = World::new(PROGRAM);
    world.send(1);
    world.fire(2_000);
    let first = world.keep();
    world.send(2);
    world.fire(3_000);
    world.idle();
    world.stop();
    assert_same_life(&*world.store, &first);
    world.start();
    let second = world.keep();
    assert_ne!(first, second);
    world.send(3);
    world.stop();
    assert_same_life(&*world.store, &second);
    let other = again(&*world.store, &first, builder(Settings::default())).unwrap_err();
    assert!(matches!(other, ReplayError::OtherBeginning { kept, asked } if kept == second && asked == first));
}

#[test]
fn what_is_forgotten_takes_no_room_and_cannot_be_run_again() {
    let mut world = World::with_nothing(Ways::default());
    let from = world.keep();
    live(&mut world);
    world.block_on(world.hypervisor().forget_inputs()).unwrap();
    assert_eq!(world.block_on(world.hypervisor().kept_inputs()).unwrap(), None);
    world.send(1);
    world.stop();
    let mut rows = 0;
    world
        .store
        .scan(Space::Inputs, &[], &mut |_, _| {
            rows += 1;
            true
        })
        .unwrap();
    assert_eq!(rows, 0);
    let none = again(&*world.store, &from, builder(Settings::default())).unwrap_err();
    assert!(matches!(none, ReplayError::NothingKept));
}

/// Every row, by its key.
fn rows(store: &dyn Reader) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    store
        .scan(Space::Inputs, b"r", &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            true
        })
        .unwrap();
    rows
}

fn put(store: &dyn Store, key: &[u8], value: Vec<u8>) {
    let mut batch = Batch::new();
    batch.put(Space::Inputs, key, value);
    store.write(batch).unwrap();
}

#[test]
fn a_changed_row_is_a_difference_and_a_damaged_one_an_error_that_names_it() {
    let mut world = World::with_nothing(Ways::default());
    let from = world.keep();
    live(&mut world);
    world.stop();
    let store = world.store.clone();
    let all = rows(&*store);
    // One message says 9 where it said 2.
    let said = |value: &[u8]| value.windows(6).position(|bytes| bytes == b"data\x41\x02");
    let (key, value, at) =
        all.iter().find_map(|(key, value)| Some((key, value, said(value)?))).expect("2 was sent");
    let mut changed = value.clone();
    changed[at + 5] = 9;
    put(&*store, key, changed);
    let (replayed, told) = again(&*store, &from, builder(Settings::default())).unwrap();
    let difference = replayed.difference.unwrap();
    assert!(difference.container.is_some(), "{difference:?}");
    assert!(told.last().is_none_or(|last| !last.is_equal()), "{told:?}");
    // One that cannot be read, and one that is gone.
    put(&*store, key, vec![0xff]);
    let number = u64::from_be_bytes(key[1..].try_into().unwrap());
    let told = again(&*store, &from, builder(Settings::default())).unwrap_err().to_string();
    assert!(told.contains(&format!("kept input {number}")), "{told}");
    let mut batch = Batch::new();
    batch.delete(Space::Inputs, key.clone());
    store.write(batch).unwrap();
    let told = again(&*store, &from, builder(Settings::default())).unwrap_err().to_string();
    assert!(told.contains(&format!("kept input {number}")) && told.contains("not there"), "{told}");
}

/// Adds up what it is told, each time with a random byte; `BY` says how often.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Adder<const BY: u64> {
    sum: u64,
}

impl<const BY: u64> Native for Adder<BY> {
    fn create(_: &mut Turn, _: Ipld) -> Result<Self, Exception> {
        Ok(Adder::default())
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let mut byte = [0];
        turn.entropy(&mut byte)
            .map_err(|refusal| Exception::new(ExceptionKind::Throw, refusal.to_string()))?;
        if let Ipld::Integer(n) = message.data() {
            self.sum += n as u64 * BY + u64::from(byte[0]);
        }
        Ok(())
    }
}

#[test]
fn another_program_under_the_name_of_a_type_is_told_with_its_container() {
    let mut host = Host::on(Arc::new(MemoryStore::new()));
    let with = |builder: Builder| builder.register_container("adder", NativeType::<Adder<1>>::new());
    host.start(with(Hypervisor::builder().entropy(Derived))).unwrap();
    let from = host.block_on(host.hypervisor().keep_inputs()).unwrap().checkpoint;
    let made = host.hypervisor().create_instance("adder", "main", Ipld::Null);
    let adder = host.block_on(made).unwrap();
    for n in 0..10 {
        host.send(&adder, n);
    }
    let root = host.state_root(&adder);
    host.stop();
    let (replayed, _) = again(&*host.store, &from, with(Hypervisor::builder())).unwrap();
    assert_eq!((replayed.difference, replayed.turns), (None, 11));
    let changed = Hypervisor::builder().register_container("adder", NativeType::<Adder<2>>::new());
    let (replayed, told) = again(&*host.store, &from, changed).unwrap();
    let difference = replayed.difference.unwrap();
    assert_eq!(difference.container, Some(adder));
    assert_eq!(told[0].expected, Some(root));
    assert!(told[0].found.is_some() && told[0].found != Some(root));
}

#[test]
fn random_lives_are_run_again() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let lookahead = everturn::Ticks([1, 7, 1_000][dice.roll(3) as usize]);
        let settings = Settings { lookahead, ..Settings::default() };
        let mut world = World::with_nothing(Ways { settings, ..Ways::default() });
        let from = world.keep();
        world.create("main", PROGRAM.into()).unwrap();
        let (mut now_ms, mut roots) = (0, Vec::new());
        for _ in 0..20 {
            match dice.roll(8) {
                0 => world.restart(),
                1 => roots.push(world.state_root()),
                2 => {
                    now_ms += dice.roll(3_000);
                    world.fire(now_ms);
                }
                3 => drop(world.send("throw")),
                4 if !roots.is_empty() => {
                    let root = roots[dice.roll(roots.len() as u64) as usize];
                    world.block_on(world.hypervisor().restore(&world.root, &root)).unwrap();
                }
                5 => drop(world.line("log.push(crypto.randomUUID())")),
                n => drop(world.send(i128::from(n + dice.roll(12)))),
            }
        }
        world.stop();
        let (replayed, told) = again(&*world.store, &from, builder(settings)).unwrap();
        assert_eq!(replayed.difference, None, "seed {seed}: {told:?}");
    }
}
