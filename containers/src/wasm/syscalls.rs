//! The functions of module `everturn` that a guest may import.
//!
//! Plain functions over linear memory; engine/ABI.md lists them for people. A refusal is a negative number. A pointer
//! outside of the guest's memory is a trap: the guest is broken, not refused.

use everturn_exo_interface::{Handle, LogLevel, Refusal, Turn};
use wasmtime::{Caller, Linker, bail};

use super::guest::Host;
use super::memory::View;
use super::program::WasmError;

type Called<'a> = Caller<'a, Host>;
type Answered = wasmtime::Result<i32>;

/// Adds every syscall.
pub(crate) fn add(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    add_facts(linker)?;
    add_ports(linker)?;
    linker.func_wrap(
        "everturn",
        "send",
        |mut caller: Called<'_>,
         port: u32,
         data: u32,
         len: u32,
         ports: u32,
         count: u32,
         priority: i32|
         -> Answered {
            let (memory, turn) = open(&mut caller)?;
            let moved = bytes(&memory, ports, count.saturating_mul(4))?.chunks_exact(4);
            let moved: Vec<Handle> = moved
                .map(|handle| Handle(u32::from_le_bytes([handle[0], handle[1], handle[2], handle[3]])))
                .collect();
            let data = bytes(&memory, data, len)?;
            Ok(done(turn.send(Handle(port), data, &moved, priority)))
        },
    )?;
    Ok(())
}

fn add_facts(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    linker.func_wrap(
        "everturn",
        "log",
        |mut caller: Called<'_>, level: i32, text: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, turn) = open(&mut caller)?;
            turn.log(LogLevel::from_number(level), &String::from_utf8_lossy(bytes(&memory, text, len)?));
            Ok(())
        },
    )?;
    linker.func_wrap(
        "everturn",
        "result",
        |mut caller: Called<'_>, data: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, turn) = open(&mut caller)?;
            match turn.answer(bytes(&memory, data, len)?) {
                Ok(()) => Ok(()),
                Err(refusal) => bail!("the answer was refused: {refusal}"),
            }
        },
    )?;
    linker
        .func_wrap("everturn", "date", |caller: Called<'_>| -> f64 { caller.data().turn.date_ms() as f64 })?;
    linker.func_wrap("everturn", "ticks", |mut caller: Called<'_>| -> wasmtime::Result<i64> {
        let (_, turn) = open(&mut caller)?;
        Ok(turn.ticks().0 as i64)
    })?;
    linker.func_wrap("everturn", "id", |mut caller: Called<'_>, into: u32| -> Answered {
        let (memory, turn) = open(&mut caller)?;
        put(&memory, into, &turn.id().cid().map_or(Vec::new(), |cid| cid.to_bytes()))
    })?;
    linker.func_wrap(
        "everturn",
        "refusal",
        |mut caller: Called<'_>, code: i32, into: u32, room: u32| -> Answered {
            let (memory, _) = open(&mut caller)?;
            let text = Refusal::from_code(code.saturating_neg()).or(Refusal::from_code(code));
            let text = text.map_or("the call was refused".to_owned(), |refusal| refusal.to_string());
            let cut = text.as_bytes().get(..room as usize).unwrap_or(text.as_bytes());
            put(&memory, into, cut)
        },
    )?;
    Ok(())
}

fn add_ports(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    linker.func_wrap("everturn", "message_ports", |caller: Called<'_>| -> i32 {
        caller.data().turn.message_ports() as i32
    })?;
    linker.func_wrap(
        "everturn",
        "port_create",
        |mut caller: Called<'_>, kind: u32, kind_len: u32, data: u32, len: u32| -> Answered {
            let (memory, turn) = open(&mut caller)?;
            let kind = text(&memory, kind, kind_len)?;
            let data = bytes(&memory, data, len)?;
            Ok(handle(turn.create(&kind, data)))
        },
    )?;
    linker.func_wrap(
        "everturn",
        "port_bind",
        |mut caller: Called<'_>, name: u32, len: u32, port: u32| -> Answered {
            let (memory, turn) = open(&mut caller)?;
            Ok(done(turn.bind(&text(&memory, name, len)?, Handle(port))))
        },
    )?;
    linker.func_wrap(
        "everturn",
        "port_unbind",
        |mut caller: Called<'_>, name: u32, len: u32| -> Answered {
            let (memory, turn) = open(&mut caller)?;
            Ok(handle(turn.unbind(&text(&memory, name, len)?)))
        },
    )?;
    linker.func_wrap("everturn", "port_get", |mut caller: Called<'_>, name: u32, len: u32| -> Answered {
        let (memory, turn) = open(&mut caller)?;
        Ok(handle(turn.get(&text(&memory, name, len)?)))
    })?;
    linker.func_wrap(
        "everturn",
        "port_delete",
        |mut caller: Called<'_>, name: u32, len: u32| -> Answered {
            let (memory, turn) = open(&mut caller)?;
            Ok(done(turn.delete(&text(&memory, name, len)?)))
        },
    )?;
    linker.func_wrap(
        "everturn",
        "port_names",
        |mut caller: Called<'_>, into: u32, room: u32| -> Answered {
            let (memory, turn) = open(&mut caller)?;
            let names = everturn_dag::node::encode(&turn.names())
                .map_err(|error| wasmtime::Error::msg(error.to_string()))?;
            if names.len() <= room as usize { put(&memory, into, &names) } else { Ok(names.len() as i32) }
        },
    )?;
    linker.func_wrap("everturn", "port_id", |mut caller: Called<'_>, port: u32, into: u32| -> Answered {
        let (memory, turn) = open(&mut caller)?;
        match turn.port_id(Handle(port)) {
            Ok(id) => put(&memory, into, &id.cid().map_or(Vec::new(), |cid| cid.to_bytes())),
            Err(refusal) => Ok(-refusal.code()),
        }
    })?;
    linker.func_wrap("everturn", "port_parent", |mut caller: Called<'_>| -> Answered {
        let (_, turn) = open(&mut caller)?;
        Ok(handle(turn.parent()))
    })?;
    linker.func_wrap("everturn", "channel", |_caller: Called<'_>| -> i32 { -Refusal::UnknownCall.code() })?;
    Ok(())
}

/// The guest's memory and turn; the turn knows what was burnt until now.
fn open<'a>(caller: &'a mut Called<'_>) -> wasmtime::Result<(View, &'a mut Turn)> {
    let fuel_left = caller.get_fuel()?;
    let host = caller.data_mut();
    host.note_burnt(fuel_left);
    tracing::trace!(target: "everturn::path", container = %host.turn.id(), "Recorded");
    Ok((host.memory.clone(), &mut host.turn))
}

fn bytes(memory: &View, pointer: u32, len: u32) -> wasmtime::Result<&[u8]> {
    memory.bytes(pointer, len).ok_or_else(|| wasmtime::Trap::MemoryOutOfBounds.into())
}

fn text(memory: &View, pointer: u32, len: u32) -> wasmtime::Result<String> {
    Ok(String::from_utf8_lossy(bytes(memory, pointer, len)?).into_owned())
}

fn put(memory: &View, pointer: u32, bytes: &[u8]) -> Answered {
    memory.put(pointer, bytes).ok_or(wasmtime::Trap::MemoryOutOfBounds)?;
    Ok(bytes.len() as i32)
}

fn handle(result: Result<Handle, Refusal>) -> i32 {
    result.map_or_else(|refusal| -refusal.code(), |handle| handle.0 as i32)
}

fn done(result: Result<(), Refusal>) -> i32 {
    result.map_or_else(|refusal| -refusal.code(), |()| 0)
}
