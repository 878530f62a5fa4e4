//! Blocks in a store: immutable bytes under their address, in [`Space::Blocks`].
//!
//! A block that is read is hashed and compared with its address, so that whoever asks for an address gets those bytes
//! or an error. How many refer to a block, and when it may go,
//! is [elsewhere](crate::references).

use std::collections::BTreeSet;

use crate::address::{self, Verdict};
use crate::{Cid, Reader, SmallBytes, Space, StoreError, node};

/// The key of a block.
pub fn key(cid: &Cid) -> SmallBytes {
    address::to_bytes(cid)
}

/// The block under an address, if the store has it.
///
/// # Errors
/// If the store cannot be read, or holds other bytes under that address.
pub fn get(reader: &dyn Reader, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(block) = reader.get(Space::Blocks, &key(cid))? else { return Ok(None) };
    match address::check(cid, &block) {
        Verdict::Right => Ok(Some(block)),
        Verdict::Wrong => Err(damaged(cid, "its bytes have another address".to_owned())),
        Verdict::UnknownHash => Err(damaged(cid, "its address has a hash that is not known".to_owned())),
    }
}

/// What a block links to: the links of a dag-cbor node, each once; raw bytes have none.
///
/// # Errors
/// [`StoreError::Damaged`] if the block is no dag-cbor though its address says so, or of another codec.
pub fn links(cid: &Cid, block: &[u8]) -> Result<BTreeSet<Cid>, StoreError> {
    match cid.codec() {
        address::RAW => Ok(BTreeSet::new()),
        address::DAG_CBOR => node::links(block).map_err(|error| damaged(cid, error.to_string())),
        codec => Err(damaged(cid, format!("its address has the codec {codec:#x}, which is not known"))),
    }
}

/// As [`links`], in their order, repetitions included, each as the bytes of its CID.
///
/// # Errors
/// As [`links`].
pub fn links_as_they_stand<'a>(cid: &Cid, block: &'a [u8]) -> Result<Vec<&'a [u8]>, StoreError> {
    match cid.codec() {
        address::DAG_CBOR => {
            node::links_as_they_stand(block).map_err(|error| damaged(cid, error.to_string()))
        }
        _ => links(cid, block).map(|_| Vec::new()),
    }
}

/// As [`links_as_they_stand`], of a block that the store has: its form was checked when it came.
///
/// # Errors
/// [`StoreError::Damaged`] if it ends too early, or its address has a codec that is not known.
pub(crate) fn links_of_stored<'a>(cid: &Cid, block: &'a [u8]) -> Result<Vec<&'a [u8]>, StoreError> {
    match cid.codec() {
        address::DAG_CBOR => node::links_of_valid(block).map_err(|error| damaged(cid, error.to_string())),
        _ => links(cid, block).map(|_| Vec::new()),
    }
}

/// A block as the store has it, on the word of the store's own check: not hashed. For what an address was read for
/// before, or is only compared with.
///
/// # Errors
/// If the store cannot be read.
pub fn get_unhashed(reader: &dyn Reader, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
    reader.get(Space::Blocks, &key(cid))
}

/// Whether the store has a block; its bytes are not looked at.
///
/// # Errors
/// If the store cannot be read.
pub fn has(reader: &dyn Reader, cid: &Cid) -> Result<bool, StoreError> {
    reader.has(Space::Blocks, &key(cid))
}

/// The error of a block that has to be there and is not.
pub fn missing(cid: &Cid) -> StoreError {
    damaged(cid, "it is not there".to_owned())
}

pub(crate) fn damaged(cid: &Cid, what: String) -> StoreError {
    StoreError::Damaged { place: format!("block {cid}"), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, MemoryStore, Store};

    #[test]
    fn a_block_is_found_under_its_address_and_no_other() {
        let (store, mut batch) = (MemoryStore::new(), Batch::new());
        let (cid, absent) = (address::raw_cid(b"bytes"), address::raw_cid(b"absent"));
        batch.put(Space::Blocks, key(&cid), *b"bytes");
        store.write(batch).unwrap();
        assert_eq!(get(&store, &cid).unwrap(), Some(b"bytes".to_vec()));
        assert_eq!(get(&store, &absent).unwrap(), None);
        assert!(has(&store, &cid).unwrap() && !has(&store, &absent).unwrap());
    }

    #[test]
    fn other_bytes_under_an_address_are_damage() {
        let (store, mut batch) = (MemoryStore::new(), Batch::new());
        let cid = address::raw_cid(b"right");
        batch.put(Space::Blocks, key(&cid), "wrong");
        store.write(batch).unwrap();
        assert!(matches!(get(&store, &cid), Err(StoreError::Damaged { .. })));
    }
}
