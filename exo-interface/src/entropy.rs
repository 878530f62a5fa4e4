//! Where random bytes come from. There are none below the host: it gives a source, or guests are refused.
//!
//! Invariants:
//! 1. What a turn drew is part of its record: run again, it gets the same.
//! 2. A turn that does not ask costs nothing.

use everturn_port_manager::{ContainerId, Ticks};

/// What one call may draw, in bytes: as much as `crypto.getRandomValues` of the Web Cryptography API gives.
pub const ENTROPY_CALL_BYTES_MAX: usize = 65_536;
/// What one turn may draw, in bytes. It is kept until the next savepoint, and with the inputs where these are kept.
pub const ENTROPY_TURN_BYTES_MAX: usize = 1 << 20;

/// Which bytes are asked for. No two calls of turns that were ever part of one history have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Drawing {
    /// Who draws.
    pub container: ContainerId,
    /// The container's ticks when its turn began. A question has those of the turn that would come in its place.
    pub ticks: Ticks,
    /// How many calls of this turn came before.
    pub number: u32,
}

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntropyError {
    /// The source has none for this drawing: a refusal, which the guest sees.
    #[error("there is none")]
    Refused,
    /// The source failed: the hypervisor stops rather than guess.
    #[error("{0}")]
    Failed(String),
}

/// A source of random bytes that a host gives. Programs take them for keys, so they must not be guessed, unless all who run the
/// same messages are to get the same: then they are a function of the [`Drawing`] and of what the host keeps to itself.
pub trait Entropy: Send + Sync {
    /// Fills `into`.
    ///
    /// # Errors
    /// [`EntropyError`].
    fn draw(&self, drawing: &Drawing, into: &mut [u8]) -> Result<(), EntropyError>;
}
