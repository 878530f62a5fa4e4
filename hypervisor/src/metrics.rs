//! What a hypervisor counts of itself. To look costs a few loads and asks nobody.
//!
//! Nothing here is part of an outcome. Times are those of a stopwatch that the host gives; there is none below it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds since any fixed instant.
pub(crate) type Stopwatch = Arc<dyn Fn() -> u64 + Send + Sync>;

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was counted since the hypervisor was built, and how things stand; as of the last batch, or the last moment of
        /// rest. [`Hypervisor::metrics`](crate::Hypervisor::metrics).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// [`Metrics`] as they are kept: each field has one thread that writes it.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Metrics {
                Metrics { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

metrics! {
    /// Turns that were taken, those that failed included; collections are none.
    turns,
    /// Turns that were discarded.
    exceptions,
    /// Requests that were answered without a turn.
    queries,
    /// What turns have burnt, in ticks (units of fuel).
    burnt,
    /// Batches that are durable.
    batches,
    /// Turns in them.
    batch_turns,
    /// Time from a batch's reaching the committer until it was durable, in nanoseconds; 0 without a stopwatch.
    commit_ns,
    /// How much of that was waiting for syncs, in nanoseconds.
    sync_ns,
    /// Pages of 4 KiB that batches have found changed.
    dirty_pages,
    /// Inputs of hosts whose turns have not been taken yet.
    inputs_waiting,
    /// Hosts that wait for an answer which was not given in the turn of their message.
    answers_waiting,
    /// Containers in whose ports something waits.
    containers_waiting,
    /// Containers that are alive.
    containers,
    /// Heaps and bookkeeping of those that are in memory, in bytes.
    heap_bytes,
}

/// Adds to a counter that this thread alone writes.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// Says how something stands.
pub(crate) fn set(gauge: &AtomicU64, value: usize) {
    gauge.store(value as u64, Ordering::Relaxed);
}
