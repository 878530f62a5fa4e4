//! Who a container is: the address of `{nonce, parent}` (design, section 4).

use std::cmp::Ordering;
use std::fmt;

use everturn_dag::Cid;
use everturn_dag::address::{DAG_CBOR, from_bytes, node_cid};
use serde::{Deserialize, Serialize};

/// A container's identity: the sha2-256 digest of the node `{nonce, parent}` that its creator minted.
///
/// The first, unnamed root has no such node; its id is [`ContainerId::ROOT`], `null` on the wire. As bytes an
/// id is its digest (32 bytes), the root's is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(#[serde(with = "serde_bytes")] [u8; 32]);

/// What an id's node says of who minted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub u64);

/// The head of a dag-cbor link to a CIDv1 with sha2-256: tag 42, 37 bytes, the multibase zero, version, codec,
/// hash code, digest length.
const LINK_HEAD: [u8; 9] = [0xd8, 0x2a, 0x58, 0x25, 0x00, 0x01, 0x71, 0x12, 0x20];

impl Nonce {
    /// The bytes of the counter, most significant first, without leading zeros; zero is one zero byte.
    pub fn to_bytes(self) -> Vec<u8> {
        let bytes = self.0.to_be_bytes();
        let leading = (self.0.leading_zeros() / 8).min(7) as usize;
        bytes[leading..].to_vec()
    }

    /// The next counter value.
    #[must_use]
    pub fn next(self) -> Nonce {
        Nonce(self.0 + 1)
    }
}

impl ContainerId {
    /// The id of the first, unnamed root.
    pub const ROOT: ContainerId = ContainerId([0; 32]);

    /// The id that a container with this id mints at `nonce`.
    pub fn child(self, nonce: Nonce) -> ContainerId {
        ContainerId::of_node(&self.child_node(nonce))
    }

    /// The dag-cbor node of that id: `{nonce: [bytes], parent: own id}`.
    pub fn child_node(self, nonce: Nonce) -> Vec<u8> {
        let mut node = b"\xa2\x65nonce".to_vec();
        let bytes = nonce.to_bytes();
        node.push(0x80 | bytes.len() as u8);
        for byte in bytes {
            if byte >= 24 {
                node.push(0x18);
            }
            node.push(byte);
        }
        node.extend_from_slice(b"\x66parent");
        self.write_link(&mut node);
        node
    }

    /// The id of a named root; the empty name is [`ContainerId::ROOT`].
    pub fn root(name: &str) -> ContainerId {
        if name.is_empty() { ContainerId::ROOT } else { ContainerId::of_node(&ContainerId::root_node(name)) }
    }

    /// The dag-cbor node of a named root's id: `{name, parent: null}`.
    pub fn root_node(name: &str) -> Vec<u8> {
        let mut node = b"\xa2\x64name".to_vec();
        write_text_head(&mut node, name.len());
        node.extend_from_slice(name.as_bytes());
        node.extend_from_slice(b"\x66parent\xf6");
        node
    }

    /// The id as a CID, or `None` for the unnamed root.
    pub fn cid(self) -> Option<Cid> {
        if self == ContainerId::ROOT {
            return None;
        }
        let mut bytes = [0; 36];
        bytes[..4].copy_from_slice(&LINK_HEAD[5..]);
        bytes[4..].copy_from_slice(&self.0);
        from_bytes(&bytes).ok()
    }

    /// The id that a CID stands for, if it is a CIDv1 of a dag-cbor node by sha2-256.
    pub fn from_cid(cid: &Cid) -> Option<ContainerId> {
        let sha2_256 = cid.codec() == DAG_CBOR && cid.hash().code() == 0x12;
        let digest = cid.hash().digest().try_into().ok()?;
        sha2_256.then_some(ContainerId(digest))
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id with this digest.
    pub fn from_bytes(bytes: [u8; 32]) -> ContainerId {
        ContainerId(bytes)
    }

    fn of_node(node: &[u8]) -> ContainerId {
        let cid = node_cid(node);
        ContainerId(cid.hash().digest().try_into().expect("sha2-256 has 32 bytes"))
    }

    fn write_link(self, node: &mut Vec<u8>) {
        if self == ContainerId::ROOT {
            node.push(0xf6);
        } else {
            node.extend_from_slice(&LINK_HEAD);
            node.extend_from_slice(&self.0);
        }
    }
}

/// The order of the digests' bytes. Their first eight settle it nearly always, and are compared as one number.
impl Ord for ContainerId {
    fn cmp(&self, other: &ContainerId) -> Ordering {
        let head = |id: &ContainerId| u64::from_be_bytes(*id.0.first_chunk().expect("a digest has 32 bytes"));
        head(self).cmp(&head(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for ContainerId {
    fn partial_cmp(&self, other: &ContainerId) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn write_text_head(node: &mut Vec<u8>, bytes: usize) {
    match bytes {
        0..=23 => node.push(0x60 | bytes as u8),
        24..=0xff => node.extend_from_slice(&[0x78, bytes as u8]),
        0x100..=0xffff => {
            node.push(0x79);
            node.extend_from_slice(&(bytes as u16).to_be_bytes());
        }
        _ => {
            node.push(0x7a);
            node.extend_from_slice(&(bytes as u32).to_be_bytes());
        }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cid() {
            Some(cid) => write!(f, "{cid}"),
            None => f.write_str("root"),
        }
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonce_bytes_are_big_endian_without_leading_zeros() {
        assert_eq!(Nonce(0).to_bytes(), [0]);
        assert_eq!(Nonce(255).to_bytes(), [255]);
        assert_eq!(Nonce(256).to_bytes(), [1, 0]);
        assert_eq!(Nonce(u64::MAX).to_bytes(), [255; 8]);
    }

    #[test]
    fn ids_of_children_differ_by_nonce_and_parent() {
        let first = ContainerId::ROOT.child(Nonce(0));
        assert_ne!(first, ContainerId::ROOT.child(Nonce(1)));
        assert_ne!(first.child(Nonce(0)), first);
        assert_eq!(ContainerId::from_cid(&first.cid().unwrap()), Some(first));
    }

    #[test]
    fn a_named_root_is_its_node() {
        let node = everturn_dag::Ipld::Map(
            [("name".into(), "main".into()), ("parent".into(), everturn_dag::Ipld::Null)].into(),
        );
        let encoded = everturn_dag::node::encode(&node).unwrap();
        assert_eq!(ContainerId::root("main").cid(), Some(node_cid(&encoded)));
        assert_eq!(ContainerId::root(""), ContainerId::ROOT);
    }
}
