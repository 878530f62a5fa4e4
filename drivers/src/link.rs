//! Links to other hypervisors: QUIC between two of them, each known by its key.
//!
//! One connection for each direction: whoever has messages dials, says where it stands, and sends; the other acknowledges what is
//! durable there. All that has to last lies with [`Inside`]; what is here may be lost at any instant.
//!
//! Invariants:
//! 1. Nobody is heard whose key is not known, unless everyone is to be ([`Strangers`]).
//! 2. A message is acknowledged after the turn that took it is durable.
//! 3. Frames, and what waits of them, are bounded; what cannot be read ends its connection with a line in the log.
//!
//! Not known here: what a message is about. It is bytes with a number.

mod dial;
mod endpoint;
mod frame;
mod inside;
mod key;
mod position;
mod receive;
mod reset;
mod settings;
mod socket;
mod tls;

pub use endpoint::{Endpoint, LinkError, Listener};
pub use inside::{Compared, Dialer, Inside, Outgoing, Peer, Peers, Stopped, Taken, Taking};
pub use key::{Identity, PeerKey};
pub use position::{Digest, Position, Positions};
pub use settings::{Settings, Strangers};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics fails, which is what it is for")]
mod tests;
