//! What travels: a message as a sender hands it over, and the same stamped by the hypervisor.

use serde::{Deserialize, Serialize};

use crate::{ContainerId, PortRef, Ticks};

/// Data, moved ports and a priority. The data are one dag-cbor value; every delivery decodes these bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// One dag-cbor value.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
    /// Ports that move to the receiver; while they do, their queues are with the hypervisor.
    pub ports: Vec<PortRef>,
    /// Among messages of one delivery tick the higher goes first.
    pub priority: i32,
}

/// What a delivery asks of its receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// The first turn: evaluate the program in `data`.
    Create,
    /// An ordinary message.
    #[default]
    Message,
    /// A turn that a message of the receiver's caused has failed; `data` describes it.
    Exception,
    /// Evaluate a line of a person's, answer with what it looks like (hosts only).
    Evaluate,
    /// Evaluate an edited program in the living heap (hosts only).
    Load,
}

/// Whom to tell when a host's input has been handled. Lives in memory only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptId(pub u64);

/// A message on its way: stamped, in a queue or being handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What it asks.
    pub kind: Kind,
    /// What it carries.
    pub message: Message,
    /// Who sent it; `None` is the host.
    pub from: Option<ContainerId>,
    /// When it may be taken.
    pub at: Ticks,
    /// The recorded date, in milliseconds since 1970.
    pub date_ms: u64,
    /// Who waits for its outcome.
    #[serde(skip)]
    pub receipt: Option<ReceiptId>,
}
