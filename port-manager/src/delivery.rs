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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortRef>,
    /// Among messages of one delivery tick the higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// Whether the sender waits for an answer.
    #[serde(default, skip_serializing_if = "is_no_reply")]
    pub reply: Reply,
}

/// Whether a message wants an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Nobody waits.
    #[default]
    None,
    /// The answer, or the exception, goes through the last of the message's ports: an end of a channel.
    LastPort,
    /// A host waits. Its port comes into being when the receiver wants to have it in hand.
    Host,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_no_reply(reply: &Reply) -> bool {
    *reply == Reply::None
}

impl Message {
    /// The end of a channel through which its sender wants the answer.
    pub fn reply_port(&self) -> Option<&PortRef> {
        match self.reply {
            Reply::None | Reply::Host => None,
            Reply::LastPort => self.ports.last(),
        }
    }
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
    /// A message that asks for a thing as HTTP does: method, address, headers and body. Who makes no difference takes it as a
    /// message.
    Request,
    /// A timer of the receiver's is due; `data` is what it was set with.
    Timer,
    /// A turn that a message of the receiver's caused has failed; `data` describes it.
    Exception,
    /// Evaluate a line of a person's, answer with what it looks like (hosts only).
    Evaluate,
    /// Evaluate an edited program in the living heap (hosts only).
    Load,
    /// The last message of its port: what that led to is gone.
    Close,
    /// The receiver's port was deleted; this is the end of the receiver and of all that it owns.
    Delete,
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

impl Delivery {
    /// Whether it outlives the process while it waits. Inputs of a host that waits for their receipt do not: they count as
    /// taken only with the batch of their turn. A creation does: its container has a record already.
    pub fn is_durable(&self) -> bool {
        self.receipt.is_none() || self.kind == Kind::Create
    }

    /// Whether it takes one of its queue's places. Exceptions, closes, creations and deletions have places of their own.
    pub fn is_counted(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Request)
    }
}
