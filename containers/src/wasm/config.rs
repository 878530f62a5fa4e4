//! How modules are compiled: one function, since every line of it can change an outcome.

use std::sync::Arc;

use wasmtime::{Config, Engine, OptLevel};

use super::memory::Regions;
use super::program::WasmError;

/// Address space that belongs to one memory: all that 32 bits reach, so that no bounds check is needed.
pub(crate) const RESERVE_BYTES: u64 = 4 << 30;
/// Address space behind it that no access may reach (wasm offsets are up to 4 GiB, but compiled code checks those
/// that pass the guard).
pub(crate) const GUARD_BYTES: u64 = 32 << 20;
/// Native stack that wasm may use. The JS engine's own limit of 512 KiB of shadow stack fires first: its frames take up
/// to some 20 times as much native stack as shadow stack (measured: JSON.parse of nested arrays).
const STACK_BYTES: usize = 64 << 20;
/// What host code on the same thread may need beside it.
const HOST_STACK_BYTES: usize = 4 << 20;

/// The name of this configuration; part of a compiled module's key in the cache.
pub(crate) const NAME: &str = "wasmtime-48 cranelift speed fuel nan 6";

/// Who counts fuel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metering {
    /// wasmtime: every operator is a unit.
    Operators,
    /// The module itself.
    Own,
}

/// An engine whose memories are the regions handed to it.
pub(crate) fn engine(regions: Arc<Regions>, metering: Metering) -> Result<Engine, WasmError> {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed);
    // Every NaN has the same bits on every machine.
    config.cranelift_nan_canonicalization(true);
    config.consume_fuel(metering == Metering::Operators);
    config.wasm_simd(true);
    config.wasm_relaxed_simd(false);
    config.wasm_tail_call(false);
    config.wasm_multi_memory(false);
    config.wasm_memory64(false);
    config.wasm_extended_const(true);
    config.with_host_memory(regions);
    config.memory_init_cow(false);
    config.memory_reservation(RESERVE_BYTES);
    config.memory_guard_size(GUARD_BYTES);
    config.memory_may_move(false);
    config.max_wasm_stack(STACK_BYTES);
    config.async_stack_size(STACK_BYTES + HOST_STACK_BYTES);
    config.wasm_backtrace_max_frames(None);
    Ok(Engine::new(&config)?)
}

/// Runs guest code for a caller whose own stack may be small.
pub(crate) fn on_guest_stack<T: Send>(
    run: impl FnOnce() -> Result<T, WasmError> + Send,
) -> Result<T, WasmError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES + HOST_STACK_BYTES);
        let running = thread.spawn_scoped(scope, run);
        let running =
            running.map_err(|error| WasmError::Interface(format!("no thread for the guest: {error}")))?;
        running.join().map_err(|_| WasmError::Interface("the guest's thread panicked".into()))?
    })
}
