//! The functions of module `everturn` that a guest may import.
//!
//! Plain functions over linear memory; docs/guest-abi.md lists them for people who write modules, engine/ABI.md for the
//! engine. A refusal is a negative number. A pointer outside of the guest's memory is a trap: the guest is broken, not
//! refused. Each call has a price in fuel beside its instruction: its work is done outside of the metered code.

mod incoming;

use std::sync::atomic::Ordering;

use everturn_exo_interface::{
    ENTROPY_CALL_BYTES_MAX, Exception, ExceptionKind, Handle, Limit, LogLevel, Refusal, TimerId, Turn,
};
use wasmtime::{Caller, Linker, Trap};

use super::fuel;
use super::guest::{Host, Interrupted, Raised};
use super::instrument::Nature;
use super::memory::View;
use super::program::WasmError;

type Called<'a> = Caller<'a, Host>;
type Answered = wasmtime::Result<i32>;

/// What a call costs that reads a fact, in fuel.
pub(crate) const FACT_FUEL: u64 = 50;
/// What a call costs that looks at or changes ports, or has an effect.
pub(crate) const EFFECT_FUEL: u64 = 500;
/// What each byte costs that a call takes from the guest's memory or puts there.
pub(crate) const BYTE_FUEL: u64 = 1;

/// An id in its binary form has no more bytes than this.
const ID_BYTES: u64 = 64;
/// The text of a refusal has no more bytes than this.
const TEXT_BYTES: u32 = 256;

/// The functions that a user's module may import, with their types: i and I are integers of 32 and 64 bits, F is a float
/// of 64.
pub(crate) const SIGNATURES: [(&str, &str); 29] = [
    ("answer", "(ii) -> i"),
    ("call", "(iiiiii) -> i"),
    ("channel", "() -> i"),
    ("date", "() -> F"),
    ("entropy", "(ii) -> i"),
    ("id", "(i) -> i"),
    ("input", "(iii) -> i"),
    ("log", "(iii) -> ()"),
    ("message_from", "(ii) -> i"),
    ("message_ports", "() -> i"),
    ("message_reply", "() -> i"),
    ("port_bind", "(iii) -> i"),
    ("port_create", "(iiii) -> i"),
    ("port_delete", "(ii) -> i"),
    ("port_drop", "(i) -> i"),
    ("port_get", "(ii) -> i"),
    ("port_id", "(ii) -> i"),
    ("port_is_valid", "(i) -> i"),
    ("port_lower", "(iiI) -> i"),
    ("port_names", "(ii) -> i"),
    ("port_parent", "() -> i"),
    ("port_unbind", "(ii) -> i"),
    ("refusal", "(iii) -> i"),
    ("reject", "(iii) -> i"),
    ("send", "(iiiiii) -> i"),
    ("throw", "(ii) -> ()"),
    ("ticks", "() -> I"),
    ("timer_cancel", "(I) -> i"),
    ("timer_set", "(IIii) -> I"),
];

/// The type of a function that a user's module may import.
pub(crate) fn signature(name: &str) -> Option<&'static str> {
    SIGNATURES.iter().find(|(known, _)| *known == name).map(|(_, signature)| *signature)
}

/// Adds every syscall that a module of this nature may import.
pub(crate) fn add(linker: &mut Linker<Host>, nature: Nature) -> Result<(), WasmError> {
    add_facts(linker)?;
    add_ports(linker)?;
    add_posts(linker)?;
    add_timers(linker)?;
    match nature {
        Nature::Engine => add_engines(linker),
        _ => incoming::add(linker),
    }
}

/// What sends: the messages' handles are a list of `i32`.
fn add_posts(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    type Post = fn(&mut Turn, Handle, &[u8], &[Handle], i32) -> Result<(), Refusal>;
    let posts = [
        ("send", Turn::send as Post),
        ("call", Turn::call_port as Post),
        ("request", Turn::request_port as Post),
    ];
    for (name, post) in posts {
        linker.func_wrap(
            "everturn",
            name,
            move |mut caller: Called<'_>,
                  port: u32,
                  data: u32,
                  len: u32,
                  ports: u32,
                  count: u32,
                  priority: i32|
                  -> Answered {
                let handles = count.saturating_mul(4);
                let (memory, turn) = open(&mut caller, EFFECT_FUEL, u64::from(len) + u64::from(handles))?;
                let moved = bytes(&memory, ports, handles)?.chunks_exact(4);
                let moved: Vec<Handle> = moved
                    .map(|handle| Handle(u32::from_le_bytes([handle[0], handle[1], handle[2], handle[3]])))
                    .collect();
                let data = bytes(&memory, data, len)?;
                Ok(done(post(turn, Handle(port), data, &moved, priority)))
            },
        )?;
    }
    linker.func_wrap(
        "everturn",
        "reject",
        |mut caller: Called<'_>, port: u32, data: u32, len: u32| -> Answered {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
            Ok(done(turn.reject(Handle(port), bytes(&memory, data, len)?)))
        },
    )?;
    Ok(())
}

/// The engine's way to answer: what it sends is well-formed, so a refusal ends the turn.
/// What only the JS engine has.
fn add_engines(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    // Without a price: how often it is asked is the engine's choice.
    linker.func_wrap("everturn", "poll", |caller: Called<'_>| -> wasmtime::Result<()> {
        match &caller.data().interrupt {
            Some(flag) if flag.swap(false, Ordering::Relaxed) => Err(wasmtime::Error::new(Interrupted)),
            _ => Ok(()),
        }
    })?;
    linker.func_wrap(
        "everturn",
        "result",
        |mut caller: Called<'_>, data: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
            turn.answer(bytes(&memory, data, len)?)
                .map_err(|refusal| raise(ExceptionKind::Throw, format!("the answer was refused: {refusal}")))
        },
    )?;
    Ok(())
}

/// Timers: dates and periods are milliseconds.
fn add_timers(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    linker.func_wrap(
        "everturn",
        "timer_set",
        |mut caller: Called<'_>,
         delay_ms: u64,
         every_ms: u64,
         data: u32,
         len: u32|
         -> wasmtime::Result<i64> {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
            let data = bytes(&memory, data, len)?;
            let set = match every_ms {
                0 => turn.after(delay_ms, data),
                every_ms => turn.every(delay_ms, every_ms, data),
            };
            Ok(set.map_or_else(|refusal| -i64::from(refusal.code()), |timer| timer.0 as i64))
        },
    )?;
    linker.func_wrap("everturn", "timer_cancel", |mut caller: Called<'_>, timer: u64| -> Answered {
        let (_, turn) = open(&mut caller, EFFECT_FUEL, 0)?;
        Ok(done(turn.cancel(TimerId(timer))))
    })?;
    Ok(())
}

fn add_facts(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    linker.func_wrap(
        "everturn",
        "log",
        |mut caller: Called<'_>, level: i32, text: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
            let text = String::from_utf8_lossy(bytes(&memory, text, len)?);
            // The call answers nothing, so a refusal cannot be told but by ending the turn.
            turn.log(LogLevel::from_number(level), &text)
                .map_err(|refusal| raise(ExceptionKind::Throw, format!("a line was refused: {refusal}")))
        },
    )?;
    linker.func_wrap("everturn", "date", |mut caller: Called<'_>| -> wasmtime::Result<f64> {
        let (_, turn) = open(&mut caller, FACT_FUEL, 0)?;
        Ok(turn.date_ms() as f64)
    })?;
    linker.func_wrap("everturn", "entropy", |mut caller: Called<'_>, into: u32, len: u32| -> Answered {
        let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
        bytes(&memory, into, len)?;
        // What is longer is refused whatever its length.
        let mut drawn = vec![0; (len as usize).min(ENTROPY_CALL_BYTES_MAX + 1)];
        match turn.entropy(&mut drawn) {
            Ok(()) => put(&memory, into, &drawn),
            Err(refusal) => Ok(-refusal.code()),
        }
    })?;
    linker.func_wrap("everturn", "ticks", |mut caller: Called<'_>| -> wasmtime::Result<i64> {
        let (_, turn) = open(&mut caller, FACT_FUEL, 0)?;
        Ok(turn.ticks().0 as i64)
    })?;
    linker.func_wrap("everturn", "id", |mut caller: Called<'_>, into: u32| -> Answered {
        let (memory, turn) = open(&mut caller, FACT_FUEL, ID_BYTES)?;
        put(&memory, into, &turn.id().cid().map_or(Vec::new(), |cid| cid.to_bytes()))
    })?;
    linker.func_wrap(
        "everturn",
        "refusal",
        |mut caller: Called<'_>, code: i32, into: u32, room: u32| -> Answered {
            let (memory, _) = open(&mut caller, FACT_FUEL, room.min(TEXT_BYTES).into())?;
            let text = Refusal::from_code(code.saturating_neg()).or(Refusal::from_code(code));
            let text = text.map_or("the call was refused".to_owned(), |refusal| refusal.to_string());
            let cut = text.as_bytes().get(..room as usize).unwrap_or(text.as_bytes());
            put(&memory, into, cut)
        },
    )?;
    Ok(())
}

fn add_ports(linker: &mut Linker<Host>) -> Result<(), WasmError> {
    linker.func_wrap("everturn", "message_ports", |mut caller: Called<'_>| -> Answered {
        let (_, turn) = open(&mut caller, FACT_FUEL, 0)?;
        Ok(turn.message_ports() as i32)
    })?;
    linker.func_wrap(
        "everturn",
        "port_create",
        |mut caller: Called<'_>, kind: u32, kind_len: u32, data: u32, len: u32| -> Answered {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, u64::from(kind_len) + u64::from(len))?;
            let kind = text(&memory, kind, kind_len)?;
            let data = bytes(&memory, data, len)?;
            Ok(handle(turn.create(&kind, data)))
        },
    )?;
    linker.func_wrap(
        "everturn",
        "port_lower",
        |mut caller: Called<'_>, port: u32, limit: u32, most: i64| -> Answered {
            let (_, turn) = open(&mut caller, EFFECT_FUEL, 0)?;
            let Some(limit) = Limit::from_code(limit) else { return Ok(-Refusal::UnknownCall.code()) };
            Ok(done(turn.lower(Handle(port), limit, most as u64)))
        },
    )?;
    linker.func_wrap(
        "everturn",
        "port_bind",
        |mut caller: Called<'_>, name: u32, len: u32, port: u32| -> Answered {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
            Ok(done(turn.bind(&text(&memory, name, len)?, Handle(port))))
        },
    )?;
    linker.func_wrap(
        "everturn",
        "port_unbind",
        |mut caller: Called<'_>, name: u32, len: u32| -> Answered {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
            Ok(handle(turn.unbind(&text(&memory, name, len)?)))
        },
    )?;
    linker.func_wrap("everturn", "port_get", |mut caller: Called<'_>, name: u32, len: u32| -> Answered {
        let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
        Ok(handle(turn.get(&text(&memory, name, len)?)))
    })?;
    linker.func_wrap(
        "everturn",
        "port_delete",
        |mut caller: Called<'_>, name: u32, len: u32| -> Answered {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, len.into())?;
            Ok(done(turn.delete(&text(&memory, name, len)?)))
        },
    )?;
    linker.func_wrap(
        "everturn",
        "port_names",
        |mut caller: Called<'_>, into: u32, room: u32| -> Answered {
            let (memory, turn) = open(&mut caller, EFFECT_FUEL, room.into())?;
            let names = everturn_dag::node::encode(&turn.names())
                .map_err(|error| wasmtime::Error::msg(error.to_string()))?;
            if names.len() <= room as usize { put(&memory, into, &names) } else { Ok(names.len() as i32) }
        },
    )?;
    linker.func_wrap("everturn", "port_id", |mut caller: Called<'_>, port: u32, into: u32| -> Answered {
        let (memory, turn) = open(&mut caller, EFFECT_FUEL, ID_BYTES)?;
        match turn.port_id(Handle(port)) {
            Ok(id) => put(&memory, into, &id.cid().map_or(Vec::new(), |cid| cid.to_bytes())),
            Err(refusal) => Ok(-refusal.code()),
        }
    })?;
    linker.func_wrap("everturn", "port_parent", |mut caller: Called<'_>| -> Answered {
        let (_, turn) = open(&mut caller, FACT_FUEL, 0)?;
        Ok(handle(turn.parent()))
    })?;
    linker.func_wrap("everturn", "port_drop", |mut caller: Called<'_>, port: u32| -> Answered {
        let (_, turn) = open(&mut caller, EFFECT_FUEL, 0)?;
        Ok(done(turn.drop_port(Handle(port))))
    })?;
    linker.func_wrap("everturn", "channel", |mut caller: Called<'_>| -> Answered {
        let (_, turn) = open(&mut caller, EFFECT_FUEL, 0)?;
        Ok(handle(turn.channel().map(|(first, _)| first)))
    })?;
    Ok(())
}

/// The guest's memory and turn, once this call is paid for; the turn knows what was burnt until now.
fn open<'a>(caller: &'a mut Called<'_>, fuel: u64, bytes: u64) -> wasmtime::Result<(View, &'a mut Turn)> {
    let price = fuel + BYTE_FUEL * bytes;
    let fuel_left = fuel::left(caller)?.checked_sub(price).ok_or(Trap::OutOfFuel)?;
    fuel::set(caller, fuel_left)?;
    let host = caller.data_mut();
    host.note_burnt(fuel_left);
    tracing::trace!(target: "everturn::path", container = %host.turn.id(), "Recorded");
    Ok((host.memory.clone(), &mut host.turn))
}

/// Ends the turn with an exception.
fn raise(kind: ExceptionKind, text: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(Raised(Exception::new(kind, text)))
}

fn bytes(memory: &View, pointer: u32, len: u32) -> wasmtime::Result<&[u8]> {
    memory.bytes(pointer, len).ok_or_else(|| Trap::MemoryOutOfBounds.into())
}

fn text(memory: &View, pointer: u32, len: u32) -> wasmtime::Result<String> {
    Ok(String::from_utf8_lossy(bytes(memory, pointer, len)?).into_owned())
}

fn put(memory: &View, pointer: u32, bytes: &[u8]) -> Answered {
    memory.put(pointer, bytes).ok_or(Trap::MemoryOutOfBounds)?;
    Ok(bytes.len() as i32)
}

fn handle(result: Result<Handle, Refusal>) -> i32 {
    result.map_or_else(|refusal| -refusal.code(), |handle| handle.0 as i32)
}

fn done(result: Result<(), Refusal>) -> i32 {
    result.map_or_else(|refusal| -refusal.code(), |()| 0)
}
