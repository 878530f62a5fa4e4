//! What is durable of an exo-interface.

use std::collections::VecDeque;
use std::sync::Arc;

use everturn_port_manager::{ContainerId, PortManager, Ticks};
use serde::{Deserialize, Serialize};

use crate::{OwnLimits, Timers};

/// What is durable of an exo-interface beside the container's own state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeRecord {
    /// The container's type.
    #[serde(rename = "type")]
    pub container_type: Arc<str>,
    /// Who owns it, as it knows itself; `None` is the host.
    pub parent: Option<ContainerId>,
    /// Who bound the port to it last; `None` is the host. It learns of that at the ticks in `moves`.
    pub holder: Option<ContainerId>,
    /// Parents to be, each from a delivery tick on.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub moves: VecDeque<(Ticks, ContainerId)>,
    /// How far from a root it was made.
    pub depth: u32,
    /// What it has burnt in its life.
    #[serde(default)]
    pub burnt: u64,
    /// What was lowered for it, and for whoever made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowered: Option<Arc<OwnLimits>>,
    /// What it wants to hear later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timers: Option<Box<Timers>>,
    /// Its logical time.
    pub ticks: Ticks,
    /// The newest date that it saw, in milliseconds since 1970.
    pub date_ms: u64,
    /// Whether its creation turn is done.
    pub born: bool,
    /// Ports, queues, nonce. A turn reads them while it runs.
    pub ports: Arc<PortManager>,
}
