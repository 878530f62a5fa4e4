//! Random programs under every way of running them: one delivery log and one root for each lookahead.
//!
//! The containers are native and do what a generator in their state tells them: create, bind, send, move ports, open
//! channels, call, throw, burn ticks, delete, and misuse all of it. On the way there are restarts, state roots, and checkpoints that
//! another hypervisor goes on from. Each turn writes a line, so the lines are the delivery log.

use std::collections::BTreeMap;
use std::io::Seek;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use everturn::native::{Incoming, Native, NativeType};
use everturn::{
    Budget, Builder, Cid, ContainerId, Exception, ExceptionKind, Handle, Hypervisor, HypervisorError,
    ImportLimits, Ipld, Kind, Limits, LogLevel, MemoryStore, Message, Refusal, Settings, SideBySide, Store,
    Ticks, Turn, TurnsBy, Unloading,
};
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::host::assert_whole;

/// A container that does as its dice say.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Gambler {
    dice: Dice,
}

/// `[how often it may be sent on, a number]`; anything else may not be sent on.
fn read(data: &Ipld) -> (u64, u64) {
    match data {
        Ipld::List(list) => match list[..] {
            [Ipld::Integer(hops), Ipld::Integer(number)] => (hops as u64, number as u64),
            _ => (0, 0),
        },
        _ => (0, 0),
    }
}

fn write(hops: u64, number: u64) -> Vec<u8> {
    everturn::node::encode(&Ipld::List(vec![Ipld::Integer(hops.into()), Ipld::Integer(number.into())]))
        .unwrap()
}

impl Native for Gambler {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Gambler, Exception> {
        let (_, number) = read(&init);
        let ticks = turn.ticks().0;
        say(turn, &format!("create t{ticks}"));
        let mut gambler = Gambler { dice: Dice(number) };
        match gambler.dice.roll(12) {
            0 => Err(Exception::new(ExceptionKind::Throw, "stillborn")),
            _ => Ok(gambler),
        }
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let (hops, number) = read(&message.data());
        self.dice.0 ^= number;
        let ticks = turn.ticks().0;
        let why = why(message);
        say(turn, &format!("{:?} {:?} t{ticks} h{hops}{why}", message.kind, message.source));
        for port in 0..turn.message_ports() {
            let name = format!("m{}", self.dice.roll(6));
            let done = turn.bind(&name, Handle(port));
            note(turn, "moved", done);
        }
        if message.kind == Kind::Message && hops > 0 {
            for _ in 0..1 + self.dice.roll(5) {
                self.act(turn, hops - 1);
            }
            if self.dice.roll(12) == 0 {
                return Err(Exception::new(ExceptionKind::Throw, "bad luck"));
            }
        }
        Ok(())
    }
}

fn say(turn: &mut Turn, line: &str) {
    turn.log(LogLevel::Info, line).expect("a turn may say so much");
}

/// Writes down how a syscall went.
fn note<T>(turn: &mut Turn, what: &str, done: Result<T, Refusal>) -> Option<T> {
    let line = match &done {
        Ok(_) => format!("  {what}"),
        Err(refusal) => format!("  refused {what} {}", refusal.code()),
    };
    say(turn, &line);
    done.ok()
}

impl Gambler {
    /// A port to send through: the parent's or a bound one.
    fn some_port(&mut self, turn: &mut Turn) -> Option<Handle> {
        let names = turn.names();
        match self.dice.roll(names.len() as u64 + 1) {
            0 => turn.parent().ok(),
            n => turn.get(&names[n as usize - 1]).ok(),
        }
    }

    fn some_name(&mut self, turn: &mut Turn) -> Option<String> {
        let names = turn.names();
        (!names.is_empty()).then(|| names[self.dice.roll(names.len() as u64) as usize].clone())
    }

    fn act(&mut self, turn: &mut Turn, hops: u64) -> Option<()> {
        let number = self.dice.roll(u64::MAX);
        let data = write(hops, number >> 1);
        let priority = self.dice.roll(3) as i32 - 1;
        match self.dice.roll(15) {
            0 | 1 => {
                let child = turn.create("gambler", &data);
                let child = note(turn, "created", child)?;
                let name = format!("c{}", self.dice.roll(5));
                note_bind(turn, &name, child);
                let sent = turn.send(child, &data, &[], priority);
                note(turn, "sent", sent);
            }
            2..=4 => {
                let port = self.some_port(turn)?;
                let sent = turn.send(port, &data, &[], priority);
                note(turn, "sent", sent);
            }
            5 | 6 => {
                let name = self.some_name(turn)?;
                let (to, moved) = (self.some_port(turn)?, turn.unbind(&name));
                let moved = note(turn, "unbound", moved)?;
                let sent = turn.send(to, &data, &[moved], priority);
                note(turn, "sent a port", sent);
            }
            7 => {
                let channel = turn.channel();
                let (here, there) = note(turn, "channel", channel)?;
                note_bind(turn, &format!("e{}", self.dice.roll(4)), here);
                let to = self.some_port(turn)?;
                let sent = turn.send(to, &data, &[there], priority);
                note(turn, "sent an end", sent);
            }
            8 => {
                let channel = turn.channel();
                let (here, there) = note(turn, "channel", channel)?;
                note_bind(turn, &format!("r{}", self.dice.roll(4)), here);
                let to = self.some_port(turn)?;
                let sent = turn.call_port(to, &data, &[there], priority);
                note(turn, "called", sent);
            }
            9 => {
                let name = self.some_name(turn)?;
                let deleted = turn.delete(&name);
                note(turn, "deleted", deleted);
            }
            10 => turn.increment_ticks(Ticks(self.dice.roll(60))),
            11 => {
                let answered = turn.answer(&data);
                note(turn, "answered", answered);
            }
            13 => self.misuse(turn, &data),
            _ => {
                let port = self.some_port(turn)?;
                let dropped = turn.drop_port(port);
                note(turn, "dropped", dropped);
            }
        }
        Some(())
    }
}

impl Gambler {
    /// What is refused whatever the ports are.
    fn misuse(&mut self, turn: &mut Turn, data: &[u8]) {
        let refused = match self.dice.roll(6) {
            0 => turn.bind("", Handle(0)),
            1 => turn.bind("free", Handle(u32::MAX)),
            2 => turn.unbind("nothing").map(drop),
            3 => turn.channel().and_then(|(one, two)| turn.send(one, data, &[two], 0)),
            4 => turn.channel().and_then(|(one, _)| turn.send(one, &[0xff], &[], 0)),
            _ => turn.channel().and_then(|(one, _)| turn.send(one, &[0; MESSAGE_BYTES_MAX + 1], &[], 0)),
        };
        note(turn, "misused", refused);
        let parent = turn.parent();
        note(turn, "looked up", parent);
    }
}

/// Why something failed that a container is told of.
fn why(message: &Incoming<'_>) -> String {
    match (message.kind, message.data()) {
        (Kind::Exception, Ipld::Map(notice)) => format!(" {:?}", notice.get("kind")),
        _ => String::new(),
    }
}

fn note_bind(turn: &mut Turn, name: &str, port: Handle) {
    let bound = turn.bind(name, port);
    note(turn, "bound", bound);
}

/// Room for what is sent here, and not for more.
const MESSAGE_BYTES_MAX: usize = 150;

/// How a program is run. Only `lookahead` may show.
#[derive(Clone, Copy, Debug)]
struct Way {
    lookahead: u64,
    threads: usize,
    savepoint_turns: Option<u32>,
    batch_turns: Option<u32>,
    unloading: Unloading,
    /// Turns between stops of the loop, and whether the hypervisor is opened anew at each.
    pause_turns: Option<u64>,
    restart: bool,
    /// At each stop: a state root of what has run, and a checkpoint that another hypervisor goes on from.
    leave: Leave,
}

/// What is made of a program that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Nothing,
    /// A state root, released again.
    Root,
    /// A checkpoint; it goes on from there in another store.
    Checkpoint,
}

impl Way {
    fn plain(lookahead: u64) -> Way {
        let unloading = Unloading::Never;
        Way {
            lookahead,
            threads: 1,
            savepoint_turns: None,
            batch_turns: None,
            unloading,
            pause_turns: None,
            restart: false,
            leave: Leave::Nothing,
        }
    }

    fn random(dice: &mut Dice, lookahead: u64) -> Way {
        let span = |dice: &mut Dice| [None, Some(1), Some(3), Some(1_000)][dice.roll(4) as usize];
        let pause_turns = [None, None, Some(1), Some(7)][dice.roll(4) as usize];
        Way {
            lookahead,
            threads: [1, 2, 4, 8][dice.roll(4) as usize],
            savepoint_turns: span(dice),
            batch_turns: span(dice),
            unloading: [Unloading::EveryTurn, Unloading::Above { bytes: 40 }, Unloading::Never]
                [dice.roll(3) as usize],
            pause_turns,
            restart: pause_turns.is_some() && dice.roll(3) == 0,
            leave: [Leave::Nothing, Leave::Root, Leave::Checkpoint][dice.roll(3) as usize],
        }
    }

    fn settings(self) -> Settings {
        Settings {
            lookahead: Ticks(self.lookahead),
            threads: NonZeroUsize::new(self.threads),
            side_by_side: SideBySide::Always,
            savepoint_turns: self.savepoint_turns,
            batch_turns: self.batch_turns,
            unloading: self.unloading,
            turns_by: TurnsBy::Host,
            limits: Limits {
                queue_places_max: 2,
                ports_max: 6,
                depth_max: 3,
                containers_max: 12,
                message_bytes_max: MESSAGE_BYTES_MAX,
                ..Limits::default()
            },
            ..Settings::default()
        }
    }
}

/// What may depend on the program and its lookahead alone.
#[derive(Clone, Debug)]
struct Outcome {
    log: Vec<String>,
    root: Cid,
    containers: usize,
    /// State roots that were made on the way, and checkpoints that were gone on from: these depend on the way.
    cuts: u64,
    moves: u64,
}

async fn open(store: &Arc<dyn Store>, way: Way, log: &Arc<Mutex<Vec<String>>>) -> Hypervisor {
    start(Hypervisor::builder().shared_store(store.clone()), way, log).await
}

async fn start(builder: Builder, way: Way, log: &Arc<Mutex<Vec<String>>>) -> Hypervisor {
    let log = log.clone();
    let builder =
        builder.settings(way.settings()).register_container("gambler", NativeType::<Gambler>::new());
    let builder =
        builder.on_line(move |line| log.lock().unwrap().push(format!("{} {}", line.from, line.text)));
    builder.build().await.unwrap()
}

/// Makes a state root of what has run, if no turn of its last tick is still to come.
async fn root_between(hypervisor: &Hypervisor, root: ContainerId, next: Ticks) -> u64 {
    let made = hypervisor.create_state_root(&root, Ticks(next.0.saturating_sub(1))).await;
    match made {
        Ok(cid) => hypervisor.release_root(&cid).await.map(|()| 1).unwrap(),
        Err(HypervisorError::CutPassed { .. }) => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Goes on from a checkpoint in another store, which has nothing but what came in a file.
async fn moved(
    hypervisor: Hypervisor,
    way: Way,
    log: &Arc<Mutex<Vec<String>>>,
) -> (Arc<dyn Store>, Hypervisor) {
    let mut car = tempfile::tempfile().unwrap();
    let checkpoint = hypervisor.checkpoint().await.unwrap();
    hypervisor.export_root(&checkpoint, car.try_clone().unwrap()).await.unwrap();
    hypervisor.stop().await.unwrap();
    car.rewind().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    assert_eq!(everturn::import_car(&store, car, ImportLimits::default()).unwrap(), checkpoint);
    let hypervisor = start(Hypervisor::resume(store.clone(), &checkpoint), way, log).await;
    hypervisor.release_root(&checkpoint).await.unwrap();
    (store, hypervisor)
}

async fn play(seed: u64, way: Way) -> Outcome {
    let mut store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (mut cuts, mut moves) = (0, 0);
    let log = Arc::<Mutex<Vec<String>>>::default();
    let mut hypervisor = open(&store, way, &log).await;
    // The first number is one that is not stillborn.
    let first = (0..).map(|n| seed * 100 + n).find(|n| Dice(*n).roll(12) != 0).unwrap();
    let init = Ipld::List(vec![Ipld::Integer(0), Ipld::Integer(first.into())]);
    let (root, ran) =
        tokio::join!(hypervisor.create_instance("gambler", "", init), hypervisor.run_until_idle());
    let (root, _) = (root.unwrap(), ran.unwrap());
    for input in 0..3 {
        let message = Message { data: write(7, seed + input), ..Message::default() };
        // Queued when this returns; its receipt is not waited for, a restart may come first.
        drop(hypervisor.send(&root, message));
        let mut pause = Some(1);
        loop {
            let ran = hypervisor.run(Budget { turns: pause, ticks: None }).await.unwrap();
            let Some(next) = ran.next else { break };
            pause = way.pause_turns;
            match way.leave {
                Leave::Root => cuts += root_between(&hypervisor, root, next).await,
                // Once for each input: it takes a while.
                Leave::Checkpoint if moves <= input => {
                    (store, hypervisor) = moved(hypervisor, way, &log).await;
                    moves += 1;
                }
                Leave::Checkpoint | Leave::Nothing => {}
            }
            if way.restart {
                hypervisor.stop().await.unwrap();
                hypervisor = open(&store, way, &log).await;
            }
        }
    }
    let containers = check_ownership(&hypervisor, root).await;
    let cid = hypervisor.create_state_root(&root, Ticks::MAX).await.unwrap();
    hypervisor.stop().await.unwrap();
    assert_whole(&*store);
    let log = log.lock().unwrap().clone();
    Outcome { log, root: cid, containers, cuts, moves }
}

/// When idle, every container but the root is bound in exactly one place, and its owners lead to the root.
async fn check_ownership(hypervisor: &Hypervisor, root: ContainerId) -> usize {
    let all = hypervisor.inspect().await.unwrap();
    let mut owners: BTreeMap<ContainerId, Vec<ContainerId>> = BTreeMap::new();
    for container in &all {
        for (_, to) in &container.ports {
            owners.entry(*to).or_default().push(container.id);
        }
    }
    for container in all.iter().filter(|container| container.id != root) {
        let bound = owners.get(&container.id).cloned().unwrap_or_default();
        assert_eq!(bound.len(), 1, "{} is bound in {bound:?}", container.id);
        assert_eq!(container.parent, Some(bound[0]));
        let mut above = container.id;
        for _ in 0..=all.len() {
            above = owners.get(&above).map_or(above, |owners| owners[0]);
        }
        assert_eq!(above, root, "the owners of {} do not lead to the root", container.id);
    }
    all.len()
}

fn programs() -> u64 {
    std::env::var("EVERTURN_ORDER_PROGRAMS").map_or(2_000, |programs| programs.parse().expect("a number"))
}

#[test]
fn one_log_and_one_root_whatever_the_way() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut dice = Dice(1);
    for seed in 0..programs() {
        let lookahead = [1, 1, 7, 100_000][dice.roll(4) as usize];
        let expected = runtime.block_on(play(seed, Way::plain(lookahead)));
        for _ in 0..2 {
            let way = Way::random(&mut dice, lookahead);
            let outcome = runtime.block_on(play(seed, way));
            let differs = outcome.log.iter().zip(&expected.log).position(|(here, there)| here != there);
            if let Some(line) = differs {
                let (here, there) = (&outcome.log[line], &expected.log[line]);
                panic!("program {seed}, {way:?}, line {line}: {here:?} in place of {there:?}");
            }
            assert_eq!(outcome.log.len(), expected.log.len(), "program {seed}, {way:?}: one log is longer");
            assert_eq!(outcome.root, expected.root, "program {seed}, {way:?}");
            assert_eq!(outcome.containers, expected.containers, "program {seed}, {way:?}");
            *counts.entry("roots on the way".into()).or_default() += outcome.cuts as usize;
            *counts.entry("checkpoints gone on from".into()).or_default() += outcome.moves as usize;
        }
        count(&expected.log, &mut counts);
    }
    println!("{counts:?}");
    for (what, times) in counts {
        assert!(times > 0, "no {what} in all programs");
    }
}

/// Refusals that a native program can come to here. The types' names are not looked up, its calls are known to it, and a line that
/// would tell of too many effects is one itself: `stories::limits` has these.
const REFUSALS: [i32; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17];

fn count(log: &[String], counts: &mut BTreeMap<String, usize>) {
    for code in REFUSALS {
        let refused = log.iter().filter(|line| line.contains("  refused "));
        let mark = format!(" {code}");
        *counts.entry(format!("refusal {code:02}")).or_default() +=
            refused.filter(|line| line.ends_with(&mark)).count();
    }
    let kinds = [
        ("deliveries", " t"),
        ("moves", "  moved"),
        ("throws", " Exception "),
        ("refusals", "  refused"),
        ("containers too many", "too-many-containers"),
        ("deletions", "  deleted"),
        ("closes", " Close "),
        ("calls", "  called"),
    ];
    for (name, mark) in kinds {
        *counts.entry(name.to_owned()).or_default() += log.iter().filter(|line| line.contains(mark)).count();
    }
    let ticks: Vec<&str> =
        log.iter().filter_map(|line| line.split_once(" t").map(|(_, rest)| rest)).collect();
    let tick = |text: &str| text.split(' ').next().map(str::to_owned);
    let ties = ticks.windows(2).filter(|pair| tick(pair[0]) == tick(pair[1])).count();
    *counts.entry("ties".to_owned()).or_default() += ties;
}
