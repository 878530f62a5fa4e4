//! One container's state node.

use std::collections::BTreeMap;

use everturn_dag::address::node_cid;
use everturn_dag::node::{self, Composer};
use everturn_dag::references::{self, Difference};
use everturn_dag::{Cid, Reader, Space, StoreError};
use everturn_exo_interface::{BlockWriter, Fields};
use everturn_port_manager::{ContainerId, Port, PortName, PortRef};

use super::stale::{Done, Stale};
use super::{Flush, Sources};
use crate::port_map::{self, Change, PortEntry};
use crate::{HypervisorError, keys};

impl Flush<'_> {
    /// Makes the state node of a container whose children are done.
    pub(super) fn node(&mut self, stale: &Stale) -> Result<Cid, HypervisorError> {
        let own = self.own_fields(stale)?;
        let before = match stale.before {
            Some(cid) => Some((cid, self.stage.own_block(&cid)?)),
            None => None,
        };
        let (nonce, ports) = (nonce(&stale.record.nonce.to_bytes()), self.ports(stale, before.as_ref())?);
        let mut fields: Vec<(&str, &[u8])> = vec![("nonce", &nonce), ("ports", &ports)];
        fields.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let bytes = node::map_of(fields);
        let cid = node_cid(&bytes);
        if stale.before != Some(cid) {
            if let Some((earlier, before)) = &before {
                Difference::between(&cid, &bytes, earlier, before)?.note(&mut self.batch, &cid);
            }
            self.stage.emit(cid, bytes);
            references::hold(&mut self.batch, &keys::newest_node(stale.id), &cid);
        }
        for mark in &stale.marks {
            self.batch.delete(Space::Stale, mark.as_slice());
        }
        Ok(cid)
    }

    /// What the container's type says of its state.
    fn own_fields(&mut self, stale: &Stale) -> Result<Fields, HypervisorError> {
        if !stale.record.born {
            return Ok(Fields::new());
        }
        let (id, Sources { store, types }) = (stale.id, self.from);
        let rows = keys::Rows { reader: store, id };
        let mut notes = keys::RowChanges { batch: &mut self.batch, id };
        Ok(types.get(&stale.record.container_type)?.flush(&rows, &mut notes, &mut self.stage)?)
    }

    /// The field `ports`: that of the node before, with what has changed.
    fn ports(&mut self, stale: &Stale, before: Option<&(Cid, Vec<u8>)>) -> Result<Vec<u8>, StoreError> {
        let store = self.from.store;
        let stage = std::cell::RefCell::new(&mut self.stage);
        let load = |cid: &Cid| stage.borrow().own_block(cid);
        let mut put = |block: Vec<u8>| {
            let cid = node_cid(&block);
            stage.borrow_mut().emit(cid, block);
            Ok(cid)
        };
        let mut blocks = port_map::Blocks { load: &load, put: &mut put };
        match before {
            None => port_map::compose(&stale.all_ports(store)?, &mut blocks),
            Some((cid, node)) => {
                let fields =
                    node::entries_of_valid(node).map_err(|error| not_a_node(cid, error.to_string()))?;
                let ports = fields.into_iter().find(|(name, _)| *name == "ports").map(|(_, ports)| ports);
                let ports = ports.ok_or_else(|| not_a_node(cid, "it has no ports".to_owned()))?;
                port_map::update(ports, &stale.changes(store)?, &mut blocks)
            }
        }
    }
}

impl Stale {
    /// Every port that is bound, for a first node.
    fn all_ports(&self, store: &dyn Reader) -> Result<BTreeMap<PortName, PortEntry>, StoreError> {
        let mut ports = Vec::new();
        keys::ports(store, self.id, &mut |name, port| ports.push((name, port.reference)))?;
        ports.into_iter().map(|(name, port)| Ok((name, self.entry(store, &port)?))).collect()
    }

    /// What the marks say has changed, each name once: what a port that is bound anew leads to is looked up with it.
    fn changes(&self, store: &dyn Reader) -> Result<Vec<(PortName, Change)>, StoreError> {
        let mut changes = Vec::with_capacity(self.children.len() + self.rebound.len());
        for (child, Done { name, cid }) in &self.children {
            if let Ok(name) = PortName::new(name)
                && !self.rebound.contains(&name)
            {
                changes.push((name, Change::Leads(*child, *cid)));
            }
        }
        for name in &self.rebound {
            let change = match store.get(Space::Runtime, &keys::port(self.id, name))? {
                Some(port) => {
                    let port: Port = keys::decode("a port", &port)?;
                    Change::Bound(self.entry(store, &port.reference)?)
                }
                None => Change::Unbound,
            };
            changes.push((name.clone(), change));
        }
        Ok(changes)
    }

    fn entry(&self, store: &dyn Reader, port: &PortRef) -> Result<PortEntry, StoreError> {
        Ok(PortEntry::new(port, if port.is_channel() { None } else { self.node_of(store, port.id)? }))
    }

    /// The newest state node of a child; none, if the child is gone.
    fn node_of(&self, store: &dyn Reader, child: ContainerId) -> Result<Option<Cid>, StoreError> {
        match self.children.get(&child) {
            Some(done) => Ok(done.cid),
            None => references::held(store, &keys::newest_node(child)),
        }
    }
}

fn nonce(bytes: &[u8]) -> Vec<u8> {
    let mut node = Composer::default();
    node.list(bytes.len());
    for byte in bytes {
        node.integer((*byte).into());
    }
    node.finish()
}

fn not_a_node(cid: &Cid, what: String) -> StoreError {
    StoreError::Damaged { place: format!("the state node {cid}"), what }
}
