//! One container's life: it takes the next delivery, runs it as a turn, and goes back when the turn fails.
//!
//! Invariants:
//! 1. Between calls the container is at the end of a turn that was done, never half-way.
//! 2. `since` holds every turn that was done since the newest savepoint: going back is a rollback and these
//!    turns once more, on their recorded answers (design, 6.3).
//! 3. Ticks never go back, not even with a turn that is discarded.
//! 4. A collection follows the turn that made it due at once, so no commit falls between.

mod query;
mod record;
mod span;
mod stepped;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use everturn_port_manager::{
    Bindings, ContainerId, Delivery, Gauge, Kind, Loose, PortId, PortManager, PortName, Source, Ticks,
};

pub use query::{Asked, LedOn};
pub use record::RuntimeRecord;
pub use span::Policy;
use span::Since;
use stepped::within;
pub use stepped::{Done, Life, Stepped};

use crate::turn::{Closed, Emptied, Facts, Hands, Target, live_reusing, live_unkept};
use crate::{
    Container, ContainerType, Effect, Exception, ExceptionKind, ExoError, Input, Outside, OwnLimits,
    StateWriter, TimerId, Timers, Turn, TypeContext, Verdict,
};

/// A container with its ports, ticks and turns.
pub struct ExoInterface {
    id: ContainerId,
    record: RuntimeRecord,
    container: Option<Box<dyn Container>>,
    since: Vec<Since>,
    /// Memory of records before, for those to come.
    spare: Vec<Emptied>,
    /// Memory for the handles of the next turn.
    hands: Hands,
    since_fuel: u64,
    since_bytes: usize,
    span_turns: u32,
    calm_turns: u32,
    changed: bool,
    /// Whether its program is known to answer no queries.
    is_queryless: bool,
    /// What the container said last that a commit has to write.
    unwritten_bytes: u64,
    /// What the last commit wrote of it, in bytes of pages.
    committed_bytes: u64,
    /// How full the port is that leads here.
    upward: Gauge,
}

/// What an exo-interface needs from outside to run its container.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The container's type, if it is registered.
    pub container_type: Option<&'a dyn ContainerType>,
    /// Store and bounds.
    pub context: TypeContext<'a>,
    /// Savepoints.
    pub policy: Policy,
    /// What the host lends to the turn.
    pub outside: Option<&'a Arc<Outside>>,
    /// The cost of a turn that burns less.
    pub turn_cost: Ticks,
    /// The ticks between a send and its delivery, and the length of a window; at least 1.
    pub lookahead: Ticks,
}

impl Surroundings<'_> {
    /// The end of the window that a delivery tick lies in.
    pub fn window_end(&self, at: Ticks) -> Ticks {
        at.window_end(self.lookahead)
    }
}

impl ExoInterface {
    /// A container that does not exist anywhere yet. Its first delivery is to be its creation. `creator` is who makes it
    /// and at which depth that is; `None` is the host.
    pub fn create(
        id: ContainerId,
        container_type: Arc<str>,
        creator: Option<(ContainerId, u32)>,
    ) -> ExoInterface {
        let parent = creator.map(|(id, _)| id);
        let record = RuntimeRecord {
            container_type,
            parent,
            holder: parent,
            moves: VecDeque::new(),
            depth: creator.map_or(0, |(_, depth)| depth.saturating_add(1)),
            burnt: 0,
            lowered: None,
            timers: None,
            ticks: Ticks::ZERO,
            date_ms: 0,
            born: false,
            ports: Arc::default(),
        };
        ExoInterface { changed: true, ..ExoInterface::resume(id, record) }
    }

    /// A container from its runtime record; its state is read when it is first needed.
    pub fn resume(id: ContainerId, record: RuntimeRecord) -> ExoInterface {
        ExoInterface {
            id,
            record,
            container: None,
            since: Vec::new(),
            spare: Vec::new(),
            hands: Hands::default(),
            since_fuel: 0,
            since_bytes: 0,
            span_turns: u32::MAX,
            calm_turns: 0,
            changed: false,
            is_queryless: false,
            unwritten_bytes: 0,
            committed_bytes: 0,
            upward: Gauge::default(),
        }
    }

    /// Lowers its bounds, before its first turn.
    #[must_use]
    pub fn lowered(mut self, by: Option<Arc<OwnLimits>>) -> ExoInterface {
        self.record.lowered = by;
        self
    }

    /// Who it is.
    pub fn id(&self) -> ContainerId {
        self.id
    }

    /// What is durable of it.
    pub fn record(&self) -> &RuntimeRecord {
        &self.record
    }

    /// Its ports.
    pub fn ports(&self) -> &PortManager {
        &self.record.ports
    }

    /// Its ports, for the hypervisor to put messages in.
    pub fn ports_mut(&mut self) -> &mut PortManager {
        self.changed = true;
        Arc::make_mut(&mut self.record.ports)
    }

    /// Knows how full the port is that leads here.
    pub fn set_upward(&mut self, gauge: Gauge) {
        self.upward = gauge;
    }

    /// Its ports are as the store has them.
    pub fn ports_read(&mut self) {
        self.take_touched_ports();
        self.changed = false;
    }

    /// The names of ports that are not as they were committed last.
    pub fn take_touched_ports(&mut self) -> BTreeSet<PortName> {
        Arc::make_mut(&mut self.record.ports).take_touched()
    }

    fn timers_mut(&mut self) -> &mut Timers {
        self.changed = true;
        self.record.timers.get_or_insert_default()
    }

    /// When its first timer is due, in milliseconds since 1970.
    pub fn first_due_ms(&self) -> Option<u64> {
        self.record.timers.as_ref()?.first_due_ms()
    }

    /// Takes the data of the first timer that is due by now.
    pub fn take_due(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        self.first_due_ms().filter(|due_ms| *due_ms <= now_ms)?;
        self.timers_mut().take_due(now_ms)
    }

    /// Gives it to another owner: its port was moved. It learns of it with the first delivery at `from` or later.
    pub fn set_holder(&mut self, holder: ContainerId, from: Ticks) {
        self.changed = true;
        self.record.holder = Some(holder);
        self.record.moves.push_back((from, holder));
    }

    /// Whether anything differs from its last commit.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether its container is in memory.
    pub fn is_loaded(&self) -> bool {
        self.container.is_some()
    }

    /// The container in memory, if it is.
    pub fn container(&self) -> Option<&dyn Container> {
        self.container.as_deref()
    }

    /// Takes the next delivery and runs it. `None` if nothing waits. `hand` has the ports that come with the delivery; after
    /// it, those that the turn let go.
    ///
    /// # Errors
    /// If the host fails.
    pub fn step(
        &mut self,
        around: &Surroundings<'_>,
        hand: &mut Loose,
    ) -> Result<Option<Box<Stepped>>, ExoError> {
        let Some(window_end) = self.record.ports.next().map(|head| around.window_end(head.at)) else {
            return Ok(None);
        };
        let Some((source, delivery)) = self.ports_mut().pop(window_end) else { return Ok(None) };
        self.record.ticks = self.record.ticks.max(delivery.at);
        self.record.date_ms = self.record.date_ms.max(delivery.date_ms);
        while let Some((_, parent)) = self.record.moves.pop_front_if(|(from, _)| *from <= delivery.at) {
            self.record.parent = Some(parent);
        }
        let origin = source.clone();
        if matches!(delivery.kind, Kind::Create | Kind::Load | Kind::Evaluate) {
            self.is_queryless = false;
        }
        let mut stepped = match delivery.kind {
            Kind::Delete => self.done(Done::default(), Ticks::ZERO, around.turn_cost),
            _ => self.take(around, hand, source, &delivery)?,
        };
        if delivery.kind == Kind::Create {
            self.record.born = stepped.outcome.is_ok();
        }
        if delivery.kind == Kind::Delete || !self.record.born {
            stepped.life = Life::Ended;
        }
        if stepped.outcome.is_err() {
            stepped.back = self.way_back(&origin, &delivery);
        }
        stepped.source = Some(origin);
        stepped.unwritten_bytes += delivery.message.data.len() as u64 + self.newly_unwritten();
        stepped.taken = Some(delivery);
        Ok(Some(stepped))
    }

    fn way_back(&self, source: &Source, delivery: &Delivery) -> Option<Target> {
        match source {
            Source::Parent => delivery.from.map(|_| Target::Parent),
            Source::Notice(_) => None,
            Source::Named(name) => {
                self.record.ports.get(name).map(|port| Target::Port(port.reference.clone()))
            }
        }
    }

    fn take(
        &mut self,
        around: &Surroundings<'_>,
        hand: &mut Loose,
        mut source: Source,
        delivery: &Arc<Delivery>,
    ) -> Result<Box<Stepped>, ExoError> {
        let mut forgot = None;
        if let Source::Notice(child) = source {
            // The child is gone; the container is told under which name it knew it.
            let port = PortId::container(child);
            if let Some(name) = self.record.ports.name_of(port).cloned() {
                self.ports_mut().forget(port);
                source = Source::Named(name);
                forgot = Some(child);
            }
        }
        let mut stepped = self.run_awake(around, hand, source, delivery)?;
        stepped.forgot = forgot;
        Ok(stepped)
    }

    fn run_awake(
        &mut self,
        around: &Surroundings<'_>,
        hand: &mut Loose,
        source: Source,
        delivery: &Arc<Delivery>,
    ) -> Result<Box<Stepped>, ExoError> {
        match self.wake(around)? {
            Ok(()) => {
                let limits = around.context.limits;
                let fuel = limits.turn_fuel.min(limits.container_fuel.saturating_sub(self.record.burnt));
                if fuel == 0 {
                    let text = "this container has burnt all the fuel that it may burn in its life";
                    let exhausted = Exception::new(ExceptionKind::Fuel, text);
                    return Ok(self.discarded(exhausted, Ticks::ZERO, around.turn_cost));
                }
                let now = (self.id, self.record.ticks);
                if let Some(burnt) = around.outside.and_then(|outside| outside.interrupted.get(&now)) {
                    let interrupted = Exception::new(ExceptionKind::Interrupted, "interrupted");
                    return Ok(self.discarded(interrupted, *burnt, around.turn_cost));
                }
                self.run(around, hand, Input::Delivery(delivery.clone(), source), fuel)
            }
            Err(exception) => Ok(self.discarded(exception, Ticks::ZERO, around.turn_cost)),
        }
    }

    /// Runs the collection that the last turn made due, if it did.
    ///
    /// # Errors
    /// If the host fails.
    pub fn collect(&mut self, around: &Surroundings<'_>) -> Result<Option<Box<Stepped>>, ExoError> {
        let Some(container) = &mut self.container else { return Ok(None) };
        if !container.due() {
            return Ok(None);
        }
        let heap_bytes = container.footprint().heap_bytes;
        let fuel = heap_bytes.saturating_mul(around.context.limits.collect_fuel_per_byte);
        let mut hand = Loose::default();
        let collected = self.run(around, &mut hand, Input::Collect, fuel)?;
        if collected.outcome.is_ok() {
            return Ok(Some(collected));
        }
        let mut postponed = self.run(around, &mut hand, Input::Postpone, around.context.limits.turn_fuel)?;
        postponed.burnt = postponed.burnt.after(collected.burnt);
        Ok(Some(postponed))
    }

    /// Notes the present state, writes what changed since the last commit, and gives the runtime record.
    ///
    /// # Errors
    /// If the host fails.
    pub fn commit(
        &mut self,
        around: &Surroundings<'_>,
        state: &mut dyn StateWriter,
    ) -> Result<&RuntimeRecord, ExoError> {
        if !self.since.is_empty() {
            self.savepoint(around)?;
        }
        self.committed_bytes = 0;
        if let Some(container) = self.container.as_mut().filter(|_| self.record.born) {
            self.committed_bytes = container.unwritten_bytes();
            container.commit(state)?;
        }
        self.changed = false;
        self.unwritten_bytes = 0;
        Ok(&self.record)
    }

    /// What the newest commit found changed of the container's memory, in bytes of whole pages, as far as that is told.
    pub fn committed_bytes(&self) -> u64 {
        self.committed_bytes
    }

    /// The newest commit is in the store, and nothing changed since if `unload`: the container may leave memory.
    pub fn settled(&mut self, unload: Unload) {
        if unload == Unload::Now && !self.changed && self.record.born {
            self.container = None;
        } else if let Some(container) = &mut self.container {
            container.settled();
        }
        self.spare = Vec::new();
        self.hands = Hands::default();
    }

    /// What the container has to write that it had not when it was last asked.
    fn newly_unwritten(&mut self) -> u64 {
        let now = self.container.as_ref().map_or(0, |container| container.unwritten_bytes());
        now.saturating_sub(std::mem::replace(&mut self.unwritten_bytes, now))
    }

    fn wake(&mut self, around: &Surroundings<'_>) -> Result<Result<(), Exception>, ExoError> {
        if self.container.is_some() {
            return Ok(Ok(()));
        }
        let Some(container_type) = around.container_type else {
            let text = format!("no container type {:?} is registered", self.record.container_type);
            return Ok(Err(Exception::new(ExceptionKind::UnknownType, text)));
        };
        let container = match self.record.born {
            true => container_type.load(around.context)?,
            false => container_type.create(around.context)?,
        };
        self.container = Some(container);
        Ok(Ok(()))
    }

    fn run(
        &mut self,
        around: &Surroundings<'_>,
        hand: &mut Loose,
        input: Input,
        fuel: u64,
    ) -> Result<Box<Stepped>, ExoError> {
        let facts = self.facts(around, &input, fuel);
        // A turn that a savepoint follows is never run again.
        let alone = around.policy.savepoint_turns.unwrap_or_else(|| self.longest_span_turns()) <= 1;
        let mode = if alone { live_unkept() } else { live_reusing(self.spare.pop()) };
        let mut turn = Turn::open(facts, self.record.ports.clone(), input.message(), mode);
        turn.set_gauges(&self.upward, hand);
        turn.reuse(&mut self.hands);
        turn.set_outside(around.outside);
        let verdict = self.drive(&mut turn, &input)?;
        let Closed { bindings, effects, burnt, outbox_bytes, hands, mode } = turn.close();
        self.hands = hands;
        let drawn = mode.drawn();
        let mut stepped = match within(fuel, burnt, verdict) {
            Verdict::Done => {
                match alone {
                    true => self.savepoint(around)?,
                    false => self.note(around, Since { input, facts, record: mode.into_record() }, burnt)?,
                }
                let bound = bindings.changed.values().flatten().cloned().collect();
                let mut stepped = self.done(Done { effects, bound }, burnt, around.turn_cost);
                stepped.unwritten_bytes = outbox_bytes;
                self.bind(bindings, &stepped, hand, around.lookahead);
                stepped
            }
            Verdict::Exception(exception) => {
                effects.give_back();
                self.go_back(around)?;
                self.discarded(exception, burnt.min(Ticks(fuel)), around.turn_cost)
            }
        };
        stepped.drawn = drawn;
        Ok(stepped)
    }

    fn facts(&self, around: &Surroundings<'_>, input: &Input, fuel: u64) -> Facts {
        Facts {
            id: self.id,
            parent: self.record.parent,
            ticks: self.record.ticks,
            date_ms: self.record.date_ms,
            depth: self.record.depth,
            limits: *around.context.limits,
            window_end: match input {
                Input::Delivery(delivery, _) => around.window_end(delivery.at),
                Input::Collect | Input::Postpone | Input::Complete(_) | Input::Query(_) => Ticks::ZERO,
            },
            fuel,
            timers: self.record.timers.as_ref().map_or(0, |timers| timers.len()),
            next_timer: self.record.timers.as_ref().map_or(TimerId(0), |timers| timers.next()),
        }
    }

    fn drive(&mut self, turn: &mut Turn, input: &Input) -> Result<Verdict, ExoError> {
        let id = self.id;
        let container = self.container.as_mut().ok_or_else(|| ExoError::Engine {
            container: id.to_string(),
            source: "it is not in memory".into(),
        })?;
        let verdict = container.run(turn, input)?;
        match turn.failure() {
            Some(what) => Err(ExoError::Entropy { container: id.to_string(), what }),
            None => Ok(verdict),
        }
    }

    /// Binds and unbinds what the turn did. What it made is loose first.
    fn bind(&mut self, bindings: Bindings, stepped: &Stepped, hand: &mut Loose, lookahead: Ticks) {
        for effect in stepped.outcome.iter().flat_map(|done| done.effects.iter()) {
            effect.made().for_each(|port| hand.put(port));
            match effect {
                Effect::After { id, timer } => self.timers_mut().set(*id, timer.clone()),
                Effect::Cancel { timer } => self.timers_mut().cancel(*timer),
                _ => {}
            }
        }
        self.ports_mut().apply(bindings, hand, stepped.ticks.after(lookahead));
    }

    fn done(&mut self, done: Done, burnt: Ticks, turn_cost: Ticks) -> Box<Stepped> {
        self.ended(Ok(done), burnt, turn_cost)
    }

    fn discarded(&mut self, exception: Exception, burnt: Ticks, turn_cost: Ticks) -> Box<Stepped> {
        self.ended(Err(exception), burnt, turn_cost)
    }

    fn ended(&mut self, outcome: Result<Done, Exception>, burnt: Ticks, turn_cost: Ticks) -> Box<Stepped> {
        let burnt = burnt.max(turn_cost);
        self.record.ticks = self.record.ticks.after(burnt);
        self.record.burnt = self.record.burnt.saturating_add(burnt.0);
        let (ticks, date_ms) = (self.record.ticks, self.record.date_ms);
        Box::new(Stepped {
            taken: None,
            source: None,
            back: None,
            burnt,
            ticks,
            date_ms,
            unwritten_bytes: 0,
            outcome,
            life: Life::GoesOn,
            forgot: None,
            drawn: Vec::new(),
        })
    }
}

/// Whether a settled container leaves memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unload {
    /// It stays.
    Never,
    /// It goes if nothing changed since.
    Now,
}
