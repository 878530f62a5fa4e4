//! What a host learns of a message that it sent.

use everturn_dag::Ipld;
use everturn_exo_interface::{Exception, LogLevel};
use everturn_port_manager::{ContainerId, Ticks};

/// The end of one turn, handed out when it is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The turn's answer (`None` if it gave none), or why it was discarded.
    pub outcome: Result<Option<Ipld>, Exception>,
    /// What it burnt.
    pub burnt: Ticks,
    /// The container's ticks after it.
    pub ticks: Ticks,
    /// What it sent.
    pub sent: Vec<Sent>,
}

/// One message that a turn sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// To whom.
    pub to: ContainerId,
    /// When it will be delivered.
    pub at: Ticks,
}

/// A line that a container wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who wrote it.
    pub from: ContainerId,
    /// How loud.
    pub level: LogLevel,
    /// The text, which may have line breaks.
    pub text: String,
}
