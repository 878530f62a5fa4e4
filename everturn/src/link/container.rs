//! The ledger as a container: its state in rows of the store, of which a commit writes those that changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use everturn_dag::{Ipld, StoreError, node};
use everturn_drivers::link::Digest;
use everturn_exo_interface::{
    BlockReader, BlockWriter, Container, ContainerType, ExoError, Fields, Footprint, Input, StateReader,
    StateWriter, Turn, TypeContext, Verdict,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ledger::{Ledger, Waiting};
use super::tracked::Tracked;
use super::turns;

/// The first byte of a row's key: what is in it.
const COMMON: u8 = b'c';
const PEER: u8 = b'p';
const WAITING: u8 = b'w';
/// The field of the state node that has all rows.
const ROWS: &str = "rows";

/// The container type of what keeps the links of a hypervisor.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkType;

struct LinkContainer {
    ledger: Ledger,
    /// Bytes of messages that came since the last commit.
    unwritten_bytes: u64,
}

impl ContainerType for LinkType {
    fn create(&self, _: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        Ok(Box::new(LinkContainer { ledger: Ledger::default(), unwritten_bytes: 0 }))
    }

    fn load(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        Ok(Box::new(LinkContainer { ledger: load(context.state)?, unwritten_bytes: 0 }))
    }

    fn flush(
        &self,
        state: &dyn StateReader,
        _: &mut dyn StateWriter,
        _: &mut dyn BlockWriter,
    ) -> Result<Fields, ExoError> {
        let mut rows = Vec::new();
        state.scan(&[], &mut |key, value| {
            rows.push(Ipld::List(vec![Ipld::Bytes(key.to_vec()), Ipld::Bytes(value.to_vec())]));
            true
        })?;
        let rows = node::encode(&rows).map_err(|error| unreadable(error.to_string()))?;
        Ok(vec![(ROWS.to_owned(), rows)])
    }

    fn import(
        &self,
        fields: &BTreeMap<String, Ipld>,
        state: &mut dyn StateWriter,
        _: &dyn BlockReader,
    ) -> Result<(), ExoError> {
        let Some(Ipld::List(rows)) = fields.get(ROWS) else {
            return Err(unreadable("it has no rows").into());
        };
        for row in rows {
            match row {
                Ipld::List(pair) => match pair.as_slice() {
                    [Ipld::Bytes(key), Ipld::Bytes(value)] => state.put(key, value.clone()),
                    _ => return Err(unreadable("a row is no pair of bytes").into()),
                },
                _ => return Err(unreadable("a row is no list").into()),
            }
        }
        Ok(())
    }
}

impl Container for LinkContainer {
    fn run(&mut self, turn: &mut Turn, input: &Input) -> Result<Verdict, ExoError> {
        let Input::Delivery(delivery, source) = input else { return Ok(Verdict::Done) };
        let data = &delivery.message.data;
        self.unwritten_bytes += data.len() as u64;
        let ended = turns::run(&mut self.ledger, turn, delivery.kind, source, data);
        Ok(ended.map_or_else(Verdict::Exception, |()| Verdict::Done))
    }

    fn savepoint(&mut self, _: &dyn StateReader) -> Result<(), ExoError> {
        let Ledger { common, peers, waiting } = &mut self.ledger;
        common.savepoint();
        peers.savepoint();
        waiting.savepoint();
        Ok(())
    }

    fn rollback(&mut self, _: &dyn StateReader) -> Result<(), ExoError> {
        let Ledger { common, peers, waiting } = &mut self.ledger;
        common.rollback();
        peers.rollback();
        waiting.rollback();
        Ok(())
    }

    fn commit(&mut self, writer: &mut dyn StateWriter) -> Result<(), ExoError> {
        let Ledger { common, peers, waiting } = &mut self.ledger;
        let mut failed = Ok(());
        common.write(|(), common| put(writer, &[COMMON], common, &mut failed));
        peers.write(|address, peer| put(writer, &row(PEER, address.as_bytes()), peer, &mut failed));
        waiting.write(|(peer, number), message| {
            let key = row(WAITING, &[peer.to_be_bytes(), number.to_be_bytes()].concat());
            match message {
                Some(message) => writer.put(&key, [&message.hash.as_bytes()[..], &message.bytes].concat()),
                None => writer.delete(&key),
            }
        });
        self.unwritten_bytes = 0;
        failed.map_err(ExoError::from)
    }

    fn unwritten_bytes(&self) -> u64 {
        self.unwritten_bytes
    }

    fn footprint(&self) -> Footprint {
        let heap_bytes = self.ledger.peers.iter().map(|(_, peer)| peer.waiting_bytes).sum();
        Footprint { heap_bytes, bookkeeping_bytes: 0 }
    }
}

fn row(what: u8, rest: &[u8]) -> Vec<u8> {
    [&[what], rest].concat()
}

fn put<T: Serialize>(
    writer: &mut dyn StateWriter,
    key: &[u8],
    value: Option<&T>,
    failed: &mut Result<(), StoreError>,
) {
    match value.map(node::encode) {
        Some(Ok(bytes)) => writer.put(key, bytes),
        Some(Err(error)) => *failed = Err(unreadable(error.to_string())),
        None => writer.delete(key),
    }
}

fn load(state: &dyn StateReader) -> Result<Ledger, StoreError> {
    let (mut common, mut peers, mut waiting) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut read = Ok(());
    state.scan(&[], &mut |key, value| {
        read = match key {
            [COMMON] => decode(value).map(|value| {
                common.insert((), value);
            }),
            [PEER, address @ ..] => match std::str::from_utf8(address) {
                Ok(address) => decode(value).map(|peer| {
                    peers.insert(address.to_owned(), peer);
                }),
                Err(_) => Err(unreadable("an address is no text")),
            },
            [WAITING, number @ ..] => message(number, value).map(|(key, message)| {
                waiting.insert(key, Arc::new(message));
            }),
            _ => Err(unreadable("it has a row of an unknown kind")),
        };
        read.is_ok()
    })?;
    read?;
    Ok(Ledger {
        common: Tracked::written(common),
        peers: Tracked::written(peers),
        waiting: Tracked::written(waiting),
    })
}

fn message(key: &[u8], value: &[u8]) -> Result<((u64, u64), Waiting), StoreError> {
    let parts = key.split_first_chunk::<8>().zip(value.split_first_chunk::<32>());
    let numbers = parts.and_then(|((peer, number), (hash, bytes))| {
        Some((u64::from_be_bytes(*peer), u64::from_be_bytes(number.try_into().ok()?), hash, bytes))
    });
    let (peer, number, hash, bytes) = numbers.ok_or_else(|| unreadable("a message is cut off"))?;
    Ok(((peer, number), Waiting { bytes: bytes.to_vec(), hash: Digest::from_bytes(*hash) }))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    node::decode(bytes).map_err(|error| unreadable(error.to_string()))
}

fn unreadable(what: impl Into<String>) -> StoreError {
    StoreError::Damaged { place: "the ledger of links".into(), what: what.into() }
}
