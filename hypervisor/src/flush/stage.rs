//! What a flush reads and writes blocks through.

use everturn_dag::{Batch, Cid, Reader, SmallBytes, Space, StoreError, blocks};
use everturn_exo_interface::{BlockReader, BlockWriter};
use rustc_hash::FxHashMap;

use crate::keys;

/// Blocks of the store, and those that this flush has made and not written yet.
pub(super) struct Stage<'a> {
    store: &'a dyn Reader,
    /// In no order: that of a batch's blocks shows nowhere.
    made: FxHashMap<SmallBytes, Vec<u8>>,
    bytes: usize,
}

impl BlockReader for Stage<'_> {
    fn block(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        self.own_block(cid)
    }

    fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self.made.contains_key(&blocks::key(cid)) || keys::Blocks { reader: self.store }.has(cid)?)
    }
}

impl BlockWriter for Stage<'_> {
    fn emit(&mut self, cid: Cid, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.made.insert(blocks::key(&cid), bytes);
    }
}

impl<'a> Stage<'a> {
    pub(super) fn new(store: &'a dyn Reader) -> Stage<'a> {
        Stage { store, made: FxHashMap::default(), bytes: 0 }
    }

    /// Bytes of the blocks that were made and not taken yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts what was made into a batch.
    pub(super) fn take(&mut self, batch: &mut Batch) {
        for (key, bytes) in std::mem::take(&mut self.made) {
            batch.put(Space::Blocks, key, bytes);
        }
        self.bytes = 0;
    }

    /// A block that this store made itself, on the word of the store's own check.
    pub(super) fn own_block(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        if !self.made.is_empty()
            && let Some(bytes) = self.made.get(&blocks::key(cid))
        {
            return Ok(bytes.clone());
        }
        blocks::get_unhashed(self.store, cid)?.ok_or_else(|| blocks::missing(cid))
    }
}
