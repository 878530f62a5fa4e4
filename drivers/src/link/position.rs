//! Where one side of a link stands: how many messages, and the chain over all of them.

use std::fmt;

use everturn_dag::address::raw_cid;
use serde::{Deserialize, Serialize};

/// A sha2-256 digest.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "serde_bytes")] [u8; 32]);

impl Digest {
    /// These 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The number of the last message of a direction, counted from one, and the hash chain up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// How many messages there were.
    pub number: u64,
    /// The chain over all of them: of none it is zeros, of one more the hash of the chain before and the message.
    pub hash: Digest,
}

impl Position {
    /// One message further.
    #[must_use]
    pub fn after(&self, message: &[u8]) -> Position {
        let mut link = Vec::with_capacity(32 + message.len());
        link.extend_from_slice(&self.hash.0);
        link.extend_from_slice(message);
        let hash = raw_cid(&link).hash().digest().try_into().expect("sha2-256 has 32 bytes");
        Position { number: self.number + 1, hash: Digest(hash) }
    }
}

/// Both directions of a link, as one side has them in its store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Positions {
    /// How often the link was begun anew; the counts are of this time.
    pub epoch: u64,
    /// What was sent.
    pub sent: Position,
    /// How much of that the other side has acknowledged.
    pub acknowledged: Position,
    /// What came from the other side.
    pub received: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_tells_order_and_content() {
        let both = |one: &[u8], other: &[u8]| Position::default().after(one).after(other);
        assert_eq!(both(b"a", b"b").number, 2);
        assert_eq!(both(b"a", b"b"), both(b"a", b"b"));
        assert_ne!(both(b"a", b"b").hash, both(b"b", b"a").hash);
        assert_ne!(both(b"a", b"b").hash, Position::default().after(b"ab").hash);
    }
}
