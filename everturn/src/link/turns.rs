//! What a turn of the links' container does with a delivery.
//!
//! The host speaks to it as to any root; the program through the port [`PROGRAM`]. Ports that were sent over a link are bound here,
//! each under a name that says all there is to know of it: whose number it has, and which.

use everturn_dag::node::{self, Composer};
use everturn_exo_interface::{Exception, LogLevel, Refusal, Turn};
use everturn_port_manager::{Kind, Source};

use super::hosts;
use super::ledger::{Ledger, Place};
use super::letter::{Act, Letter, PORTS_MAX, Side, To};
use crate::driver::{let_go, thrown};

/// The port that leads to the program.
pub(super) const PROGRAM: &str = "program";
/// What a letter has beside its data, and what a host's request has around it, in bytes at most.
const AROUND_BYTES: usize = 8_192;
/// An exported port has a name of at most so many bytes.
const NAME_BYTES_MAX: usize = 200;

/// What a port is bound for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// To the program.
    Program,
    /// A port that went over a link, or came over it: the peer's number, who numbered it, its number.
    Sent(u64, Numbered, u64),
    /// A port that the program has exported.
    Exported(String),
    /// A port through which the program reaches what a peer exports.
    Imported(u64, String),
    /// A host that waits.
    Waiting,
}

/// Who gave a port its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbered {
    ByUs,
    ByThem,
}

impl Bound {
    pub(super) fn name(&self) -> String {
        match self {
            Bound::Program => PROGRAM.into(),
            Bound::Sent(peer, Numbered::ByUs, number) => format!("ours:{peer}:{number}"),
            Bound::Sent(peer, Numbered::ByThem, number) => format!("theirs:{peer}:{number}"),
            Bound::Exported(name) => format!("exported:{name}"),
            Bound::Imported(..) | Bound::Waiting => unreachable!("these are named by who binds them"),
        }
    }

    fn of(name: &str) -> Option<Bound> {
        if name == PROGRAM {
            return Some(Bound::Program);
        }
        let (what, rest) = name.split_once(':')?;
        let sent = |numbered| {
            let (peer, number) = rest.split_once(':')?;
            Some(Bound::Sent(peer.parse().ok()?, numbered, number.parse().ok()?))
        };
        match what {
            "ours" => sent(Numbered::ByUs),
            "theirs" => sent(Numbered::ByThem),
            "exported" => Some(Bound::Exported(rest.into())),
            "imported" => {
                let (peer, rest) = rest.split_once(':')?;
                let (_, name) = rest.split_once(':')?;
                Some(Bound::Imported(peer.parse().ok()?, name.into()))
            }
            "waiting" => Some(Bound::Waiting),
            _ => None,
        }
    }
}

pub(super) fn run(
    ledger: &mut Ledger,
    turn: &mut Turn,
    kind: Kind,
    source: &Source,
    data: &[u8],
) -> Result<(), Exception> {
    let version = ledger.common().version;
    dispatch(ledger, turn, kind, source, data)?;
    if ledger.common().version != version { hosts::tell_peers(ledger, turn) } else { Ok(()) }
}

fn dispatch(
    ledger: &mut Ledger,
    turn: &mut Turn,
    kind: Kind,
    source: &Source,
    data: &[u8],
) -> Result<(), Exception> {
    let name = match source {
        Source::Parent if kind == Kind::Create => return Ok(()),
        Source::Parent => return hosts::run(ledger, turn, data),
        Source::Notice(_) => return Ok(()),
        Source::Named(name) => name.as_str(),
    };
    match (Bound::of(name), kind) {
        (None, _) => Ok(()),
        (Some(Bound::Program), Kind::Message | Kind::Request) => program(ledger, turn, kind, data),
        (Some(Bound::Sent(peer, numbered, number)), _) => {
            let side = if numbered == Numbered::ByUs { Side::Writer } else { Side::Reader };
            through(ledger, turn, kind, (peer, To::Port(side, number)), data)?;
            if kind == Kind::Close { Ok(turn.delete(name)?) } else { Ok(()) }
        }
        (Some(Bound::Imported(peer, export)), Kind::Message | Kind::Request) => {
            through(ledger, turn, kind, (peer, To::Exported(&export)), data)
        }
        (Some(Bound::Exported(export)), Kind::Message | Kind::Request) => Err(thrown(format!(
            "{export:?} is exported: it is for those who import it, and answers through the port that comes with a \
             message"
        ))),
        (Some(_), Kind::Close) => Ok(turn.delete(name)?),
        (Some(_), Kind::Exception) => {
            let text = text_of(data).unwrap_or("it does not say why");
            Ok(turn.log(LogLevel::Error, &format!("what came over a link failed here: {text}"))?)
        }
        (Some(_), _) => Ok(()),
    }
}

/// What the program wants: `[address, data]` is a message, `{export: name}` comes with a port, `{import: name, from: address}` too.
fn program(ledger: &mut Ledger, turn: &mut Turn, kind: Kind, data: &[u8]) -> Result<(), Exception> {
    if let Ok(parts) = node::items(data) {
        let [address, data] = parts[..] else { return Err(wanted()) };
        let address: &str = node::decode(address).map_err(|_| wanted())?;
        return write(ledger, turn, address, act_of(turn, kind), To::Program, data, Place::Counted);
    }
    let fields = node::entries(data).map_err(|_| wanted())?;
    let text = |name| {
        let value = fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        value.map(|value| node::decode::<&str>(value).map_err(|_| wanted())).transpose()
    };
    let (export, import) = (text("export")?, text("import")?);
    let name = export.or(import).ok_or_else(wanted)?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(thrown(format!("a name for what is exported has 1 to {NAME_BYTES_MAX} bytes")));
    }
    let port = everturn_exo_interface::Handle(0);
    if turn.message_ports() != 1 {
        return Err(thrown("one end of a channel is exported, or stands for what is imported"));
    }
    match export {
        Some(name) => {
            let name = Bound::Exported(name.to_owned()).name();
            let_go(turn, &name)?;
            Ok(turn.bind(&name, port)?)
        }
        None => {
            let address = text("from")?.ok_or_else(wanted)?;
            ledger.check_room(address, Place::Kept)?;
            let number = ledger.next_port(address)?;
            let peer = ledger.peer(address)?.number;
            Ok(turn.bind(&format!("imported:{peer}:{number}:{name}"), port)?)
        }
    }
}

/// What came out of a port that stands for one on the other side.
fn through(
    ledger: &mut Ledger,
    turn: &mut Turn,
    kind: Kind,
    (peer, to): (u64, To<'_>),
    data: &[u8],
) -> Result<(), Exception> {
    // Of a peer that was removed nothing is left but its ports.
    let Some(address) = ledger.address_of(peer).cloned() else { return Ok(()) };
    let act = match kind {
        Kind::Exception => Act::Reject,
        Kind::Close => Act::Close,
        kind => act_of(turn, kind),
    };
    // Most of what goes through a port that was sent is an answer, which has a place of its own.
    let place = if matches!(to, To::Port(..)) { Place::Kept } else { Place::Counted };
    write(ledger, turn, &address, act, to, data, place)
}

fn act_of(turn: &Turn, kind: Kind) -> Act {
    match (turn.reply_port(), kind) {
        (None, _) => Act::Tell,
        (Some(_), Kind::Request) => Act::Request,
        (Some(_), _) => Act::Ask,
    }
}

/// Owes a peer a letter, with the ports that came with the message.
fn write(
    ledger: &mut Ledger,
    turn: &mut Turn,
    address: &str,
    act: Act,
    to: To<'_>,
    data: &[u8],
    place: Place,
) -> Result<(), Exception> {
    let bytes_max = turn.limits().message_bytes_max.saturating_sub(AROUND_BYTES);
    if data.len() > bytes_max {
        return Err(thrown(format!("a message over a link has at most {bytes_max} bytes")));
    }
    let count = turn.message_ports();
    if count as usize > PORTS_MAX {
        return Err(thrown(format!("over a link go at most {PORTS_MAX} ports with one message")));
    }
    ledger.check_room(address, place)?;
    let peer = ledger.peer(address)?.number;
    let mut ports = Vec::new();
    for port in 0..count {
        let number = ledger.next_port(address)?;
        turn.bind(&Bound::Sent(peer, Numbered::ByUs, number).name(), everturn_exo_interface::Handle(port))?;
        ports.push(number);
    }
    let letter = Letter { act, to, data, ports };
    ledger.append(address, letter.encode())?;
    hosts::tell(ledger, turn, address)
}

/// What the program gets of a letter: `[address, data]`.
pub(super) fn with_address(address: &str, data: &[u8]) -> Vec<u8> {
    let mut node = Composer::with_capacity(address.len() + data.len() + 8);
    node.list(2).text(address).encoded(data);
    node.finish()
}

fn text_of(exception: &[u8]) -> Option<&str> {
    let fields = node::entries(exception).ok()?;
    let (_, text) = fields.into_iter().find(|(field, _)| *field == "text")?;
    node::decode(text).ok()
}

fn wanted() -> Exception {
    thrown("a link takes [address, data], {export: name} or {import: name, from: address}")
}

/// Whether a refusal says that there is no room now, and may be later.
pub(super) fn is_for_now(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::QueueFull | Refusal::TooManyEffects | Refusal::OutboxFull)
}
