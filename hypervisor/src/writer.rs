//! The one writer of a store: every batch passes here, so that the counts of blocks follow it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use everturn_dag::references::{self, References, STEP_BLOCKS_MAX, Unreferenced};
use everturn_dag::{Batch, Cid, Space, Store, StoreError, blocks};
use everturn_port_manager::ContainerId;

use crate::core::Types;
use crate::crew::Crew;
use crate::flush;
use crate::{HypervisorError, keys};

/// Blocks that a commit removes on its way, at most: what a successor replaces, mostly.
const COMMIT_BLOCKS_MAX: usize = 256;
/// What is cleared in one batch, in bytes of keys, roughly.
const CLEAR_BYTES: usize = 1 << 20;

/// How many imports are under way: their blocks arrive before what refers to them, so nothing is reclaimed meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals(Arc<AtomicUsize>);

/// One import; over when it is dropped.
pub(crate) struct Arrival(Arrivals);

impl Arrivals {
    pub(crate) fn begin(&self) -> Arrival {
        self.0.fetch_add(1, Ordering::SeqCst);
        Arrival(self.clone())
    }

    fn are_under_way(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct Writer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) types: Types,
    crew: Arc<Crew>,
    references: References,
    /// Changes of pins that are still to be written.
    pins: BTreeMap<Cid, i64>,
    unsynced: bool,
    arrivals: Arrivals,
}

impl Writer {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        types: Types,
        threads: NonZeroUsize,
        arrivals: Arrivals,
    ) -> Result<Self, StoreError> {
        Ok(Writer {
            references: References::open(&*store)?,
            store,
            types,
            crew: Arc::new(Crew::new(threads)),
            pins: BTreeMap::new(),
            unsynced: false,
            arrivals,
        })
    }

    /// Writes; durable with the next [`Writer::sync`]. Pins that were made and released since the last write go along:
    /// what the new and the old root share costs nothing then.
    pub(crate) fn write(&mut self, mut batch: Batch) -> Result<(), StoreError> {
        for (root, change) in std::mem::take(&mut self.pins) {
            let pins = references::pins_of(&*self.store, &root)?;
            references::set_pins(&mut batch, &root, pins.saturating_add_signed(change));
        }
        self.settle(batch, Unreferenced::AreLeftOut)
    }

    /// Deletes every row of a space, in several batches: a crash may leave a part of them.
    pub(crate) fn clear(&mut self, space: Space) -> Result<(), StoreError> {
        loop {
            let mut batch = Batch::new();
            self.store.scan(space, &[], &mut |key, _| {
                batch.delete(space, key.to_vec());
                batch.bytes() < CLEAR_BYTES
            })?;
            if batch.is_empty() {
                return Ok(());
            }
            self.write(batch)?;
        }
    }

    /// Lets go of these names.
    pub(crate) fn let_go(&mut self, names: impl IntoIterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for name in names {
            references::let_go(&mut batch, &name);
        }
        self.write(batch)
    }

    /// Takes in blocks of an import, what they link to before them.
    pub(crate) fn arrive(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.settle(batch, Unreferenced::Wait)
    }

    fn settle(&mut self, batch: Batch, unreferenced: Unreferenced) -> Result<(), StoreError> {
        let blocks_max = if self.arrivals.are_under_way() { 0 } else { COMMIT_BLOCKS_MAX };
        let batch = self.references.settle(&*self.store, batch, unreferenced, blocks_max)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.unsynced = true;
        self.store.write(batch)
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if !self.pins.is_empty() {
            self.write(Batch::new())?;
        }
        match std::mem::take(&mut self.unsynced) {
            true => self.store.sync(),
            false => Ok(()),
        }
    }

    /// Removes some of the blocks that nothing refers to any more; `false` if there is nothing to remove now. It needs
    /// no sync of its own: until it is durable, it is still to be done.
    pub(crate) fn reclaim(&mut self) -> Result<bool, StoreError> {
        if !self.references.may_reclaim() || self.arrivals.are_under_way() {
            return Ok(false);
        }
        match self.references.reclaim(&*self.store, STEP_BLOCKS_MAX)? {
            Some(batch) => self.store.write(batch).map(|()| true),
            None => Ok(false),
        }
    }

    /// Writes the state root of a container and pins it.
    pub(crate) fn state_root(&mut self, id: ContainerId) -> Result<Cid, HypervisorError> {
        let (cid, batch) = self.state_node(id)?;
        self.pin_written(cid, batch)?;
        Ok(cid)
    }

    /// The state node of a container, brought up to date, and the rest of what has to be written for it.
    fn state_node(&mut self, id: ContainerId) -> Result<(Cid, Batch), HypervisorError> {
        let (store, types) = (self.store.clone(), self.types.clone());
        let from = flush::Sources { store: &*store, types: &types };
        let crew = self.crew.clone();
        flush::state_root(from, &crew, id, &mut |batch| self.write(batch))
    }

    /// Writes a root and pins it.
    pub(crate) fn pin_written(&mut self, root: Cid, batch: Batch) -> Result<(), StoreError> {
        *self.pins.entry(root).or_default() += 1;
        self.write(batch)
    }

    /// Brings the state node of a container up to date.
    pub(crate) fn flush(&mut self, id: ContainerId) -> Result<(), HypervisorError> {
        let (_, batch) = self.state_node(id)?;
        Ok(self.write(batch)?)
    }

    /// Pins a root that is there.
    pub(crate) fn pin(&mut self, root: &Cid) -> Result<(), HypervisorError> {
        if !blocks::has(&*self.store, root)? {
            return Err(HypervisorError::NoSuchRoot(root.to_string()));
        }
        *self.pins.entry(*root).or_default() += 1;
        Ok(())
    }

    /// Takes one pin of a root back.
    pub(crate) fn release(&mut self, root: &Cid) -> Result<(), HypervisorError> {
        let change = self.pins.get(root).copied().unwrap_or_default();
        if references::pins_of(&*self.store, root)?.saturating_add_signed(change) == 0 {
            return Err(HypervisorError::NotPinned(root.to_string()));
        }
        *self.pins.entry(*root).or_default() -= 1;
        Ok(())
    }

    /// Every root that is pinned, and how often.
    pub(crate) fn pinned(&mut self) -> Result<BTreeMap<Cid, u64>, HypervisorError> {
        self.write(Batch::new())?;
        Ok(references::pins(&*self.store)?)
    }

    /// Adds the removal of all that a deleted container has in the store, but for the node of its id: a port may lead
    /// to where it was.
    pub(crate) fn remove(&self, id: ContainerId, batch: &mut Batch) -> Result<(), StoreError> {
        self.store.scan(Space::State, id.as_bytes(), &mut |key, _| {
            batch.delete(Space::State, key.to_vec());
            true
        })?;
        for name in references::names(&*self.store, id.as_bytes())? {
            if name != keys::id_kept(id) {
                references::let_go(batch, &name);
            }
        }
        self.store.scan(Space::Runtime, id.as_bytes(), &mut |key, _| {
            batch.delete(Space::Runtime, key.to_vec());
            true
        })?;
        self.store.scan(Space::Stale, id.as_bytes(), &mut |key, _| {
            batch.delete(Space::Stale, key.to_vec());
            true
        })
    }
}
