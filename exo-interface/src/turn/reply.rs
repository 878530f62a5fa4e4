//! The way back to a host. Most answers are given in the turn of their message, and then there is no port: what the turn
//! answers is in its effects. A channel is made only for a turn that wants to hold the port, to answer later or to let
//! another container answer.

use everturn_port_manager::{End, PortRef};

use super::{Effect, Gauges, Handle, Held, Minted, Turn};
use crate::Refusal;

impl Turn {
    /// Whether this is the way back to a host, not yet in hand.
    pub(super) fn is_hosts(&self, port: Handle) -> bool {
        matches!(self.held.get(port.0 as usize), Some(Held::Host))
    }

    /// Before anything is done with a port: the way back to a host becomes a loose end of a new channel.
    pub(super) fn take_in_hand(&mut self, port: Handle) -> Result<(), Refusal> {
        if self.is_hosts(port) {
            let minted = self.mint_channel()?;
            self.held[port.0 as usize] = Held::Loose(PortRef::channel(minted.id, End::First));
            self.effects.push(Effect::Answerable(minted));
        }
        Ok(())
    }

    /// Mints the id of a channel, and knows how full the queue behind its first end will be.
    pub(super) fn mint_channel(&mut self) -> Result<Minted, Refusal> {
        self.check_room(0)?;
        let nonce = self.bindings.nonce;
        let id = self.facts.id.child(nonce);
        self.bindings.nonce = nonce.next();
        let gauges = Gauges::default();
        self.gauges.insert(PortRef::channel(id, End::First).port_id(), gauges.second.clone());
        Ok(Minted { id, nonce, gauges })
    }
}
