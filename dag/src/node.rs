//! Nodes: strict dag-cbor, one encoding per value.
//!
//! Every message, state node and record passes here, in both directions.
//!
//! Invariants:
//! 1. Bytes that [`validate`] accepts are exactly those that [`decode`] to an [`Ipld`](crate::Ipld) and [`encode`]
//!    back to themselves: shortest lengths and integers, map keys that are text, sorted by length and then by bytes
//!    and never twice, 64-bit finite floats without `-0.0`, no tag but 42 (a link), no indefinite length, nothing
//!    after the value (<https://ipld.io/specs/codecs/dag-cbor/spec/>).
//! 2. Depth is at most [`DEPTH_MAX`], so that hostile nesting cannot exhaust the stack.
//! 3. What [`encode`] returns, [`validate`] accepts. `-0.0` is written as `0.0`; NaN and infinities are refused.
//!
//! It does not know what a value means, nor how large it may be.

mod compose;
mod scan;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_ipld_dagcbor::ser::{BufWriter, Serializer};

use crate::Cid;

pub use compose::{Composer, entries, entries_of_valid, items, items_of_valid, map_of, order, visit_valid};
pub(crate) use scan::Versions;

/// Lists and maps that may lie in one another. A value embedded in another node counts with the levels around it, so
/// what comes from a guest is better embedded as bytes. The limit stays below that of `serde_ipld_dagcbor` (256
/// steps, two per level of an `Ipld`, three where an `Option` lies between).
pub const DEPTH_MAX: usize = 100;

/// Bytes of a node for each of its links, where they are many.
const LINK_SPACING: usize = 64;
/// Memory that an encoding takes before one knows how much it needs, in bytes.
const SHORT_BYTES: usize = 32;

/// Encodes a value. Fields and keys are sorted as dag-cbor wants them, whatever their order in the type.
///
/// # Errors
/// If the value has no strict form: a float that is not finite, an integer beyond 64 bits, a key that is no text or
/// comes twice, more than [`DEPTH_MAX`] levels.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, NodeError> {
    let mut serializer = Serializer::new(BufWriter::new(Vec::with_capacity(SHORT_BYTES)));
    value.serialize(&mut serializer).map_err(|error| NodeError::Unrepresentable(error.to_string()))?;
    let bytes = serializer.into_inner().into_inner();
    validate(&bytes)?;
    Ok(bytes)
}

/// Decodes strict bytes into an [`Ipld`](crate::Ipld) or a type of one's own. A type that must not lose fields it
/// does not know says `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// If the bytes are not strict (see [`validate`]) or do not have the type's shape.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NodeError> {
    validate(bytes)?;
    serde_ipld_dagcbor::from_slice(bytes).map_err(|error| NodeError::Shape(error.to_string()))
}

/// Checks that bytes are one strict dag-cbor value, without building it and without allocating.
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn validate(bytes: &[u8]) -> Result<(), NodeError> {
    match scan::integer(bytes) {
        Some(_) => Ok(()),
        None => scan::value(bytes, &mut |_| {}),
    }
}

/// The integer that bytes are as a node; `None` if they are anything else. Much of what containers tell each other is one, and
/// this reads it in a tenth of the time that [`decode`] takes.
pub fn integer(bytes: &[u8]) -> Option<i128> {
    scan::integer(bytes)
}

/// The text that bytes are as a node; `None` if they are anything else.
pub fn text(bytes: &[u8]) -> Option<&str> {
    scan::lone_text(bytes)
}

/// The bytes that bytes are as a node; `None` if they are anything else.
pub fn bytes(bytes: &[u8]) -> Option<&[u8]> {
    scan::lone_bytes(bytes)
}

/// The links of a node, each once.
///
/// # Errors
/// As [`validate`].
pub fn links(bytes: &[u8]) -> Result<BTreeSet<Cid>, NodeError> {
    let unread = |error: cid::Error| NodeError::Shape(error.to_string());
    links_as_they_stand(bytes)?
        .into_iter()
        .map(|link| crate::address::from_bytes(link).map_err(unread))
        .collect()
}

/// The links of a node in their order, repetitions included, each as the bytes of its CID.
///
/// # Errors
/// As [`validate`].
pub fn links_as_they_stand(bytes: &[u8]) -> Result<Vec<&[u8]>, NodeError> {
    let mut links = Vec::new();
    scan::value(bytes, &mut |link| links.push(link))?;
    Ok(links)
}

/// As [`links_as_they_stand`], of bytes that [`validate`] has accepted before: their order and their texts are not looked at
/// again.
pub(crate) fn links_of_valid(bytes: &[u8]) -> Result<Vec<&[u8]>, NodeError> {
    if !scan::may_have_links(bytes) {
        return Ok(Vec::new());
    }
    let mut links = Vec::with_capacity(bytes.len() / LINK_SPACING);
    scan::links_of_valid(bytes, &mut |link| links.push(link))?;
    Ok(links)
}

/// The links of a node that [`validate`] has accepted before, each with the one that stands in its place in the version before;
/// `None` if they differ in more than links.
pub(crate) fn links_beside<'a>(
    bytes: &'a [u8],
    earlier: &'a [u8],
) -> Result<Option<Vec<Versions<'a>>>, NodeError> {
    if !scan::may_have_links(bytes) && !scan::may_have_links(earlier) {
        return Ok(Some(Vec::new()));
    }
    scan::links_beside(bytes, earlier)
}

/// Why bytes are no node, or a value cannot become one. Offsets count bytes from the start of the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The input ends inside the value.
    #[error("the node ends too early, at byte {at}")]
    Truncated {
        /// Where the missing bytes should be.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("bytes follow the node, from byte {at}")]
    Trailing {
        /// Where they start.
        at: usize,
    },
    /// There is a shorter or differently ordered form, which is the only one accepted.
    #[error("the node is not in its one strict form at byte {at}: {what}")]
    NotStrict {
        /// Where.
        at: usize,
        /// What should be different.
        what: &'static str,
    },
    /// CBOR that is outside dag-cbor.
    #[error("the node holds what dag-cbor does not allow at byte {at}: {what}")]
    Forbidden {
        /// Where.
        at: usize,
        /// What it is.
        what: &'static str,
    },
    /// More than [`DEPTH_MAX`] levels.
    #[error("the node is nested deeper than {DEPTH_MAX} levels at byte {at}")]
    TooDeep {
        /// Where the first level too many starts.
        at: usize,
    },
    /// Strict, but not what the type expects.
    #[error("the node does not have the expected shape: {0}")]
    Shape(String),
    /// The value has no dag-cbor form.
    #[error("the value has no dag-cbor form: {0}")]
    Unrepresentable(String),
}

#[cfg(test)]
mod tests;
