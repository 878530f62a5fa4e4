//! Channels that a host makes between two of its root containers, so that one can be to the other what drivers are.
//!
//! The first container is taken as the maker: the channel's id is minted from its nonce, as if it had made the channel in a
//! turn of its own. Nobody is told; either may find the port under its name from the next turn on.

use everturn_port_manager::{
    Bindings, ContainerId, End, Gauge, Kind, Life, Loose, Port, PortName, PortRef, Ticks,
};

use super::Core;
use crate::HypervisorError;
use crate::batch::{Output, Reply};

/// What became of a request to connect two containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connecting {
    /// They are connected.
    Done,
    /// What is bound under a name leads nowhere any more, but this container has not heard all that came from there. The
    /// last of it has this delivery tick.
    Closing(ContainerId, Ticks),
}

/// Where an end of the channel is to be: the container, and the name there.
pub(crate) type Place = (ContainerId, PortName);

impl Core {
    pub(super) fn connect(&mut self, places: &[Place; 2], reply: Reply<Connecting>) {
        match self.try_to_connect(places) {
            Ok(Connecting::Done) => self.open.outputs.push(Output::Connected(reply)),
            other => drop(reply.send(other)),
        }
    }

    /// Kept whatever comes of it: also what cannot be made may have taken ports off their names.
    pub(super) fn try_to_connect(&mut self, places: &[Place; 2]) -> Result<Connecting, HypervisorError> {
        if self.are_connected(places)? {
            return Ok(Connecting::Done);
        }
        self.keep_connection(places);
        match self.clear(places)? {
            Some(closing) => Ok(closing),
            None => self.make_connection(places).map(|()| Connecting::Done),
        }
    }

    /// Whether the two names stand for the two ends of one channel already, and both may be sent through.
    fn are_connected(&self, places: &[Place; 2]) -> Result<bool, HypervisorError> {
        let [one, other] = places.each_ref().map(|place| self.bound(place));
        let (one, other) = (one?, other?);
        let is_open = |port: Option<&Port>| port.is_some_and(|port| closes_at(port).is_none());
        Ok(is_pair(one, other) && is_open(one) && is_open(other))
    }

    fn bound(&self, (id, name): &Place) -> Result<Option<&Port>, HypervisorError> {
        let root = self.running.get(id).filter(|exo| exo.record().holder.is_none());
        let root = root.ok_or_else(|| HypervisorError::NoSuchContainer(id.to_string()))?;
        Ok(root.ports().get(name))
    }

    /// Takes ports off the names that lead nowhere any more, or where one end of a channel does: a container that went back to an
    /// older state has its end again, but the other end was told that it is gone. Nothing is taken off if one of the names is
    /// used otherwise.
    fn clear(&mut self, places: &[Place; 2]) -> Result<Option<Connecting>, HypervisorError> {
        let [one, other] = places.each_ref().map(|place| self.bound(place));
        let is_pair = is_pair(one?, other?);
        let mut spent = Vec::new();
        for place in places {
            let Some(port) = self.bound(place)? else { continue };
            let in_use =
                || HypervisorError::PortInUse { container: place.0.to_string(), port: place.1.to_string() };
            let last = || port.queue.iter().last().map_or(Ticks::ZERO, |last| last.at);
            let at = closes_at(port).or_else(|| is_pair.then(last)).ok_or_else(in_use)?;
            if !port.queue.is_empty() {
                return Ok(Some(Connecting::Closing(place.0, at)));
            }
            spent.push((place.0, port.reference.clone()));
        }
        for (id, reference) in spent {
            let port = self.change_waiting(id, |ports| ports.forget(reference.port_id()));
            port.flatten().into_iter().for_each(|port| self.loose.put(port));
            self.drop_port(&reference, self.clock.window_end);
        }
        Ok(None)
    }

    /// Mints the channel and binds its ends.
    fn make_connection(&mut self, places: &[Place; 2]) -> Result<(), HypervisorError> {
        let [(maker, name), (other, name_there)] = places;
        if maker == other && name == name_there {
            return Err(HypervisorError::PortInUse { container: other.to_string(), port: name.to_string() });
        }
        self.check_places(places)?;
        let Some(nonce) = self.running.get(maker).map(|exo| exo.ports().nonce()) else { return Ok(()) };
        let (id, gauges) = (maker.child(nonce), [Gauge::default(), Gauge::default()]);
        let [first, second] = [End::First, End::Second].map(|end| PortRef::channel(id, end));
        self.mint(*maker, id, nonce);
        self.change_waiting(*maker, |ports| {
            ports.apply(
                Bindings { nonce: nonce.next(), ..Bindings::default() },
                &mut Loose::default(),
                Ticks::ZERO,
            );
            ports.put(name.clone(), end(&first, &gauges[0], &gauges[1]));
        });
        self.change_waiting(*other, |ports| {
            ports.put(name_there.clone(), end(&second, &gauges[1], &gauges[0]));
        });
        self.ends.extend([(first.port_id(), *maker), (second.port_id(), *other)]);
        Ok(())
    }

    /// Whether the containers may bind one port more, or two.
    fn check_places(&self, places: &[Place; 2]) -> Result<(), HypervisorError> {
        for (id, _) in places {
            let Some(exo) = self.running.get(id) else { continue };
            let more = places.iter().filter(|(other, _)| other == id).count();
            let ports_max = self.runner.limits(exo).ports_max;
            if exo.ports().len() + more > ports_max {
                return Err(HypervisorError::TooManyPorts { container: id.to_string(), ports_max });
            }
        }
        Ok(())
    }
}

/// Whether these are the two ends of one channel.
fn is_pair(one: Option<&Port>, other: Option<&Port>) -> bool {
    let id = |port: Option<&Port>| port.map(|port| port.reference.port_id());
    id(one).and_then(|one| one.peer()).is_some_and(|peer| id(other) == Some(peer))
}

/// When the last message of a port is delivered, or was; `None` if more may come.
fn closes_at(port: &Port) -> Option<Ticks> {
    let close = port.queue.iter().find(|delivery| delivery.kind == Kind::Close).map(|close| close.at);
    close.or((port.life == Life::Closed).then_some(Ticks::ZERO))
}

fn end(reference: &PortRef, queue: &Gauge, outgoing: &Gauge) -> Port {
    let mut port = Port::new(reference.clone());
    port.queue.set_gauge(queue.clone());
    port.outgoing = outgoing.clone();
    port
}
