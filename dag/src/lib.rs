//! Content addresses, dag-cbor nodes and the store.
//!
//! Layer 0: knows no message, no container, no clock. Everything above addresses immutable bytes through
//! [`address`] and keeps its live state in a [`Store`].

pub mod address;
pub mod blocks;
pub mod car;
pub mod node;
pub mod references;
mod small;
pub mod store;

pub use cid::Cid;
pub use cid::multibase::Base;
pub use ipld_core::ipld::Ipld;
pub use node::NodeError;
pub use small::SmallBytes;
pub use store::{Backend, Batch, Change, DiskStore, MemoryStore, Reader, Space, Store, StoreError};
