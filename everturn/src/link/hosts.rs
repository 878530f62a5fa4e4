//! What hosts ask, and how those that wait are answered: at once, or when there is something.

use everturn_dag::node;
use everturn_drivers::link::{Compared, Outgoing, Peers, Taken};
use everturn_exo_interface::{Exception, LogLevel, Turn};
use serde::Serialize;

use super::arrivals::take;
use super::ledger::{Ledger, Refused};
use super::requests::Request;
use crate::driver::{answer_held, encoded, hold, thrown};

/// Who waits for a change of the list of peers.
const WAITING_FOR_PEERS: &str = "waiting:peers";
/// Messages that are given out at once, at most.
const GIVEN_MAX: usize = 512;
/// For who waits for messages of an epoch that is over.
const NOTHING_MORE: Outgoing = Outgoing { first: 0, messages: Vec::new() };

pub(super) fn run(ledger: &mut Ledger, turn: &mut Turn, data: &[u8]) -> Result<(), Exception> {
    let request: Request =
        node::decode(data).map_err(|error| thrown(format!("no request to links: {error}")))?;
    match request {
        Request::Open(open) => {
            ledger.set_open(open);
            answer(turn, &())
        }
        Request::Peers(known) => match known {
            Some(version) if version == ledger.common().version => hold(turn, WAITING_FOR_PEERS),
            _ => answer(turn, &peers(ledger)),
        },
        Request::Admit(key, address) => answer(turn, &ledger.admit(key, &address)),
        Request::Positions(address) => answer(turn, &ledger.peer(&address)?.positions),
        Request::Compare(address, dialer, theirs) => {
            let was = state_of(ledger, &address);
            let compared = ledger.compare(&address, dialer, theirs)?;
            found(turn, &address, was, &compared)
        }
        Request::Acknowledged(address, epoch, position) => {
            let was = state_of(ledger, &address);
            let compared = match ledger.is_over(&address, epoch)? {
                Some(why) => Compared::NotYet(why),
                None => ledger.acknowledged(&address, position)?,
            };
            found(turn, &address, was, &compared)
        }
        Request::Next(address, epoch, ..) if ledger.is_over(&address, epoch)?.is_some() => {
            answer(turn, &NOTHING_MORE)
        }
        Request::Next(address, _, after, bytes_max) => {
            let outgoing = outgoing(ledger, &address, after, bytes_max)?;
            match outgoing {
                Some(outgoing) => answer(turn, &outgoing),
                None => hold(turn, &waiting_for(ledger, &address)?),
            }
        }
        Request::Take(address, epoch, messages) => {
            let taken = match ledger.is_over(&address, epoch)? {
                Some(why) => Taken::Stopped(why),
                None => take(ledger, turn, &address, &messages)?,
            };
            answer(turn, &taken)
        }
        Request::Stop(address, epoch, why) => {
            let why = format!("{address} says: {why}");
            if ledger.is_over(&address, epoch)?.is_none() && ledger.peer(&address)?.stopped.is_none() {
                ledger.stop(&address, &why)?;
                report(turn, &address, &why)?;
            }
            answer(turn, &())
        }
        Request::Add(address, key) => {
            ledger.add(&address, Some(key))?;
            answer(turn, &())
        }
        Request::Remove(address) => {
            let number = ledger.remove(&address)?;
            forget(turn, number)?;
            answer(turn, &())
        }
        Request::Resolve(address, resolution) => {
            ledger.resolve(&address, resolution)?;
            // Who waits for messages of the time before learns that there are none, and that it is over.
            let name = waiting_for(ledger, &address)?;
            if turn.get(&name).is_ok() {
                answer_held(turn, &name, &NOTHING_MORE)?;
            }
            answer(turn, &())
        }
    }
}

/// Whether a link goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    Stopped,
}

fn state_of(ledger: &Ledger, address: &str) -> State {
    match ledger.peer(address) {
        Ok(peer) if peer.stopped.is_some() => State::Stopped,
        _ => State::Going,
    }
}

/// Answers what a comparison has shown, and tells people when it is the end of a link that went on before.
fn found(turn: &mut Turn, address: &str, was: State, compared: &Compared) -> Result<(), Exception> {
    if let (Compared::Stopped(why), State::Going) = (compared, was) {
        report(turn, address, why)?;
    }
    answer(turn, compared)
}

pub(super) fn report(turn: &mut Turn, address: &str, why: &str) -> Result<(), Exception> {
    let text = format!(
        "the link with {address} has stopped: {why}. Nothing goes on with it before `everturn peers resolve {address}` \
         on both sides"
    );
    Ok(turn.log(LogLevel::Error, &text)?)
}

/// Answers who waits for messages to a peer, if anybody does.
pub(super) fn tell(ledger: &Ledger, turn: &mut Turn, address: &str) -> Result<(), Exception> {
    let name = waiting_for(ledger, address)?;
    if turn.get(&name).is_err() {
        return Ok(());
    }
    let sent = ledger.peer(address)?.positions.sent.number;
    // Who waits has all before this one.
    let outgoing = outgoing(ledger, address, sent - 1, 1)?;
    outgoing.map_or(Ok(()), |outgoing| answer_held(turn, &name, &outgoing))
}

pub(super) fn tell_peers(ledger: &Ledger, turn: &mut Turn) -> Result<(), Exception> {
    answer_held(turn, WAITING_FOR_PEERS, &peers(ledger))
}

fn peers(ledger: &Ledger) -> Peers {
    Peers { version: ledger.common().version, list: ledger.list() }
}

fn outgoing(ledger: &Ledger, address: &str, after: u64, bytes_max: u64) -> Result<Option<Outgoing>, Refused> {
    let owed = ledger.owed(address, after, bytes_max)?;
    let first = after.max(ledger.peer(address)?.positions.acknowledged.number) + 1;
    let messages = owed.iter().take(GIVEN_MAX).map(|waiting| waiting.bytes.clone().into()).collect();
    Ok((!owed.is_empty()).then_some(Outgoing { first, messages }))
}

fn waiting_for(ledger: &Ledger, address: &str) -> Result<String, Exception> {
    Ok(format!("waiting:{}", ledger.peer(address)?.number))
}

/// Deletes the ports that belong to a peer.
fn forget(turn: &mut Turn, number: u64) -> Result<(), Exception> {
    for name in turn.names() {
        let mut parts = name.split(':');
        let what = parts.next();
        let of_peer = parts.next() == Some(number.to_string().as_str());
        if of_peer && matches!(what, Some("ours" | "theirs" | "imported" | "waiting")) {
            turn.delete(&name)?;
        }
    }
    Ok(())
}

fn answer(turn: &mut Turn, value: &impl Serialize) -> Result<(), Exception> {
    Ok(turn.answer(&encoded(value)?)?)
}
