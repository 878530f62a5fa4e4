//! State roots: the address of a container's committed state and of all that it owns.
//!
//! Reads only what is durable, never live memory. Commits leave marks: under each container those of its ports that are
//! bound anew and those of its children that are stale, up to the root. A flush follows the marks and nothing else; what a
//! state node says of all other ports is taken from the node before. Of a container with many stale children several threads
//! take a share each: what is below one of them has nothing to do with what is below another.
//!
//! Invariants:
//! 1. A mark on a container implies one under each of its owners.
//! 2. Marks go with the batch that has the node that they asked for, and a child's node is written with its parent's or
//!    before: a flush that was cut short is taken up where it was.
//! 3. The path from the root is a list on the heap; no depth of owners exhausts a stack.
//! 4. Nodes are the same on any number of threads, and so is all else that is written, in whatever order and batches.

mod node;
mod shares;
mod stage;
mod stale;

use everturn_dag::{Batch, Cid, Reader, StoreError};
use everturn_port_manager::ContainerId;

use self::stage::Stage;
use self::stale::{Done, Stale};
use crate::HypervisorError;
use crate::core::Types;
use crate::crew::Crew;

/// Bytes of new nodes that are written in one batch, roughly.
const BATCH_BYTES: usize = 16 << 20;

/// What a flush reads.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) store: &'a dyn Reader,
    pub(crate) types: &'a Types,
}

/// A flush under way, or one thread's share of it.
struct Flush<'a> {
    from: Sources<'a>,
    stage: Stage<'a>,
    batch: Batch,
    /// Made bytes after which they are to be written.
    bytes_max: usize,
}

/// How far a walk over stale containers has come.
enum Reached {
    /// The first of the path is the only one that is left, and has no open child.
    Top,
    /// The last of the path has so many open children that several threads may share them.
    Wide,
    /// So much was made that it is to be written.
    Full,
}

/// The address of a container's state, and what is still to be written so that the store has it. What would be too much
/// for one batch is written on the way.
pub(crate) fn state_root(
    from: Sources<'_>,
    crew: &Crew,
    root: ContainerId,
    write: &mut dyn FnMut(Batch) -> Result<(), StoreError>,
) -> Result<(Cid, Batch), HypervisorError> {
    let no_such = || HypervisorError::NoSuchContainer(root.to_string());
    let first = Stale::read(from.store, root)?.ok_or_else(no_such)?;
    if let Some(cid) = first.before
        && first.is_fresh(from.store)?
    {
        return Ok((cid, Batch::new()));
    }
    let mut flush = Flush::new(from, BATCH_BYTES);
    let mut path = vec![first];
    loop {
        let reached = flush.go_on(&mut path, Some(crew))?;
        let Some(last) = path.last_mut() else { return Err(no_such()) };
        match reached {
            Reached::Top => {
                let cid = flush.node(last, Some(crew))?;
                return Ok((cid, flush.take()));
            }
            Reached::Wide => shares::make(crew, from, last, &mut flush, write)?,
            Reached::Full => {}
        }
        if flush.is_full() {
            write(flush.take())?;
        }
    }
}

impl<'a> Flush<'a> {
    fn new(from: Sources<'a>, bytes_max: usize) -> Flush<'a> {
        Flush { from, stage: Stage::new(from.store), batch: Batch::new(), bytes_max }
    }

    /// Makes the nodes below the first of the path, children before their owners; with a crew, up to a container with so many
    /// that the crew may share them.
    fn go_on(&mut self, path: &mut Vec<Stale>, crew: Option<&Crew>) -> Result<Reached, HypervisorError> {
        loop {
            let has_owner = path.len() > 1;
            let Some(stale) = path.last_mut() else { break };
            let owner = stale.id;
            if crew.is_some_and(|crew| crew.pays_for(stale.open.len())) {
                return Ok(Reached::Wide);
            }
            if let Some((child, name)) = stale.open.pop() {
                match Stale::read(self.from.store, child)? {
                    // Somebody else's now.
                    Some(below) if below.record.holder != Some(owner) => {}
                    Some(mut below) => {
                        below.name = name;
                        path.push(below);
                    }
                    // Its port is bound still, and will be told.
                    None => stale.children.push((child, Done::new(name, None))),
                }
                continue;
            }
            let Some(mut done) = path.pop_if(|_| has_owner) else { break };
            let cid = self.node(&mut done, None)?;
            if let Some(owner) = path.last_mut() {
                owner.children.push((done.id, Done::new(done.name, Some(cid))));
            }
            if self.is_full() {
                return Ok(Reached::Full);
            }
        }
        Ok(Reached::Top)
    }

    /// Bytes that were made and not taken yet.
    fn bytes(&self) -> usize {
        self.stage.bytes() + self.batch.bytes()
    }

    fn is_full(&self) -> bool {
        self.bytes() >= self.bytes_max
    }

    /// Puts what was made into the batch: it is not read again.
    fn unstage(&mut self) {
        self.stage.take(&mut self.batch);
    }

    /// What was made since this was asked last.
    fn take(&mut self) -> Batch {
        self.unstage();
        std::mem::take(&mut self.batch)
    }
}
