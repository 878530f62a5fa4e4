//! The way back: live state from a state root.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use everturn_dag::{Batch, Cid, Ipld, Store, references};
use everturn_exo_interface::{BlockReader, OwnLimits, RuntimeRecord};
use everturn_port_manager::{Bindings, ContainerId, Life, Loose, Nonce, Port, PortManager, PortRef, Ticks};

use crate::core::Types;
use crate::port_map::{self, Leads};
use crate::{HypervisorError, keys};

/// What a state root's containers need in the store, and their runtime records.
pub(crate) struct Plan {
    pub(crate) batch: Batch,
    pub(crate) records: Vec<(ContainerId, RuntimeRecord)>,
}

impl Plan {
    /// Containers of it that others own.
    pub(crate) fn owned(&self) -> u64 {
        self.records.iter().map(|(_, record)| u64::from(record.holder.is_some())).sum()
    }

    /// Lowers the bounds of all of it: a state root does not know them.
    pub(crate) fn lower(&mut self, by: Option<Arc<OwnLimits>>) {
        self.records.iter_mut().for_each(|(_, record)| record.lowered.clone_from(&by));
    }
}

/// Reads the tree under `root`, as the state of the container `id` of a type; `minted` is the node of that id. Changes
/// nothing.
pub(crate) fn plan(
    store: &dyn Store,
    types: &Types,
    (id, minted): (ContainerId, Vec<u8>),
    container_type: Arc<str>,
    root: Cid,
) -> Result<Plan, HypervisorError> {
    let blocks = keys::Blocks { reader: store };
    let mut plan = Plan { batch: Batch::new(), records: Vec::new() };
    keys::keep_id(&mut plan.batch, id, minted);
    let mut open = vec![(id, container_type, None, 0, root)];
    while let Some((id, container_type, parent, depth, node)) = open.pop() {
        let state = StateNode::read(&blocks, node)?;
        let (ports, children) = ports(node, &state, &blocks)?;
        types.get(&container_type)?.import(
            &state.own,
            &mut keys::RowChanges { batch: &mut plan.batch, id },
            &blocks,
        )?;
        references::hold(&mut plan.batch, &keys::newest_node(id), &node);
        for (port, node) in children {
            open.push((port.id, port.container_type, Some(id), depth + 1, node));
        }
        for to in ports.iter().map(|(_, port)| port.reference.id) {
            keys::keep_id(&mut plan.batch, to, id_node(&blocks, to)?);
        }
        let record = RuntimeRecord {
            container_type,
            parent,
            holder: parent,
            moves: VecDeque::new(),
            depth,
            burnt: 0,
            lowered: None,
            timers: None,
            ticks: Ticks::ZERO,
            date_ms: 0,
            born: true,
            ports: Arc::new(ports),
        };
        plan.records.push((id, record));
    }
    Ok(plan)
}

/// The node of an id, from the store; the unnamed root has none.
pub(crate) fn id_node(blocks: &dyn BlockReader, id: ContainerId) -> Result<Vec<u8>, HypervisorError> {
    let node = id.cid().map(|cid| blocks.block(&cid)).transpose()?;
    Ok(node.unwrap_or_default())
}

/// A container's state node.
pub(crate) struct StateNode {
    nonce: Nonce,
    ports: Ipld,
    /// The container's own fields.
    pub(crate) own: BTreeMap<String, Ipld>,
}

impl StateNode {
    pub(crate) fn read(blocks: &dyn BlockReader, node: Cid) -> Result<StateNode, HypervisorError> {
        let Ipld::Map(mut own) = keys::decode("a state node", &blocks.block(&node)?)? else {
            return Err(not_a_node(node));
        };
        match (own.remove("nonce").as_ref().and_then(nonce), own.remove("ports")) {
            (Some(nonce), Some(ports)) => Ok(StateNode { nonce, ports, own }),
            _ => Err(not_a_node(node)),
        }
    }
}

fn not_a_node(node: Cid) -> HypervisorError {
    HypervisorError::Message(format!("{node} is not a container's state"))
}

type Children = Vec<(PortRef, Cid)>;

fn nonce(field: &Ipld) -> Option<Nonce> {
    let Ipld::List(bytes) = field else { return None };
    let number = bytes.iter().try_fold(0u64, |sum, byte| match byte {
        Ipld::Integer(byte @ 0..=255) => Some(sum.checked_mul(256)? + *byte as u64),
        _ => None,
    })?;
    Some(Nonce(number))
}

/// The ports of a state node, and the states of those that are children.
fn ports(
    node: Cid,
    state: &StateNode,
    blocks: &dyn BlockReader,
) -> Result<(PortManager, Children), HypervisorError> {
    let (mut manager, mut children) = (PortManager::default(), Vec::new());
    manager.apply(
        Bindings { nonce: state.nonce, changed: BTreeMap::new() },
        &mut Loose::default(),
        Ticks::ZERO,
    );
    port_map::read(&node, &state.ports, &mut |cid| Ok(blocks.block(cid)?), &mut |name, entry| {
        let mut bound = Port::new(entry.reference().ok_or_else(|| not_a_node(node))?);
        match entry.leads {
            Leads::To(Some(state)) => children.push((bound.reference.clone(), state)),
            // Its container was gone already.
            Leads::To(None) => bound.life = Life::Closed,
            Leads::Channel(_) => {}
        }
        manager.put(name, bound);
        Ok::<_, HypervisorError>(())
    })?;
    Ok((manager, children))
}
