//! Where things lie in the store. docs/format.md describes the same layout for people.
//!
//! | space | key | value |
//! |---|---|---|
//! | meta | `clock` | dag-cbor [`Clock`] |
//! | meta | `configuration` | dag-cbor [`Configuration`] |
//! | runtime | id | dag-cbor `RuntimeRecord` |
//! | runtime | id `f` | dag-cbor `Port` that floats: bound nowhere |
//! | runtime | id `n` | CID of the newest state node |
//! | state | id, the container's own key | the container's own value |
//! | stale | id | empty: the state node is older than the state |
//! | blocks | CID | the block |

use everturn_dag::{Reader, Space, StoreError, blocks};
use everturn_exo_interface::{StateReader, StateWriter};
use everturn_port_manager::{ContainerId, Ticks};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) const CLOCK: &[u8] = b"clock";
pub(crate) const CONFIGURATION: &[u8] = b"configuration";

/// How far the schedule has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// The end of the last window begun.
    pub(crate) window_end: Ticks,
    /// The highest delivery tick whose turn has run.
    pub(crate) latest: Ticks,
}

/// All that can change an outcome and is fixed with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) lookahead: Ticks,
    pub(crate) turn_cost: Ticks,
    pub(crate) turn_fuel: u64,
    pub(crate) collect_fuel_per_byte: u64,
    pub(crate) heap_bytes_max: u64,
    pub(crate) message_bytes_max: u64,
    pub(crate) ports_max: u64,
    pub(crate) effects_max: u64,
}

pub(crate) fn record(id: ContainerId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

pub(crate) fn floating(id: ContainerId) -> Vec<u8> {
    [id.as_bytes(), &b"f"[..]].concat()
}

pub(crate) fn node(id: ContainerId) -> Vec<u8> {
    [id.as_bytes(), &b"n"[..]].concat()
}

/// What a key of the runtime space stands for.
pub(crate) enum RuntimeKey {
    Record(ContainerId),
    Floating(ContainerId),
    Node,
}

pub(crate) fn parse_runtime(key: &[u8]) -> Option<RuntimeKey> {
    let (id, kind) = key.split_first_chunk::<32>()?;
    let id = ContainerId::from_bytes(*id);
    match kind {
        b"" => Some(RuntimeKey::Record(id)),
        b"f" => Some(RuntimeKey::Floating(id)),
        b"n" => Some(RuntimeKey::Node),
        _ => None,
    }
}

/// A dag-cbor value of the store, or what is wrong with it.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    everturn_dag::node::decode(bytes)
        .map_err(|error| StoreError::Damaged { place: what.to_owned(), what: error.to_string() })
}

/// Encodes a record of ours; they hold nothing that dag-cbor cannot.
pub(crate) fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    everturn_dag::node::encode(value)
        .map_err(|error| StoreError::Damaged { place: what.to_owned(), what: error.to_string() })
}

/// One container's part of the state space.
pub(crate) struct Rows<'a> {
    pub(crate) reader: &'a dyn Reader,
    pub(crate) id: ContainerId,
}

impl StateReader for Rows<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.get(Space::State, &[self.id.as_bytes(), key].concat())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let prefix = [self.id.as_bytes(), prefix].concat();
        self.reader.scan(Space::State, &prefix, &mut |key, value| visit(&key[32..], value))
    }
}

/// Collects changes of one container's part of the state space.
pub(crate) struct RowChanges<'a> {
    pub(crate) batch: &'a mut everturn_dag::Batch,
    pub(crate) id: ContainerId,
}

impl StateWriter for RowChanges<'_> {
    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.batch.put(Space::State, [self.id.as_bytes(), key].concat(), value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.batch.delete(Space::State, [self.id.as_bytes(), key].concat());
    }

    fn block(&mut self, cid: &everturn_dag::Cid, bytes: &[u8]) {
        self.batch.put(Space::Blocks, cid.to_bytes(), bytes.to_vec());
    }
}

/// Blocks by address, verified.
pub(crate) struct Blocks<'a> {
    pub(crate) reader: &'a dyn Reader,
}

impl everturn_exo_interface::BlockReader for Blocks<'_> {
    fn block(&self, cid: &everturn_dag::Cid) -> Result<Vec<u8>, StoreError> {
        blocks::get(self.reader, cid)?.ok_or_else(|| blocks::missing(cid))
    }

    fn has(&self, cid: &everturn_dag::Cid) -> Result<bool, StoreError> {
        blocks::has(self.reader, cid)
    }
}
