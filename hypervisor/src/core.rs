//! The core thread: owns every container, runs turns in order, cuts batches.
//!
//! Invariants:
//! 1. `schedule` holds (next delivery tick, id) of every container with a message waiting, and nothing else.
//! 2. Turns run in the order (delivery tick, id). All that a turn sends is delivered in a later window, so this
//!    equals any order in which containers of one window run side by side (design, section 5).
//! 3. Whatever a turn changed is in the batch that is cut next; outputs leave with that batch.
//!
//! Knows no clock: a batch is cut when the committer is free and there is nothing better to do, or when it has
//! grown large.

mod again;
mod alarms;
mod answers;
mod connect;
mod effects;
mod keeping;
mod once;
mod queries;
mod requests;
mod residents;
mod roads;
mod runner;
mod turns;
mod window;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError};
use std::sync::{Arc, OnceLock, RwLock};

use everturn_dag::{Batch, Space, StoreError};
use everturn_exo_interface::{
    Container, ContainerType, ExoInterface, Footprint, RuntimeRecord, Stepped, Unload,
};
use everturn_port_manager::{ContainerId, Gauge, Loose, Ordered, Port, PortId, ReceiptId, Taken, Ticks};
use rustc_hash::FxHashMap;
use tokio::sync::watch;

pub(crate) use again::Again;
use alarms::Alarms;
pub(crate) use answers::{Awaited, Hearer};
pub(crate) use connect::{Connecting, Place};
pub(crate) use keeping::{Marking, mark};
use once::Onces;
pub(crate) use queries::Question;
pub(crate) use requests::{Command, Joined, RootCreation};
use residents::Residents;
use roads::QueueId;
pub(crate) use runner::Runner;
use window::Pool;

use crate::batch::{Commit, Output, Reply};
use crate::builder::Unloading;
use crate::keys::{self, Clock};
use crate::metrics::{Counters, add, set};
use crate::{HypervisorError, Ran};

/// Registered container types, shared by the handle, the core and the committer.
#[derive(Clone, Default)]
pub(crate) struct Types(Arc<RwLock<BTreeMap<String, Arc<dyn ContainerType>>>>);

impl Types {
    pub(crate) fn register(&self, name: &str, container_type: Arc<dyn ContainerType>) {
        let mut types = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        types.insert(name.to_owned(), container_type);
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<dyn ContainerType>> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(name).cloned()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<dyn ContainerType>, HypervisorError> {
        self.find(name).ok_or_else(|| HypervisorError::UnknownType(name.to_owned()))
    }
}

/// What changed of a container is counted in pages of so many bytes.
const PAGE_BYTES: u64 = 4_096;
/// Turns after which a batch is cut though more work waits.
const BATCH_TURNS: u32 = 256;
/// Ticks after which a batch is cut though more work waits: about a tenth of a second of JavaScript, so that long turns, which may follow
/// each other without end, do not hold back answers to others.
const BATCH_TICKS: u64 = 50_000_000;
/// Turns after which the core waits for the committer rather than let a batch grow.
const BATCH_TURNS_MAX: u32 = 65_536;
/// Requests that are met before turns run again.
const COMMANDS_AT_ONCE: u32 = 1_024;
/// Containers whose savepoint bytes stay in memory after a commit, the most recently used ones. The others give them back while
/// nothing else is to be done, and at once where all that is kept beside heaps comes to so many bytes.
const HOT_MAX: usize = 64;
const WARM_BYTES: u64 = 12 << 20;

/// Requests that wait for the schedule to pass a tick.
enum Pending {
    Wait(Ticks, ContainerId, Reply<Ticks>),
    Root(Ticks, ContainerId, Reply<everturn_dag::Cid>),
    /// A question to somebody who is not born yet, from its beginning.
    Question(Ticks, ContainerId, Question),
}

impl Pending {
    fn ticks(&self) -> Ticks {
        let (Pending::Wait(ticks, ..) | Pending::Root(ticks, ..) | Pending::Question(ticks, ..)) = self;
        *ticks
    }
}

/// What is left of what a host that owns the loop has asked to be run.
struct Allowance {
    turns_left: u64,
    /// Delivery ticks below this one may run.
    end: Ticks,
    ran: u64,
    reply: Reply<Ran>,
}

pub(crate) struct Core {
    runner: Runner,
    failure: Arc<OnceLock<String>>,
    counters: Arc<Counters>,
    pool: Pool,
    running: BTreeMap<ContainerId, Box<ExoInterface>>,
    schedule: Ordered<(Ticks, ContainerId)>,
    /// Containers that containers have made.
    owned: u64,
    /// Ports in flight.
    loose: Loose,
    /// Who bound an end of a channel last.
    ends: BTreeMap<PortId, ContainerId>,
    /// How full queues were that are gone, for their senders in the same window.
    gone: BTreeMap<QueueId, Gauge>,
    /// Whether the store has any of these.
    places_stored: bool,
    clock: Clock,
    receipts: BTreeMap<ReceiptId, Awaited>,
    next_receipt: u64,
    /// Who hears an answer which was not given in the turn of its message, by the host's end of its channel. No container
    /// depends on whether somebody is there: after a restart only those are that keep what they hear.
    listeners: BTreeMap<PortId, Hearer>,
    onces: Onces,
    alarms: Alarms,
    pending: Vec<Pending>,
    /// Nothing later than this runs.
    hold: Ticks,
    allowance: Option<Allowance>,
    open: Open,
    /// Kept for its memory.
    #[allow(clippy::vec_box, reason = "they come boxed, for they are handed on often")]
    steps: Vec<Box<Stepped>>,
    commits: SyncSender<Commit>,
    in_flight: u64,
    cut: u64,
    /// The batch that brings containers whose states nobody has in memory: nothing runs before it is in the store.
    arriving: Option<u64>,
    /// The last batch that each container is in, while that is not in the store. Never visited, only asked.
    newest: FxHashMap<ContainerId, u64>,
    /// Answers of questions that have read what a batch under way makes durable, by its number.
    held: BTreeMap<u64, Vec<queries::Held>>,
    hot: Residents,
    residents: Residents,
    /// What is known of inputs that are kept, where they are.
    keeping: Option<Box<keeping::Keeping>>,
    /// Why an input could not be kept.
    unkept: Option<StoreError>,
}

/// The batch that is being filled.
#[derive(Default)]
struct Open {
    batch: Batch,
    touched: BTreeSet<ContainerId>,
    deleted: Vec<ContainerId>,
    outputs: Vec<Output>,
    turns: u32,
    /// Ticks that these have burnt.
    burnt: u64,
    /// What it will write and let out, as far as is known.
    bytes: u64,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.touched.is_empty() && self.deleted.is_empty() && self.outputs.is_empty()
    }
}

impl Core {
    /// Reads the runtime of a store. Containers' states stay in the store until they are needed.
    pub(crate) fn open(
        runner: Runner,
        failure: Arc<OnceLock<String>>,
        commits: SyncSender<Commit>,
        next_timer: watch::Sender<Option<u64>>,
        counters: Arc<Counters>,
    ) -> Result<Core, HypervisorError> {
        let clock = match runner.store.get(Space::Meta, keys::CLOCK)? {
            Some(bytes) => keys::decode("the clock", &bytes)?,
            None => Clock::default(),
        };
        let mut core = Core {
            pool: Pool::start(&runner, runner.settings.threads())?,
            runner,
            failure,
            counters,
            running: BTreeMap::new(),
            schedule: Ordered::default(),
            owned: 0,
            loose: Loose::default(),
            ends: BTreeMap::new(),
            gone: BTreeMap::new(),
            places_stored: true,
            clock,
            receipts: BTreeMap::new(),
            next_receipt: 0,
            listeners: BTreeMap::new(),
            onces: Onces::default(),
            alarms: Alarms::new(next_timer),
            pending: Vec::new(),
            hold: Ticks::MAX,
            allowance: None,
            open: Open::default(),
            steps: Vec::new(),
            commits,
            in_flight: 0,
            cut: 0,
            arriving: None,
            newest: FxHashMap::default(),
            held: BTreeMap::new(),
            hot: Residents::default(),
            residents: Residents::default(),
            keeping: None,
            unkept: None,
        };
        core.keeping = keeping::Keeping::read(&*core.runner.store)?.map(Box::new);
        core.read_runtime()?;
        Ok(core)
    }

    fn read_runtime(&mut self) -> Result<(), StoreError> {
        let mut failed = None;
        let store = self.runner.store.clone();
        store.scan(Space::Runtime, &[], &mut |key, value| {
            let read = self.read_runtime_entry(key, value);
            failed = read.err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)?;
        self.loose.take_changed();
        if let Some(bytes) = self.runner.store.get(Space::Meta, keys::PLACES)? {
            let places: Vec<(QueueId, Taken)> = keys::decode("the places of queues that are gone", &bytes)?;
            self.gone = places.into_iter().map(|(id, taken)| (id, Gauge::of_gone(taken))).collect();
        }
        self.join_gauges();
        self.alarms.note_kept(self.onces.first_until_ms());
        self.owned = self.running.values().map(|exo| u64::from(exo.record().holder.is_some())).sum();
        for (id, exo) in &mut self.running {
            exo.ports_mut().take_rebound();
            exo.ports_read();
            self.schedule.extend(exo.ports().next().map(|head| (head.at, *id)));
            self.alarms.note(*id, exo.first_due_ms());
        }
        Ok(())
    }

    /// A container's record comes before its ports.
    fn read_runtime_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let damaged = |what: String| StoreError::Damaged { place: "the runtime space".to_owned(), what };
        match keys::parse_runtime(key) {
            Some(keys::RuntimeKey::Record(id)) => {
                let record: RuntimeRecord =
                    keys::decode(format_args!("the record of container {id}"), value)?;
                self.running.insert(id, Box::new(ExoInterface::resume(id, record)));
            }
            Some(keys::RuntimeKey::Port(id, name)) => {
                let port: Port = keys::decode(format_args!("port {name:?} of container {id}"), value)?;
                if port.reference.is_channel() {
                    self.ends.insert(port.reference.port_id(), id);
                }
                let exo = self.running.get_mut(&id);
                let exo = exo.ok_or_else(|| damaged(format!("a port of {id}, which has no record")))?;
                exo.ports_mut().put(name, port);
            }
            Some(keys::RuntimeKey::Once(id, key)) => {
                let row = keys::decode(format_args!("a reply of container {id}"), value)?;
                if let Some(end) = self.onces.read((id, key), row)? {
                    self.listeners.insert(end, Hearer::Once((id, key)));
                }
            }
            Some(keys::RuntimeKey::Loose) => self.loose.put(keys::decode("a port in flight", value)?),
            None => return Err(damaged(format!("a key of {} bytes", key.len()))),
        }
        Ok(())
    }

    /// Runs until told to stop or until the host fails.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        if let Err(error) = self.serve(commands) {
            tracing::error!(%error, "the hypervisor stops");
            let _ = self.failure.set(error.to_string());
        }
    }

    fn serve(&mut self, commands: &Receiver<Command>) -> Result<(), HypervisorError> {
        loop {
            // Questions are answered here: whoever asks without end must not keep turns from running.
            for _ in 0..COMMANDS_AT_ONCE {
                match commands.try_recv() {
                    Ok(Command::Stop(reply)) => return self.stop(commands, reply),
                    Ok(command) => self.obey(command)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.answer_pending()?;
            let worked = self.may_work() && self.work()?;
            if self.should_cut(!worked) {
                self.cut()?;
            } else if !worked {
                if self.in_flight == 0 && self.cools_one() {
                    continue;
                }
                self.tell_how_it_stands();
                match commands.recv() {
                    Ok(Command::Stop(reply)) => return self.stop(commands, reply),
                    Ok(command) => self.obey(command)?,
                    Err(RecvError) => return Ok(()),
                }
            }
        }
    }

    /// Whether another turn may join the open batch.
    fn may_work(&self) -> bool {
        let batch_turns = self.runner.settings.batch_turns.unwrap_or(BATCH_TURNS_MAX);
        let unloading = self.runner.settings.unloading == Unloading::EveryTurn && self.in_flight > 0;
        let waits = unloading || self.arriving.is_some();
        self.open.turns < batch_turns && !self.has_its_bytes() && !waits
    }

    fn should_cut(&self, idle: bool) -> bool {
        let free = self.in_flight == 0;
        let full = match self.runner.settings.batch_turns {
            Some(turns) => self.open.turns >= turns,
            None => self.open.turns >= BATCH_TURNS || self.open.burnt >= BATCH_TICKS,
        };
        free && !self.open.is_empty() && (idle || full || self.has_its_bytes())
    }

    fn has_its_bytes(&self) -> bool {
        self.open.turns > 0 && self.open.bytes >= self.runner.settings.batch_bytes
    }

    /// Hands the open batch to the committer.
    fn cut(&mut self) -> Result<(), HypervisorError> {
        self.tell_how_it_stands();
        let mut open = std::mem::take(&mut self.open);
        self.cut += 1;
        tracing::trace!(target: "everturn::path", batch = self.cut, turns = open.turns, "Cut");
        let (mut touched, mut marked) = (Vec::with_capacity(open.touched.len()), BTreeSet::new());
        for id in open.touched {
            let Some(exo) = self.running.get_mut(&id) else { continue };
            self.runner.commit(exo, &mut open.batch)?;
            add(&self.counters.dirty_pages, exo.committed_bytes().div_ceil(PAGE_BYTES));
            touched.push((id, exo.container().map(Container::footprint)));
            self.mark_stale(id, &mut marked, &mut open.batch);
            self.newest.insert(id, self.cut);
        }
        self.onces.commit(self.cut, &mut open.batch)?;
        self.alarms.note_kept(self.onces.first_until_ms());
        self.write_standing(&mut open.batch)?;
        for id in self.loose.take_changed() {
            match self.loose.get(id) {
                Some(port) => {
                    open.batch.put(Space::Runtime, keys::loose(id), keys::encode("a port", port)?);
                }
                None => open.batch.delete(Space::Runtime, keys::loose(id)),
            }
        }
        if !open.batch.is_empty() || !open.deleted.is_empty() {
            open.batch.put(Space::Meta, keys::CLOCK, keys::encode("the clock", &self.clock)?);
            let places = self.places_to_return();
            match (places.is_empty(), std::mem::replace(&mut self.places_stored, !places.is_empty())) {
                (false, _) => {
                    let places = keys::encode("the places of queues that are gone", &places)?;
                    open.batch.put(Space::Meta, keys::PLACES, places);
                }
                (true, true) => open.batch.delete(Space::Meta, keys::PLACES),
                (true, false) => {}
            }
        }
        let commit = Commit {
            number: self.cut,
            turns: open.turns,
            batch: open.batch,
            deleted: open.deleted,
            touched,
            outputs: open.outputs,
        };
        self.in_flight += 1;
        self.commits.send(commit).map_err(|_| self.stopped())
    }

    /// Lets others see how much waits and is here.
    fn tell_how_it_stands(&self) {
        set(&self.counters.inputs_waiting, self.receipts.len());
        set(&self.counters.answers_waiting, self.listeners.len());
        set(&self.counters.containers_waiting, self.schedule.len());
        set(&self.counters.containers, self.running.len());
        set(&self.counters.heap_bytes, self.residents.bytes() as usize);
    }

    /// Marks the state node of a container, and of all that own it, as older than the state. `marked` are done already.
    fn mark_stale(&self, mut id: ContainerId, marked: &mut BTreeSet<ContainerId>, batch: &mut Batch) {
        while marked.insert(id) {
            let holder = self.running.get(&id).and_then(|exo| exo.record().holder);
            let Some(owner) = holder.and_then(|holder| self.running.get(&holder)) else {
                return batch.put(Space::Stale, keys::record(id), []);
            };
            // One in flight has no name.
            let name = owner.ports().name_of(PortId::container(id)).map_or("", |name| name.as_str());
            batch.put(Space::Stale, keys::stale_child(owner.id(), id), name);
            id = owner.id();
        }
    }

    /// A batch is durable.
    fn settled(&mut self, number: u64, touched: Vec<(ContainerId, Option<Footprint>)>) {
        self.in_flight -= 1;
        self.arriving = self.arriving.filter(|arriving| *arriving != number);
        for (id, footprint) in touched {
            match self.newest.entry(id) {
                Entry::Occupied(newest) if *newest.get() == number => drop(newest.remove()),
                _ => continue,
            }
            match self.runner.settings.unloading {
                Unloading::EveryTurn => self.settle(id, Unload::Now),
                _ => self.used(id, footprint),
            }
        }
        self.let_held_out(number);
        self.onces.settled(number);
        if let Unloading::Above { bytes } = self.runner.settings.unloading {
            // One that changed since is noted again when that is settled.
            while let Some(coldest) = self.residents.pop_above(bytes) {
                self.hot.gone(coldest);
                if !self.newest.contains_key(&coldest) && !self.open.touched.contains(&coldest) {
                    self.settle(coldest, Unload::Now);
                }
            }
        }
        while self.hot.bytes() > WARM_BYTES && self.cools_one() {}
    }

    /// Lets the container that was used the longest time ago give its savepoint bytes back; `false` if no more than [`HOT_MAX`]
    /// have some.
    fn cools_one(&mut self) -> bool {
        if self.hot.len() <= HOT_MAX {
            return false;
        }
        let Some(coldest) = self.hot.pop() else { return false };
        if !self.newest.contains_key(&coldest) && !self.open.touched.contains(&coldest) {
            self.settle(coldest, Unload::Never);
        }
        true
    }

    /// Notes that a container was used, and what it takes in memory if it is there.
    fn used(&mut self, id: ContainerId, footprint: Option<Footprint>) {
        let Some(footprint) = footprint else { return };
        self.hot.used(id, footprint.bookkeeping_bytes);
        self.residents.used(id, footprint.heap_bytes + footprint.bookkeeping_bytes);
    }

    fn settle(&mut self, id: ContainerId, unload: Unload) {
        if let Some(exo) = self.running.get_mut(&id) {
            exo.settled(unload);
        }
    }

    fn stopped(&self) -> HypervisorError {
        HypervisorError::Stopped(
            self.failure.get().cloned().unwrap_or_else(|| "the committer is gone".into()),
        )
    }

    /// Makes everything durable, then ends.
    fn stop(
        &mut self,
        commands: &Receiver<Command>,
        reply: Option<Reply<()>>,
    ) -> Result<(), HypervisorError> {
        self.open.outputs.extend(reply.map(Output::Done));
        self.cut()?;
        while self.in_flight > 0 {
            match commands.recv() {
                Ok(Command::Settled { number, touched }) => self.settled(number, touched),
                Ok(Command::Failed(why)) => return Err(HypervisorError::Stopped(why)),
                Ok(_) => {}
                Err(RecvError) => break,
            }
        }
        Ok(())
    }
}
