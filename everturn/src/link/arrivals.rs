//! Letters that come in, and what becomes of them here.

use everturn_drivers::link::{Outgoing, Taken};
use everturn_exo_interface::{Exception, Handle, LogLevel, Refusal, Turn};

use super::hosts::{report, tell as tell_waiting};
use super::ledger::Ledger;
use super::letter::{Act, Letter, Side, To};
use super::turns::{Bound, Numbered, PROGRAM, is_for_now, with_address};
use crate::driver::{encoded, thrown};

/// What became of a letter.
enum Arrived {
    /// It is on its way to who it is for.
    Passed,
    /// It cannot be: people are told why.
    Lost(String),
    /// There is no room for it now.
    Full,
    /// No honest peer writes it.
    Unreadable(String),
}

/// Takes letters in, as far as there is room. What was taken before is left, what does not follow too.
pub(super) fn take(
    ledger: &mut Ledger,
    turn: &mut Turn,
    address: &str,
    messages: &Outgoing,
) -> Result<Taken, Exception> {
    let peer = ledger.peer(address)?;
    if let Some(why) = &peer.stopped {
        return Ok(Taken::Stopped(why.clone()));
    }
    let (number, mut received) = (peer.number, peer.positions.received);
    for (at, bytes) in (messages.first..).zip(&messages.messages) {
        if at <= received.number {
            continue;
        }
        let letter = Letter::decode(bytes);
        let arrived = match &letter {
            _ if at > received.number + 1 => Arrived::Full,
            Ok(letter) => pass_on(turn, address, number, letter),
            Err(error) => Arrived::Unreadable(error.to_string()),
        };
        match arrived {
            Arrived::Passed => {}
            Arrived::Lost(why) => {
                turn.log(LogLevel::Error, &format!("a message of {address} came for nobody: {why}"))?;
                if let Ok(letter) = letter {
                    give_back(ledger, turn, address, &letter, why)?;
                }
            }
            Arrived::Full => return Ok(Taken::Full(received)),
            Arrived::Unreadable(why) => {
                let why = format!("message {at} of {address} cannot be read: {why}");
                ledger.stop(address, &why)?;
                report(turn, address, &why)?;
                return Ok(Taken::Stopped(why));
            }
        }
        received = ledger.take(address, bytes)?;
    }
    Ok(Taken::UpTo(received))
}

/// Tells who sent a letter that is lost: an exception for who waits for an answer, and all ports that came along are closed.
fn give_back(
    ledger: &mut Ledger,
    turn: &mut Turn,
    address: &str,
    letter: &Letter<'_>,
    why: String,
) -> Result<(), Exception> {
    let exception = encoded(&thrown(why))?;
    let answers = matches!(letter.act, Act::Ask | Act::Request).then(|| letter.ports.last()).flatten();
    let mut write = |act, port: u64, data: &[u8]| -> Result<(), Exception> {
        let letter = Letter { act, to: To::Port(Side::Reader, port), data, ports: Vec::new() };
        ledger.append(address, letter.encode())?;
        tell_waiting(ledger, turn, address)
    };
    if let Some(port) = answers {
        write(Act::Reject, *port, &exception)?;
    }
    let nothing = encoded(&())?;
    letter.ports.iter().try_for_each(|port| write(Act::Close, *port, &nothing))
}

fn pass_on(turn: &mut Turn, address: &str, peer: u64, letter: &Letter<'_>) -> Arrived {
    let name = match letter.to {
        To::Program => PROGRAM.to_owned(),
        To::Exported(name) => Bound::Exported(name.to_owned()).name(),
        To::Port(Side::Writer, number) => Bound::Sent(peer, Numbered::ByThem, number).name(),
        To::Port(Side::Reader, number) => Bound::Sent(peer, Numbered::ByUs, number).name(),
    };
    let port = match (turn.get(&name), letter.to) {
        (Ok(port), _) => port,
        // The program is not connected yet.
        (Err(_), To::Program) => return Arrived::Full,
        // What is closed on both sides at once is gone on both.
        (Err(_), To::Port(..)) => return Arrived::Passed,
        (Err(_), To::Exported(name)) => return Arrived::Lost(format!("nothing is exported as {name:?}")),
    };
    let passed = match (letter.act, letter.to) {
        (Act::Close, To::Port(..)) => turn.delete(&name),
        (Act::Reject, To::Port(..)) => turn.reject(port, letter.data),
        (Act::Close | Act::Reject, _) => return Arrived::Unreadable("it closes what was not sent".into()),
        (act, to) => return tell(turn, address, peer, port, act, to, letter),
    };
    match passed {
        Ok(()) | Err(Refusal::Closed) => Arrived::Passed,
        Err(refusal) if is_for_now(refusal) => Arrived::Full,
        Err(refusal) => Arrived::Lost(refusal.to_string()),
    }
}

/// Sends a message on, with an end of a new channel for each port that came along; the other end stands for it here.
fn tell(
    turn: &mut Turn,
    address: &str,
    peer: u64,
    port: Handle,
    act: Act,
    to: To<'_>,
    letter: &Letter<'_>,
) -> Arrived {
    let (mut names, mut along) = (Vec::new(), Vec::new());
    let mut passed = Ok(());
    for number in &letter.ports {
        let name = Bound::Sent(peer, Numbered::ByThem, *number).name();
        let made = turn.channel().and_then(|(ours, theirs)| turn.bind(&name, ours).map(|()| theirs));
        match made {
            Ok(theirs) => along.push(theirs),
            Err(Refusal::NameInUse) => {
                return Arrived::Unreadable(format!("it sends port {number} a second time"));
            }
            Err(refusal) => {
                passed = Err(refusal);
                break;
            }
        }
        names.push(name);
    }
    let wrapped;
    let data = match to {
        To::Program => {
            wrapped = with_address(address, letter.data);
            &wrapped[..]
        }
        _ => letter.data,
    };
    let passed = passed.and_then(|()| match act {
        Act::Ask => turn.call_port(port, data, &along, 0),
        Act::Request => turn.request_port(port, data, &along, 0),
        _ => turn.send(port, data, &along, 0),
    });
    let Err(refusal) = passed else { return Arrived::Passed };
    // The ends in hand go with the turn; those that were bound would stay.
    for name in &names {
        let _ = turn.delete(name);
    }
    match refusal {
        refusal if is_for_now(refusal) => Arrived::Full,
        Refusal::Closed if matches!(to, To::Port(..)) => Arrived::Passed,
        refusal => Arrived::Lost(refusal.to_string()),
    }
}
