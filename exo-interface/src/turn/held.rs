//! What a turn's handles stand for.

use everturn_port_manager::{PortName, PortRef};

use super::{Handle, Turn};
use crate::Refusal;

/// What stands behind a handle.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Held {
    Parent,
    Bound(PortName),
    Loose(PortRef),
    /// The way back to a host that waits for the answer, as long as the turn does nothing with it.
    Host,
    Gone,
}

/// Memory for handles, for the turns to come of a container.
#[derive(Debug, Default)]
pub(crate) struct Hands(Vec<Held>);

/// Memory for more handles than these is not kept.
const KEPT_HANDLES_MAX: usize = 16;

impl Hands {
    /// That of a turn which has none left, if it is worth being kept.
    pub(super) fn emptied(held: Vec<Held>) -> Hands {
        Hands(if held.capacity() <= KEPT_HANDLES_MAX { held } else { Vec::new() })
    }
}

impl Turn {
    /// Takes memory that a turn before had.
    pub(crate) fn reuse(&mut self, hands: &mut Hands) {
        let came = std::mem::replace(&mut self.held, std::mem::take(&mut hands.0));
        self.held.extend(came);
    }

    pub(super) fn hold(&mut self, held: Held) -> Handle {
        self.held.push(held);
        Handle(self.held.len() as u32 - 1)
    }

    pub(super) fn loose(&self, port: Handle) -> Result<PortRef, Refusal> {
        match self.held.get(port.0 as usize) {
            Some(Held::Loose(reference)) => Ok(reference.clone()),
            Some(Held::Bound(_) | Held::Parent) => Err(Refusal::PortBound),
            Some(Held::Gone | Held::Host) | None => Err(Refusal::InvalidPort),
        }
    }
}
