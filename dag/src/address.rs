//! The address of bytes: CIDv1 over sha2-256, codec dag-cbor (a node) or raw (bytes as they are).

use cid::multihash::Multihash;
use cid::{Cid, Version};
use multihash_codetable::{Code, MultihashDigest};

use crate::SmallBytes;

/// Multicodec of dag-cbor (<https://github.com/multiformats/multicodec>).
pub const DAG_CBOR: u64 = 0x71;
/// Multicodec of raw bytes.
pub const RAW: u64 = 0x55;

/// Multicodec of sha2-256, and the bytes of its digest.
const SHA2_256: (u64, u8) = (0x12, 32);
/// How an address of the usual form begins: CIDv1, dag-cbor or raw, sha2-256. 32 bytes of digest follow.
pub(crate) const USUAL: [[u8; 4]; 2] = [[0x01, 0x71, 0x12, 0x20], [0x01, 0x55, 0x12, 0x20]];
/// The length of one.
pub const USUAL_BYTES: usize = 36;

/// The address of an encoded dag-cbor node.
pub fn node_cid(encoded: &[u8]) -> Cid {
    Cid::new_v1(DAG_CBOR, Code::Sha2_256.digest(encoded))
}

/// The address of raw bytes.
pub fn raw_cid(bytes: &[u8]) -> Cid {
    Cid::new_v1(RAW, Code::Sha2_256.digest(bytes))
}

/// An address as bytes, for keys and links. What [`Cid::to_bytes`] gives, sooner for addresses of the usual form.
pub fn to_bytes(cid: &Cid) -> SmallBytes {
    let hash = cid.hash();
    let head = USUAL.iter().find(|head| u64::from(head[1]) == cid.codec());
    match head {
        Some(head) if cid.version() == Version::V1 && (hash.code(), hash.size()) == SHA2_256 => {
            let digest: [u8; 32] = hash.digest().try_into().unwrap_or_default();
            SmallBytes::joined(&[head, &digest])
        }
        _ => cid.to_bytes().into(),
    }
}

/// The address that bytes stand for.
///
/// # Errors
/// If they are no CID.
pub fn from_bytes(bytes: &[u8]) -> Result<Cid, cid::Error> {
    match bytes.split_first_chunk::<4>() {
        Some((head, digest)) if bytes.len() == USUAL_BYTES && USUAL.contains(head) => {
            Ok(Cid::new_v1(head[1].into(), Multihash::wrap(SHA2_256.0, digest)?))
        }
        _ => Cid::try_from(bytes),
    }
}

/// Whether bytes are an address of the usual form: CIDv1, dag-cbor or raw, sha2-256.
pub fn is_usual(bytes: &[u8]) -> bool {
    bytes.len() == USUAL_BYTES && USUAL.iter().any(|head| bytes.starts_with(head))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_form_are_their_bytes_and_back() {
        let digest = |code, bytes: &[u8]| Multihash::wrap(code, bytes).unwrap();
        let short = digest(0x12, &[7; 20]);
        let cids = [
            node_cid(b"node"),
            raw_cid(b"raw"),
            Cid::new_v1(DAG_CBOR, digest(0x00, b"identity")),
            Cid::new_v1(RAW, short),
            Cid::new_v1(0x70, digest(0x12, &[7; 32])),
            Cid::new_v1(DAG_CBOR, digest(0x13, &[7; 64])),
            Cid::new_v0(digest(0x12, &[7; 32])).unwrap(),
        ];
        for cid in cids {
            assert_eq!(to_bytes(&cid).as_bytes(), cid.to_bytes());
            assert_eq!(from_bytes(&cid.to_bytes()).unwrap(), cid);
        }
        assert!(from_bytes(&[]).is_err());
        assert!(from_bytes(&node_cid(b"node").to_bytes()[..35]).is_err());
    }
}
