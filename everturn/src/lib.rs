//! A message-passing actor hypervisor whose containers never lose their state.
//!
//! Layer 4, the face: what a host needs, in one place, and nothing of its own but the joint between a hypervisor and the
//! drivers.
//!
//! A [`Hypervisor`] runs containers: actors that talk only by messages. Each message is one turn, and a turn's effects
//! happen all or not at all; what a turn did is in the [`Store`] before any of its outputs leaves. A JavaScript
//! container ([`js`]) is persistent as it stands: its variables and closures are bytes of a heap that is committed
//! with every turn.
//!
//! ```
//! use everturn::{DiskStore, Hypervisor, Ipld, JsContainer, Message, Ticks, node};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let hypervisor = Hypervisor::builder().store(DiskStore::open(&folder)?).build().await?;
//! hypervisor.register_container("js", JsContainer::factory()?);
//! let program = "let sum = 0; export default { message(msg) { return sum += msg.data; } };";
//! // The living one, if any: in a folder that was used before, `sum` is what it was.
//! let app = hypervisor.get_or_create_instance("js", "main", program).await?;
//! for expected in [2, 4] {
//!     let message = Message { data: node::encode(&2)?, ..Message::default() };
//!     let receipt = hypervisor.send(&app, message).await?;
//!     assert_eq!(receipt.outcome, Ok(Some(Ipld::Integer(expected))));
//! }
//! println!("{}", hypervisor.create_state_root(&app, Ticks::MAX).await?);
//! hypervisor.stop().await?;
//! # Ok(())
//! # }
//! ```

pub mod clock;

/// Content addresses.
pub mod address {
    pub use everturn_dag::address::{DAG_CBOR, RAW, node_cid, raw_cid};
}

/// The socket over which commands reach a session that another process has open.
#[cfg(feature = "control")]
pub mod control {
    pub use everturn_drivers::control::*;
}

#[cfg(any(feature = "http", feature = "link", feature = "outbound"))]
mod driver;
pub mod entropy;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "link")]
pub mod link;
#[cfg(feature = "outbound")]
pub mod outbound;
#[cfg(feature = "http")]
pub mod socket;

/// JavaScript containers.
pub mod js {
    pub use everturn_containers::js::{Completeness, JsContainer, JsOptions, JsType};
    pub use everturn_containers::wasm::{ModuleCache, Progress, WasmError};
    pub use everturn_heap::{TRACKER_VARIABLE, TrackerKind};
}

/// Containers written in Rust.
pub mod native {
    pub use everturn_containers::native::*;
}

/// Kept inputs, run again.
pub mod replay {
    pub use everturn_hypervisor::{Comparison, Difference, ReplayError, Replayed, replay};
}

/// WebAssembly containers.
pub mod wasm {
    pub use everturn_containers::wasm::{
        ModuleCache, Progress, WasmContainer, WasmError, WasmOptions, WasmType,
    };
    pub use everturn_heap::{TRACKER_VARIABLE, TrackerKind};
}

/// dag-cbor nodes: the form of messages and of all addressed state.
pub mod node {
    pub use everturn_dag::node::{decode, encode};
}

pub use everturn_dag::references::Audit;
pub use everturn_dag::{Backend, Base, Cid, DiskStore, Ipld, MemoryStore, NodeError, Store, StoreError};
pub use everturn_exo_interface::{
    ContainerType, Exception, ExceptionKind, Fields, Footprint, Handle, Limit, Limits, LogLevel, OwnLimits,
    Refusal, TimerId, Turn,
};
pub use everturn_hypervisor::{
    ArchiveError, Budget, Builder, DueTimers, Exported, Given, Hypervisor, HypervisorError, ImportLimits,
    Inspection, Kept, Line, Metrics, Once, Ran, Receipt, Sent, Settings, SideBySide, TurnsBy, Unloading,
    check, import_car, kept_inputs,
};
pub use everturn_port_manager::{
    ContainerId, End, Kind, Message, PortId, PortName, PortRef, Reply, Source, Ticks,
};
pub use js::JsContainer;
pub use wasm::WasmContainer;

/// The README's code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
