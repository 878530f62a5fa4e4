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
    /// Which it is of its store's lines: each has the number after that of the one before. A line is kept in the store until it was
    /// told, so after a kill some may come again, with their numbers; one without a number, of a query, is not kept.
    pub number: Option<u64>,
    /// Who wrote it.
    pub from: ContainerId,
    /// How loud.
    pub level: LogLevel,
    /// The text, which may have line breaks.
    pub text: String,
}

/// How much may run before a host that owns the loop is asked again. Where it stops depends on the messages alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Logical time: everything up to the first end of a window that is this far from the end of the last window begun.
    /// `None` has no end.
    pub ticks: Option<Ticks>,
    /// Turns, in the order (delivery tick, container id); collections do not count. `None` has no end.
    pub turns: Option<u64>,
}

/// What a host that owns the loop got for its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How many turns ran.
    pub turns: u64,
    /// The delivery tick of the next turn; `None` when idle.
    pub next: Option<Ticks>,
}
