//! What a link driver needs of the hypervisor that it speaks for: something that keeps each link's counts and messages.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::key::PeerKey;
use super::position::{Position, Positions};

/// Another hypervisor, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name here, and where it listens.
    pub address: String,
    /// Its key; of one that was never met there is none.
    pub key: Option<PeerKey>,
    /// Why nothing goes on with it.
    pub stopped: Option<String>,
}

/// All peers, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// Grows with every change of the list.
    pub version: u64,
    /// They.
    pub list: Vec<Peer>,
}

/// Who began a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialer {
    /// This side.
    Us,
    /// The other.
    Them,
}

/// What comparing the positions of both sides has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// They fit.
    Same,
    /// The other side has to resolve first.
    NotYet(String),
    /// They do not fit; nothing goes on before a person has resolved it.
    Stopped(String),
}

/// Messages that are owed to a peer, from this number on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outgoing {
    /// The number of the first.
    pub first: u64,
    /// They, in order.
    pub messages: Vec<serde_bytes::ByteBuf>,
}

/// What became of messages that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// All that came up to here were taken, now or before.
    UpTo(Position),
    /// There is no room for more than up to here; the rest is to be offered again.
    Full(Position),
    /// They do not fit to what came before.
    Stopped(String),
}

/// The inside cannot be asked any more, or not this: the text says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Stopped(pub String);

/// What comes of messages that were handed over.
pub type Taking = Pin<Box<dyn Future<Output = Result<Taken, Stopped>> + Send>>;

/// The inside of a link driver. Whatever it answers is durable.
#[async_trait]
pub trait Inside: Send + Sync + 'static {
    /// The peers, when they are others than in the version that is known.
    ///
    /// # Errors
    /// If there is no inside any more; so of all others here.
    async fn peers(&self, known: Option<u64>) -> Result<Peers, Stopped>;

    /// Pins a key to an address, and answers the address by which its owner is known; `None` if it is refused.
    ///
    /// # Errors
    /// See [`Inside::peers`].
    async fn admit(&self, key: PeerKey, address: &str) -> Result<Option<String>, Stopped>;

    /// Where the link with a peer stands.
    ///
    /// # Errors
    /// See [`Inside::peers`].
    async fn positions(&self, address: &str) -> Result<Positions, Stopped>;

    /// Compares with where the other side stands.
    ///
    /// # Errors
    /// See [`Inside::peers`].
    async fn compare(&self, address: &str, dialer: Dialer, theirs: Positions) -> Result<Compared, Stopped>;

    /// Waits for messages of an epoch after this number, and answers as many of them as fit, at least one; none if the epoch is over.
    ///
    /// # Errors
    /// See [`Inside::peers`].
    async fn next(&self, address: &str, epoch: u64, after: u64, bytes_max: u64) -> Result<Outgoing, Stopped>;

    /// The other side has what it says, of the messages of an epoch.
    ///
    /// # Errors
    /// See [`Inside::peers`].
    async fn acknowledged(&self, address: &str, epoch: u64, position: Position) -> Result<Compared, Stopped>;

    /// Hands over messages of an epoch. They are on their way when this returns, in the order of the calls.
    fn take(&self, address: &str, epoch: u64, messages: &Outgoing) -> Taking;

    /// The other side says that nothing goes on in an epoch, and why.
    ///
    /// # Errors
    /// See [`Inside::peers`].
    async fn stop(&self, address: &str, epoch: u64, why: &str) -> Result<(), Stopped>;
}
