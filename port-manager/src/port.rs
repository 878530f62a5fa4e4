//! What a container may talk to.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, Gauge, Queue};

/// A name under which a container binds a port. Ordered by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortName(Arc<str>);

/// Why a text is no port name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a port name has 1 to {max_bytes} bytes, this one {bytes}", max_bytes = PortName::BYTES_MAX)]
pub struct PortNameError {
    /// The text's length.
    pub bytes: usize,
}

impl PortName {
    /// The longest name.
    pub const BYTES_MAX: usize = 256;

    /// A port name.
    ///
    /// # Errors
    /// If the text is empty or longer than [`PortName::BYTES_MAX`].
    pub fn new(name: &str) -> Result<PortName, PortNameError> {
        match name.len() {
            1..=Self::BYTES_MAX => Ok(PortName(name.into())),
            bytes => Err(PortNameError { bytes }),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names are looked up by their text: it has the same order.
impl Borrow<str> for PortName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Deref for PortName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the two ends of a channel; 0 or 1 on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum End {
    /// The end that was made first.
    First,
    /// The other.
    Second,
}

impl End {
    /// The end that what is sent through this one comes out of.
    #[must_use]
    pub fn other(self) -> End {
        match self {
            End::First => End::Second,
            End::Second => End::First,
        }
    }
}

impl From<End> for u8 {
    fn from(end: End) -> u8 {
        match end {
            End::First => 0,
            End::Second => 1,
        }
    }
}

impl TryFrom<u8> for End {
    type Error = String;

    fn try_from(number: u8) -> Result<End, String> {
        match number {
            0 => Ok(End::First),
            1 => Ok(End::Second),
            _ => Err(format!("a channel has the ends 0 and 1, not {number}")),
        }
    }
}

/// Which port: the one that leads to a container, or one end of a channel. There is exactly one port of each id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortId {
    /// The container that it leads to, or the channel.
    pub of: ContainerId,
    /// Which end, of a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

impl PortId {
    /// The port that leads to a container.
    pub fn container(of: ContainerId) -> PortId {
        PortId { of, end: None }
    }

    /// Where what is sent through this end of a channel comes out; `None` for a container's port.
    pub fn peer(self) -> Option<PortId> {
        Some(PortId { of: self.of, end: Some(self.end?.other()) })
    }
}

/// An unforgeable reference: to a child container, or to a channel end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRef {
    /// The container that it leads to, or the channel.
    pub id: ContainerId,
    /// That container's type; [`PortRef::CHANNEL`] for a channel end.
    #[serde(rename = "type")]
    pub container_type: Arc<str>,
    /// Which end, of a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

impl PortRef {
    /// What stands in place of a container's type.
    pub const CHANNEL: &str = "channel";

    /// The port to a container.
    pub fn container(id: ContainerId, container_type: impl Into<Arc<str>>) -> PortRef {
        PortRef { id, container_type: container_type.into(), end: None }
    }

    /// An end of a channel.
    pub fn channel(id: ContainerId, end: End) -> PortRef {
        PortRef { id, container_type: PortRef::CHANNEL.into(), end: Some(end) }
    }

    /// Which port it is.
    pub fn port_id(&self) -> PortId {
        PortId { of: self.id, end: self.end }
    }

    /// Whether it is an end of a channel.
    pub fn is_channel(&self) -> bool {
        self.end.is_some()
    }
}

/// Whether messages may still come out of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// They may.
    #[default]
    Open,
    /// The last one was taken: what the port led to is gone.
    Closed,
}

/// A port with the messages that wait in it. It is bound in one container or loose: in flight in one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Where it leads.
    pub reference: PortRef,
    /// What came from there and was not taken yet.
    pub queue: Queue,
    /// Whether more may come.
    #[serde(default)]
    pub life: Life,
    /// How full the queue is that this port fills.
    #[serde(skip)]
    pub outgoing: Gauge,
}

impl Port {
    /// A new port without messages.
    pub fn new(reference: PortRef) -> Port {
        Port { reference, queue: Queue::default(), life: Life::Open, outgoing: Gauge::default() }
    }
}
