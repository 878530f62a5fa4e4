//! What a host asks of the links' container. The answers are those of the driver's `Inside`.

use everturn_drivers::link::{Dialer, Outgoing, PeerKey, Position, Positions};
use serde::{Deserialize, Serialize};

use super::ledger::Resolution;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// Whether strangers are welcome.
    Open(bool),
    /// The list of peers, when it is another than the version that is known.
    Peers(Option<u64>),
    Admit(PeerKey, String),
    Positions(String),
    Compare(String, Dialer, Positions),
    /// Of an epoch, as the three that follow: messages after a number, as many bytes of them at most.
    Next(String, u64, u64, u64),
    Acknowledged(String, u64, Position),
    Take(String, u64, Outgoing),
    Stop(String, u64, String),
    Add(String, PeerKey),
    Remove(String),
    Resolve(String, Resolution),
}
