//! What a turn came to, as the hypervisor gets it. Data only: nothing has happened yet.

use std::sync::Arc;

use everturn_port_manager::{ContainerId, Delivery, PortRef, Source, Ticks};

use crate::{Effects, Exception, ExceptionKind, Target, Verdict};

/// What came of one turn, for the hypervisor to carry out.
#[derive(Debug)]
pub struct Stepped {
    /// What was taken; `None` for a collection.
    pub taken: Option<Arc<Delivery>>,
    /// Where it had waited; `None` for a collection.
    pub source: Option<Source>,
    /// The way back to whoever sent it, if the turn failed; `None` is the host, or nobody.
    pub back: Option<Target>,
    /// What it burnt.
    pub burnt: Ticks,
    /// The container's ticks after it.
    pub ticks: Ticks,
    /// The date of the turn, in milliseconds since 1970.
    pub date_ms: u64,
    /// What it adds to what the next commit writes, as far as is known: what it took and let out, and what a savepoint found
    /// changed. Never part of an outcome.
    pub unwritten_bytes: u64,
    /// What should happen, or why nothing does.
    pub outcome: Result<Done, Exception>,
    /// Whether the container goes on.
    pub life: Life,
    /// A child that could not be created, whose port went before the turn that told of it.
    pub forgot: Option<ContainerId>,
    /// What it drew from the host's source of random bytes, in order: `None` where that had nothing.
    pub drawn: Vec<Option<Vec<u8>>>,
}

impl Stepped {
    /// The container's ticks when the turn began, by which it is told from the others.
    pub fn begun(&self) -> Ticks {
        Ticks(self.ticks.0.saturating_sub(self.burnt.0))
    }
}

/// A turn that was done.
#[derive(Debug, Default)]
pub struct Done {
    /// What should happen.
    pub effects: Effects,
    /// The ports that it bound.
    pub bound: Vec<PortRef>,
}

/// Whether a container goes on after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It does.
    GoesOn,
    /// It was deleted, or could not be created.
    Ended,
}

/// A turn that burnt more than it had is no turn. Metered guests are stopped in time, others say what they burn.
pub(super) fn within(fuel: u64, burnt: Ticks, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Done if burnt > Ticks(fuel) => {
            let text = format!("the turn burnt its {fuel} units of fuel");
            Verdict::Exception(Exception::new(ExceptionKind::Fuel, text))
        }
        verdict => verdict,
    }
}
