//! The address of bytes: CIDv1 over sha2-256, codec dag-cbor (a node) or raw (bytes as they are).

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

/// Multicodec of dag-cbor (<https://github.com/multiformats/multicodec>).
pub const DAG_CBOR: u64 = 0x71;
/// Multicodec of raw bytes.
pub const RAW: u64 = 0x55;

/// The address of an encoded dag-cbor node.
pub fn node_cid(encoded: &[u8]) -> Cid {
    Cid::new_v1(DAG_CBOR, Code::Sha2_256.digest(encoded))
}

/// The address of raw bytes.
pub fn raw_cid(bytes: &[u8]) -> Cid {
    Cid::new_v1(RAW, Code::Sha2_256.digest(bytes))
}

/// What a hash says about bytes and the address they came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The address names these bytes.
    Right,
    /// It names others.
    Wrong,
    /// It uses a hash that is not known here; sha2-256 and identity are.
    UnknownHash,
}

/// Whether an address names these bytes. The codec is not looked at.
pub fn check(cid: &Cid, bytes: &[u8]) -> Verdict {
    let is_right = match cid.hash().code() {
        0x00 => cid.hash().digest() == bytes,
        0x12 => *cid.hash() == Code::Sha2_256.digest(bytes),
        _ => return Verdict::UnknownHash,
    };
    if is_right { Verdict::Right } else { Verdict::Wrong }
}
