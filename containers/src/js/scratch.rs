//! Questions about source text that need an engine but no container: asked of an instance that is thrown away.

use std::sync::Arc;

use crate::wasm::WasmError;
use crate::wasm::config::on_guest_stack;
use crate::wasm::guest::{Ended, Guest};
use crate::wasm::program::Program;

/// Whether a source text is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can be evaluated.
    Complete,
    /// It wants more lines.
    Incomplete,
    /// It is wrong whatever follows.
    SyntaxError,
}

/// Fuel and memory for one question.
const FUEL: u64 = 10_000_000_000;
const HEAP_BYTES_MAX: u64 = 256 << 20;

pub(super) fn complete(program: &Arc<Program>, source: &str) -> Result<Completeness, WasmError> {
    on_guest_stack(|| ask(program, source))
}

fn ask(program: &Program, source: &str) -> Result<Completeness, WasmError> {
    let mut guest = Guest::start(program, program.heap(HEAP_BYTES_MAX)?)?;
    let len =
        u32::try_from(source.len()).map_err(|_| WasmError::Interface("the source is too long".into()))?;
    let room = guest.function::<u32, u32>("everturn_input_large")?;
    let Ended::Returned(pointer @ 1..) = guest.call(&room, len, FUEL)? else {
        return Err(WasmError::Interface("the source does not fit the engine's memory".into()));
    };
    if guest.memory().put(pointer, source.as_bytes()).is_none() {
        return Err(WasmError::Interface("the engine's input lies outside of its memory".into()));
    }
    let complete = guest.function::<u32, i32>("everturn_complete")?;
    match guest.call(&complete, len, FUEL)? {
        Ended::Returned(0) => Ok(Completeness::Complete),
        Ended::Returned(1) => Ok(Completeness::Incomplete),
        // A text that exhausts the parser is for the turn to report.
        _ => Ok(Completeness::SyntaxError),
    }
}
