//! Owns the running containers, the schedule and the commit.
//!
//! Layer 3. A host talks to [`Hypervisor`]; a *core* thread owns every container and runs turns one after
//! another in the order of their delivery ticks; a *committer* thread makes batches durable and then lets
//! their outputs leave (the output gate). Knows neither wasm nor JavaScript: containers come from registered
//! [`ContainerType`](everturn_exo_interface::ContainerType)s.

mod archive;
mod backup;
mod batch;
mod builder;
mod check;
mod checkpoint;
mod committer;
mod configuration;
mod core;
mod crew;
mod error;
mod flush;
mod handle;
mod kept;
mod keys;
mod lines;
mod metrics;
mod once;
mod port_map;
mod receipt;
mod replay;
mod restore;
mod shards;
mod timers;
mod transfer;
mod writer;

pub use archive::{ArchiveError, Exported, ImportLimits};
pub use builder::{Builder, Settings, SideBySide, TurnsBy, Unloading};
pub use check::check;
pub use error::HypervisorError;
pub use handle::{Hypervisor, Inspection};
pub use kept::{Kept, kept_inputs};
pub use metrics::Metrics;
pub use once::{Given, Once};
pub use receipt::{Budget, Line, Ran, Receipt, Sent};
pub use replay::{Comparison, Difference, ReplayError, Replayed, replay};
pub use timers::DueTimers;
pub use transfer::import_car;
