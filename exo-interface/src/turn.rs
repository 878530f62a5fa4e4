//! What a guest may do in a turn. Every call only records; nothing is visible to anyone before the turn is done.
//!
//! Invariants:
//! 1. The port manager is read, never changed: a discarded turn needs no undoing.
//! 2. A handle is good for one turn. It stands for a bound port, the parent, or a loose port, which is in the
//!    hand of the turn: created in it, come with its message, or unbound in it. A loose port that the turn
//!    neither binds nor sends is deleted at its end.
//! 3. Run again, a turn gets the answers of its first run and has no effects; a call that differs is an error.

mod effect;
mod entropy;
mod held;
mod later;
mod record;
mod reply;
mod send;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use everturn_port_manager::{
    Bindings, ContainerId, End, Gauge, Loose, Message, PortId, PortManager, PortName, PortRef, Reply, Ticks,
};

pub use effect::{Creation, Effect, Effects, Gauges, LogLevel, Minted, Sending, Target};
pub(crate) use held::Hands;
pub(crate) use record::{Answer, Emptied, Record};

use crate::{Exception, Limit, Limits, Outside, OwnLimits, Refusal, TimerId};
use held::Held;
use record::{Call, Mode};

/// A turn-scoped number for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

/// How a container's run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// To completion; its effects happen.
    Done,
    /// By an exception; nothing of it happens.
    Exception(Exception),
}

/// Facts of the receiver that a turn may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) id: ContainerId,
    pub(crate) parent: Option<ContainerId>,
    pub(crate) ticks: Ticks,
    pub(crate) date_ms: u64,
    /// How far from a root the container was made.
    pub(crate) depth: u32,
    pub(crate) limits: Limits,
    /// The end of the window in which the turn runs.
    pub(crate) window_end: Ticks,
    /// What a replay must see again, and what the turn may burn.
    pub(crate) fuel: u64,
    /// How many timers it has, and the number of the next.
    pub(crate) timers: usize,
    pub(crate) next_timer: TimerId,
}

/// One turn of one container.
#[derive(Debug)]
pub struct Turn {
    facts: Facts,
    ports: Arc<PortManager>,
    held: Vec<Held>,
    /// How full the port is that leads here; known to a turn that runs for the first time.
    upward: Option<Gauge>,
    message_ports: u32,
    /// Where the answer goes, and whether something went there already.
    reply: Option<Handle>,
    replied: bool,
    bindings: Bindings,
    /// How full the queues are behind ports that came or were made in this turn.
    gauges: BTreeMap<PortId, Gauge>,
    bound: usize,
    /// Bytes that this turn lets out.
    outbox_bytes: u64,
    effects: Effects,
    burnt: u64,
    outside: Option<Arc<Outside>>,
    drawn: entropy::Drawn,
    mode: Mode,
}

impl Turn {
    #[inline]
    pub(crate) fn open(facts: Facts, ports: Arc<PortManager>, message: Option<&Message>, mode: Mode) -> Turn {
        let came = message.map_or(&[][..], |message| &message.ports);
        let bindings = Bindings { nonce: ports.nonce(), changed: BTreeMap::new() };
        let to_host = message.is_some_and(|message| message.reply == Reply::Host);
        let wants_reply = to_host || message.is_some_and(|message| message.reply_port().is_some());
        let mut held: Vec<Held> = came.iter().map(|port| Held::Loose(port.clone())).collect();
        held.extend(to_host.then_some(Held::Host));
        let message_ports = held.len() as u32;
        Turn {
            reply: wants_reply.then(|| Handle(message_ports - 1)),
            held,
            replied: false,
            upward: None,
            message_ports,
            gauges: BTreeMap::new(),
            bound: ports.len(),
            outbox_bytes: 0,
            facts,
            ports,
            bindings,
            effects: Effects::default(),
            burnt: 0,
            outside: None,
            drawn: entropy::Drawn::default(),
            mode,
        }
    }

    /// Knows how full the queues are behind the parent's port and those that came with the message.
    pub(crate) fn set_gauges(&mut self, upward: &Gauge, hand: &Loose) {
        self.upward = Some(upward.clone());
        for held in &self.held {
            if let Held::Loose(reference) = held
                && let Some(port) = hand.get(reference.port_id())
            {
                self.gauges.insert(reference.port_id(), port.outgoing.clone());
            }
        }
    }

    pub(crate) fn set_outside(&mut self, outside: Option<&Arc<Outside>>) {
        self.outside = outside.cloned();
    }

    /// A flag that a person may raise to have this turn discarded.
    pub fn interrupt(&self) -> Option<&Arc<AtomicBool>> {
        self.outside.as_ref().map(|outside| &outside.interrupt)
    }

    /// How the source of random bytes failed, if it did.
    pub(crate) fn failure(&mut self) -> Option<String> {
        self.drawn.failure.take()
    }

    /// Closes the turn: what it recorded, its effects and its bindings. The answer goes through the
    /// reply port, if that is still in hand. Loose ports that are still in hand then become deletions.
    #[inline]
    pub(crate) fn close(mut self) -> Closed {
        let at = self.now();
        self.send_answer(at);
        for held in self.held.drain(..) {
            if let Held::Loose(port) = held {
                self.effects.push(Effect::Delete { port, at });
            }
        }
        Closed {
            hands: Hands::emptied(self.held),
            bindings: self.bindings,
            effects: self.effects,
            burnt: Ticks(self.burnt),
            outbox_bytes: self.outbox_bytes,
            mode: self.mode,
        }
    }

    /// The container's own id.
    pub fn id(&self) -> ContainerId {
        self.facts.id
    }

    /// The date of this turn's input, in milliseconds since 1970.
    pub fn date_ms(&self) -> u64 {
        self.facts.date_ms
    }

    /// The fuel that this turn may burn.
    pub fn fuel(&self) -> u64 {
        self.facts.fuel
    }

    /// The container's bounds.
    pub fn limits(&self) -> &Limits {
        &self.facts.limits
    }

    /// How many ports came with the message; their handles count from zero. A reply port is the last of them.
    pub fn message_ports(&self) -> u32 {
        self.message_ports
    }

    /// The port through which the sender wants the answer. An [`answer`](Turn::answer) goes through it by itself, if the
    /// turn did not use it, bind it, send it on or delete it.
    pub fn reply_port(&self) -> Option<Handle> {
        self.reply
    }

    /// The container's ticks now: those it began the turn with and what it burnt since.
    pub fn ticks(&mut self) -> Ticks {
        self.number(Call::Ticks, &[], |turn| Ok(turn.now().0 as i64)).map_or(Ticks::ZERO, |n| Ticks(n as u64))
    }

    /// Burns ticks. A turn that burns more than its [fuel](Turn::fuel) is discarded at its end, and charged that.
    pub fn increment_ticks(&mut self, ticks: Ticks) {
        self.burnt = self.burnt.saturating_add(ticks.0);
    }

    /// Sets what the turn has burnt so far: metered guests report a total.
    pub fn set_burnt(&mut self, ticks: Ticks) {
        self.burnt = ticks.0;
    }

    /// Makes a child container, which runs `data` as its first message. The handle is loose until bound or sent.
    ///
    /// # Errors
    /// [`Refusal::InvalidData`], [`Refusal::MessageTooLarge`], [`Refusal::TooManyEffects`], [`Refusal::OutboxFull`],
    /// [`Refusal::TooDeep`].
    pub fn create(&mut self, container_type: &str, data: &[u8]) -> Result<Handle, Refusal> {
        self.handle(Call::Create, &[container_type.as_bytes(), data], |turn| {
            turn.check_data(data)?;
            if turn.facts.depth >= turn.facts.limits.depth_max {
                return Err(Refusal::TooDeep);
            }
            turn.let_out(data.len());
            let nonce = turn.bindings.nonce;
            let id = turn.facts.id.child(nonce);
            turn.bindings.nonce = nonce.next();
            let reference = PortRef::container(id, container_type);
            let at = turn.now();
            let gauges = Gauges::default();
            turn.gauges.insert(reference.port_id(), gauges.first.clone());
            turn.effects.push(Effect::Create(Creation {
                reference: reference.clone(),
                nonce,
                data: data.to_vec(),
                lowered: OwnLimits::new(),
                at,
                gauges,
            }));
            Ok(turn.hold(Held::Loose(reference)))
        })
    }

    /// Lowers a bound of a child that this turn made, for the child and for all that it will ever own. A bound that is no
    /// lower than what the child has changes nothing.
    ///
    /// # Errors
    /// [`Refusal::InvalidPort`] if the port leads to no container that this turn made.
    pub fn lower(&mut self, child: Handle, limit: Limit, most: u64) -> Result<(), Refusal> {
        let arguments = [&child.0.to_le_bytes()[..], &limit.code().to_le_bytes(), &most.to_le_bytes()];
        self.number(Call::Lower, &arguments, |turn| {
            let (id, _) = turn.target(child)?;
            let creation = turn.effects.creation(id).ok_or(Refusal::InvalidPort)?;
            crate::lower(&mut creation.lowered, &[(limit, most)].into());
            Ok(0)
        })
        .map(|_| ())
    }

    /// Makes a channel. Both ends are loose until bound or sent; what is sent through one comes out of the other.
    ///
    /// # Errors
    /// [`Refusal::TooManyEffects`].
    pub fn channel(&mut self) -> Result<(Handle, Handle), Refusal> {
        let first = self.handle(Call::Channel, &[], |turn| {
            let minted = turn.mint_channel()?;
            let [first, second] = [End::First, End::Second].map(|end| PortRef::channel(minted.id, end));
            turn.gauges.insert(second.port_id(), minted.gauges.first.clone());
            turn.effects.push(Effect::Channel(minted));
            let first = turn.hold(Held::Loose(first));
            turn.hold(Held::Loose(second));
            Ok(first)
        })?;
        Ok((first, Handle(first.0 + 1)))
    }

    /// Binds a loose port under a name.
    ///
    /// # Errors
    /// [`Refusal::InvalidPort`], [`Refusal::PortBound`], [`Refusal::InvalidName`], [`Refusal::NameInUse`],
    /// [`Refusal::TooManyPorts`].
    pub fn bind(&mut self, name: &str, port: Handle) -> Result<(), Refusal> {
        self.number(Call::Bind, &[name.as_bytes(), &port.0.to_le_bytes()], |turn| {
            let name = PortName::new(name).map_err(|_| Refusal::InvalidName)?;
            turn.take_in_hand(port)?;
            let reference = turn.loose(port)?;
            if turn.bound_at(&name).is_some() {
                return Err(Refusal::NameInUse);
            }
            if turn.bound >= turn.facts.limits.ports_max {
                return Err(Refusal::TooManyPorts);
            }
            turn.bound += 1;
            turn.bindings.changed.insert(name.clone(), Some(reference));
            turn.held[port.0 as usize] = Held::Bound(name);
            Ok(0)
        })
        .map(|_| ())
    }

    /// Takes a port off its name; the handle is loose.
    ///
    /// # Errors
    /// [`Refusal::NotBound`].
    pub fn unbind(&mut self, name: &str) -> Result<Handle, Refusal> {
        self.handle(Call::Unbind, &[name.as_bytes()], |turn| {
            let reference = turn.take_bound(name)?;
            Ok(turn.hold(Held::Loose(reference)))
        })
    }

    /// The port bound under a name.
    ///
    /// # Errors
    /// [`Refusal::NotBound`].
    pub fn get(&mut self, name: &str) -> Result<Handle, Refusal> {
        self.handle(Call::Get, &[name.as_bytes()], |turn| {
            let (name, _) = turn.bound_at(name).ok_or(Refusal::NotBound)?;
            let name = name.clone();
            Ok(turn.hold(Held::Bound(name)))
        })
    }

    /// Deletes the port under a name, and the container that it owns.
    ///
    /// # Errors
    /// [`Refusal::NotBound`].
    pub fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        self.number(Call::Delete, &[name.as_bytes()], |turn| {
            turn.check_room(0)?;
            let (port, at) = (turn.take_bound(name)?, turn.now());
            turn.effects.push(Effect::Delete { port, at });
            Ok(0)
        })
        .map(|_| ())
    }

    /// Deletes a loose port, and the container that it owns.
    ///
    /// # Errors
    /// [`Refusal::InvalidPort`], [`Refusal::PortBound`].
    pub fn drop_port(&mut self, port: Handle) -> Result<(), Refusal> {
        self.number(Call::Drop, &[&port.0.to_le_bytes()], |turn| {
            turn.check_room(0)?;
            turn.take_in_hand(port)?;
            let (reference, at) = (turn.loose(port)?, turn.now());
            turn.held[port.0 as usize] = Held::Gone;
            turn.effects.push(Effect::Delete { port: reference, at });
            Ok(0)
        })
        .map(|_| ())
    }

    /// The names of all bound ports, in byte order.
    pub fn names(&mut self) -> Vec<String> {
        let answer = self.call(Call::Names, &[], |turn| Answer::Names(turn.current_names()));
        if let Answer::Names(names) = answer { names } else { Vec::new() }
    }

    /// Whether a handle stands for a port.
    pub fn is_valid_port(&mut self, port: Handle) -> bool {
        self.number(Call::IsValid, &[&port.0.to_le_bytes()], |turn| {
            let valid = turn.is_hosts(port) || turn.target(port).is_ok();
            Ok(i64::from(valid))
        })
        .is_ok_and(|valid| valid == 1)
    }

    /// The id of the container that a port leads to, or of the channel.
    ///
    /// # Errors
    /// [`Refusal::InvalidPort`].
    pub fn port_id(&mut self, port: Handle) -> Result<ContainerId, Refusal> {
        let answer = self.call(Call::PortId, &[&port.0.to_le_bytes()], |turn| {
            match turn.take_in_hand(port).and_then(|()| turn.target(port)) {
                Ok((id, _)) => Answer::Id(id),
                Err(refusal) => Answer::Refusal(refusal),
            }
        });
        match answer {
            Answer::Id(id) => Ok(id),
            Answer::Refusal(refusal) => Err(refusal),
            Answer::Number(_) | Answer::Names(_) | Answer::Bytes(_) => Err(Refusal::InvalidPort),
        }
    }

    /// The port to the parent.
    ///
    /// # Errors
    /// [`Refusal::NoParent`] for a root.
    pub fn parent(&mut self) -> Result<Handle, Refusal> {
        self.handle(Call::Parent, &[], |turn| {
            turn.facts.parent.ok_or(Refusal::NoParent)?;
            Ok(turn.hold(Held::Parent))
        })
    }

    /// Writes a line for people to read. It leaves when the turn is durable.
    ///
    /// # Errors
    /// [`Refusal::TooManyEffects`], [`Refusal::OutboxFull`].
    pub fn log(&mut self, level: LogLevel, text: &str) -> Result<(), Refusal> {
        self.number(Call::Log, &[&[level as u8], text.as_bytes()], |turn| {
            turn.check_room(text.len())?;
            turn.let_out(text.len());
            turn.effects.push(Effect::Log { level, text: text.to_owned() });
            Ok(0)
        })
        .map(|_| ())
    }

    /// Sets the answer for whoever waits for this turn's receipt: one dag-cbor value.
    ///
    /// # Errors
    /// [`Refusal::InvalidData`], [`Refusal::MessageTooLarge`], [`Refusal::OutboxFull`].
    pub fn answer(&mut self, data: &[u8]) -> Result<(), Refusal> {
        self.number(Call::Answer, &[data], |turn| {
            turn.check_data(data)?;
            turn.let_out(data.len());
            turn.effects.answer = Some(data.to_vec());
            Ok(0)
        })
        .map(|_| ())
    }

    fn now(&self) -> Ticks {
        self.facts.ticks.after(Ticks(self.burnt))
    }

    fn check_data(&self, data: &[u8]) -> Result<(), Refusal> {
        if data.len() > self.facts.limits.message_bytes_max {
            return Err(Refusal::MessageTooLarge);
        }
        self.check_room(data.len())?;
        everturn_dag::node::validate(data).map_err(|_| Refusal::InvalidData)
    }

    /// Whether one more effect with so many bytes may be had.
    fn check_room(&self, bytes: usize) -> Result<(), Refusal> {
        let limits = &self.facts.limits;
        if self.effects.len() >= limits.effects_max {
            return Err(Refusal::TooManyEffects);
        }
        let full = self.outbox_bytes.saturating_add(bytes as u64) > limits.outbox_bytes_max;
        if full { Err(Refusal::OutboxFull) } else { Ok(()) }
    }

    fn let_out(&mut self, bytes: usize) {
        self.outbox_bytes += bytes as u64;
    }

    fn bound_at(&self, name: &str) -> Option<(&PortName, &PortRef)> {
        match self.bindings.changed.get_key_value(name) {
            Some((name, change)) => Some((name, change.as_ref()?)),
            None => self.ports.get_named(name).map(|(name, port)| (name, &port.reference)),
        }
    }

    fn take_bound(&mut self, name: &str) -> Result<PortRef, Refusal> {
        let (name, reference) = self.bound_at(name).ok_or(Refusal::NotBound)?;
        let (name, reference) = (name.clone(), reference.clone());
        for held in &mut self.held {
            if *held == Held::Bound(name.clone()) {
                *held = Held::Gone;
            }
        }
        self.bound -= 1;
        self.bindings.changed.insert(name, None);
        Ok(reference)
    }

    fn current_names(&self) -> Vec<String> {
        let unchanged = self.ports.iter().map(|(name, _)| name);
        let unchanged = unchanged.filter(|name| !self.bindings.changed.contains_key(*name));
        let changed = self.bindings.changed.iter().filter(|(_, port)| port.is_some()).map(|(name, _)| name);
        let mut names: Vec<String> = unchanged.chain(changed).map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        names
    }

    fn handle(
        &mut self,
        call: Call,
        arguments: &[&[u8]],
        live: impl FnOnce(&mut Turn) -> Result<Handle, Refusal>,
    ) -> Result<Handle, Refusal> {
        self.number(call, arguments, |turn| live(turn).map(|handle| i64::from(handle.0)))
            .map(|number| Handle(number as u32))
    }

    fn number(
        &mut self,
        call: Call,
        arguments: &[&[u8]],
        live: impl FnOnce(&mut Turn) -> Result<i64, Refusal>,
    ) -> Result<i64, Refusal> {
        let answer = self.call(call, arguments, |turn| match live(turn) {
            Ok(number) => Answer::Number(number),
            Err(refusal) => Answer::Refusal(refusal),
        });
        match answer {
            Answer::Number(number) => Ok(number),
            Answer::Refusal(refusal) => Err(refusal),
            Answer::Names(_) | Answer::Id(_) | Answer::Bytes(_) => Err(Refusal::UnknownCall),
        }
    }

    /// Every syscall goes through here: live it is carried out and recorded, run again it is answered from the
    /// record.
    fn call(&mut self, call: Call, arguments: &[&[u8]], live: impl FnOnce(&mut Turn) -> Answer) -> Answer {
        if let Mode::Again(again) = &mut self.mode {
            return again.answer(call, arguments);
        }
        if matches!(self.mode, Mode::Question) && !call.only_looks() {
            return Answer::Refusal(Refusal::InQuery);
        }
        let answer = live(self);
        if let Mode::Live(record) = &mut self.mode {
            record.push(call, arguments, &answer);
        }
        answer
    }
}

/// What is left of a turn.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) bindings: Bindings,
    pub(crate) effects: Effects,
    pub(crate) burnt: Ticks,
    pub(crate) outbox_bytes: u64,
    pub(crate) hands: Hands,
    pub(crate) mode: Mode,
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            id: ContainerId::ROOT,
            parent: None,
            ticks: Ticks::ZERO,
            date_ms: 0,
            depth: 0,
            limits: Limits::default(),
            window_end: Ticks::ZERO,
            fuel: 0,
            timers: 0,
            next_timer: TimerId(0),
        }
    }
}

impl Default for Turn {
    /// A turn of nobody: what stands in while an engine has the real one.
    fn default() -> Self {
        Turn::open(Facts::default(), Arc::default(), None, live())
    }
}

pub(crate) fn live() -> Mode {
    Mode::Live(Record::default())
}

/// As [`live`], with the memory of a record before.
pub(crate) fn live_reusing(memory: Option<Emptied>) -> Mode {
    Mode::Live(memory.map(Record::reusing).unwrap_or_default())
}

/// As [`live`], of a turn that nobody will run again.
pub(crate) fn live_unkept() -> Mode {
    Mode::Live(Record::unkept())
}

/// A turn that only looks.
pub(crate) fn question() -> Mode {
    Mode::Question
}

pub(crate) fn again(record: Record) -> Mode {
    Mode::Again(record::Again::new(record))
}

#[cfg(test)]
mod tests;
