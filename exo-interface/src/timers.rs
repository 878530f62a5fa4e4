//! A container's timers: messages to itself that are due at a date.
//!
//! Invariants:
//! 1. Timers are due in the order (date, number); a number is given once in a container's life.
//! 2. Nothing here knows what time it is: whoever has a clock says so, and that is an input like any other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Which timer of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimerId(pub u64);

/// One timer, as a turn set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
    /// After how many milliseconds it is due again; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// One dag-cbor value: what the container gets.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// All of a container's timers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Record", into = "Record")]
pub struct Timers {
    next: u64,
    waiting: BTreeMap<TimerId, Timer>,
    /// The same by date.
    due: BTreeSet<(u64, TimerId)>,
}

/// The durable form.
#[derive(Serialize, Deserialize)]
struct Record {
    next: u64,
    waiting: Vec<(TimerId, Timer)>,
}

impl From<Record> for Timers {
    fn from(record: Record) -> Timers {
        let due = record.waiting.iter().map(|(id, timer)| (timer.due_ms, *id)).collect();
        Timers { next: record.next, waiting: record.waiting.into_iter().collect(), due }
    }
}

impl From<Timers> for Record {
    fn from(timers: Timers) -> Record {
        Record { next: timers.next, waiting: timers.waiting.into_iter().collect() }
    }
}

impl Timers {
    /// The number that the next timer gets.
    pub fn next(&self) -> TimerId {
        TimerId(self.next)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the first one is due, in milliseconds since 1970.
    pub fn first_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// A turn has set a timer.
    pub(crate) fn set(&mut self, id: TimerId, timer: Timer) {
        self.next = self.next.max(id.0 + 1);
        self.due.insert((timer.due_ms, id));
        self.waiting.insert(id, timer);
    }

    /// A turn does not want a timer any more.
    pub(crate) fn cancel(&mut self, id: TimerId) {
        if let Some(timer) = self.waiting.remove(&id) {
            self.due.remove(&(timer.due_ms, id));
        }
    }

    /// Takes the data of the first timer that is due by now. One that repeats is due again at its next time after now,
    /// however many it has missed.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        let (due_ms, id) = *self.due.first()?;
        if due_ms > now_ms {
            return None;
        }
        self.due.remove(&(due_ms, id));
        let mut timer = self.waiting.remove(&id)?;
        let data = timer.data.clone();
        if let Some(every_ms) = timer.every_ms.map(|every_ms| every_ms.max(1)) {
            let missed = (now_ms - due_ms) / every_ms;
            timer.due_ms = due_ms.saturating_add(every_ms.saturating_mul(missed.saturating_add(1)));
            self.set(id, timer);
        }
        Some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(due_ms: u64, every_ms: Option<u64>, data: u8) -> Timer {
        Timer { due_ms, every_ms, data: vec![data] }
    }

    fn due(timers: &mut Timers, now_ms: u64) -> Vec<u8> {
        std::iter::from_fn(|| timers.take_due(now_ms)).flatten().collect()
    }

    #[test]
    fn they_are_due_by_date_and_then_by_number() {
        let mut timers = Timers::default();
        for (due_ms, data) in [(30, 1), (10, 2), (30, 3), (20, 4)] {
            timers.set(timers.next(), timer(due_ms, None, data));
        }
        assert_eq!((timers.len(), timers.first_due_ms()), (4, Some(10)));
        assert_eq!(due(&mut timers, 9), [0; 0]);
        assert_eq!(due(&mut timers, 20), [2, 4]);
        timers.cancel(TimerId(0));
        timers.cancel(TimerId(77));
        assert_eq!(due(&mut timers, u64::MAX), [3]);
        assert!(timers.is_empty() && timers.first_due_ms().is_none());
        assert_eq!(timers.next(), TimerId(4), "numbers are given once");
    }

    #[test]
    fn one_that_repeats_and_was_missed_comes_once() {
        let mut timers = Timers::default();
        timers.set(TimerId(0), timer(100, Some(10), 1));
        assert_eq!(due(&mut timers, 100), [1]);
        assert_eq!(timers.first_due_ms(), Some(110));
        assert_eq!(due(&mut timers, 1_005), [1]);
        assert_eq!(timers.first_due_ms(), Some(1_010));
        timers.set(TimerId(1), timer(u64::MAX, Some(0), 2));
        timers.cancel(TimerId(0));
        assert_eq!(timers.take_due(u64::MAX), Some(vec![2]));
    }

    #[test]
    fn they_come_back_from_their_durable_form() {
        let mut timers = Timers::default();
        timers.set(TimerId(0), timer(100, Some(10), 1));
        timers.set(TimerId(1), timer(50, None, 2));
        timers.cancel(TimerId(1));
        let bytes = everturn_dag::node::encode(&timers).unwrap();
        assert_eq!(everturn_dag::node::decode::<Timers>(&bytes).unwrap(), timers);
    }
}
