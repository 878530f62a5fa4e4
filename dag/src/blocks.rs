//! Blocks in a store: immutable bytes under their address, in [`Space::Blocks`].
//!
//! A block that is read is hashed and compared with its address, so that whoever asks for an address gets those bytes
//! or an error. How many refer to a block, and when it may go, is not known here.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::{self, Verdict};
use crate::{Batch, Cid, NodeError, Reader, Space, StoreError, node};

/// The key of a block.
pub fn key(cid: &Cid) -> Vec<u8> {
    cid.to_bytes()
}

/// Encodes a value and adds it as a block; gives its address.
///
/// # Errors
/// If the value has no dag-cbor form.
pub fn put_node<T: Serialize + ?Sized>(batch: &mut Batch, value: &T) -> Result<Cid, NodeError> {
    let encoded = node::encode(value)?;
    let cid = address::node_cid(&encoded);
    batch.put(Space::Blocks, key(&cid), encoded);
    Ok(cid)
}

/// Adds bytes as they are as a block; gives their address.
pub fn put_raw(batch: &mut Batch, bytes: impl Into<Vec<u8>>) -> Cid {
    let bytes = bytes.into();
    let cid = address::raw_cid(&bytes);
    batch.put(Space::Blocks, key(&cid), bytes);
    cid
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

/// The value of the node under an address, if the store has it.
///
/// # Errors
/// As [`get`], and if the block is no node of this shape.
pub fn get_node<T: DeserializeOwned>(reader: &dyn Reader, cid: &Cid) -> Result<Option<T>, StoreError> {
    let Some(block) = get(reader, cid)? else { return Ok(None) };
    node::decode(&block).map(Some).map_err(|error| damaged(cid, error.to_string()))
}

fn damaged(cid: &Cid, what: String) -> StoreError {
    StoreError::Damaged { place: format!("block {cid}"), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ipld, MemoryStore, Store};

    #[test]
    fn what_was_put_is_found_under_its_address() {
        let (store, mut batch) = (MemoryStore::new(), Batch::new());
        let value = Ipld::List(vec![Ipld::Integer(1), Ipld::Null]);
        let node = put_node(&mut batch, &value).unwrap();
        let raw = put_raw(&mut batch, *b"bytes");
        store.write(batch).unwrap();
        assert_eq!(get_node::<Ipld>(&store, &node).unwrap(), Some(value));
        assert_eq!(get(&store, &raw).unwrap(), Some(b"bytes".to_vec()));
        assert_eq!(get(&store, &address::raw_cid(b"absent")).unwrap(), None);
        assert_eq!(get_node::<Ipld>(&store, &address::node_cid(b"absent")).unwrap(), None);
    }

    #[test]
    fn other_bytes_under_an_address_are_damage() {
        let (store, mut batch) = (MemoryStore::new(), Batch::new());
        let cid = address::raw_cid(b"right");
        batch.put(Space::Blocks, key(&cid), "wrong");
        store.write(batch).unwrap();
        assert!(matches!(get(&store, &cid), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_block_of_another_shape_is_damage() {
        let (store, mut batch) = (MemoryStore::new(), Batch::new());
        let node = put_node(&mut batch, "text").unwrap();
        let raw = put_raw(&mut batch, vec![0xff]);
        store.write(batch).unwrap();
        for cid in [node, raw] {
            assert!(matches!(get_node::<u64>(&store, &cid), Err(StoreError::Damaged { .. })));
        }
    }
}
