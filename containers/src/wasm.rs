//! WebAssembly containers: a module on a persistent heap.
//!
//! A guest's linear memory is a [`Heap`](everturn_heap::Heap): what it writes is its state. Memory and mutable
//! globals are all the state that a guest has; `instrument` sees to that.
//!
//! In reading order: `config` (how code is compiled), `admission` (what a user's module may have), `instrument` (what is
//! changed in a module first), `program` (a module ready to run, and its image), `guest` (one instance), `globals` (its
//! state beside the memory), `syscalls` (what it may call), `modules` and `user` (a user's module as a container), `rows` (how its
//! state lies in the store), `flush` (how that state becomes a DAG).

pub(crate) mod admission;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod flush;
pub(crate) mod fuel;
pub(crate) mod globals;
pub(crate) mod guest;
pub(crate) mod instrument;
pub(crate) mod memory;
pub(crate) mod modules;
pub(crate) mod program;
pub(crate) mod rows;
#[cfg(test)]
mod suite;
pub(crate) mod syscalls;
pub(crate) mod user;

pub use cache::ModuleCache;
pub use program::{Progress, WasmError};
pub use user::{WasmContainer, WasmOptions, WasmType};
