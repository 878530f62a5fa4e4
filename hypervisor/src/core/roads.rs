//! Where messages go: to the queue of a container or of a port, wherever that port is now; and what becomes of ports
//! and containers that go.
//!
//! Everything here commutes between turns of one window: what is put into queues is delivered in a later one, in
//! the order of the one container that writes to the queue; and what is lost with a queue is lost at the window's end,
//! whether it came before or after the queue went.

use everturn_exo_interface::Target;
use everturn_port_manager::{ContainerId, Delivery, Kind, PortId, PortRef, Ticks};

use super::Core;
use super::effects::{Sender, null_message, stamp};
use crate::keys;

impl Core {
    /// Puts a message where it is to wait. One for a container that is gone goes with its ports.
    pub(super) fn route(&mut self, from: ContainerId, through: &Target, delivery: Delivery) {
        match through {
            Target::Parent => self.push_through(PortId::container(from), delivery),
            Target::Port(port) => match port.port_id().peer() {
                Some(peer) => self.push_through(peer, delivery),
                None => self.put(port.id, delivery),
            },
        }
    }

    /// Puts a message into a container's entry port.
    pub(super) fn put(&mut self, to: ContainerId, delivery: Delivery) {
        if !self.running.contains_key(&to) {
            return self.lose(delivery);
        }
        tracing::trace!(target: "everturn::path", container = %to, at = %delivery.at, "Queued");
        self.unschedule(to);
        if let Some(exo) = self.running.get_mut(&to) {
            exo.ports_mut().push_entry(delivery);
        }
        self.open.touched.insert(to);
        self.reschedule(to);
    }

    /// Lets a message come out of a port, wherever that is: bound, or in flight itself.
    pub(super) fn push_through(&mut self, port: PortId, delivery: Delivery) {
        let Err(delivery) = self.loose.push(port, delivery) else { return };
        let holder = match port.end {
            Some(_) => self.ends.get(&port).copied(),
            None => self.running.get(&port.of).and_then(|exo| exo.record().holder),
        };
        let Some(holder) = holder.filter(|holder| self.running.contains_key(holder)) else {
            return self.lose(*delivery);
        };
        self.unschedule(holder);
        let pushed = self.running.get_mut(&holder).map(|exo| exo.ports_mut().push_port(port, *delivery));
        self.open.touched.insert(holder);
        self.reschedule(holder);
        if let Some(Err(delivery)) = pushed {
            self.lose(*delivery);
        }
    }

    /// A message that nobody can take any more: its ports go.
    fn lose(&mut self, delivery: Delivery) {
        let at = self.clock.window_end;
        for port in &delivery.message.ports {
            self.drop_port(port, at);
        }
    }

    /// A port goes, and what it leads to learns of it: a container ends, the other end of a channel is closed. What
    /// waited in it is lost.
    pub(super) fn drop_port(&mut self, port: &PortRef, at: Ticks) {
        let mut gone = vec![(port.clone(), at)];
        while let Some((port, at)) = gone.pop() {
            let id = port.port_id();
            let by = Sender { id: port.id, date_ms: 0 };
            if let Some(loose) = self.loose.take(id) {
                self.lose_queued(loose.queue.iter(), &mut gone);
            }
            self.ends.remove(&id);
            match id.peer() {
                Some(peer) if self.exists(peer) => {
                    self.push_through(peer, stamp(by, Kind::Close, null_message(), at));
                }
                Some(_) => keys::let_id_go(&mut self.open.batch, port.id),
                None if self.running.contains_key(&port.id) => {
                    self.put(port.id, stamp(by, Kind::Delete, null_message(), at));
                }
                None => {}
            }
        }
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

    /// Takes a container out; gives the ports that it held, and those in messages that it will not take.
    fn take_out(&mut self, id: ContainerId, at: Ticks) -> Vec<(PortRef, Ticks)> {
        self.unschedule(id);
        let Some(exo) = self.running.remove(&id) else { return Vec::new() };
        for receipt in exo.ports().receipts() {
            // Dropping the sender tells the host that the container is gone.
            self.receipts.remove(&receipt);
        }
        self.open.touched.remove(&id);
        self.newest.remove(&id);
        self.open.deleted.push(id);
        let mut gone: Vec<_> = exo.ports().iter().map(|(_, port)| (port.reference.clone(), at)).collect();
        self.lose_queued(exo.ports().waiting(), &mut gone);
        gone
    }
}
