//! What the engine's turns take in, as engine/ABI.md has it. Kinds are numbers of that agreement.

use std::collections::BTreeMap;

use everturn_dag::Ipld;
use everturn_exo_interface::Input;
use everturn_port_manager::{ContainerId, Delivery, Kind, Reply, Source};

use crate::wasm::rows;

/// A turn of the engine: its kind and its input.
pub(super) struct EngineTurn {
    pub(super) kind: i32,
    pub(super) bytes: Vec<u8>,
}

const CREATE: i32 = 1;
const MESSAGE: i32 = 2;
const EVAL: i32 = 3;
const LOAD: i32 = 4;
const COLLECT: i32 = 5;
const POSTPONE: i32 = 6;
const EXCEPTION: i32 = 7;
const CLOSE: i32 = 8;
const REQUEST: i32 = 9;
const TIMER: i32 = 10;
const QUERY: i32 = 11;

/// dag-cbor's own heads of three values.
const NULL: u8 = 0xf6;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

/// Writes the input of a turn; `Err` is what is wrong with what was sent.
pub(super) fn engine_turn(id: ContainerId, input: &Input) -> Result<EngineTurn, String> {
    match input {
        Input::Delivery(delivery, source) => of_delivery(id, delivery, source),
        Input::Collect => Ok(EngineTurn { kind: COLLECT, bytes: Vec::new() }),
        Input::Postpone => Ok(EngineTurn { kind: POSTPONE, bytes: Vec::new() }),
        // From nobody, without ports, and not to be answered through one.
        Input::Query(data) => {
            Ok(EngineTurn { kind: QUERY, bytes: [&[0x84, NULL, 0, FALSE], data.as_slice()].concat() })
        }
        other => Err(format!("a JavaScript container has no use for {other:?}")),
    }
}

fn of_delivery(id: ContainerId, delivery: &Delivery, source: &Source) -> Result<EngineTurn, String> {
    let data = &delivery.message.data;
    match delivery.kind {
        Kind::Message => Ok(EngineTurn { kind: MESSAGE, bytes: message(delivery, source) }),
        Kind::Request => Ok(EngineTurn { kind: REQUEST, bytes: message(delivery, source) }),
        Kind::Create => Ok(EngineTurn { kind: CREATE, bytes: creation(id, data)? }),
        Kind::Timer => Ok(EngineTurn { kind: TIMER, bytes: data.clone() }),
        Kind::Evaluate => Ok(EngineTurn { kind: EVAL, bytes: data.clone() }),
        Kind::Load => Ok(EngineTurn { kind: LOAD, bytes: data.clone() }),
        Kind::Exception => Ok(EngineTurn { kind: EXCEPTION, bytes: exception(delivery, source)? }),
        Kind::Close => Ok(EngineTurn { kind: CLOSE, bytes: close(source) }),
        other => Err(format!("a JavaScript container has no use for a delivery of kind {other:?}")),
    }
}

/// `[from, ports, reply, data]`, written directly: this is the hot path, and the data are canonical already.
fn message(delivery: &Delivery, source: &Source) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(delivery.message.data.len() + 32);
    bytes.push(0x84);
    match source {
        Source::Named(name) => text(&mut bytes, name.as_str()),
        Source::Parent if delivery.from.is_some() => text(&mut bytes, ""),
        Source::Parent | Source::Notice(_) => bytes.push(NULL),
    }
    let message = &delivery.message;
    let to_host = message.reply == Reply::Host;
    head(&mut bytes, 0, message.ports.len() + usize::from(to_host));
    bytes.push(if to_host || message.reply_port().is_some() { TRUE } else { FALSE });
    bytes.extend_from_slice(&message.data);
    bytes
}

/// `{from}`: the name of the port that is closed.
fn close(source: &Source) -> Vec<u8> {
    let mut bytes = b"\xa1\x64from".to_vec();
    match source {
        Source::Named(name) => text(&mut bytes, name.as_str()),
        Source::Parent | Source::Notice(_) => bytes.push(NULL),
    }
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    head(bytes, 0x60, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// A dag-cbor head: the shortest form of a major type's number.
fn head(bytes: &mut Vec<u8>, major: u8, number: usize) {
    match number {
        0..=23 => bytes.push(major | number as u8),
        24..=0xff => bytes.extend_from_slice(&[major | 24, number as u8]),
        0x100..=0xffff => {
            bytes.push(major | 25);
            bytes.extend_from_slice(&(number as u16).to_be_bytes());
        }
        _ => {
            bytes.push(major | 26);
            bytes.extend_from_slice(&(number as u32).to_be_bytes());
        }
    }
}

/// What is wrong with the data that a container is created with.
const NO_PROGRAM: &str = "a JavaScript container begins with a program: text, {program, name?: text}, or \
    {main: a name, modules: {name: text}}";

/// The program comes as text, as a map with `program` and `name`, or as one of several modules by name.
fn creation(id: ContainerId, data: &[u8]) -> Result<Vec<u8>, String> {
    let (program, name, modules) = match decode(data)? {
        Ipld::Null => (String::new(), None, None),
        Ipld::String(program) => (program, None, None),
        Ipld::Map(mut fields) if fields.contains_key("modules") => {
            let (main, program, modules) = modules(&mut fields)?;
            (program, Some(main), Some(modules))
        }
        Ipld::Map(mut fields) => match (fields.remove("program"), fields.remove("name")) {
            (Some(Ipld::String(program)), Some(Ipld::String(name))) => (program, Some(name), None),
            (Some(Ipld::String(program)), None) => (program, None, None),
            _ => return Err(NO_PROGRAM.into()),
        },
        _ => return Err(NO_PROGRAM.into()),
    };
    let fields = [
        ("name".to_owned(), Ipld::String(name.unwrap_or_else(|| "main.js".into()))),
        ("program".to_owned(), Ipld::String(program)),
        ("seed".to_owned(), Ipld::Bytes(id.as_bytes().to_vec())),
    ];
    let modules = modules.map(|modules| ("modules".to_owned(), modules));
    encode(&Ipld::Map(fields.into_iter().chain(modules).collect()))
}

/// The main module's name and source, and the other modules.
fn modules(fields: &mut BTreeMap<String, Ipld>) -> Result<(String, String, Ipld), String> {
    let (Some(Ipld::String(main)), Some(Ipld::Map(mut modules))) =
        (fields.remove("main"), fields.remove("modules"))
    else {
        return Err(NO_PROGRAM.into());
    };
    if let Some((name, _)) = modules.iter().find(|(_, source)| !matches!(source, Ipld::String(_))) {
        return Err(format!("the source of module {name:?} is not text"));
    }
    match modules.remove(&main) {
        Some(Ipld::String(program)) => Ok((main, program, Ipld::Map(modules))),
        _ => Err(format!("{main:?} is to be the main module, and is none of the modules")),
    }
}

fn exception(delivery: &Delivery, source: &Source) -> Result<Vec<u8>, String> {
    let Ipld::Map(mut fields) = decode(&delivery.message.data)? else {
        return Err("an exception is a map".into());
    };
    let from = match source {
        Source::Named(name) => Ipld::String(name.as_str().to_owned()),
        // A child whose creation failed, and that was not bound.
        Source::Notice(_) => Ipld::Null,
        Source::Parent => Ipld::String(String::new()),
    };
    fields.insert("from".into(), from);
    if !delivery.message.ports.is_empty() {
        fields.insert("ports".into(), Ipld::Integer(delivery.message.ports.len() as i128));
    }
    let text = match fields.remove("text") {
        Some(Ipld::String(text)) => text,
        _ => String::new(),
    };
    let (name, text) = split_name(&text);
    fields.insert("name".into(), Ipld::String(name.to_owned()));
    fields.insert("text".into(), Ipld::String(text.to_owned()));
    encode(&Ipld::Map(fields))
}

/// The text of an exception begins with the name of the error that was thrown, if it was one: `Name: message`.
fn split_name(text: &str) -> (&str, &str) {
    match text.split_once(": ") {
        Some((name, message)) if name.ends_with("Error") && name.chars().all(char::is_alphanumeric) => {
            (name, message)
        }
        _ => ("", text),
    }
}

fn decode(data: &[u8]) -> Result<Ipld, String> {
    everturn_dag::node::decode(data).map_err(|error| error.to_string())
}

fn encode(node: &Ipld) -> Result<Vec<u8>, String> {
    rows::encode(node).map_err(|error| error.to_string())
}
