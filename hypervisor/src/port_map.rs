//! The ports of a state node: in the node itself as long as they are few, else in a [map of shards](crate::shards).
//!
//! ```text
//! up to 64     {name: {id, link, messages, type}, ...}          an end of a channel has `end` in place of `link`
//! more         link to a map of {id, link, messages, name, type}, keyed by the sha2-256 of the name
//! ```
//!
//! Changes are applied to the form that the ports had before, without reading those that did not change. Which form it is
//! depends on the ports alone.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use everturn_dag::node::{self, Composer};
use everturn_dag::{Cid, Ipld, StoreError, address};
use everturn_port_manager::{ContainerId, PortName};

use crate::shards::{self, Blocks, Entry, Few, Key, Part, Walk, Wrong};

mod entry;

use entry::View;
pub(crate) use entry::{Leads, PortEntry};

/// Ports that a state node holds itself at most.
pub(crate) const INLINE_MAX: usize = 64;

/// A port's name, and its key in a map of shards once that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    pub(crate) name: PortName,
    key: OnceCell<Key>,
}

impl From<PortName> for Keyed {
    fn from(name: PortName) -> Keyed {
        Keyed { name, key: OnceCell::new() }
    }
}

impl Keyed {
    pub(crate) fn key(&self) -> &Key {
        self.key.get_or_init(|| key(self.name.as_str()))
    }
}

/// What becomes of a port in its container's state node.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// It is bound under the name now.
    Bound(Box<PortEntry>),
    /// Nothing is bound there any more.
    Unbound,
    /// The container that it leads to has another state; none, if it is gone.
    Leads(ContainerId, Option<Cid>),
}

impl Change {
    /// The bytes of the port as it is then. `inside` is its name, where that stands in them.
    fn apply(
        &self,
        name: &str,
        inside: Option<&str>,
        before: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Change::Bound(entry) => Ok(Some(entry.encode(inside))),
            Change::Unbound => Ok(None),
            Change::Leads(id, to) => lead(*id, to.as_ref(), name, inside, before).map(Some),
        }
    }
}

/// Lets a port lead to another state of its container.
fn lead(
    id: ContainerId,
    to: Option<&Cid>,
    name: &str,
    inside: Option<&str>,
    before: Option<&[u8]>,
) -> Result<Vec<u8>, StoreError> {
    if let Some(view) = before.and_then(View::of).filter(|view| view.is_of(id)) {
        return Ok(view.leading_to(to));
    }
    match before.map(PortEntry::decode).transpose()? {
        Some((_, entry)) if entry.id == id.cid() => {
            Ok(PortEntry { leads: Leads::To(to.copied()), ..entry }.encode(inside))
        }
        _ => Err(StoreError::Damaged {
            place: "a state node".to_owned(),
            what: format!("its port {name:?} does not lead to container {id}, as it should"),
        }),
    }
}

/// The field `ports` of a state node that had none before.
pub(crate) fn compose(
    ports: &BTreeMap<PortName, PortEntry>,
    blocks: &mut Blocks<'_>,
) -> Result<Vec<u8>, StoreError> {
    if ports.len() <= INLINE_MAX {
        let mut ports: Vec<(&str, Cow<'_, [u8]>)> =
            ports.iter().map(|(name, entry)| (name.as_str(), Cow::Owned(entry.encode(None)))).collect();
        ports.sort_by(|(left, _), (right, _)| node::order(left, right));
        return Ok(inline(&ports));
    }
    let mut entries: Vec<Entry> =
        ports.iter().map(|(name, entry)| (key(name.as_str()), entry.encode(Some(name.as_str())))).collect();
    entries.sort_by_key(|(key, _)| *key);
    Ok(link(&shards::write(&entries, &mut |block| blocks.put(block, None))?))
}

/// The field `ports` as it is after some changes, in any order, one of each name. `before` is the field as it was.
pub(crate) fn update(
    before: &[u8],
    changes: &[(Keyed, Change)],
    blocks: &mut Blocks<'_>,
) -> Result<Vec<u8>, StoreError> {
    if changes.is_empty() {
        return Ok(before.to_vec());
    }
    match node::entries_of_valid(before) {
        Ok(ports) => update_inline(ports, changes, blocks),
        Err(_) => update_shards(before, changes, blocks),
    }
}

fn update_inline(
    before: Vec<(&str, &[u8])>,
    changes: &[(Keyed, Change)],
    blocks: &mut Blocks<'_>,
) -> Result<Vec<u8>, StoreError> {
    let mut changed: Vec<(&str, &Change)> =
        changes.iter().map(|(keyed, change)| (keyed.name.as_str(), change)).collect();
    changed.sort_by(|(left, _), (right, _)| node::order(left, right));
    let (mut before, mut after) = (before.into_iter().peekable(), Vec::new());
    for (name, change) in changed {
        while let Some((name, port)) = before.next_if(|(other, _)| node::order(other, name).is_lt()) {
            after.push((name, Cow::Borrowed(port)));
        }
        let port = before.next_if(|(other, _)| *other == name).map(|(_, port)| port);
        after.extend(change.apply(name, None, port)?.map(|port| (name, Cow::Owned(port))));
    }
    after.extend(before.map(|(name, port)| (name, Cow::Borrowed(port))));
    if after.len() <= INLINE_MAX {
        return Ok(inline(&after));
    }
    let named = |(name, port): &(&str, Cow<'_, [u8]>)| -> Result<(PortName, PortEntry), StoreError> {
        Ok((PortName::new(name).map_err(damaged)?, PortEntry::decode(port)?.1))
    };
    compose(&after.iter().map(named).collect::<Result<_, _>>()?, blocks)
}

fn update_shards(
    before: &[u8],
    changes: &[(Keyed, Change)],
    blocks: &mut Blocks<'_>,
) -> Result<Vec<u8>, StoreError> {
    let root: Cid = node::decode(before).map_err(damaged)?;
    let mut sorted: Vec<(Key, (&str, &Change))> =
        changes.iter().map(|(keyed, change)| (*keyed.key(), (keyed.name.as_str(), change))).collect();
    sorted.sort_by_key(|(key, _)| *key);
    let apply =
        |before: Option<&[u8]>, (name, change): &(&str, &Change)| change.apply(name, Some(name), before);
    let by = shards::Update { blocks, key_of: &key_of, replace: &replace, apply: &apply };
    let goes = changes.iter().any(|(_, change)| matches!(change, Change::Unbound));
    let few = match shards::update(by, &root, &sorted)? {
        Part::Few(few, _) => few,
        Part::Many(root) if !goes => return Ok(link(&root)),
        Part::Many(root) => match shards::collect_few(&root, INLINE_MAX, blocks, &key_of)? {
            Some(few) => few,
            None => return Ok(link(&root)),
        },
    };
    inline_again(&few)
}

/// Writes a port as a change leaves it, if it is the one that the change is about and only leads to another state.
fn replace(port: &[u8], (name, change): &(&str, &Change), into: &mut Composer) -> bool {
    let Change::Leads(id, to) = change else { return false };
    let view = View::of(port).filter(|view| view.name == Some(name) && view.is_of(*id));
    if let Some(view) = &view {
        view.write_leading_to(to.as_ref(), into);
    }
    view.is_some()
}

/// Ports that have become few enough.
fn inline_again(few: &Few) -> Result<Vec<u8>, StoreError> {
    let mut ports = Vec::with_capacity(few.len());
    for (_, port) in few {
        let (name, entry) = PortEntry::decode(port)?;
        ports.push((name.unwrap_or_default(), Cow::Owned(entry.encode(None))));
    }
    ports.sort_by(|(left, _), (right, _)| node::order(left, right));
    Ok(inline(&ports))
}

/// Ports in the order of a map's keys, as such a map.
fn inline<P: AsRef<[u8]>>(ports: &[(&str, P)]) -> Vec<u8> {
    let bytes: usize = ports.iter().map(|(name, port)| name.len() + port.as_ref().len() + 9).sum();
    let mut node = Composer::with_capacity(bytes + 9);
    node.map(ports.len());
    for (name, port) in ports {
        node.text(name).encoded(port.as_ref());
    }
    node.finish()
}

fn link(root: &Cid) -> Vec<u8> {
    let mut node = Composer::with_capacity(48);
    node.link(Some(root));
    node.finish()
}

fn key(name: &str) -> Key {
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(address::raw_cid(name.as_bytes()).hash().digest()) {
        *to = *from;
    }
    key
}

fn key_of(port: &[u8]) -> Option<Key> {
    match View::of(port) {
        Some(view) => view.name.map(key),
        None => PortEntry::decode(port).ok()?.0.map(key),
    }
}

/// Reads the field `ports` of the state node `of`, in either form; an error if it has not the form that its ports give it.
pub(crate) fn read<E: From<Wrong>>(
    of: &Cid,
    ports: &Ipld,
    load: &mut dyn FnMut(&Cid) -> Result<Vec<u8>, E>,
    visit: &mut dyn FnMut(PortName, PortEntry) -> Result<(), E>,
) -> Result<(), E> {
    match ports {
        Ipld::Map(ports) if ports.len() > INLINE_MAX => Err(too_many(of, ports.len()).into()),
        Ipld::Map(ports) => {
            for (name, port) in ports {
                let port = node::encode(port).map_err(|error| Wrong::new(of, error.to_string()))?;
                let (name, entry) = named(of, Some(name), &port)?;
                visit(name, entry)?;
            }
            Ok(())
        }
        Ipld::Link(root) => read_shards(root, load, visit),
        _ => Err(Wrong::new(of, "its ports are neither a map nor a link").into()),
    }
}

/// Looks whether a map of ports has the form that its content gives it.
pub(crate) fn check<E: From<Wrong>>(
    root: &Cid,
    load: &mut dyn FnMut(&Cid) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    read_shards(root, load, &mut |_, _| Ok(()))
}

/// The error of a state node that holds more ports itself than it may.
pub(crate) fn too_many(of: &Cid, ports: usize) -> Wrong {
    Wrong::new(
        of,
        format!("it holds {ports} ports itself, and more than {INLINE_MAX} lie in a map of their own"),
    )
}

fn read_shards<E: From<Wrong>>(
    root: &Cid,
    load: &mut dyn FnMut(&Cid) -> Result<Vec<u8>, E>,
    visit: &mut dyn FnMut(PortName, PortEntry) -> Result<(), E>,
) -> Result<(), E> {
    let mut visit = |_, port: &[u8]| {
        let (name, entry) = named(root, None, port)?;
        visit(name, entry)
    };
    match (Walk { load, key_of: &key_of, visit: &mut visit }).read(root)? {
        ..=INLINE_MAX => Err(Wrong::new(root, "so few ports belong into the state node itself").into()),
        _ => Ok(()),
    }
}

/// A port with its name, which stands in it or before it.
fn named(of: &Cid, before: Option<&str>, port: &[u8]) -> Result<(PortName, PortEntry), Wrong> {
    let (inside, entry) = PortEntry::decode(port).map_err(|error| Wrong::new(of, error.to_string()))?;
    match (before, inside) {
        (Some(name), None) | (None, Some(name)) => {
            let name = PortName::new(name).map_err(|error| Wrong::new(of, error.to_string()))?;
            Ok((name, entry))
        }
        _ => Err(Wrong::new(of, "a port's name does not stand where it belongs")),
    }
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { place: "the ports of a state node".to_owned(), what: error.to_string() }
}

#[cfg(test)]
mod tests;
