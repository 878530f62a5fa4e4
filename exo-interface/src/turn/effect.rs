//! What a turn wants to happen, in the order in which it asked.

use everturn_port_manager::{ContainerId, End, Gauge, Kind, Message, Nonce, Port, PortRef, Ticks};

use crate::{OwnLimits, Timer, TimerId};

/// One thing that should happen when the turn is done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// A child comes to be.
    Create(Creation),
    /// A channel comes to be.
    Channel(Minted),
    /// A channel comes to be whose second end is that of the host which waits for this turn's answer: what comes through
    /// first is the answer.
    Answerable(Minted),
    /// A message leaves.
    Send(Sending),
    /// A port, and the container that it owns, goes.
    Delete {
        /// The port.
        port: PortRef,
        /// The container's ticks.
        at: Ticks,
    },
    /// A timer is set.
    After {
        /// Its number.
        id: TimerId,
        /// What it says, and when.
        timer: Timer,
    },
    /// A timer is not wanted any more.
    Cancel {
        /// Its number.
        timer: TimerId,
    },
    /// A line for people; leaves when the turn is durable.
    Log {
        /// How loud.
        level: LogLevel,
        /// The line, which may have line breaks.
        text: String,
    },
}

impl Effect {
    /// The ports that come to be with it, loose.
    pub(crate) fn made(&self) -> impl Iterator<Item = Port> {
        let end = |minted: &Minted, end| PortRef::channel(minted.id, end);
        let (one, other) = match self {
            Effect::Create(Creation { reference, gauges, .. }) => {
                (Some(port(reference.clone(), &gauges.second, &gauges.first)), None)
            }
            Effect::Channel(minted @ Minted { gauges, .. }) => (
                Some(port(end(minted, End::First), &gauges.first, &gauges.second)),
                Some(port(end(minted, End::Second), &gauges.second, &gauges.first)),
            ),
            Effect::Answerable(minted @ Minted { gauges, .. }) => {
                (Some(port(end(minted, End::First), &gauges.first, &gauges.second)), None)
            }
            _ => (None, None),
        };
        one.into_iter().chain(other)
    }
}

/// A new port: how full its queue is, and that which it fills.
fn port(reference: PortRef, queue: &Gauge, outgoing: &Gauge) -> Port {
    let mut port = Port::new(reference);
    port.queue.set_gauge(queue.clone());
    port.outgoing = outgoing.clone();
    port
}

/// A child to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// Its id and type.
    pub reference: PortRef,
    /// The creator's nonce, from which the id was minted.
    pub nonce: Nonce,
    /// Its first message: the program, as dag-cbor.
    pub data: Vec<u8>,
    /// What was lowered for it; what was for its creator comes on top.
    pub lowered: OwnLimits,
    /// The creator's ticks.
    pub at: Ticks,
    /// How full its entry port will be, and the port to it.
    pub gauges: Gauges,
}

/// How full two queues are that belong together: those of a child and of the port to it, or of the ends of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// The child's entry port; or the first end.
    pub first: Gauge,
    /// The port to the child; or the second end.
    pub second: Gauge,
}

/// A channel to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// Its id.
    pub id: ContainerId,
    /// The nonce from which that was minted.
    pub nonce: Nonce,
    /// How full its ends will be.
    pub gauges: Gauges,
}

/// By which way a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Up, through the port that leads here, wherever that is.
    Parent,
    /// Through a port that the container holds.
    Port(PortRef),
}

/// A message to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Sending {
    /// The receiver, as the sender knows it: a child, the parent, or a channel.
    pub to: ContainerId,
    /// The way there.
    pub through: Target,
    /// As what it arrives: a message, or an exception in place of an answer.
    pub kind: Kind,
    /// What is sent.
    pub message: Message,
    /// The sender's ticks.
    pub at: Ticks,
    /// How full the receiver's queue is, this message counted; `None` if it takes no place there.
    pub gauge: Option<Gauge>,
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For who debugs.
    Debug,
    /// The ordinary line: `print` and `console.log`.
    Info,
    /// Something looks wrong.
    Warning,
    /// Something is wrong.
    Error,
}

impl LogLevel {
    /// The level of a guest's number: 0 debug, 1 info, 2 warning, and above, error.
    pub fn from_number(number: i32) -> LogLevel {
        match number {
            ..=0 => LogLevel::Debug,
            1 => LogLevel::Info,
            2 => LogLevel::Warning,
            3.. => LogLevel::Error,
        }
    }
}

/// All effects of one turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    list: Vec<Effect>,
    /// The answer for whoever waits for the receipt: one dag-cbor value.
    pub answer: Option<Vec<u8>>,
}

impl Effects {
    pub(super) fn push(&mut self, effect: Effect) {
        if self.list.capacity() == 0 {
            // Most turns have one.
            self.list.reserve_exact(1);
        }
        self.list.push(effect);
    }

    /// Gives back the places that were taken in queues: nothing of this will happen.
    pub(crate) fn give_back(&self) {
        for effect in &self.list {
            if let Effect::Send(Sending { gauge: Some(gauge), .. }) = effect {
                gauge.give_back();
            }
        }
    }

    /// The creation of a child, to be changed.
    pub(super) fn creation(&mut self, child: ContainerId) -> Option<&mut Creation> {
        self.list.iter_mut().rev().find_map(|effect| match effect {
            Effect::Create(creation) if creation.reference.id == child => Some(creation),
            _ => None,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing is to happen, but for the answer.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// In the order in which the turn asked for them.
    pub fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.list.iter()
    }

    /// Takes them out, in order.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.list)
    }
}
