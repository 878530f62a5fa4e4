//! What a container may talk to.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, Delivery};

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

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An unforgeable reference to a child container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRef {
    /// The container that it leads to.
    pub id: ContainerId,
    /// That container's type.
    #[serde(rename = "type")]
    pub container_type: Arc<str>,
}

/// A port with the messages that wait in it. It is bound in one container or in flight in one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Where it leads.
    pub reference: PortRef,
    /// What came from there and was not taken yet, oldest first.
    pub queue: VecDeque<Delivery>,
}

impl Port {
    /// A new port without messages.
    pub fn new(reference: PortRef) -> Port {
        Port { reference, queue: VecDeque::new() }
    }
}
