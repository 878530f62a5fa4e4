//! What wraps one container: its life, its ticks, its turn, its rollback.
//!
//! Layer 2. A message's path here: [`ExoInterface::step`] takes the next delivery from the port manager, opens
//! a [`Turn`], lets the [`Container`] run, and answers with what should happen ([`Stepped`]). Nothing is done
//! here: sends, creations and deletions are effects that the hypervisor carries out. No I/O, no clock, no thread.
//!
//! Three kinds of failure never mix: a [`Refusal`] is an answer to the guest and the turn goes on; an
//! [`Exception`] discards the turn and is data; an [`ExoError`] is the host's and stops the hypervisor.

mod container;
mod entropy;
mod exception;
mod exo;
mod limits;
mod outside;
mod refusal;
mod state;
mod timers;
mod turn;

pub use container::{Container, ContainerType, Fields, Footprint, Input, TypeContext};
pub use entropy::{Drawing, ENTROPY_CALL_BYTES_MAX, ENTROPY_TURN_BYTES_MAX, Entropy, EntropyError};
pub use exception::{Exception, ExceptionKind};
pub use exo::{Asked, Done, ExoInterface, LedOn, Life, Policy, RuntimeRecord, Stepped, Surroundings, Unload};
pub use limits::{Limit, Limits, OwnLimits, lower};
pub use outside::Outside;
pub use refusal::Refusal;
pub use state::{BlockReader, BlockWriter, StateReader, StateWriter};
pub use timers::{Timer, TimerId, Timers};
pub use turn::{Creation, Effect, Effects, Gauges, Handle, LogLevel, Minted, Sending, Target, Turn, Verdict};

/// Why the host could not go on with a container. Never caused by what a guest does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExoError {
    /// The store failed or is damaged.
    #[error(transparent)]
    Store(#[from] everturn_dag::StoreError),
    /// A stored record is not what this program writes.
    #[error("the record of container {container} cannot be read: {what}")]
    Record {
        /// Whose record.
        container: String,
        /// What is wrong with it.
        what: String,
    },
    /// A turn that was run again asked something else than the first time.
    #[error("container {container} did something else when its turn was run again: {what}")]
    Diverged {
        /// Which container.
        container: String,
        /// The call that differs.
        what: String,
    },
    /// The source of random bytes failed.
    #[error("container {container} asked for random bytes, and their source failed: {what}")]
    Entropy {
        /// Who asked.
        container: String,
        /// What the source says.
        what: String,
    },
    /// What a container type stands on failed: its memory, its engine.
    #[error("container {container} cannot go on: {source}")]
    Engine {
        /// Which container, or which module.
        container: String,
        /// The failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
