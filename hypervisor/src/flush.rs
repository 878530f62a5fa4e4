//! State roots: the address of a container's committed state and of all that it owns.
//!
//! Reads only what is durable, never live memory. Commits leave marks: under each container those of its ports that are
//! bound anew and those of its children that are stale, up to the root. A flush follows the marks and nothing else; what a
//! state node says of all other ports is taken from the node before.
//!
//! Invariants:
//! 1. A mark on a container implies one under each of its owners.
//! 2. Marks go with the batch that has the node that they asked for, and a child's node is written with its parent's or
//!    before: a flush that was cut short is taken up where it was.
//! 3. The path from the root is a list on the heap; no depth of owners exhausts a stack.

mod node;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use everturn_dag::{Batch, Cid, Reader, Space, StoreError, blocks, references};
use everturn_exo_interface::{BlockReader, BlockWriter};
use everturn_port_manager::{ContainerId, PortName};

use crate::core::Types;
use crate::keys::{StaleKey, Summary};
use crate::{HypervisorError, keys};

/// Bytes of new nodes that are written in one batch, roughly.
const BATCH_BYTES: usize = 16 << 20;

/// Blocks of the store, and those that this flush has made and not written yet.
struct Stage<'a> {
    store: &'a dyn Reader,
    made: RefCell<BTreeMap<Cid, Vec<u8>>>,
    bytes: usize,
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
        self.bytes += bytes.len();
        self.made.get_mut().insert(cid, bytes);
    }
}

impl Stage<'_> {
    /// A block that this store made itself, on the word of the store's own check.
    fn own_block(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        if let Some(bytes) = self.made.borrow().get(cid) {
            return Ok(bytes.clone());
        }
        blocks::get_unhashed(self.store, cid)?.ok_or_else(|| blocks::missing(cid))
    }
}

/// A container whose node is made anew, when those of its children are.
struct Stale {
    id: ContainerId,
    record: Summary,
    /// The name of its owner's port to it, if the mark said one.
    name: String,
    /// Its newest state node.
    before: Option<Cid>,
    /// Marks that are done with when the node is.
    marks: Vec<Vec<u8>>,
    /// Children that were marked and not looked at yet, each with the name of its port.
    open: Vec<(ContainerId, String)>,
    /// Children whose nodes were made anew; none of one that is gone.
    children: BTreeMap<ContainerId, (String, Option<Cid>)>,
    /// Names whose port has to be looked at.
    rebound: BTreeSet<PortName>,
}

impl Stale {
    /// What the marks say of a container; `None` if there is no such container.
    fn read(store: &dyn Reader, id: ContainerId) -> Result<Option<Stale>, StoreError> {
        let Some(record) = keys::read_summary(store, id)? else { return Ok(None) };
        let before = references::held(store, &keys::newest_node(id))?;
        let (marks, open, children) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (name, rebound) = (String::new(), BTreeSet::new());
        let mut stale = Stale { id, record, name, before, marks, open, children, rebound };
        let mut damaged = false;
        store.scan(Space::Stale, id.as_bytes(), &mut |key, value| {
            match keys::parse_stale(key) {
                Some((_, StaleKey::Own)) => {}
                Some((_, StaleKey::Child(child))) => {
                    stale.open.push((child, String::from_utf8_lossy(value).into_owned()));
                }
                Some((_, StaleKey::Port(name))) => drop(stale.rebound.insert(name)),
                None => damaged = true,
            }
            stale.marks.push(key.to_vec());
            !damaged
        })?;
        match damaged {
            true => {
                Err(StoreError::Damaged { place: "the stale space".into(), what: "a key is no mark".into() })
            }
            false => Ok(Some(stale)),
        }
    }

    /// Whether a container's node is as old as it says.
    fn is_fresh(&self, store: &dyn Reader) -> Result<bool, StoreError> {
        let marked = match self.record.holder {
            Some(owner) => store.has(Space::Stale, &keys::stale_child(owner, self.id))?,
            None => false,
        };
        Ok(self.marks.is_empty() && !marked)
    }
}

/// A flush under way.
struct Flush<'a> {
    types: &'a Types,
    stage: Stage<'a>,
    batch: Batch,
}

/// The address of a container's state, and what is still to be written so that the store has it. What would be too much
/// for one batch is written on the way.
pub(crate) fn state_root(
    store: &dyn Reader,
    types: &Types,
    root: ContainerId,
    write: &mut dyn FnMut(Batch) -> Result<(), StoreError>,
) -> Result<(Cid, Batch), HypervisorError> {
    let stage = Stage { store, made: RefCell::default(), bytes: 0 };
    let mut flush = Flush { types, stage, batch: Batch::new() };
    let no_such = || HypervisorError::NoSuchContainer(root.to_string());
    let first = Stale::read(store, root)?.ok_or_else(no_such)?;
    if let Some(cid) = first.before
        && first.is_fresh(store)?
    {
        return Ok((cid, Batch::new()));
    }
    let mut path = vec![first];
    loop {
        let Some(stale) = path.last_mut() else { return Err(no_such()) };
        let owner = stale.id;
        if let Some((child, name)) = stale.open.pop() {
            match Stale::read(store, child)? {
                // Somebody else's now.
                Some(below) if below.record.holder != Some(owner) => {}
                Some(mut below) => {
                    below.name = name;
                    path.push(below);
                }
                // Its port is bound still, and will be told.
                None => drop(stale.children.insert(child, (name, None))),
            }
            continue;
        }
        let Some(stale) = path.pop() else { return Err(no_such()) };
        let cid = flush.node(&stale)?;
        match path.last_mut() {
            Some(owner) => drop(owner.children.insert(stale.id, (stale.name, Some(cid)))),
            None => return Ok((cid, flush.finish())),
        }
        if flush.stage.bytes + flush.batch.bytes() >= BATCH_BYTES {
            write(flush.take())?;
        }
    }
}

impl Flush<'_> {
    /// What was made since this was asked last.
    fn take(&mut self) -> Batch {
        let mut batch = std::mem::take(&mut self.batch);
        for (cid, bytes) in self.stage.made.take() {
            batch.put(Space::Blocks, blocks::key(&cid), bytes);
        }
        self.stage.bytes = 0;
        batch
    }

    fn finish(mut self) -> Batch {
        self.take()
    }
}
