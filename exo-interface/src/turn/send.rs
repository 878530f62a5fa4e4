//! What a turn sends: through which ports, what may travel, and how an answer finds its way.

use everturn_port_manager::{ContainerId, Gauge, Kind, Life, Message, PortRef, Reply, Ticks};

use super::record::Call;
use super::{Effect, Handle, Held, Sending, Target, Turn};
use crate::Refusal;

impl Turn {
    /// Sends data and loose ports through a port.
    ///
    /// # Errors
    /// [`Refusal::InvalidPort`], [`Refusal::Closed`], [`Refusal::PortBound`] (one of the moved ports is bound),
    /// [`Refusal::ThroughItself`], [`Refusal::NotOverChannel`] (a container's port over a channel),
    /// [`Refusal::InvalidData`], [`Refusal::MessageTooLarge`], [`Refusal::TooManyEffects`], [`Refusal::OutboxFull`],
    /// [`Refusal::QueueFull`].
    pub fn send(
        &mut self,
        port: Handle,
        data: &[u8],
        ports: &[Handle],
        priority: i32,
    ) -> Result<(), Refusal> {
        self.post(Call::Send, port, data, ports, priority)
    }

    /// Sends data and loose ports through a port, the last of them, an end of a channel, for the answer: it or the
    /// exception comes out of the other end.
    ///
    /// # Errors
    /// As [`Turn::send`]; [`Refusal::InvalidPort`] if there is no last port or it is no channel end.
    pub fn call_port(
        &mut self,
        port: Handle,
        data: &[u8],
        ports: &[Handle],
        priority: i32,
    ) -> Result<(), Refusal> {
        self.post(Call::Ask, port, data, ports, priority)
    }

    /// As [`Turn::call_port`], but it arrives as a [`Kind::Request`].
    ///
    /// # Errors
    /// As [`Turn::call_port`].
    pub fn request_port(
        &mut self,
        port: Handle,
        data: &[u8],
        ports: &[Handle],
        priority: i32,
    ) -> Result<(), Refusal> {
        self.post(Call::Request, port, data, ports, priority)
    }

    /// Sends an exception in place of an answer through an end of a channel: a dag-cbor map of `kind`, `text`, `stack`.
    ///
    /// # Errors
    /// As [`Turn::send`]; [`Refusal::InvalidPort`] if the port is no channel end.
    pub fn reject(&mut self, port: Handle, data: &[u8]) -> Result<(), Refusal> {
        self.number(Call::Reject, &[&port.0.to_le_bytes(), data], |turn| {
            turn.check_data(data)?;
            turn.take_in_hand(port)?;
            let (to, through) = turn.target(port)?;
            if !matches!(&through, Target::Port(port) if port.is_channel()) {
                return Err(Refusal::InvalidPort);
            }
            let at = turn.now();
            let message = Message { data: data.to_vec(), ..Message::default() };
            turn.replied |= turn.reply == Some(port);
            turn.let_out(data.len());
            turn.effects.push(Effect::Send(Sending {
                to,
                through,
                kind: Kind::Exception,
                message,
                at,
                gauge: None,
            }));
            Ok(0)
        })
        .map(|_| ())
    }

    fn post(
        &mut self,
        call: Call,
        port: Handle,
        data: &[u8],
        ports: &[Handle],
        priority: i32,
    ) -> Result<(), Refusal> {
        let (kind, reply) = match call {
            Call::Request => (Kind::Request, Reply::LastPort),
            Call::Ask => (Kind::Message, Reply::LastPort),
            _ => (Kind::Message, Reply::None),
        };
        let handles: Vec<u8> = ports.iter().flat_map(|handle| handle.0.to_le_bytes()).collect();
        let arguments = [&port.0.to_le_bytes()[..], data, &handles, &priority.to_le_bytes()];
        self.number(call, &arguments, |turn| {
            turn.check_data(data)?;
            for handle in ports.iter().chain([&port]) {
                turn.take_in_hand(*handle)?;
            }
            let (to, through) = turn.target(port)?;
            let moved = turn.movable(ports, &through)?;
            if reply == Reply::LastPort && !moved.last().is_some_and(PortRef::is_channel) {
                return Err(Refusal::InvalidPort);
            }
            let gauge = turn.take_place(&through)?;
            for handle in ports {
                turn.held[handle.0 as usize] = Held::Gone;
            }
            let at = turn.now();
            let message = Message { data: data.to_vec(), ports: moved, priority, reply };
            turn.replied |= turn.reply == Some(port);
            turn.let_out(data.len());
            turn.effects.push(Effect::Send(Sending { to, through, kind, message, at, gauge }));
            Ok(0)
        })
        .map(|_| ())
    }

    pub(super) fn send_answer(&mut self, at: Ticks) {
        let (Some(reply), Some(data)) = (self.reply, &self.effects.answer) else { return };
        let Some(Held::Loose(port)) = self.held.get(reply.0 as usize) else { return };
        if self.replied {
            return;
        }
        let message = Message { data: data.clone(), ..Message::default() };
        let (to, through) = (port.id, Target::Port(port.clone()));
        let gauge = self.gauge(&through).inspect(Gauge::sent);
        self.effects.push(Effect::Send(Sending { to, through, kind: Kind::Message, message, at, gauge }));
    }

    /// Takes a place in the queue behind a port, if there is one. A turn that fails gives it back.
    fn take_place(&mut self, through: &Target) -> Result<Option<Gauge>, Refusal> {
        let gauge = self.gauge(through);
        let (window_end, places_max) = (self.facts.window_end, self.facts.limits.queue_places_max);
        match gauge.as_ref().is_none_or(|gauge| gauge.take_place(window_end, places_max)) {
            true => Ok(gauge),
            false => Err(Refusal::QueueFull),
        }
    }

    /// How full the queue behind a port is; `None` if that is nowhere any more.
    fn gauge(&self, through: &Target) -> Option<Gauge> {
        match through {
            Target::Parent => self.upward.clone(),
            Target::Port(port) => {
                let id = port.port_id();
                let bound = || self.ports.name_of(id).and_then(|name| self.ports.get(name));
                let gauge = self.gauges.get(&id).or_else(|| bound().map(|port| &port.outgoing));
                gauge.cloned()
            }
        }
    }

    fn movable(&self, ports: &[Handle], through: &Target) -> Result<Vec<PortRef>, Refusal> {
        let mut moved: Vec<PortRef> = Vec::with_capacity(ports.len());
        for handle in ports {
            let reference = self.loose(*handle)?;
            if let Target::Port(port) = through {
                if port.id == reference.id {
                    return Err(Refusal::ThroughItself);
                }
                if port.is_channel() && !reference.is_channel() {
                    return Err(Refusal::NotOverChannel);
                }
            }
            if moved.contains(&reference) {
                return Err(Refusal::InvalidPort);
            }
            moved.push(reference);
        }
        Ok(moved)
    }

    /// Where a port leads: to whom, as the container knows it, and by which way.
    pub(super) fn target(&self, port: Handle) -> Result<(ContainerId, Target), Refusal> {
        match self.held.get(port.0 as usize) {
            Some(Held::Loose(reference)) => Ok((reference.id, Target::Port(reference.clone()))),
            Some(Held::Bound(name)) => {
                let (_, reference) = self.bound_at(name).ok_or(Refusal::InvalidPort)?;
                let life =
                    self.ports.get(name).filter(|port| port.reference == *reference).map(|port| port.life);
                if life == Some(Life::Closed) {
                    return Err(Refusal::Closed);
                }
                Ok((reference.id, Target::Port(reference.clone())))
            }
            Some(Held::Parent) => Ok((self.facts.parent.ok_or(Refusal::NoParent)?, Target::Parent)),
            Some(Held::Gone | Held::Host) | None => Err(Refusal::InvalidPort),
        }
    }
}
