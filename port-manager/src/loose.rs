//! Ports that are bound nowhere: in a turn's hands, or in flight in a message.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Delivery, Gauge, Port, PortId, Queue};

/// Loose ports by id, and which of them changed since that was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loose {
    ports: BTreeMap<PortId, Port>,
    changed: BTreeSet<PortId>,
}

impl Loose {
    /// A port became loose.
    pub fn put(&mut self, port: Port) {
        let id = port.reference.port_id();
        self.changed.insert(id);
        self.ports.insert(id, port);
    }

    /// A port is bound, or goes.
    pub fn take(&mut self, id: PortId) -> Option<Port> {
        let port = self.ports.remove(&id)?;
        self.changed.insert(id);
        Some(port)
    }

    /// The port, if it is loose.
    pub fn get(&self, id: PortId) -> Option<&Port> {
        self.ports.get(&id)
    }

    /// The queue of a port, if that is loose, for a message to wait in it.
    pub fn queue_mut(&mut self, id: PortId) -> Option<&mut Queue> {
        let port = self.ports.get_mut(&id)?;
        self.changed.insert(id);
        Some(&mut port.queue)
    }

    /// Moves the ports of a message from `other` to here.
    pub fn take_those_of(&mut self, delivery: &Delivery, other: &mut Loose) {
        for reference in &delivery.message.ports {
            if let Some(port) = other.take(reference.port_id()) {
                self.put(port);
            }
        }
    }

    /// Takes all in.
    pub fn append(&mut self, other: Loose) {
        self.changed.extend(other.changed);
        self.ports.extend(other.ports);
    }

    /// Gives each port the gauge of the queue that it fills, after ports were read from a store.
    pub fn join_gauges(&mut self, mut of: impl FnMut(&Port) -> Option<Gauge>) {
        for port in self.ports.values_mut() {
            if let Some(gauge) = of(port) {
                port.outgoing = gauge;
            }
        }
    }

    /// Which ports became loose, changed, or are loose no more.
    pub fn take_changed(&mut self) -> BTreeSet<PortId> {
        std::mem::take(&mut self.changed)
    }

    /// Ports by id.
    pub fn iter(&self) -> impl Iterator<Item = (&PortId, &Port)> {
        self.ports.iter()
    }
}

impl FromIterator<Port> for Loose {
    fn from_iter<T: IntoIterator<Item = Port>>(ports: T) -> Self {
        let ports = ports.into_iter().map(|port| (port.reference.port_id(), port)).collect();
        Loose { ports, changed: BTreeSet::new() }
    }
}
