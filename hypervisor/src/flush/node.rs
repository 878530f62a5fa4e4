//! One container's state node.

use std::collections::BTreeMap;

use everturn_dag::address::node_cid;
use everturn_dag::node::{self, Composer};
use everturn_dag::references::{self, Difference};
use everturn_dag::{Cid, Reader, Space, StoreError};
use everturn_exo_interface::{BlockWriter, Fields};
use everturn_port_manager::{ContainerId, Port, PortName, PortRef};
use rustc_hash::FxHashMap;

use super::stale::{Done, Stale};
use super::{Flush, Sources};
use crate::crew::Crew;
use crate::port_map::{self, Change, Keyed, PortEntry};
use crate::shards::{Blocks, Made};
use crate::{HypervisorError, keys};

impl Flush<'_> {
    /// Makes the state node of a container whose children are done, with the crew if it is free.
    pub(super) fn node(&mut self, stale: &mut Stale, crew: Option<&Crew>) -> Result<Cid, HypervisorError> {
        let own = self.own_fields(stale)?;
        let before = match stale.before {
            Some(cid) => Some((cid, self.stage.own_block(&cid)?)),
            None => None,
        };
        let nonce = nonce(&stale.record.nonce.to_bytes());
        let ports = self.ports(stale, before.as_ref(), crew)?;
        let mut fields: Vec<(&str, &[u8])> = vec![("nonce", &nonce), ("ports", &ports)];
        fields.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let bytes = node::map_of(fields);
        let cid = node_cid(&bytes);
        if stale.before != Some(cid) {
            if let Some((earlier, before)) = &before {
                Difference::between(&cid, &bytes, earlier, before)?.note(&mut self.batch, &cid);
            }
            self.stage.emit(cid, bytes);
            let name = keys::newest_node(stale.id);
            references::hold_in_place_of(&mut self.batch, &name, stale.before.as_ref(), &cid);
        }
        for mark in stale.marks.drain(..) {
            self.batch.delete(Space::Stale, mark);
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
    fn ports(
        &mut self,
        stale: &mut Stale,
        before: Option<&(Cid, Vec<u8>)>,
        crew: Option<&Crew>,
    ) -> Result<Vec<u8>, StoreError> {
        let (store, stage) = (self.from.store, &self.stage);
        let load = |cid: &Cid| stage.own_block(cid);
        let mut blocks = Blocks { load: &load, crew, made: Vec::new() };
        let ports = match before {
            None => port_map::compose(&stale.all_ports(store)?, &mut blocks),
            Some((cid, node)) => {
                let mut ports = None;
                let visited = node::visit_valid(node, &mut |name, value| {
                    ports = (name == b"ports").then_some(value);
                    ports.is_none()
                });
                visited.map_err(|error| not_a_node(cid, error.to_string()))?;
                let ports = ports.ok_or_else(|| not_a_node(cid, "it has no ports".to_owned()))?;
                port_map::update(ports, &stale.changes(store)?, &mut blocks)
            }
        }?;
        for Made { cid, block, difference } in blocks.made {
            if let Some(difference) = difference {
                difference.note(&mut self.batch, &cid);
            }
            self.stage.emit(cid, block);
        }
        Ok(ports)
    }
}

impl Stale {
    /// Every port that is bound, for a first node.
    fn all_ports(&self, store: &dyn Reader) -> Result<BTreeMap<PortName, PortEntry>, StoreError> {
        let mut ports = Vec::new();
        keys::ports(store, self.id, &mut |name, port| ports.push((name, port.reference)))?;
        let done = self.done();
        ports.into_iter().map(|(name, port)| Ok((name, entry(store, &port, &done)?))).collect()
    }

    /// What the marks say has changed, each name once: what a port that is bound anew leads to is looked up with it.
    fn changes(&mut self, store: &dyn Reader) -> Result<Vec<(Keyed, Change)>, StoreError> {
        let mut changes = Vec::with_capacity(self.children.len() + self.rebound.len());
        let done = if self.rebound.is_empty() { FxHashMap::default() } else { self.done() };
        for (child, Done { port, cid }) in self.children.drain(..) {
            if let Some(port) = port
                && !self.rebound.contains(&port.name)
            {
                changes.push((port, Change::Leads(child, cid)));
            }
        }
        for name in &self.rebound {
            let change = match store.get(Space::Runtime, &keys::port(self.id, name))? {
                Some(port) => {
                    let port: Port = keys::decode("a port", &port)?;
                    Change::Bound(Box::new(entry(store, &port.reference, &done)?))
                }
                None => Change::Unbound,
            };
            changes.push((name.clone().into(), change));
        }
        Ok(changes)
    }

    /// The newest state nodes of children that were made anew or are gone.
    fn done(&self) -> FxHashMap<ContainerId, Option<Cid>> {
        self.children.iter().map(|(child, done)| (*child, done.cid)).collect()
    }
}

/// A port as it is now, whose container's node may be among those that are done.
fn entry(
    store: &dyn Reader,
    port: &PortRef,
    done: &FxHashMap<ContainerId, Option<Cid>>,
) -> Result<PortEntry, StoreError> {
    let to = match done.get(&port.id) {
        _ if port.is_channel() => None,
        Some(cid) => *cid,
        None => references::held(store, &keys::newest_node(port.id))?,
    };
    Ok(PortEntry::new(port, to))
}

fn nonce(bytes: &[u8]) -> Vec<u8> {
    let mut node = Composer::with_capacity(1 + 2 * bytes.len());
    node.list(bytes.len());
    for byte in bytes {
        node.integer((*byte).into());
    }
    node.finish()
}

fn not_a_node(cid: &Cid, what: String) -> StoreError {
    StoreError::Damaged { place: format!("the state node {cid}"), what }
}
