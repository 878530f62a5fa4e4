//! One container's ports, their queues, and the order between them.
//!
//! Layer 1, pure: no I/O, no async, no container. The exo-interface asks which message is next and applies
//! what a turn did; the hypervisor puts messages in. Nothing here knows how a message is handled.

mod delivery;
mod gauge;
mod id;
mod loose;
mod manager;
mod ordered;
mod port;
mod queue;
mod ticks;

pub use delivery::{Delivery, Kind, Message, ReceiptId, Reply};
pub use gauge::{Gauge, Taken};
pub use id::{ContainerId, Nonce};
pub use loose::Loose;
pub use manager::{Bindings, Head, PortManager, Source};
pub use ordered::Ordered;
pub use port::{End, Life, Port, PortId, PortName, PortNameError, PortRef};
pub use queue::Queue;
pub use ticks::Ticks;
