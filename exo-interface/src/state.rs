//! What a container sees of the store: its own keys, and blocks by address.

use everturn_dag::{Cid, StoreError};

/// Reads a container's committed state by keys of its own choosing.
pub trait StateReader {
    /// A key's value.
    ///
    /// # Errors
    /// If the store fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the keys with this prefix in byte order, the container's own part only.
    ///
    /// # Errors
    /// If the store fails.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError>;
}

/// Collects what a commit writes of a container's state.
pub trait StateWriter {
    /// Sets a key.
    fn put(&mut self, key: &[u8], value: Vec<u8>);
    /// Removes a key.
    fn delete(&mut self, key: &[u8]);
    /// Keeps a block that the live state refers to (a module) for as long as the container is there.
    fn block(&mut self, cid: &Cid, bytes: &[u8]);
}

/// Reads blocks of the DAG.
pub trait BlockReader {
    /// A block's bytes, verified against its address. (To a flush, on the word of the store's own check: it reads what flushes
    /// before it have made.)
    ///
    /// # Errors
    /// If the store fails, or the block is not there.
    fn block(&self, cid: &Cid) -> Result<Vec<u8>, StoreError>;

    /// Whether a block is there; its bytes are not looked at.
    ///
    /// # Errors
    /// If the store fails.
    fn has(&self, cid: &Cid) -> Result<bool, StoreError>;
}

/// Collects blocks that a flush makes.
pub trait BlockWriter: BlockReader {
    /// Adds a dag-cbor node or raw block under its address.
    fn emit(&mut self, cid: Cid, bytes: Vec<u8>);
}
