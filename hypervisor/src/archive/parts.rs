//! What a block of a state needs beside itself, by the role in which it is met.
//!
//! | role | needs |
//! |---|---|
//! | state node | in `ports`: ids, state nodes, and whatever shards them; in `heap`: everything. Other fields are data |
//! | map of ports | as any part of one; its form is [checked](crate::port_map::check) beside |
//! | part of a port map or of a checkpoint | under `id` an id, under `link` a state node, else another such part |
//! | any other (id, page tree, module) | all that it links to |

use everturn_dag::{Cid, Ipld, blocks, node};

use super::ArchiveError;
use crate::port_map::{self, INLINE_MAX};

/// The field of a state node whose links are part of the state. Every other field of a container's own is data.
const HEAP: &str = "heap";

/// The role of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    State,
    Checkpoint,
    /// All of a map of ports.
    Ports,
    Shard,
    Whole,
}

/// A block in a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    pub(crate) cid: Cid,
}

/// Whether a root is a state node or a checkpoint.
pub(crate) fn kind_of_root(cid: &Cid, block: &[u8]) -> Result<Kind, ArchiveError> {
    if let Ipld::Map(fields) = decode(cid, block)? {
        if fields.contains_key("nonce") && fields.contains_key("ports") {
            return Ok(Kind::State);
        }
        if ["version", "configuration", "root", "runtime"].iter().all(|field| fields.contains_key(*field)) {
            return Ok(Kind::Checkpoint);
        }
    }
    Err(malformed(cid, "it is neither a container's state nor a checkpoint"))
}

/// What a block needs, in the order in which it names it.
pub(crate) fn parts(part: Part, block: &[u8]) -> Result<Vec<Part>, ArchiveError> {
    let Part { kind, cid } = part;
    let mut found = Vec::new();
    match kind {
        Kind::Whole => {
            let links = blocks::links(&cid, block).map_err(|error| malformed(&cid, &error.to_string()))?;
            found.extend(links.into_iter().map(|cid| Part { kind: Kind::Whole, cid }));
        }
        Kind::State => {
            let Ipld::Map(fields) = decode(&cid, block)? else {
                return Err(malformed(&cid, "it is not a container's state"));
            };
            let Some(ports) = fields.get("ports").filter(|_| fields.contains_key("nonce")) else {
                return Err(malformed(&cid, "it is not a container's state"));
            };
            match ports {
                Ipld::Map(ports) if ports.len() > INLINE_MAX => {
                    return Err(port_map::too_many(&cid, ports.len()).into());
                }
                Ipld::Map(_) => collect(ports, Kind::Shard, &mut found),
                Ipld::Link(ports) => found.push(Part { kind: Kind::Ports, cid: *ports }),
                _ => return Err(malformed(&cid, "its ports are neither a map nor a link")),
            }
            if let Some(heap) = fields.get(HEAP) {
                whole(heap, &mut found);
            }
        }
        Kind::Ports | Kind::Shard | Kind::Checkpoint => {
            collect(&decode(&cid, block)?, Kind::Shard, &mut found)
        }
    }
    Ok(found)
}

/// Links of ports and shards.
fn collect(value: &Ipld, kind: Kind, found: &mut Vec<Part>) {
    match value {
        Ipld::Link(cid) => found.push(Part { kind, cid: *cid }),
        Ipld::List(items) => items.iter().for_each(|item| collect(item, Kind::Shard, found)),
        Ipld::Map(fields) => {
            for (name, value) in fields {
                let kind = match name.as_str() {
                    "id" => Kind::Whole,
                    "link" => Kind::State,
                    _ => Kind::Shard,
                };
                collect(value, kind, found);
            }
        }
        _ => {}
    }
}

fn whole(value: &Ipld, found: &mut Vec<Part>) {
    match value {
        Ipld::Link(cid) => found.push(Part { kind: Kind::Whole, cid: *cid }),
        Ipld::List(items) => items.iter().for_each(|item| whole(item, found)),
        Ipld::Map(fields) => fields.values().for_each(|value| whole(value, found)),
        _ => {}
    }
}

fn decode(cid: &Cid, block: &[u8]) -> Result<Ipld, ArchiveError> {
    if cid.codec() != everturn_dag::address::DAG_CBOR {
        return Err(malformed(cid, "raw bytes stand where a node should"));
    }
    node::decode(block).map_err(|error| malformed(cid, &error.to_string()))
}

fn malformed(cid: &Cid, what: &str) -> ArchiveError {
    ArchiveError::Malformed { cid: *cid, what: what.to_owned() }
}
