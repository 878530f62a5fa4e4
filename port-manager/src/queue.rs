//! Messages that wait behind each other.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::gauge::Taken;
use crate::{Delivery, Gauge, Ticks};

/// First in, first out. Delivery ticks never fall from one message to the next: one that comes later with a lower
/// tick (its sender's clock is behind that of the sender before, or the port was bound anew) takes that of its predecessor.
///
/// Pushing a message and raising the floor commute, so it does not matter which of two containers of one window, the one
/// that binds a port and the one that sends through it, was carried out first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Record")]
pub struct Queue {
    /// Shared: a turn that may have to run again keeps what it took.
    waiting: VecDeque<Arc<Delivery>>,
    /// The least delivery tick that the next message gets.
    floor: Ticks,
    gauge: Gauge,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    waiting: VecDeque<Arc<Delivery>>,
    #[serde(default)]
    floor: Ticks,
    #[serde(default)]
    taken: Taken,
}

impl From<Record> for Queue {
    fn from(record: Record) -> Queue {
        let counted = record.waiting.iter().filter(|delivery| delivery.is_counted()).count();
        let gauge = Gauge::of(counted as u64, record.taken);
        Queue { waiting: record.waiting, floor: record.floor, gauge }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(ticks: &Ticks) -> bool {
    *ticks == Ticks::ZERO
}

fn is_none_taken(taken: &Taken) -> bool {
    taken.messages == 0
}

impl Queue {
    /// Puts a message at the end.
    pub fn push(&mut self, mut delivery: Delivery) {
        delivery.at = delivery.at.max(self.floor);
        self.floor = delivery.at;
        self.waiting.push_back(Arc::new(delivery));
    }

    /// Takes the first message, in the window with this end.
    pub fn pop(&mut self, window_end: Ticks) -> Option<Arc<Delivery>> {
        let delivery = self.waiting.pop_front()?;
        if delivery.is_counted() {
            self.gauge.taken(window_end);
        }
        Some(delivery)
    }

    /// The queue goes, with what waits: its sender gets the places back, as if all had been taken.
    pub fn free(&self, window_end: Ticks) {
        for _ in self.iter().filter(|delivery| delivery.is_counted()) {
            self.gauge.taken(window_end);
        }
    }

    /// How full it is.
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Shows how full it is by this gauge from now on. For an empty queue.
    pub fn set_gauge(&mut self, gauge: Gauge) {
        self.gauge = gauge;
    }

    /// The first message.
    pub fn front(&self) -> Option<&Delivery> {
        self.waiting.front().map(|delivery| &**delivery)
    }

    /// From now on nothing in it is delivered before `at`.
    pub fn raise(&mut self, at: Ticks) {
        self.floor = self.floor.max(at);
        // Ticks never fall along a queue, so what is to be raised comes first.
        for delivery in self.waiting.iter_mut().take_while(|delivery| delivery.at < at) {
            Arc::make_mut(delivery).at = at;
        }
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What waits, first message first.
    pub fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.waiting.iter().map(|delivery| &**delivery)
    }

    /// What is kept over a restart: all but the inputs of hosts that wait for a receipt.
    pub(crate) fn durable(&self) -> impl Serialize {
        let waiting = self.iter().filter(|delivery| delivery.is_durable()).collect();
        Durable { waiting, floor: self.floor, taken: self.gauge.last_taken() }
    }
}

impl Serialize for Queue {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.durable().serialize(to)
    }
}

/// A queue's durable form, by reference.
#[derive(Serialize)]
struct Durable<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<&'a Delivery>,
    #[serde(skip_serializing_if = "is_zero")]
    floor: Ticks,
    #[serde(skip_serializing_if = "is_none_taken")]
    taken: Taken,
}
