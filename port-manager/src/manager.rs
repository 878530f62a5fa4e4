//! A container's ports and the one function that orders what waits in them.
//!
//! Invariants:
//! 1. A name binds one port, and a port is bound under one name.
//! 2. `heads` holds the head of every queue that is not empty, and nothing else.
//! 3. The order between heads is total: no two ports have the same name.
//! 4. `touched` holds the name of every port that differs from what was last taken down as durable, `rebound` those under
//!    which another port is bound than then, or what a port leads to has gone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ContainerId, Delivery, Gauge, Kind, Life, Loose, Nonce, Ordered, Port, PortId, PortName, PortRef, Queue,
    Ticks,
};

/// Where a message waits.
///
/// The parent's port comes first in the order, then notices, then names by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The entry port, written by the parent (or the host).
    Parent,
    /// No port: word of a child whose creation failed.
    Notice(ContainerId),
    /// The port bound under this name.
    Named(PortName),
}

/// The head of one queue. Its derived order *is* the arbitration between ports: lower delivery tick, then
/// higher priority, then the parent's port, then the lower name (design, section 5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Delivery tick of the queue's first message.
    pub at: Ticks,
    /// Its priority.
    pub priority: Reverse<i32>,
    /// Which queue.
    pub source: Source,
}

/// What a turn changed: the new nonce and, by name, the port bound there now, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// The counter after the turn.
    pub nonce: Nonce,
    /// Names whose port changed.
    pub changed: BTreeMap<PortName, Option<PortRef>>,
}

/// One container's ports, queues and nonce. Its durable form is the nonce and what waits in no named port; named ports
/// are taken down one by one, see [`PortManager::take_touched`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Record")]
pub struct PortManager {
    nonce: Nonce,
    entry: Queue,
    notices: BTreeMap<ContainerId, Delivery>,
    ports: BTreeMap<PortName, Port>,
    names: BTreeMap<PortId, PortName>,
    heads: Ordered<Head>,
    touched: BTreeSet<PortName>,
    rebound: BTreeSet<PortName>,
}

/// The durable part beside the ports; the indexes are made from it.
#[derive(Deserialize)]
struct Record {
    nonce: Nonce,
    entry: Queue,
    #[serde(default)]
    notices: Vec<(ContainerId, Delivery)>,
}

/// The same, by reference.
#[derive(Serialize)]
struct RecordView<'a, Q> {
    nonce: Nonce,
    entry: Q,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<(&'a ContainerId, &'a Delivery)>,
}

impl PortManager {
    /// The counter from which the next id is minted.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The port bound under a name.
    pub fn get(&self, name: &str) -> Option<&Port> {
        self.ports.get(name)
    }

    /// The port bound under a name, with that name.
    pub fn get_named(&self, name: &str) -> Option<(&PortName, &Port)> {
        self.ports.get_key_value(name)
    }

    /// The name under which a port is bound here.
    pub fn name_of(&self, id: PortId) -> Option<&PortName> {
        self.names.get(&id)
    }

    /// Bound ports by name.
    pub fn iter(&self) -> impl Iterator<Item = (&PortName, &Port)> {
        self.ports.iter()
    }

    /// How many ports are bound.
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    /// Whether no port is bound.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Messages that wait in all ports together.
    pub fn queued(&self) -> usize {
        self.waiting().count()
    }

    /// Everything that waits, in no particular order.
    pub fn waiting(&self) -> impl Iterator<Item = &Delivery> {
        self.entry
            .iter()
            .chain(self.notices.values())
            .chain(self.ports.values().flat_map(|port| port.queue.iter()))
    }

    /// Puts a message that the parent or the host sent into the entry port.
    pub fn push_entry(&mut self, delivery: Delivery) {
        let first = self.entry.is_empty();
        self.entry.push(delivery);
        if first {
            self.note_head(Source::Parent);
        }
    }

    /// Puts word of a child whose creation failed where it will be taken; a child fails at most once.
    pub fn push_notice(&mut self, child: ContainerId, delivery: Delivery) {
        self.heads.insert(head(&delivery, Source::Notice(child)));
        self.notices.insert(child, delivery);
    }

    /// Puts a message that came through a port into its queue; gives it back if no such port is bound here.
    ///
    /// # Errors
    /// The delivery itself.
    pub fn push_port(&mut self, id: PortId, delivery: Delivery) -> Result<(), Box<Delivery>> {
        let bound = self.names.get(&id).and_then(|name| Some((name, self.ports.get_mut(name)?)));
        let Some((name, port)) = bound else { return Err(Box::new(delivery)) };
        if delivery.kind == Kind::Close {
            self.rebound.insert(name.clone());
        }
        let is_first = port.queue.is_empty();
        port.queue.push(delivery);
        if is_first {
            // As the queue has it: that may have raised its delivery tick.
            self.heads.extend(port.queue.front().map(|first| head(first, Source::Named(name.clone()))));
        }
        touch(&mut self.touched, name);
        Ok(())
    }

    /// The message that is next, by the arbitration.
    pub fn next(&self) -> Option<&Head> {
        self.heads.first()
    }

    /// The next message itself.
    pub fn peek(&self) -> Option<&Delivery> {
        match &self.heads.first()?.source {
            Source::Parent => self.entry.front(),
            Source::Notice(child) => self.notices.get(child),
            Source::Named(name) => self.ports.get(name)?.queue.front(),
        }
    }

    /// Takes the next message, with where it waited, in the window with this end. One that was the last of its port closes
    /// that.
    pub fn pop(&mut self, window_end: Ticks) -> Option<(Source, Arc<Delivery>)> {
        let source = self.heads.pop_first()?.source;
        let delivery = match &source {
            Source::Parent => self.entry.pop(window_end)?,
            Source::Notice(child) => Arc::new(self.notices.remove(child)?),
            Source::Named(name) => {
                let port = self.ports.get_mut(name)?;
                touch(&mut self.touched, name);
                let delivery = port.queue.pop(window_end)?;
                if delivery.kind == Kind::Close {
                    port.life = Life::Closed;
                }
                delivery
            }
        };
        self.note_head(source.clone());
        Some((source, delivery))
    }

    /// Applies what a turn changed. Ports that were unbound go to `hand`, those that were bound are taken from there.
    /// Messages of a port that is bound now are delivered at `earliest` or later, in order (design, section 4).
    pub fn apply(&mut self, bindings: Bindings, hand: &mut Loose, earliest: Ticks) {
        self.nonce = bindings.nonce;
        for name in bindings.changed.keys() {
            if let Some(port) = self.take(name) {
                hand.put(port);
            }
        }
        for (name, reference) in bindings.changed {
            if let Some(reference) = reference {
                let mut port = hand.take(reference.port_id()).unwrap_or_else(|| Port::new(reference));
                port.queue.raise(earliest);
                self.put(name, port);
            }
        }
    }

    /// Binds a port as it is: one that was read from a store.
    pub fn put(&mut self, name: PortName, port: Port) {
        self.touched.insert(name.clone());
        self.rebound.insert(name.clone());
        self.names.insert(port.reference.port_id(), name.clone());
        self.ports.insert(name.clone(), port);
        self.note_head(Source::Named(name));
    }

    /// Takes a port off its name, with what waits in it.
    pub fn forget(&mut self, id: PortId) -> Option<Port> {
        let name = self.names.get(&id)?.clone();
        self.take(&name)
    }

    /// The queue of the entry port.
    pub fn entry(&self) -> &Queue {
        &self.entry
    }

    /// Shows how full the entry port is by this gauge: that of the port that leads here. For a new container.
    pub fn set_entry_gauge(&mut self, gauge: Gauge) {
        self.entry.set_gauge(gauge);
    }

    /// Gives each bound port the gauge of the queue that it fills, after ports were read from a store.
    pub fn join_gauges(&mut self, mut of: impl FnMut(&Port) -> Option<Gauge>) {
        for port in self.ports.values_mut() {
            if let Some(gauge) = of(port) {
                port.outgoing = gauge;
            }
        }
    }

    /// Receipts that wait on messages which wait here.
    pub fn receipts(&self) -> impl Iterator<Item = crate::ReceiptId> {
        self.entry.iter().filter_map(|delivery| delivery.receipt)
    }

    /// The names of ports that are not as they were taken down last, so that the store can follow.
    pub fn take_touched(&mut self) -> BTreeSet<PortName> {
        std::mem::take(&mut self.touched)
    }

    /// The names under which something else is bound than when they were taken last, or a port that leads nowhere since.
    pub fn take_rebound(&mut self) -> BTreeSet<PortName> {
        std::mem::take(&mut self.rebound)
    }

    fn take(&mut self, name: &PortName) -> Option<Port> {
        let port = self.ports.remove(name)?;
        self.touched.insert(name.clone());
        self.rebound.insert(name.clone());
        self.names.remove(&port.reference.port_id());
        if let Some(first) = port.queue.front() {
            self.heads.remove(&head(first, Source::Named(name.clone())));
        }
        Some(port)
    }

    /// Notes the head of a queue that got its first message, or lost the one before.
    fn note_head(&mut self, source: Source) {
        let first = match &source {
            Source::Parent => self.entry.front(),
            Source::Notice(child) => self.notices.get(child),
            Source::Named(name) => self.ports.get(name).and_then(|port| port.queue.front()),
        };
        if let Some(first) = first {
            self.heads.insert(head(first, source));
        }
    }
}

/// Notes a port by its name, which mostly is noted already.
fn touch(touched: &mut BTreeSet<PortName>, name: &PortName) {
    if !touched.contains(name) {
        touched.insert(name.clone());
    }
}

fn head(delivery: &Delivery, source: Source) -> Head {
    Head { at: delivery.at, priority: Reverse(delivery.message.priority), source }
}

impl From<Record> for PortManager {
    fn from(record: Record) -> Self {
        let mut manager = PortManager { nonce: record.nonce, entry: record.entry, ..PortManager::default() };
        manager.note_head(Source::Parent);
        for (child, delivery) in record.notices {
            manager.push_notice(child, delivery);
        }
        manager
    }
}

impl Serialize for PortManager {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let notices = self.notices.iter().collect();
        RecordView { nonce: self.nonce, entry: self.entry.durable(), notices }.serialize(to)
    }
}

#[cfg(test)]
mod tests;
