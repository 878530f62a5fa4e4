//! Container types: what runs inside an exo-interface.
//!
//! Layer 3, beside the hypervisor, which it does not know. [`wasm`] is the only place where wasmtime lives, and has the
//! containers that are modules of their users; [`js`] is one guest of it, the QuickJS engine; [`native`] are Rust types.

pub mod js;
pub mod native;
pub mod wasm;
