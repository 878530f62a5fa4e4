//! Containers that talk to each other: ping-pong, windows on several threads, state roots of many containers. No disk.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use everturn::native::{Incoming, Native, NativeType};
use everturn::{
    Budget, Cid, ContainerId, Exception, Hypervisor, Ipld, Kind, MemoryStore, Message, Settings, Store,
    Ticks, Turn, TurnsBy,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::counters::{Fan, Tally};
use super::million::Crowd;
use crate::Failure;
use crate::durations::{figure, median};
use crate::process;
use crate::table::{Row, Table, Target};
use crate::world::Bed;

const NATIVE_TURNS: u64 = 300_000;
const JS_TURNS: u64 = 60_000;
/// Busy containers, how often each works, and for how long a time.
const BUSY: u64 = 8;
const BUSY_TURNS: u64 = 250;
const BUSY_ROUNDS: u64 = 20_000;
const BUSY_TICKS: u64 = 10_000;
/// As many threads as there are cores.
pub(super) const ALL_CORES: usize = 0;
/// A tree of containers: children of each, and levels below the root.
const FAN_OUT: u64 = 46;
const LEVELS: u64 = 3;

/// Sends back what it gets, one less.
#[derive(Clone, Serialize, Deserialize)]
struct Player {}

/// Works for a while with each message, a number of times; or has others do so.
#[derive(Clone, Serialize, Deserialize)]
struct Worker {
    sum: u64,
}

/// Has children down to a level. A message goes on to one of them, by the digits of its number, and is counted where it ends.
#[derive(Clone, Serialize, Deserialize)]
struct Branch {
    level: u64,
    count: u64,
}

/// A message that is a number; anything else is 0.
pub(super) fn number(data: &Ipld) -> u64 {
    match data {
        Ipld::Integer(number) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}

pub(super) fn encode(number: u64) -> Vec<u8> {
    everturn::node::encode(&number).unwrap_or_default()
}

impl Native for Player {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Player, Exception> {
        if init == Ipld::Bool(true) {
            let other = turn.create("player", &encode(0))?;
            turn.bind("other", other)?;
        }
        Ok(Player {})
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let left = number(&message.data());
        if left > 0 {
            let other = turn.get("other").or_else(|_| turn.parent())?;
            turn.send(other, &encode(left - 1), &[], 0)?;
        }
        Ok(())
    }
}

impl Native for Worker {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Worker, Exception> {
        for worker in 0..number(&init) {
            let port = turn.create("worker", &encode(0))?;
            turn.bind(&format!("{worker}"), port)?;
        }
        Ok(Worker { sum: 0 })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let data = message.data();
        let names = turn.names();
        for name in &names {
            let port = turn.get(name)?;
            for _ in 0..number(&data) {
                turn.send(port, &encode(1), &[], 0)?;
            }
        }
        if names.is_empty() {
            for round in 0..BUSY_ROUNDS {
                self.sum = std::hint::black_box(self.sum.wrapping_mul(6_364_136_223_846_793_005) + round);
            }
            turn.increment_ticks(Ticks(BUSY_TICKS));
        }
        Ok(())
    }
}

impl Native for Branch {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Branch, Exception> {
        let level = number(&init);
        for child in 0..if level > 0 { FAN_OUT } else { 0 } {
            let port = turn.create("branch", &encode(level - 1))?;
            turn.bind(&format!("{child}"), port)?;
        }
        Ok(Branch { level, count: 0 })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let number = number(&message.data());
        if self.level == 0 || message.kind != Kind::Message {
            self.count += 1;
            return Ok(());
        }
        let child = turn.get(&format!("{}", number % FAN_OUT))?;
        Ok(turn.send(child, &encode(number / FAN_OUT), &[], 0)?)
    }
}

/// A hypervisor whose loop is ours.
pub(super) struct Loop {
    runtime: Runtime,
    hypervisor: Hypervisor,
}

impl Loop {
    /// On a store in memory.
    pub(super) fn new(bed: &Bed, threads: usize, lookahead: u64) -> Result<Loop, Failure> {
        Loop::on(Arc::new(MemoryStore::new()), bed, threads, lookahead)
    }

    pub(super) fn on(
        store: Arc<dyn Store>,
        bed: &Bed,
        threads: usize,
        lookahead: u64,
    ) -> Result<Loop, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let settings = Settings {
            threads: NonZeroUsize::new(threads),
            lookahead: Ticks(lookahead),
            turns_by: TurnsBy::Host,
            batch_turns: Some(1_000_000),
            ..Settings::default()
        };
        let builder = Hypervisor::builder().shared_store(store).settings(settings);
        let hypervisor = runtime.block_on(builder.build())?;
        hypervisor.register_container("js", bed.js.clone());
        hypervisor.register_container("player", NativeType::<Player>::new());
        hypervisor.register_container("worker", NativeType::<Worker>::new());
        hypervisor.register_container("branch", NativeType::<Branch>::new());
        hypervisor.register_container("crowd", NativeType::<Crowd>::new());
        hypervisor.register_container("fan", NativeType::<Fan>::new());
        hypervisor.register_container("tally", NativeType::<Tally>::new());
        hypervisor.register_container("counter", bed.counter.clone());
        Ok(Loop { runtime, hypervisor })
    }

    pub(super) fn root(&self, kind: &str, init: impl Into<Ipld>) -> Result<ContainerId, Failure> {
        let (made, ran) = self.runtime.block_on(async {
            tokio::join!(self.hypervisor.create_instance(kind, "", init), self.hypervisor.run_until_idle())
        });
        ran?;
        self.idle()?;
        Ok(made?)
    }

    fn idle(&self) -> Result<u64, Failure> {
        Ok(self.runtime.block_on(self.hypervisor.run(Budget::default()))?.turns)
    }

    /// Sends numbers, runs everything, gives the seconds and the turns.
    pub(super) fn play(
        &self,
        to: &ContainerId,
        numbers: impl Iterator<Item = u64>,
    ) -> Result<(f64, u64), Failure> {
        for number in numbers {
            drop(self.hypervisor.send(to, Message { data: encode(number), ..Message::default() }));
        }
        let begun = Instant::now();
        let turns = self.idle()?;
        Ok((begun.elapsed().as_secs_f64(), turns))
    }

    pub(super) fn state_root(&self, root: &ContainerId) -> Result<(f64, Cid), Failure> {
        let begun = Instant::now();
        let cid = self.runtime.block_on(self.hypervisor.create_state_root(root, Ticks::MAX))?;
        Ok((begun.elapsed().as_secs_f64(), cid))
    }

    pub(super) fn stop(self) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.hypervisor.stop())?)
    }
}

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    ping_pong(bed, table, "player", Ipld::Bool(true), NATIVE_TURNS, "native", 1_500_000.0)?;
    let player = "export default { message(msg) { if (msg.data > 0) send(ports.get('other') ?? self.parent, msg.data - 1); } };";
    let first = format!("ports.bind('other', ports.create('js', {player:?})); {player}");
    ping_pong(bed, table, "js", first.into(), JS_TURNS, "JS", 300_000.0)?;
    side_by_side(bed, table)?;
    roots(bed, table)
}

fn ping_pong(
    bed: &Bed,
    table: &mut Table,
    kind: &str,
    init: Ipld,
    turns: u64,
    name: &str,
    target: f64,
) -> Result<(), Failure> {
    let world = Loop::new(bed, 1, 1)?;
    let root = world.root(kind, init)?;
    world.play(&root, std::iter::once(turns / 10))?;
    let mut rates = Vec::new();
    for _ in 0..bed.effort.of(9) {
        let (seconds, ran) = world.play(&root, std::iter::once(turns))?;
        if ran != turns + 1 {
            return Err(format!("{ran} turns ran in place of {}", turns + 1).into());
        }
        rates.push(ran as f64 / seconds);
    }
    let what = format!("ping-pong between two {name} containers, one thread");
    table.add(Row::new(what, Target::AtLeast(target), median(rates), "turns/s"));
    world.stop()
}

fn side_by_side(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    for (lookahead, target) in [(100_000, Target::AtLeast(1.8)), (1, Target::None)] {
        let mut ratios = Vec::new();
        for _ in 0..bed.effort.of(5) {
            let mut seconds = Vec::new();
            let mut roots = Vec::new();
            for threads in [1, 2] {
                let world = Loop::new(bed, threads, lookahead)?;
                let root = world.root("worker", Ipld::Integer(BUSY.into()))?;
                world.play(&root, std::iter::once(1))?;
                seconds.push(world.play(&root, std::iter::once(BUSY_TURNS))?.0);
                roots.push(world.state_root(&root)?.1);
                world.stop()?;
            }
            if roots[0] != roots[1] {
                return Err("another number of threads gave another root".into());
            }
            ratios.push(seconds[0] / seconds[1]);
        }
        let what = format!("busy containers on two threads, of one thread, lookahead {lookahead}");
        let note = format!("{BUSY} native containers, {BUSY_TURNS} turns each; same root");
        table.add(Row::new(what, target, median(ratios), "times").note(note));
    }
    Ok(())
}

fn roots(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let world = Loop::new(bed, ALL_CORES, 1)?;
    let begun = Instant::now();
    let root = world.root("branch", Ipld::Integer(LEVELS.into()))?;
    let made = begun.elapsed().as_secs_f64();
    let containers: u64 = (0..=LEVELS).map(|level| FAN_OUT.pow(level as u32)).sum();
    let (first, _) = world.state_root(&root)?;
    let mut next = 0;
    for (changed, target) in [(1_000u64, 30.0), (1, 1.0)] {
        let (mut millis, mut processor) = (Vec::new(), Vec::new());
        for _ in 0..bed.effort.of(9) {
            // A stride that is prime to the number of leaves spreads them.
            let leaves = FAN_OUT.pow(LEVELS as u32);
            world.play(&root, (0..changed).map(|n| (next + n) * 7_919 % leaves))?;
            next += changed;
            let before = process::seconds()?;
            millis.push(world.state_root(&root)?.0 * 1e3);
            processor.push((process::seconds()? - before) * 1e3);
        }
        let what = format!("state root after {changed} of {containers} native containers changed");
        let note = format!(
            "{FAN_OUT} children each; {} ms of it processor time; the first root {:.0} ms, making them {made:.1} s",
            figure(median(processor)),
            first * 1e3
        );
        table.add(Row::new(what, Target::AtMost(target), median(millis), "ms").note(note));
    }
    world.stop()
}
