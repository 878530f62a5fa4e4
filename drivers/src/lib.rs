//! The ways to the outside: everything that touches a clock, a socket or entropy, and nothing else does.
//!
//! Layer 3. A driver knows what goes in and what comes out of a container, and neither the hypervisor nor any container
//! type: what it needs of them is a trait of its own, which a host fulfils.
//!
//! Invariants:
//! 1. What comes from outside is bounded, in bytes, in number and in time, before anything is done with it.
//! 2. Nothing leaves before the turn that made it is durable: a driver waits for that, and never answers ahead of it.
//! 3. Nothing that a stranger sends makes a driver panic or ends it.

pub mod clock;
#[cfg(feature = "control")]
pub mod control;
pub mod entropy;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "link")]
pub mod link;
#[cfg(feature = "outbound")]
pub mod outbound;
#[cfg(any(feature = "http", feature = "link"))]
mod quiet;
