//! A container's ports and the one function that orders what waits in them.
//!
//! Invariants:
//! 1. A name binds one port, and a container's port is bound under one name.
//! 2. `heads` holds the head of every queue that is not empty, and nothing else.
//! 3. The order between heads is total: no two ports have the same name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{ContainerId, Delivery, Kind, Nonce, Port, PortName, PortRef, Ticks};

/// Where a message waits: in the entry port, written by the parent (or the host), or in a named port.
///
/// The parent's port comes first in the order, then names by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The entry port.
    Parent,
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

/// One container's ports, queues and nonce.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Record")]
pub struct PortManager {
    nonce: Nonce,
    entry: VecDeque<Delivery>,
    ports: BTreeMap<PortName, Port>,
    names: BTreeMap<ContainerId, PortName>,
    heads: BTreeSet<Head>,
}

/// The durable part; the indexes are rebuilt from it.
#[derive(Deserialize)]
struct Record {
    nonce: Nonce,
    entry: VecDeque<Delivery>,
    ports: BTreeMap<PortName, Port>,
}

impl PortManager {
    /// The counter from which the next id is minted.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The port bound under a name.
    pub fn get(&self, name: &PortName) -> Option<&PortRef> {
        Some(&self.ports.get(name)?.reference)
    }

    /// The name under which a container's port is bound here.
    pub fn name_of(&self, id: ContainerId) -> Option<&PortName> {
        self.names.get(&id)
    }

    /// Bound ports by name.
    pub fn iter(&self) -> impl Iterator<Item = (&PortName, &PortRef)> {
        self.ports.iter().map(|(name, port)| (name, &port.reference))
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
        self.entry.len() + self.ports.values().map(|port| port.queue.len()).sum::<usize>()
    }

    /// Puts a message that the parent or the host sent into the entry port.
    pub fn push_entry(&mut self, delivery: Delivery) {
        if self.entry.is_empty() {
            self.heads.insert(head(&delivery, Source::Parent));
        }
        self.entry.push_back(delivery);
    }

    /// Puts a message that a bound child sent into that child's port; gives it back if no port leads there.
    ///
    /// # Errors
    /// The delivery itself.
    pub fn push_child(&mut self, child: ContainerId, delivery: Delivery) -> Result<(), Box<Delivery>> {
        let bound = self.names.get(&child).and_then(|name| Some((name, self.ports.get_mut(name)?)));
        let Some((name, port)) = bound else { return Err(Box::new(delivery)) };
        if port.queue.is_empty() {
            self.heads.insert(head(&delivery, Source::Named(name.clone())));
        }
        port.queue.push_back(delivery);
        Ok(())
    }

    /// The message that is next, by the arbitration.
    pub fn next(&self) -> Option<&Head> {
        self.heads.first()
    }

    /// Takes the next message, with where it waited.
    pub fn pop(&mut self) -> Option<(Source, Delivery)> {
        let source = self.heads.pop_first()?.source;
        let queue = match &source {
            Source::Parent => &mut self.entry,
            Source::Named(name) => &mut self.ports.get_mut(name)?.queue,
        };
        let delivery = queue.pop_front()?;
        if let Some(next) = queue.front() {
            self.heads.insert(head(next, source.clone()));
        }
        Some((source, delivery))
    }

    /// Applies what a turn changed. `floating` holds, by id, ports that are bound nowhere: those that were unbound
    /// go there, those that were bound are taken from there. Messages that waited in a port while it floated
    /// take at least the delivery tick `earliest`, in order (design, section 4).
    pub fn apply(&mut self, bindings: Bindings, floating: &mut BTreeMap<ContainerId, Port>, earliest: Ticks) {
        self.nonce = bindings.nonce;
        for name in bindings.changed.keys() {
            self.take(name, floating);
        }
        for (name, reference) in bindings.changed {
            if let Some(reference) = reference {
                let mut port = floating.remove(&reference.id).unwrap_or_else(|| Port::new(reference));
                for delivery in &mut port.queue {
                    delivery.at = delivery.at.max(earliest);
                }
                self.put(name, port);
            }
        }
    }

    /// Drops the port to a container that is no more, with what waits in it.
    pub fn forget(&mut self, id: ContainerId) -> Option<Port> {
        let name = self.names.get(&id)?.clone();
        let mut dropped = BTreeMap::new();
        self.take(&name, &mut dropped);
        dropped.remove(&id)
    }

    /// Every container that is owned through this one: behind its ports, and in messages that wait here.
    pub fn owned(&self) -> impl Iterator<Item = ContainerId> {
        let waiting = self.entry.iter().chain(self.ports.values().flat_map(|port| &port.queue));
        let moving = waiting.flat_map(|delivery| &delivery.message.ports).map(|port| port.id);
        self.ports.values().map(|port| port.reference.id).chain(moving)
    }

    /// Receipts that wait on messages which wait here.
    pub fn receipts(&self) -> impl Iterator<Item = crate::ReceiptId> {
        self.entry.iter().filter_map(|delivery| delivery.receipt)
    }

    fn take(&mut self, name: &PortName, floating: &mut BTreeMap<ContainerId, Port>) {
        let Some(port) = self.ports.remove(name) else { return };
        self.names.remove(&port.reference.id);
        if let Some(first) = port.queue.front() {
            self.heads.remove(&head(first, Source::Named(name.clone())));
        }
        floating.insert(port.reference.id, port);
    }

    fn put(&mut self, name: PortName, port: Port) {
        if let Some(first) = port.queue.front() {
            self.heads.insert(head(first, Source::Named(name.clone())));
        }
        self.names.insert(port.reference.id, name.clone());
        self.ports.insert(name, port);
    }
}

fn head(delivery: &Delivery, source: Source) -> Head {
    Head { at: delivery.at, priority: Reverse(delivery.message.priority), source }
}

impl From<Record> for PortManager {
    fn from(record: Record) -> Self {
        let mut manager = PortManager { nonce: record.nonce, ..PortManager::default() };
        for delivery in record.entry {
            manager.push_entry(delivery);
        }
        for (name, port) in record.ports {
            manager.put(name, port);
        }
        manager
    }
}

/// The durable part, by reference. Inputs of a host that waits for their receipts are not in it: they count as taken
/// only with the batch of their turn, and whoever waits for them does not outlive the process. A creation is: its container has a record already.
#[derive(Serialize)]
struct RecordView<'a> {
    nonce: Nonce,
    entry: Vec<&'a Delivery>,
    ports: &'a BTreeMap<PortName, Port>,
}

impl Serialize for PortManager {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let kept = |delivery: &&Delivery| delivery.receipt.is_none() || delivery.kind == Kind::Create;
        let entry = self.entry.iter().filter(kept).collect();
        RecordView { nonce: self.nonce, entry, ports: &self.ports }.serialize(to)
    }
}

#[cfg(test)]
mod tests;
