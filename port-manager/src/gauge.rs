//! How full a queue is, as its one sender may know it.
//!
//! The places of messages that the receiver takes are free for the sender from the next window on: so what the sender
//! sees does not depend on which of the two ran first (design, section 5).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Ticks;

/// Shared by the queue and by the port through which it is filled. All gauges are equal: what one shows follows from
/// the queue.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Mutex<Count>>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    waiting: u64,
    taken: Taken,
}

/// Messages that were taken in the last window in which any was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The window's end.
    pub window_end: Ticks,
    /// How many.
    pub messages: u64,
}

impl Gauge {
    pub(crate) fn of(waiting: u64, taken: Taken) -> Gauge {
        Gauge(Arc::new(Mutex::new(Count { waiting, taken })))
    }

    /// The sender sends a message, whether there is a place or not.
    pub fn sent(&self) {
        self.count().waiting += 1;
    }

    /// The sender sends a message in a turn of the window with this end, if a place of this many is free for it then.
    pub fn take_place(&self, window_end: Ticks, places_max: u64) -> bool {
        let mut count = self.count();
        let free = count.in_use(window_end) < places_max;
        count.waiting += u64::from(free);
        free
    }

    /// A message was not sent after all: its turn failed.
    pub fn give_back(&self) {
        let mut count = self.count();
        count.waiting = count.waiting.saturating_sub(1);
    }

    /// The receiver has taken a message, in the window with this end.
    pub fn taken(&self, window_end: Ticks) {
        let mut count = self.count();
        count.waiting = count.waiting.saturating_sub(1);
        if count.taken.window_end != window_end {
            count.taken = Taken { window_end, messages: 0 };
        }
        count.taken.messages += 1;
    }

    /// Places in use, as a turn of the sender in the window with this end may know them.
    pub fn in_use(&self, window_end: Ticks) -> u64 {
        self.count().in_use(window_end)
    }

    /// What was taken from the queue lately.
    pub fn last_taken(&self) -> Taken {
        self.count().taken
    }

    /// A gauge of a queue that is gone: nothing waits in it.
    pub fn of_gone(taken: Taken) -> Gauge {
        Gauge::of(0, taken)
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn in_use(&self, window_end: Ticks) -> u64 {
        let taken = if self.taken.window_end == window_end { self.taken.messages } else { 0 };
        self.waiting + taken
    }
}

impl PartialEq for Gauge {
    fn eq(&self, _: &Gauge) -> bool {
        true
    }
}

impl Eq for Gauge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_from_the_next_window_on() {
        let (sender, queue) = (Gauge::default(), Gauge::default());
        let receiver = sender.clone();
        sender.sent();
        sender.sent();
        receiver.taken(Ticks(10));
        assert_eq!(sender.in_use(Ticks(10)), 2, "not in the window in which it was taken");
        assert_eq!(sender.in_use(Ticks(20)), 1);
        receiver.taken(Ticks(20));
        assert_eq!((sender.in_use(Ticks(20)), sender.in_use(Ticks(30))), (1, 0));
        assert!(!sender.take_place(Ticks(20), 1) && sender.take_place(Ticks(30), 1));
        sender.give_back();
        assert_eq!(sender.in_use(Ticks(30)), 0);
        assert_eq!(queue.in_use(Ticks(10)), 0);
    }
}
