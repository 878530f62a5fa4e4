//! A request that is done once, as a host names it and as it is kept.

use everturn_exo_interface::Exception;
use everturn_port_manager::PortId;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::HypervisorError;

/// What makes a request one that is done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// Whoever comes with the same key to the same container means the same thing.
    pub key: [u8; 32],
    /// What the request is: another one may not use the key.
    pub fingerprint: [u8; 32],
    /// How long the reply is kept, in milliseconds from the date of the request.
    pub kept_ms: u64,
}

/// Whether a reply is that of the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The request was carried out for it.
    First,
    /// The request had been carried out before: this is what came of it.
    Again,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kept {
    /// The answer, one dag-cbor value.
    Answer(ByteBuf),
    /// Its first turn was done, and a later one failed.
    Failed(Exception),
    /// Its first turn was done, and no answer will come.
    Unanswered,
}

impl Kept {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Kept::Answer(answer) => answer.len() as u64,
            Kept::Failed(exception) => (exception.text.len() + exception.stack.len()) as u64,
            Kept::Unanswered => 0,
        }
    }

    pub(crate) fn reply(self) -> Result<Vec<u8>, HypervisorError> {
        match self {
            Kept::Answer(answer) => Ok(answer.into_vec()),
            Kept::Failed(exception) => Err(HypervisorError::Exception(exception)),
            Kept::Unanswered => Err(HypervisorError::Unanswered),
        }
    }
}

impl From<Result<Vec<u8>, HypervisorError>> for Kept {
    fn from(answer: Result<Vec<u8>, HypervisorError>) -> Kept {
        match answer {
            Ok(answer) => Kept::Answer(answer.into()),
            Err(HypervisorError::Exception(exception)) => Kept::Failed(exception),
            Err(_) => Kept::Unanswered,
        }
    }
}

/// A row of the runtime space.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) fingerprint: ByteBuf,
    pub(crate) until_ms: u64,
    pub(crate) state: Stored,
}

/// How far the request has come.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stored {
    /// Its first turn was done; the answer will come out of this end of a channel.
    Owed(PortId),
    Kept(Kept),
}
