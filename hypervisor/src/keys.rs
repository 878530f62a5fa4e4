//! Where things lie in the store. docs/format.md describes the same layout for people.
//!
//! | space | key | value |
//! |---|---|---|
//! | meta | `clock` | dag-cbor [`Clock`] |
//! | meta | `places` | places of queues that are gone, given back at the end of the window |
//! | meta | `lines` | the number of the next line |
//! | meta | `line:` number | dag-cbor `[from, level, text]`: a line that was not told yet |
//! | meta | `configuration` | dag-cbor [`Configuration`](crate::configuration::Configuration) |
//! | runtime | id | dag-cbor `RuntimeRecord` |
//! | runtime | id `f`, and the end of a channel | dag-cbor `Port` that is loose: bound nowhere |
//! | runtime | id `o`, the key in hexadecimal | dag-cbor `Row` of a request that is done once |
//! | runtime | id `p` name | dag-cbor `Port` that the container has bound |
//! | state | id, the container's own key | the container's own value |
//! | stale | id | empty: the state node of a container that nobody owns is older than its state |
//! | stale | id `c` child | the name of the port: the state node of what it leads to is older than its state |
//! | stale | id `p` name | empty: another port is bound there than the state node says, or none |
//! | blocks | CID | the block |
//! | references | holds, counts | [`references`] |
//! | inputs | | [`kept`](crate::kept) |
//!
//! A container holds, under names that begin with its id: `i` the node of its id, `n` its newest state node, `b` and a
//! CID a block that its live state refers to (a module).

use std::fmt::Display;

use everturn_dag::{Batch, Cid, Reader, SmallBytes, Space, StoreError, address, blocks, node, references};
use everturn_exo_interface::{BlockReader, RuntimeRecord, StateReader, StateWriter};
use everturn_port_manager::{ContainerId, End, Nonce, Port, PortId, PortName, Ticks};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) const CLOCK: &[u8] = FACTS[0].as_bytes();
pub(crate) const PLACES: &[u8] = FACTS[1].as_bytes();
/// What of the meta space is part of a checkpoint.
pub(crate) const FACTS: [&str; 2] = ["clock", "places"];
pub(crate) const CONFIGURATION: &[u8] = b"configuration";
pub(crate) const LINES: &[u8] = b"lines";
/// What the key of each line begins with.
pub(crate) const LINE: &[u8] = b"line:";
/// The dag-cbor of `true`, and of null.
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// How far the schedule has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// The end of the last window begun.
    pub(crate) window_end: Ticks,
    /// The highest delivery tick whose turn has run.
    pub(crate) latest: Ticks,
    /// The highest delivery tick that a message has which was put into a queue.
    #[serde(default)]
    pub(crate) foremost: Ticks,
}

pub(crate) fn line(number: u64) -> Vec<u8> {
    [LINE, &number.to_be_bytes()].concat()
}

/// The number of a line, from its key.
pub(crate) fn parse_line(key: &[u8]) -> Result<u64, StoreError> {
    let number = key.strip_prefix(LINE).and_then(|number| number.try_into().ok());
    let number =
        number.ok_or_else(|| damaged("the key of a line".into(), format!("it has {} bytes", key.len())))?;
    Ok(u64::from_be_bytes(number))
}

pub(crate) fn record(id: ContainerId) -> SmallBytes {
    SmallBytes::new(id.as_bytes())
}

pub(crate) fn loose(id: PortId) -> Vec<u8> {
    let mut key = [id.of.as_bytes(), &b"f"[..]].concat();
    key.extend(id.end.map(u8::from));
    key
}

pub(crate) fn once(id: ContainerId, key: &[u8; 32]) -> Vec<u8> {
    let mut row = [id.as_bytes(), &b"o"[..]].concat();
    row.extend(key.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| HEX[usize::from(half)]));
    row
}

/// The key of a row, from its hexadecimal form.
fn parse_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let halves = text.as_chunks::<2>();
    if halves.0.len() != key.len() || !halves.1.is_empty() {
        return None;
    }
    for (byte, [high, low]) in key.iter_mut().zip(halves.0) {
        let half = |digit: &u8| HEX.iter().position(|hex| hex == digit).map(|half| half as u8);
        *byte = half(high)? << 4 | half(low)?;
    }
    Some(key)
}

pub(crate) fn port(id: ContainerId, name: &PortName) -> SmallBytes {
    SmallBytes::joined(&[id.as_bytes(), b"p", name.as_str().as_bytes()])
}

/// The mark of a container whose state node is stale, under its owner.
pub(crate) fn stale_child(owner: ContainerId, id: ContainerId) -> SmallBytes {
    SmallBytes::joined(&[owner.as_bytes(), b"c", id.as_bytes()])
}

/// The mark of a port that is not bound as the state node says.
pub(crate) fn stale_port(id: ContainerId, name: &PortName) -> SmallBytes {
    SmallBytes::joined(&[id.as_bytes(), b"p", name.as_str().as_bytes()])
}

/// What a key of the stale space marks.
pub(crate) enum StaleKey {
    /// The container itself.
    Own,
    /// Something that it owns.
    Child(ContainerId),
    /// One of its ports.
    Port(PortName),
}

/// Reads a mark: whose it is, and of what.
pub(crate) fn parse_stale(key: &[u8]) -> Option<(ContainerId, StaleKey)> {
    let (id, kind) = key.split_first_chunk::<32>()?;
    let of = match kind {
        b"" => StaleKey::Own,
        [b'c', child @ ..] => StaleKey::Child(ContainerId::from_bytes(child.try_into().ok()?)),
        [b'p', name @ ..] => StaleKey::Port(PortName::new(std::str::from_utf8(name).ok()?).ok()?),
        _ => return None,
    };
    Some((ContainerId::from_bytes(*id), of))
}

/// A container's runtime record, from its row.
pub(crate) fn decode_record(id: ContainerId, row: &[u8]) -> Result<RuntimeRecord, StoreError> {
    decode(format_args!("the record of container {id}"), row)
}

/// What a flush has to know of a container's record: a part of it, read without the rest.
#[derive(Clone)]
pub(crate) struct Summary {
    pub(crate) container_type: String,
    pub(crate) holder: Option<ContainerId>,
    pub(crate) born: bool,
    pub(crate) nonce: Nonce,
}

/// The part of a container's runtime record that a flush needs.
pub(crate) fn read_summary(reader: &dyn Reader, id: ContainerId) -> Result<Option<Summary>, StoreError> {
    let Some(bytes) = reader.get(Space::Runtime, &record(id))? else { return Ok(None) };
    let wrong = |what: String| damaged(format!("the record of container {id}"), what);
    let (mut container_type, mut holder, mut born, mut ports, mut nonce) = (None, None, None, None, None);
    let mut visit = |name: &[u8], value| {
        match name {
            b"type" => container_type = node::text(value),
            b"holder" => holder = parse_holder(value),
            b"born" => born = Some(value == [TRUE]),
            b"ports" => ports = Some(value),
            _ => {}
        }
        // The last of them in the order of a map's keys.
        name != b"holder"
    };
    node::visit_valid(&bytes, &mut visit).map_err(|error| wrong(error.to_string()))?;
    let mut visit = |name: &[u8], value| {
        if name == b"nonce" {
            nonce = node::integer(value).and_then(|nonce| u64::try_from(nonce).ok());
        }
        nonce.is_none()
    };
    node::visit_valid(ports.unwrap_or_default(), &mut visit).map_err(|error| wrong(error.to_string()))?;
    match (container_type, holder, born, nonce) {
        (Some(container_type), Some(holder), Some(born), Some(nonce)) => {
            let (container_type, nonce) = (container_type.to_owned(), Nonce(nonce));
            Ok(Some(Summary { container_type, holder, born, nonce }))
        }
        _ => Err(wrong("it lacks a field".to_owned())),
    }
}

/// Whoever holds a container, as its record says: an id, or null for the host.
fn parse_holder(value: &[u8]) -> Option<Option<ContainerId>> {
    match value {
        [NULL] => Some(None),
        id => Some(Some(ContainerId::from_bytes(node::bytes(id)?.try_into().ok()?))),
    }
}

/// Visits the ports that a container has bound, by name.
pub(crate) fn ports(
    reader: &dyn Reader,
    id: ContainerId,
    visit: &mut dyn FnMut(PortName, Port),
) -> Result<(), StoreError> {
    let mut failed = None;
    reader.scan(Space::Runtime, &[id.as_bytes(), &b"p"[..]].concat(), &mut |key, value| {
        let read = match parse_runtime(key) {
            Some(RuntimeKey::Port(_, name)) => decode("a port", value).map(|port| visit(name, port)),
            _ => Err(StoreError::Damaged {
                place: "the runtime space".into(),
                what: "a port without a name".into(),
            }),
        };
        failed = read.err();
        failed.is_none()
    })?;
    failed.map_or(Ok(()), Err)
}

/// The name under which a container holds its newest state node.
pub(crate) fn newest_node(id: ContainerId) -> SmallBytes {
    SmallBytes::joined(&[id.as_bytes(), b"n"])
}

/// Keeps the node of an id. It stays as long as there is what the id names, or a port that leads there: a state node
/// links to the ids of all its ports.
pub(crate) fn keep_id(batch: &mut Batch, id: ContainerId, node: Vec<u8>) {
    if let Some(cid) = id.cid() {
        batch.put(Space::Blocks, blocks::key(&cid), node);
        references::hold(batch, &id_kept(id), &cid);
    }
}

/// Nothing has this id any more.
pub(crate) fn let_id_go(batch: &mut Batch, id: ContainerId) {
    references::let_go(batch, &id_kept(id));
}

/// The name under which the node of an id is held.
pub(crate) fn id_kept(id: ContainerId) -> Vec<u8> {
    [id.as_bytes(), &b"i"[..]].concat()
}

/// The ids whose nodes are held.
pub(crate) fn kept_ids(reader: &dyn Reader) -> Result<Vec<ContainerId>, StoreError> {
    let names = references::names(reader, &[])?;
    let id = |name: &Vec<u8>| match name.split_first_chunk::<32>() {
        Some((id, b"i")) => Some(ContainerId::from_bytes(*id)),
        _ => None,
    };
    Ok(names.iter().filter_map(id).collect())
}

/// What a key of the runtime space stands for.
pub(crate) enum RuntimeKey {
    Record(ContainerId),
    Port(ContainerId, PortName),
    Loose,
    /// A request that is done once.
    Once(ContainerId, [u8; 32]),
}

pub(crate) fn parse_runtime(key: &[u8]) -> Option<RuntimeKey> {
    let (id, kind) = key.split_first_chunk::<32>()?;
    let id = ContainerId::from_bytes(*id);
    match kind {
        b"" => Some(RuntimeKey::Record(id)),
        [b'o', key @ ..] => Some(RuntimeKey::Once(id, parse_hex(key)?)),
        b"f" => Some(RuntimeKey::Loose),
        [b'f', end] => End::try_from(*end).ok().map(|_| RuntimeKey::Loose),
        [b'p', name @ ..] => {
            let name = PortName::new(std::str::from_utf8(name).ok()?).ok()?;
            Some(RuntimeKey::Port(id, name))
        }
        _ => None,
    }
}

/// A dag-cbor value of the store, or what is wrong with it.
pub(crate) fn decode<T: DeserializeOwned>(what: impl Display, bytes: &[u8]) -> Result<T, StoreError> {
    node::decode(bytes).map_err(|error| damaged(what.to_string(), error.to_string()))
}

/// Encodes a record of ours; they hold nothing that dag-cbor cannot.
pub(crate) fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    node::encode(value).map_err(|error| damaged(what.to_owned(), error.to_string()))
}

fn damaged(place: String, what: String) -> StoreError {
    StoreError::Damaged { place, what }
}

/// One container's part of the state space.
pub(crate) struct Rows<'a> {
    pub(crate) reader: &'a dyn Reader,
    pub(crate) id: ContainerId,
}

impl StateReader for Rows<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.get(Space::State, &SmallBytes::joined(&[self.id.as_bytes(), key]))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let prefix = [self.id.as_bytes(), prefix].concat();
        self.reader.scan(Space::State, &prefix, &mut |key, value| visit(&key[32..], value))
    }
}

/// Collects changes of one container's part of the state space.
pub(crate) struct RowChanges<'a> {
    pub(crate) batch: &'a mut Batch,
    pub(crate) id: ContainerId,
}

impl StateWriter for RowChanges<'_> {
    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.batch.put(Space::State, SmallBytes::joined(&[self.id.as_bytes(), key]), value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.batch.delete(Space::State, SmallBytes::joined(&[self.id.as_bytes(), key]));
    }

    fn block(&mut self, cid: &Cid, bytes: &[u8]) {
        self.batch.put(Space::Blocks, blocks::key(cid), bytes.to_vec());
        references::hold(self.batch, &[self.id.as_bytes(), &b"b"[..], &address::to_bytes(cid)].concat(), cid);
    }
}

/// Blocks by address, verified.
pub(crate) struct Blocks<'a> {
    pub(crate) reader: &'a dyn Reader,
}

impl BlockReader for Blocks<'_> {
    fn block(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        blocks::get(self.reader, cid)?.ok_or_else(|| blocks::missing(cid))
    }

    fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        blocks::has(self.reader, cid)
    }
}
