//! Syscalls of user modules alone: what the turn is about, and how it ends. The engine gets its input in a buffer of its
//! own and answers by `result`.

use everturn_exo_interface::{ExceptionKind, Handle, Refusal};
use everturn_port_manager::Source;
use wasmtime::Linker;

use super::{Answered, Called, EFFECT_FUEL, FACT_FUEL, bytes, done, open, put, raise, text};
use crate::wasm::guest::Host;
use crate::wasm::program::WasmError;

pub(super) fn add(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    linker.func_wrap(
        "everturn",
        "input",
        |mut caller: Called<'_>, into: u32, offset: u32, room: u32| -> Answered {
            let waiting = caller.data().incoming.bytes.len().saturating_sub(offset as usize);
            let len = waiting.min(room as usize);
            let (memory, _) = open(&mut caller, FACT_FUEL, len as u64)?;
            let input = &caller.data().incoming.bytes;
            put(&memory, into, input.get(offset as usize..).and_then(|rest| rest.get(..len)).unwrap_or(&[]))
        },
    )?;
    linker.func_wrap(
        "everturn",
        "message_from",
        |mut caller: Called<'_>, into: u32, room: u32| -> Answered {
            let (memory, _) = open(&mut caller, FACT_FUEL, room.min(NAME_BYTES).into())?;
            let name = match &caller.data().incoming.from {
                None => return Ok(-Refusal::NoParent.code()),
                Some(Source::Parent) => "",
                Some(Source::Notice(_)) => return Ok(-Refusal::NotBound.code()),
                Some(Source::Named(name)) => name.as_str(),
            };
            put(&memory, into, name.as_bytes().get(..room as usize).unwrap_or(name.as_bytes()))?;
            Ok(name.len() as i32)
        },
    )?;
    linker.func_wrap("everturn", "message_reply", |mut caller: Called<'_>| -> Answered {
        let (_, turn) = open(&mut caller, FACT_FUEL, 0)?;
        Ok(turn.reply_port().map_or(-Refusal::NotBound.code(), |port| port.0 as i32))
    })?;
    linker.func_wrap("everturn", "answer", |mut caller: Called<'_>, data: u32, len: u32| -> Answered {
        let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
        Ok(done(turn.answer(bytes(&memory, data, len)?)))
    })?;
    linker.func_wrap(
        "everturn",
        "throw",
        |mut caller: Called<'_>, why: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, _) = open(&mut caller, EFFECT_FUEL, len.into())?;
            Err(raise(ExceptionKind::Throw, text(&memory, why, len)?))
        },
    )?;
    linker.func_wrap("everturn", "port_is_valid", |mut caller: Called<'_>, port: u32| -> Answered {
        let (_, turn) = open(&mut caller, EFFECT_FUEL, 0)?;
        Ok(i32::from(turn.is_valid_port(Handle(port))))
    })?;
    Ok(())
}

/// A port's name has no more bytes than this.
const NAME_BYTES: u32 = 256;
