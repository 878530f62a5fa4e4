//! A message-passing actor hypervisor whose containers never lose their state.
//!
//! Layer 4, the face: what a host needs, in one place, and nothing of its own.
//!
//! A [`Hypervisor`] runs containers: actors that talk only by messages. Each message is one turn, and a turn's effects
//! happen all or not at all; what a turn did is in the [`Store`] before any of its outputs leaves. A JavaScript
//! container ([`js`]) is persistent as it stands: its variables and closures are bytes of a heap that is committed
//! with every turn.

/// Content addresses.
pub mod address {
    pub use everturn_dag::address::{DAG_CBOR, RAW, node_cid, raw_cid};
}

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

/// dag-cbor nodes: the form of messages and of all addressed state.
pub mod node {
    pub use everturn_dag::node::{decode, encode};
}

pub use everturn_dag::{Backend, Base, Cid, DiskStore, Ipld, MemoryStore, NodeError, Store, StoreError};
pub use everturn_exo_interface::{
    ContainerType, Exception, ExceptionKind, Footprint, Handle, Limits, LogLevel, Refusal, Turn,
};
pub use everturn_hypervisor::{
    Builder, Hypervisor, HypervisorError, Inspection, Line, Receipt, Sent, Settings, Unloading,
};
pub use everturn_port_manager::{ContainerId, Kind, Message, PortName, PortRef, Ticks};
pub use js::JsContainer;
