//! Checkpoints: all that is needed to go on bit for bit, under one address.
//!
//! ```text
//! {version: 1,
//!  configuration: {...},                                as in the store
//!  root: [{id, link, type}...],                         the root containers, by id
//!  runtime: {containers: link, meta: {key: value}}}     what is under way
//! ```
//! `containers` links to a [sharded map](crate::shards) with an entry `{id, key, link, rows}` for everything that has an id, containers
//! and channels: the id as link and as bytes, a container's state node, and its rows of the runtime space by the end of
//! their keys. Rows are taken as they are, whatever they hold.
//!
//! Invariants:
//! 1. A checkpoint depends on what is durable alone, so it is the same on every machine.
//! 2. A resume ends with the batch that writes the runtime rows; before, the store has no containers.

use std::collections::BTreeMap;

use everturn_dag::address::node_cid;
use everturn_dag::{Batch, Cid, Ipld, Reader, Space, StoreError, blocks, node, references};
use everturn_exo_interface::{BlockReader, RuntimeRecord};
use everturn_port_manager::ContainerId;

use crate::configuration::Configuration;
use crate::core::Types;
use crate::keys;
use crate::restore::StateNode;
use crate::shards::{self, Key, Walk};
use crate::writer::Writer;
use crate::{HypervisorError, archive};

/// The version of checkpoints that is written and read.
const VERSION: i128 = 1;
/// Bytes that a resume writes in one batch, roughly.
const BATCH_BYTES: usize = 4 << 20;

/// What one id has in the runtime space: rows by the end of their keys.
type Rows = BTreeMap<String, Vec<u8>>;
/// The row of a container's record: its key is the id alone.
const RECORD: &str = "";

impl Writer {
    /// Writes the checkpoint of what is durable with the batch, and pins it.
    pub(crate) fn checkpoint(&mut self) -> Result<Cid, HypervisorError> {
        let all = everything(&*self.store)?;
        // The roots first: what they own is done with them. The others are in flight, or about to end.
        let (mut types, mut rest) = (BTreeMap::new(), Vec::new());
        for (id, rows) in &all {
            let Some(row) = rows.get(RECORD) else { continue };
            let record = keys::decode_record(*id, row)?;
            match record.holder {
                Some(_) => rest.push(*id),
                None => {
                    self.flush(*id)?;
                    types.insert(*id, record.container_type);
                }
            }
        }
        for id in rest {
            self.flush(id)?;
        }
        let mut batch = Batch::new();
        let (mut root, mut entries) = (Vec::new(), Vec::new());
        for (id, rows) in all {
            let link = references::held(&*self.store, &keys::newest_node(id))?;
            if let Some(container_type) = types.get(&id) {
                root.push(map([
                    ("id", link_or_null(id.cid())),
                    ("link", link_or_null(link)),
                    ("type", Ipld::String(container_type.to_string())),
                ]));
            }
            entries
                .push((*id.as_bytes(), keys::encode("an entry of a checkpoint", &entry(id, link, rows)?)?));
        }
        let containers =
            shards::write(&entries, &mut |block| Ok::<_, StoreError>(put_block(&mut batch, block)))?;
        let runtime = map([("containers", Ipld::Link(containers)), ("meta", meta(&*self.store)?)]);
        let configuration: Ipld = match self.store.get(Space::Meta, keys::CONFIGURATION)? {
            Some(bytes) => keys::decode("the configuration", &bytes)?,
            None => Ipld::Null,
        };
        let checkpoint = map([
            ("version", Ipld::Integer(VERSION)),
            ("configuration", configuration),
            ("root", Ipld::List(root)),
            ("runtime", runtime),
        ]);
        let cid = put(&mut batch, &checkpoint)?;
        self.pin_written(cid, batch)?;
        Ok(cid)
    }

    /// Puts into an empty store what a checkpoint stands for. Its blocks are there.
    pub(crate) fn resume(&mut self, types: &Types, checkpoint: &Cid) -> Result<(), HypervisorError> {
        if !runtime(&*self.store)?.is_empty() {
            return Err(HypervisorError::NotEmpty);
        }
        let reader = self.store.clone();
        let blocks = keys::Blocks { reader: &*reader };
        let parts = Parts::read(&blocks, checkpoint)?;
        self.clear_state()?;
        let (mut batch, mut last) = (Batch::new(), Batch::new());
        let mut resume = |key, entry: &[u8]| {
            let entry = keys::decode("an entry of a checkpoint", entry)?;
            resume_entry(types, &blocks, key, entry, &mut batch, &mut last)?;
            match batch.bytes() >= BATCH_BYTES {
                true => Ok(self.write(std::mem::take(&mut batch))?),
                false => Ok::<_, HypervisorError>(()),
            }
        };
        let mut load = |cid: &Cid| Ok(blocks.block(cid)?);
        Walk { load: &mut load, key_of: &key_of, visit: &mut resume }.read(&parts.containers)?;
        for (key, value) in &parts.meta {
            last.put(Space::Meta, key.as_bytes(), keys::encode("a fact of a checkpoint", value)?);
        }
        self.write(batch)?;
        self.write(last)?;
        Ok(self.sync()?)
    }

    /// Removes what a resume left that was cut short.
    fn clear_state(&mut self) -> Result<(), StoreError> {
        self.clear(Space::State)?;
        let names = references::names(&*self.store, &[])?;
        self.let_go(names)
    }
}

/// A checkpoint's fields.
pub(crate) struct Parts {
    configuration: Ipld,
    containers: Cid,
    meta: BTreeMap<String, Ipld>,
    root: Option<Ipld>,
}

impl Parts {
    pub(crate) fn read(blocks: &dyn BlockReader, checkpoint: &Cid) -> Result<Parts, HypervisorError> {
        let wrong =
            |what: &str| HypervisorError::NoCheckpoint { cid: checkpoint.to_string(), what: what.to_owned() };
        if !blocks.has(checkpoint)? {
            return Err(HypervisorError::NoSuchRoot(checkpoint.to_string()));
        }
        let Ipld::Map(mut fields) = keys::decode("a checkpoint", &blocks.block(checkpoint)?)? else {
            return Err(wrong("it is not a map"));
        };
        match fields.get("version") {
            Some(Ipld::Integer(VERSION)) => {}
            Some(Ipld::Integer(version)) => {
                return Err(wrong(&format!("it has version {version}, this program reads {VERSION}")));
            }
            _ => return Err(wrong("it is a state root, or something else without a version")),
        }
        let (Some(configuration), Some(Ipld::Map(mut runtime))) =
            (fields.remove("configuration"), fields.remove("runtime"))
        else {
            return Err(wrong("it has no configuration and no runtime"));
        };
        match (runtime.remove("containers"), runtime.remove("meta")) {
            (Some(Ipld::Link(containers)), Some(Ipld::Map(meta))) => {
                if let Some(name) = meta.keys().find(|name| !keys::FACTS.contains(&name.as_str())) {
                    return Err(wrong(&format!("it has a fact that this program does not know: {name:?}")));
                }
                Ok(Parts { configuration, containers, meta, root: fields.remove("root") })
            }
            _ => Err(wrong("its runtime is not {containers, meta}")),
        }
    }

    /// The root containers, and where their states are.
    pub(crate) fn roots(&self) -> Result<BTreeMap<ContainerId, Option<Cid>>, HypervisorError> {
        let damaged = || StoreError::Damaged {
            place: "a checkpoint".to_owned(),
            what: "its root is not a list of {id, link, type}".to_owned(),
        };
        let Some(Ipld::List(roots)) = &self.root else { return Err(damaged().into()) };
        let read = |root: &Ipld| {
            let Ipld::Map(fields) = root else { return None };
            let id = match fields.get("id")? {
                Ipld::Link(cid) => ContainerId::from_cid(cid)?,
                _ => ContainerId::ROOT,
            };
            match fields.get("link")? {
                Ipld::Link(link) => Some((id, Some(*link))),
                _ => Some((id, None)),
            }
        };
        Ok(roots.iter().map(read).collect::<Option<_>>().ok_or_else(damaged)?)
    }

    /// The configuration that a hypervisor has to have to go on from here.
    pub(crate) fn configuration(&self) -> Result<Configuration, HypervisorError> {
        let bytes = keys::encode("a configuration", &self.configuration)?;
        Ok(keys::decode("the checkpoint's configuration", &bytes)?)
    }
}

fn resume_entry(
    types: &Types,
    blocks: &keys::Blocks<'_>,
    key: [u8; 32],
    entry: Ipld,
    batch: &mut Batch,
    last: &mut Batch,
) -> Result<(), HypervisorError> {
    let wrong = || StoreError::Damaged {
        place: "a checkpoint".to_owned(),
        what: "an entry is not {id, key, link, rows}".to_owned(),
    };
    let Ipld::Map(mut fields) = entry else { return Err(wrong().into()) };
    let Some(Ipld::Map(rows)) = fields.remove("rows") else { return Err(wrong().into()) };
    let id = ContainerId::from_bytes(key);
    if let Some(Ipld::Link(cid)) = fields.get("id")
        && id.cid() == Some(*cid)
    {
        keys::keep_id(batch, id, blocks.block(cid)?);
    }
    for (end, value) in &rows {
        let bytes = keys::encode("a row of a checkpoint", value)?;
        if end == RECORD {
            let record: RuntimeRecord = keys::decode("a record of a checkpoint", &bytes)?;
            let Some(Ipld::Link(node)) = fields.get("link") else { return Err(wrong().into()) };
            if record.born {
                let StateNode { own, .. } = StateNode::read(blocks, *node)?;
                let mut writer = keys::RowChanges { batch: &mut *batch, id };
                types.get(&record.container_type)?.import(&own, &mut writer, blocks)?;
            }
            references::hold(batch, &keys::newest_node(id), node);
        }
        last.put(Space::Runtime, [&key[..], end.as_bytes()].concat(), bytes);
    }
    Ok(())
}

/// Everything in the runtime space, by id.
fn runtime(reader: &dyn Reader) -> Result<BTreeMap<ContainerId, Rows>, StoreError> {
    let mut all: BTreeMap<ContainerId, Rows> = BTreeMap::new();
    let mut damaged = None;
    reader.scan(Space::Runtime, &[], &mut |key, value| {
        let split =
            key.split_first_chunk::<32>().and_then(|(id, end)| Some((id, std::str::from_utf8(end).ok()?)));
        match split {
            Some((id, end)) => {
                let rows = all.entry(ContainerId::from_bytes(*id)).or_default();
                rows.insert(end.to_owned(), value.to_vec());
            }
            None => damaged = Some(format!("a key of {} bytes", key.len())),
        }
        damaged.is_none()
    })?;
    match damaged {
        Some(what) => Err(StoreError::Damaged { place: "the runtime space".to_owned(), what }),
        None => Ok(all),
    }
}

/// Everything that is there: what has rows in the runtime space, and ids that are kept without any (channels).
fn everything(reader: &dyn Reader) -> Result<BTreeMap<ContainerId, Rows>, StoreError> {
    let mut all = runtime(reader)?;
    for id in keys::kept_ids(reader)? {
        all.entry(id).or_default();
    }
    Ok(all)
}

fn entry(id: ContainerId, link: Option<Cid>, rows: Rows) -> Result<Ipld, StoreError> {
    let decode = |(end, bytes): (String, Vec<u8>)| Ok((end, keys::decode("a runtime row", &bytes)?));
    let rows: BTreeMap<String, Ipld> = rows.into_iter().map(decode).collect::<Result<_, StoreError>>()?;
    Ok(map([
        ("id", link_or_null(id.cid())),
        ("key", Ipld::Bytes(id.as_bytes().to_vec())),
        ("link", link_or_null(link)),
        ("rows", Ipld::Map(rows)),
    ]))
}

/// The facts of the store that decide how it goes on. What waits to be told to this host is none of them.
fn meta(reader: &dyn Reader) -> Result<Ipld, StoreError> {
    let mut facts = BTreeMap::new();
    for name in keys::FACTS {
        if let Some(value) = reader.get(Space::Meta, name.as_bytes())? {
            facts.insert(name.to_owned(), keys::decode("a fact of the store", &value)?);
        }
    }
    Ok(Ipld::Map(facts))
}

fn put(batch: &mut Batch, node: &Ipld) -> Result<Cid, StoreError> {
    Ok(put_block(batch, keys::encode("a part of a checkpoint", node)?))
}

fn put_block(batch: &mut Batch, block: Vec<u8>) -> Cid {
    let cid = node_cid(&block);
    batch.put(Space::Blocks, blocks::key(&cid), block);
    cid
}

/// The key of an entry: its id's bytes.
fn key_of(entry: &[u8]) -> Option<Key> {
    let fields = node::entries(entry).ok()?;
    let (_, key) = fields.into_iter().find(|(name, _)| *name == "key")?;
    let Ipld::Bytes(key) = node::decode(key).ok()? else { return None };
    key.try_into().ok()
}

fn map<const N: usize>(fields: [(&str, Ipld); N]) -> Ipld {
    Ipld::Map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn link_or_null(cid: Option<Cid>) -> Ipld {
    cid.map_or(Ipld::Null, Ipld::Link)
}

/// Whether a root of this store is a checkpoint.
pub(crate) fn is_one(reader: &dyn Reader, root: &Cid) -> Result<bool, HypervisorError> {
    archive::is_checkpoint(reader, root).map_err(archive::in_store)
}
