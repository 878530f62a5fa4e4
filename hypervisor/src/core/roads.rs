//! Where messages go: to the queue of a container or of a port, wherever that port is now; and what becomes of ports
//! and containers that go.
//!
//! Everything here commutes between turns of one window: what is put into queues is delivered in a later one, in
//! the order of the one container that writes to the queue; and what is lost with a queue is lost at the window's end,
//! whether it came before or after the queue went.

use std::collections::BTreeMap;

use everturn_exo_interface::Target;
use everturn_port_manager::{ContainerId, Delivery, Gauge, Kind, Port, PortId, PortRef, Queue, Taken, Ticks};
use serde::{Deserialize, Serialize};

use super::Core;
use super::effects::{Sender, null_message, stamp};
use crate::{HypervisorError, keys};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It waits in a queue.
    Waits,
    /// Nobody can take it any more.
    Lost,
}

/// Which queue: a container's entry port, or a port's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum QueueId {
    /// What the parent fills.
    Entry(ContainerId),
    /// What comes out of a port.
    Port(PortId),
}

impl Core {
    /// Puts a message where it is to wait. One for a container that is gone goes with its ports.
    pub(super) fn route(&mut self, from: ContainerId, through: &Target, delivery: Delivery) -> Arrival {
        match through {
            Target::Parent => self.push_through(PortId::container(from), delivery),
            Target::Port(port) => match port.port_id().peer() {
                Some(peer) => self.push_through(peer, delivery),
                None => self.put(port.id, delivery),
            },
        }
    }

    /// Routes what a turn sent. If nobody can take it, its place is free again from the next window on.
    pub(super) fn dispatch(
        &mut self,
        from: ContainerId,
        through: &Target,
        gauge: Option<Gauge>,
        delivery: Delivery,
    ) {
        let gauge = gauge.filter(|_| delivery.is_counted());
        if self.route(from, through, delivery) == Arrival::Lost
            && let Some(gauge) = gauge
        {
            gauge.taken(self.clock.window_end);
            let queue = match through {
                Target::Parent => QueueId::Port(PortId::container(from)),
                Target::Port(port) => port.port_id().peer().map_or(QueueId::Entry(port.id), QueueId::Port),
            };
            self.gone.insert(queue, gauge);
        }
    }

    /// A queue goes with what waits in it.
    fn free(&mut self, id: QueueId, queue: &Queue) {
        if !queue.is_empty() || queue.gauge().last_taken().window_end == self.clock.window_end {
            queue.free(self.clock.window_end);
            self.gone.insert(id, queue.gauge().clone());
        }
    }

    /// Places of queues that are gone, which their senders get back at the end of this window. Earlier ones are back.
    pub(super) fn places_to_return(&mut self) -> Vec<(QueueId, Taken)> {
        let window_end = self.clock.window_end;
        self.gone.retain(|_, gauge| gauge.last_taken().window_end == window_end);
        self.gone.iter().map(|(id, gauge)| (*id, gauge.last_taken())).collect()
    }

    /// Puts a message into a container's entry port.
    pub(super) fn put(&mut self, to: ContainerId, delivery: Delivery) -> Arrival {
        if !self.running.contains_key(&to) {
            return self.lose(delivery);
        }
        tracing::trace!(target: "everturn::path", container = %to, at = %delivery.at, "Queued");
        let at = delivery.at;
        self.change_waiting(to, |ports| ports.push_entry(delivery));
        self.waits(at)
    }

    /// Lets a message come out of a port, wherever that is: bound, or in flight itself.
    pub(super) fn push_through(&mut self, port: PortId, delivery: Delivery) -> Arrival {
        let at = delivery.at;
        if let Some(queue) = self.loose.queue_mut(port) {
            queue.push(delivery);
            return self.waits(at);
        }
        let holder = match port.end {
            Some(_) => self.ends.get(&port).copied(),
            None => self.running.get(&port.of).and_then(|exo| exo.record().holder),
        };
        let Some(holder) = holder.filter(|holder| self.running.contains_key(holder)) else {
            self.hear(port, &delivery);
            return self.lose(delivery);
        };
        match self.change_waiting(holder, |ports| ports.push_port(port, delivery)) {
            Some(Err(delivery)) => self.lose(*delivery),
            _ => self.waits(at),
        }
    }

    /// A message of this delivery tick has its place, and what comes from outside comes after it.
    pub(super) fn waits(&mut self, at: Ticks) -> Arrival {
        self.clock.foremost = self.clock.foremost.max(at);
        Arrival::Waits
    }

    /// A message that nobody can take any more: its ports go.
    fn lose(&mut self, delivery: Delivery) -> Arrival {
        let at = self.clock.window_end;
        for port in &delivery.message.ports {
            self.drop_port(port, at);
        }
        Arrival::Lost
    }

    /// A port goes, and what it leads to learns of it: a container ends, the other end of a channel is closed. What
    /// waited in it is lost.
    pub(super) fn drop_port(&mut self, port: &PortRef, at: Ticks) {
        let mut gone = vec![(port.clone(), at)];
        while let Some((port, at)) = gone.pop() {
            let id = port.port_id();
            let by = Sender { id: port.id, date_ms: 0 };
            if let Some(loose) = self.loose.take(id) {
                self.free(QueueId::Port(id), &loose.queue);
                self.lose_queued(loose.queue.iter(), &mut gone);
            }
            self.ends.remove(&id);
            match id.peer() {
                Some(peer) if self.exists(peer) => {
                    self.push_through(peer, stamp(by, Kind::Close, null_message(), at));
                }
                Some(peer) => {
                    self.hear_nothing(peer);
                    keys::let_id_go(&mut self.open.batch, port.id);
                }
                None if self.running.contains_key(&port.id) => {
                    self.put(port.id, stamp(by, Kind::Delete, null_message(), at));
                }
                None => keys::let_id_go(&mut self.open.batch, port.id),
            }
        }
    }

    /// Whether there is a port that leads to a container.
    fn is_led_to(&self, id: ContainerId, holder: Option<ContainerId>) -> bool {
        let port = PortId::container(id);
        let holder = holder.and_then(|holder| self.running.get(&holder));
        self.loose.get(port).is_some() || holder.is_some_and(|exo| exo.ports().name_of(port).is_some())
    }

    pub(super) fn exists(&self, end: PortId) -> bool {
        self.loose.get(end).is_some() || self.ends.contains_key(&end)
    }

    /// Adds the ports of messages that are lost.
    fn lose_queued<'a>(&self, queue: impl Iterator<Item = &'a Delivery>, gone: &mut Vec<(PortRef, Ticks)>) {
        let ports = queue.flat_map(|delivery| &delivery.message.ports);
        gone.extend(ports.map(|port| (port.clone(), self.clock.window_end)));
    }

    /// Takes a container out that has ended, and lets go what it held: children are told to end at `at`.
    pub(super) fn remove(&mut self, id: ContainerId, at: Ticks) {
        for (port, at) in self.take_out(id, at) {
            self.drop_port(&port, at);
        }
    }

    /// Takes a container and all that it owns out at once: the host's own doing, between turns.
    pub(super) fn remove_tree(&mut self, id: ContainerId) {
        let mut doomed = vec![id];
        while let Some(id) = doomed.pop() {
            for (port, at) in self.take_out(id, self.clock.window_end) {
                if port.is_channel() {
                    self.drop_port(&port, at);
                } else {
                    let loose = self.loose.take(port.port_id());
                    let mut lost = Vec::new();
                    self.lose_queued(loose.iter().flat_map(|port| port.queue.iter()), &mut lost);
                    doomed.push(port.id);
                    lost.iter().for_each(|(port, at)| self.drop_port(port, *at));
                }
            }
        }
    }

    /// Lets every port know how full the queue is that it fills, after they were read from a store.
    pub(super) fn join_gauges(&mut self) {
        let bound = self.running.values().flat_map(|exo| exo.ports().iter().map(|(_, port)| port));
        let loose = self.loose.iter().map(|(_, port)| port);
        let queues: BTreeMap<PortId, Gauge> =
            bound.chain(loose).map(|port| (port.reference.port_id(), port.queue.gauge().clone())).collect();
        let (gone, mut entries) = (&self.gone, BTreeMap::new());
        for (id, exo) in &mut self.running {
            entries.insert(*id, exo.ports().entry().gauge().clone());
            let upward = PortId::container(*id);
            if let Some(gauge) = queues.get(&upward).or_else(|| gone.get(&QueueId::Port(upward))) {
                exo.set_upward(gauge.clone());
            }
        }
        let of = |port: &Port| match port.reference.port_id().peer() {
            Some(peer) => queues.get(&peer).or_else(|| gone.get(&QueueId::Port(peer))).cloned(),
            None => {
                let id = port.reference.id;
                entries.get(&id).or_else(|| gone.get(&QueueId::Entry(id))).cloned()
            }
        };
        self.loose.join_gauges(of);
        for exo in self.running.values_mut() {
            exo.ports_mut().join_gauges(of);
        }
    }

    /// Takes a container out; gives the ports that it held, and those in messages that it will not take.
    fn take_out(&mut self, id: ContainerId, at: Ticks) -> Vec<(PortRef, Ticks)> {
        self.unschedule(id);
        let Some(exo) = self.running.remove(&id) else { return Vec::new() };
        self.owned -= u64::from(exo.record().holder.is_some());
        for receipt in exo.ports().receipts() {
            // Dropping the sender tells the host that the container is gone.
            self.receipts.remove(&receipt);
            self.note_lost(receipt);
        }
        for reply in self.onces.forget_all(id) {
            let _ = reply.send(Err(HypervisorError::NoSuchContainer(id.to_string())));
        }
        self.free(QueueId::Entry(id), exo.ports().entry());
        for (_, port) in exo.ports().iter() {
            self.free(QueueId::Port(port.reference.port_id()), &port.queue);
        }
        self.open.touched.remove(&id);
        self.newest.remove(&id);
        self.residents.gone(id);
        self.hot.gone(id);
        self.alarms.note(id, None);
        self.open.deleted.push(id);
        if !self.is_led_to(id, exo.record().holder) {
            keys::let_id_go(&mut self.open.batch, id);
        }
        let mut gone: Vec<_> = exo.ports().iter().map(|(_, port)| (port.reference.clone(), at)).collect();
        self.lose_queued(exo.ports().waiting(), &mut gone);
        gone
    }
}
