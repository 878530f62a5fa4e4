//! State roots: the address of a container's committed state and of all that it owns.
//!
//! Reads only what is durable, never live memory. A node is made anew only where a commit marked it stale;
//! a mark on a container implies one on each of its owners.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use everturn_dag::address::node_cid;
use everturn_dag::{Batch, Cid, Ipld, Reader, Space, StoreError, blocks, references};
use everturn_exo_interface::{BlockReader, BlockWriter, RuntimeRecord};
use everturn_port_manager::{ContainerId, PortName, PortRef};

use crate::core::Types;
use crate::{HypervisorError, keys};

/// Blocks of the store, and those that this flush has made so far.
struct Stage<'a> {
    store: &'a dyn Reader,
    made: RefCell<BTreeMap<Cid, Vec<u8>>>,
}

impl BlockReader for Stage<'_> {
    fn block(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        if let Some(bytes) = self.made.borrow().get(cid) {
            return Ok(bytes.clone());
        }
        keys::Blocks { reader: self.store }.block(cid)
    }

    fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self.made.borrow().contains_key(cid) || keys::Blocks { reader: self.store }.has(cid)?)
    }
}

impl BlockWriter for Stage<'_> {
    fn emit(&mut self, cid: Cid, bytes: Vec<u8>) {
        self.made.get_mut().insert(cid, bytes);
    }
}

/// The address of a container's state, and what has to be written so that the store has it.
pub(crate) fn state_root(
    store: &dyn Reader,
    types: &Types,
    root: ContainerId,
) -> Result<(Cid, Batch), HypervisorError> {
    let mut stage = Stage { store, made: RefCell::default() };
    let mut batch = Batch::new();
    let mut nodes: BTreeMap<ContainerId, Cid> = BTreeMap::new();
    let mut gone = BTreeSet::new();
    let mut path = vec![root];
    while let Some(&id) = path.last() {
        if let Some(cid) = fresh(store, id)? {
            nodes.insert(id, cid);
            path.pop();
            continue;
        }
        let Some(record) = record(store, id)? else {
            // Its port is bound still, and will be told.
            gone.insert(id);
            path.pop();
            continue;
        };
        let mut ports = Vec::new();
        keys::ports(store, id, &mut |name, port| ports.push((name, port.reference)))?;
        let owned = ports.iter().filter(|(_, port)| !port.is_channel()).map(|(_, port)| port.id);
        let before = path.len();
        path.extend(owned.filter(|id| !nodes.contains_key(id) && !gone.contains(id)));
        if path.len() == before {
            nodes.insert(id, node(types, id, &record, &ports, &nodes, &mut stage, &mut batch)?);
            path.pop();
        }
    }
    for (cid, bytes) in stage.made.into_inner() {
        batch.put(Space::Blocks, blocks::key(&cid), bytes);
    }
    let cid = nodes.remove(&root).ok_or_else(|| HypervisorError::NoSuchContainer(root.to_string()))?;
    Ok((cid, batch))
}

/// The address of a node that is not stale.
fn fresh(store: &dyn Reader, id: ContainerId) -> Result<Option<Cid>, StoreError> {
    if store.get(Space::Stale, &keys::record(id))?.is_some() {
        return Ok(None);
    }
    references::held(store, &keys::newest_node(id))
}

fn record(store: &dyn Reader, id: ContainerId) -> Result<Option<RuntimeRecord>, StoreError> {
    let bytes = store.get(Space::Runtime, &keys::record(id))?;
    bytes.map(|bytes| keys::decode(&format!("the record of container {id}"), &bytes)).transpose()
}

fn node(
    types: &Types,
    id: ContainerId,
    record: &RuntimeRecord,
    ports: &[(PortName, PortRef)],
    nodes: &BTreeMap<ContainerId, Cid>,
    stage: &mut Stage<'_>,
    batch: &mut Batch,
) -> Result<Cid, HypervisorError> {
    let mut fields = BTreeMap::new();
    if record.born {
        let container_type = types.get(&record.container_type)?;
        let rows = keys::Rows { reader: stage.store, id };
        fields = container_type.flush(&rows, &mut keys::RowChanges { batch, id }, stage)?;
    }
    let nonce = record.ports.nonce().to_bytes().into_iter().map(|byte| Ipld::Integer(byte.into()));
    let ports = ports.iter().map(|(name, port)| (name.as_str().to_owned(), port_node(port, nodes)));
    fields.insert("nonce".into(), Ipld::List(nonce.collect()));
    fields.insert("ports".into(), Ipld::Map(ports.collect()));
    let bytes = keys::encode("a state node", &Ipld::Map(fields))?;
    let cid = node_cid(&bytes);
    stage.emit(cid, bytes);
    references::hold(batch, &keys::newest_node(id), &cid);
    batch.delete(Space::Stale, keys::record(id));
    Ok(cid)
}

/// A container's port has a `link` to its state, null for one that is gone; a channel's has an `end` instead.
fn port_node(port: &PortRef, nodes: &BTreeMap<ContainerId, Cid>) -> Ipld {
    let link = |cid: Option<Cid>| cid.map_or(Ipld::Null, Ipld::Link);
    let leads_to = match port.end {
        Some(end) => ("end".to_owned(), Ipld::Integer(u8::from(end).into())),
        None => ("link".to_owned(), link(nodes.get(&port.id).copied())),
    };
    Ipld::Map(BTreeMap::from([
        ("id".into(), link(port.id.cid())),
        leads_to,
        ("messages".into(), Ipld::List(Vec::new())),
        ("type".into(), Ipld::String(port.container_type.to_string())),
    ]))
}
