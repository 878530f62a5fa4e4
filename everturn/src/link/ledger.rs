//! The ledger of all links: what was sent to whom and not acknowledged, what was taken from whom. No port, no turn, no
//! socket: a state, and functions from it to it.
//!
//! Invariants, for each peer:
//! 1. Messages out are numbered from one without a gap; those after the last acknowledged are all here.
//! 2. A message in is taken if its number is the next, and else left.
//! 3. The chain over all messages of a direction is known at the last one sent, acknowledged and taken.
//! 4. A link that has stopped takes nothing and gives nothing out before a person has resolved it.
//! 5. Only a link that has stopped is resolved. Each time is an epoch: both sides count from zero in it, and what belongs to an
//!    epoch before is neither taken nor believed.

use std::sync::Arc;

use everturn_drivers::link::{Compared, Dialer, Digest, Peer as Listed, PeerKey, Position, Positions};
use everturn_exo_interface::Exception;
use serde::{Deserialize, Serialize};

use super::tracked::Tracked;
use crate::driver::thrown;

/// Messages of one peer that may wait for their acknowledgement, and their bytes together.
pub(super) const WAITING_MAX: u64 = 65_536;
pub(super) const WAITING_BYTES_MAX: u64 = 64 << 20;
/// Peers at most.
pub(super) const PEERS_MAX: usize = 4_096;
/// An address is a text of so many bytes at most.
pub(super) const ADDRESS_BYTES_MAX: usize = 200;

/// Another hypervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Peer {
    /// Its number among the peers here, never used twice.
    pub(super) number: u64,
    pub(super) key: Option<PeerKey>,
    pub(super) positions: Positions,
    /// Bytes of all messages that wait.
    pub(super) waiting_bytes: u64,
    /// Ports that were sent to it: the number of the next.
    pub(super) next_port: u64,
    /// Why nothing goes on.
    pub(super) stopped: Option<String>,
    /// How often the other side has begun anew, as far as that is known.
    pub(super) their_epoch: u64,
}

/// A message that waits for its acknowledgement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    /// The chain up to it.
    pub(super) hash: Digest,
}

/// What concerns all peers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Common {
    /// Grows with every change of the list of peers.
    pub(super) version: u64,
    pub(super) next_number: u64,
    /// Whether unknown addresses may be sent to, and unknown keys be pinned.
    pub(super) open: bool,
}

/// Whether a message takes part in the bound of those that wait, or has a place of its own: an answer, an exception, a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Counted,
    Kept,
}

/// What becomes of messages that wait when a link is begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// They are sent: those that had arrived without this side learning of it arrive twice.
    SendAgain,
    /// They are dropped: those that had not arrived never do.
    Drop,
}

/// Why a person or a program did not get what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "no peer is known as {0}; `everturn peers add {0} KEY` makes it known, or --open lets in everyone"
    )]
    Unknown(String),
    #[error("{0:?} is no address: HOST:PORT in at most {ADDRESS_BYTES_MAX} bytes")]
    Address(String),
    #[error(
        "{0} has not acknowledged {WAITING_MAX} messages or {WAITING_BYTES_MAX} bytes; send again when it has"
    )]
    Full(String),
    #[error("there are {PEERS_MAX} peers, as many as there may be")]
    TooMany,
    #[error("{address} is known by another key, {key}; remove it first")]
    OtherKey { address: String, key: PeerKey },
    #[error("this key is that of {0} already")]
    KeyInUse(String),
    #[error(
        "the link with {0} has not stopped, there is nothing to resolve; if the other side has stopped, this one hears of it when \
         they connect (`everturn peers list`)"
    )]
    NotStopped(String),
}

impl From<Refused> for Exception {
    fn from(refused: Refused) -> Exception {
        thrown(refused.to_string())
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) common: Tracked<(), Common>,
    pub(super) peers: Tracked<String, Peer>,
    /// By number of the peer and of the message.
    pub(super) waiting: Tracked<(u64, u64), Arc<Waiting>>,
}

impl Ledger {
    pub(super) fn common(&self) -> Common {
        self.common.get(&()).cloned().unwrap_or_default()
    }

    fn change_common(&mut self, change: impl FnOnce(&mut Common)) {
        let mut common = self.common();
        change(&mut common);
        self.common.insert((), common);
    }

    pub(super) fn set_open(&mut self, open: bool) {
        if self.common().open != open {
            self.change_common(|common| common.open = open);
        }
    }

    pub(super) fn list(&self) -> Vec<Listed> {
        let listed = |(address, peer): (&String, &Peer)| Listed {
            address: address.clone(),
            key: peer.key,
            stopped: peer.stopped.clone(),
        };
        self.peers.iter().map(listed).collect()
    }

    pub(super) fn peer(&self, address: &str) -> Result<&Peer, Refused> {
        self.peers.get(address).ok_or_else(|| Refused::Unknown(address.to_owned()))
    }

    fn change(&mut self, address: &str) -> Result<&mut Peer, Refused> {
        self.peers.change(&address.to_owned()).ok_or_else(|| Refused::Unknown(address.to_owned()))
    }

    /// The peer with this number.
    pub(super) fn address_of(&self, number: u64) -> Option<&String> {
        self.peers.iter().find(|(_, peer)| peer.number == number).map(|(address, _)| address)
    }

    /// Makes a peer known, or pins the key of one whose key was not known.
    pub(super) fn add(&mut self, address: &str, key: Option<PeerKey>) -> Result<(), Refused> {
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        if host.is_empty() || port.parse::<u16>().is_err() || address.len() > ADDRESS_BYTES_MAX {
            return Err(Refused::Address(address.to_owned()));
        }
        if let Some(key) = key
            && let Some((owner, _)) = self.peers.iter().find(|(_, peer)| peer.key == Some(key))
        {
            return if owner == address { Ok(()) } else { Err(Refused::KeyInUse(owner.clone())) };
        }
        match self.peers.get(address).map(|peer| peer.key) {
            Some(Some(known)) if key.is_some() => {
                return Err(Refused::OtherKey { address: address.to_owned(), key: known });
            }
            Some(_) => self.change(address)?.key = key,
            None if self.peers.iter().count() >= PEERS_MAX => return Err(Refused::TooMany),
            None => {
                let number = self.common().next_number;
                self.change_common(|common| common.next_number += 1);
                self.peers.insert(address.to_owned(), Peer::new(number, key));
            }
        }
        self.change_common(|common| common.version += 1);
        Ok(())
    }

    /// The address of a key's owner; in an open house an unknown one is pinned to the address that it says.
    pub(super) fn admit(&mut self, key: PeerKey, address: &str) -> Option<String> {
        let owner = self.peers.iter().find(|(_, peer)| peer.key == Some(key)).map(|(owner, _)| owner.clone());
        match owner {
            Some(owner) => Some(owner),
            None if self.common().open => self.add(address, Some(key)).ok().map(|()| address.to_owned()),
            None => None,
        }
    }

    /// Forgets a peer and all that waits for it.
    pub(super) fn remove(&mut self, address: &str) -> Result<u64, Refused> {
        let number = self.peer(address)?.number;
        self.drop_waiting(number);
        self.peers.remove(&address.to_owned());
        self.change_common(|common| common.version += 1);
        Ok(number)
    }

    fn drop_waiting(&mut self, number: u64) -> Vec<Arc<Waiting>> {
        let waiting = self.waiting.range((number, 0)..=(number, u64::MAX));
        let waiting: Vec<_> = waiting.map(|(key, waiting)| (*key, waiting.clone())).collect();
        waiting.iter().for_each(|(key, _)| self.waiting.remove(key));
        waiting.into_iter().map(|(_, waiting)| waiting).collect()
    }

    /// Whether one more message for a peer may wait. Makes an unknown peer known in an open house.
    pub(super) fn check_room(&mut self, address: &str, place: Place) -> Result<(), Refused> {
        if self.peers.get(address).is_none() && self.common().open {
            self.add(address, None)?;
        }
        let peer = self.peer(address)?;
        let waiting = peer.positions.sent.number - peer.positions.acknowledged.number;
        let full = waiting >= WAITING_MAX || peer.waiting_bytes >= WAITING_BYTES_MAX;
        match place {
            Place::Counted if full => Err(Refused::Full(address.to_owned())),
            _ => Ok(()),
        }
    }

    /// The number for a port that is sent to a peer.
    pub(super) fn next_port(&mut self, address: &str) -> Result<u64, Refused> {
        let peer = self.change(address)?;
        peer.next_port += 1;
        Ok(peer.next_port)
    }

    /// Owes a peer one more message.
    pub(super) fn append(&mut self, address: &str, bytes: Vec<u8>) -> Result<(), Refused> {
        let peer = self.change(address)?;
        peer.positions.sent = peer.positions.sent.after(&bytes);
        peer.waiting_bytes += bytes.len() as u64;
        let Position { number, hash } = peer.positions.sent;
        let key = (peer.number, number);
        self.waiting.insert(key, Arc::new(Waiting { bytes, hash }));
        Ok(())
    }

    /// What is owed after a number, up to so many bytes but at least one message; nothing of a link that has stopped.
    pub(super) fn owed(&self, address: &str, after: u64, bytes_max: u64) -> Result<Vec<&Waiting>, Refused> {
        let peer = self.peer(address)?;
        if peer.stopped.is_some() || after >= peer.positions.sent.number {
            return Ok(Vec::new());
        }
        let first = after.max(peer.positions.acknowledged.number) + 1;
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            let is_first = bytes == 0;
            bytes += waiting.bytes.len() as u64 + 9;
            is_first || bytes <= bytes_max
        };
        let all = self.waiting.range((peer.number, first)..=(peer.number, u64::MAX));
        Ok(all.map(|(_, waiting)| &**waiting).take_while(fits).collect())
    }

    /// Stops a link, if it has not stopped yet.
    pub(super) fn stop(&mut self, address: &str, why: &str) -> Result<(), Refused> {
        let peer = self.change(address)?;
        if peer.stopped.is_none() {
            peer.stopped = Some(why.to_owned());
            self.change_common(|common| common.version += 1);
        }
        Ok(())
    }

    /// The other side has all up to a position.
    pub(super) fn acknowledged(&mut self, address: &str, position: Position) -> Result<Compared, Refused> {
        let peer = self.peer(address)?;
        if let Some(why) = &peer.stopped {
            return Ok(Compared::Stopped(why.clone()));
        }
        if let Err(why) = self.check_received(address, peer, position) {
            return self.stopped(address, why);
        }
        let (number, from) = (peer.number, peer.positions.acknowledged.number);
        let mut bytes = 0;
        for sent in from + 1..=position.number {
            bytes += self.waiting.get(&(number, sent)).map_or(0, |waiting| waiting.bytes.len() as u64);
            self.waiting.remove(&(number, sent));
        }
        if position.number > from {
            let peer = self.change(address)?;
            peer.positions.acknowledged = position;
            peer.waiting_bytes = peer.waiting_bytes.saturating_sub(bytes);
        }
        Ok(Compared::Same)
    }

    fn stopped(&mut self, address: &str, why: String) -> Result<Compared, Refused> {
        self.stop(address, &why)?;
        Ok(Compared::Stopped(why))
    }

    /// Takes the message with this number in, if it is the next. Whoever calls has carried it out, or will.
    pub(super) fn take(&mut self, address: &str, bytes: &[u8]) -> Result<Position, Refused> {
        let peer = self.change(address)?;
        peer.positions.received = peer.positions.received.after(bytes);
        Ok(peer.positions.received)
    }

    /// Why what belongs to this epoch is over: the link was begun anew since.
    pub(super) fn is_over(&self, address: &str, epoch: u64) -> Result<Option<String>, Refused> {
        Ok((self.peer(address)?.positions.epoch != epoch).then(|| not_yet(address)))
    }

    /// Begins a link anew that has stopped: both sides count from zero, when both have done so.
    pub(super) fn resolve(&mut self, address: &str, resolution: Resolution) -> Result<(), Refused> {
        let peer = self.peer(address)?;
        if peer.stopped.is_none() {
            return Err(Refused::NotStopped(address.to_owned()));
        }
        let number = peer.number;
        let waiting = self.drop_waiting(number);
        let peer = self.change(address)?;
        let epoch = peer.positions.epoch.saturating_add(1).max(peer.their_epoch);
        peer.positions = Positions { epoch, ..Positions::default() };
        (peer.stopped, peer.waiting_bytes) = (None, 0);
        self.change_common(|common| common.version += 1);
        if resolution == Resolution::SendAgain {
            for waiting in waiting {
                self.append(address, waiting.bytes.clone())?;
            }
        }
        Ok(())
    }

    /// Compares where both sides stand. What the dialler says of the direction that it dialled for is newer than all that the
    /// other heard before, and older than what it hears now; of the other direction, either side may know more than was said.
    pub(super) fn compare(
        &mut self,
        address: &str,
        dialer: Dialer,
        theirs: Positions,
    ) -> Result<Compared, Refused> {
        let peer = self.peer(address)?;
        let (epoch, known) = (peer.positions.epoch, peer.their_epoch);
        let stopped = peer.stopped.clone();
        if theirs.epoch > known {
            self.change(address)?.their_epoch = theirs.epoch;
        }
        if let Some(why) = stopped {
            return Ok(Compared::Stopped(why));
        }
        if theirs.epoch < epoch {
            return Ok(Compared::NotYet(not_yet(address)));
        }
        let peer = self.peer(address)?;
        let found = if theirs.epoch > epoch {
            Err(format!("{address} has begun the link anew; it has to be resolved here too"))
        } else {
            self.check_received(address, peer, theirs.received)
                .and_then(|()| check_sent(address, &peer.positions, &theirs))
                .and_then(|()| check_newest(address, dialer, &peer.positions, &theirs))
        };
        match found {
            Ok(()) => Ok(Compared::Same),
            Err(why) => self.stopped(address, why),
        }
    }

    /// What the other side says it has received: no more than was sent, and the same.
    fn check_received(&self, address: &str, peer: &Peer, received: Position) -> Result<(), String> {
        let Positions { sent, acknowledged, .. } = peer.positions;
        let Position { number, hash } = received;
        if number > sent.number {
            return Err(format!(
                "{address} has received {number} messages from here, and this data folder knows of {}: it is older \
                 than what {address} has seen, as a backup or a copy is",
                sent.number
            ));
        }
        let known = match number {
            _ if number == sent.number => Some(sent.hash),
            _ if number == acknowledged.number => Some(acknowledged.hash),
            _ => self.waiting.get(&(peer.number, number)).map(|waiting| waiting.hash),
        };
        match known {
            Some(known) if known != hash => Err(format!(
                "the {number} messages that {address} has received from here are not those that this data folder has \
                 sent: two copies of it are in use"
            )),
            _ => Ok(()),
        }
    }
}

fn not_yet(address: &str) -> String {
    format!("the link with {address} was begun anew here; it has to be resolved there too")
}

/// What the other side says it has sent, and was acknowledged.
fn check_sent(address: &str, ours: &Positions, theirs: &Positions) -> Result<(), String> {
    let received = ours.received;
    if theirs.acknowledged.number > received.number {
        return Err(format!(
            "{address} was told that {} of its messages are here, and this data folder has {}: it is older than what \
             {address} has seen, as a backup or a copy is",
            theirs.acknowledged.number, received.number
        ));
    }
    let same = |position: Position| position.number != received.number || position.hash == received.hash;
    if same(theirs.sent) && same(theirs.acknowledged) {
        return Ok(());
    }
    Err(format!(
        "the {} messages that came from {address} are not those that it has sent: two copies of its data folder are \
         in use",
        received.number
    ))
}

/// Of the direction that was dialled for, nobody can have heard more than is said now.
fn check_newest(address: &str, dialer: Dialer, ours: &Positions, theirs: &Positions) -> Result<(), String> {
    let older = |what: String| Err(format!("{what}: its data folder is older, as a backup or a copy is"));
    match dialer {
        Dialer::Us if theirs.received.number < ours.acknowledged.number => older(format!(
            "{address} had acknowledged {} messages and now knows of {}",
            ours.acknowledged.number, theirs.received.number
        )),
        Dialer::Them if theirs.sent.number < ours.received.number => older(format!(
            "{} messages came from {address}, and it knows of having sent {}",
            ours.received.number, theirs.sent.number
        )),
        _ => Ok(()),
    }
}

impl Peer {
    fn new(number: u64, key: Option<PeerKey>) -> Peer {
        Peer {
            number,
            key,
            positions: Positions::default(),
            waiting_bytes: 0,
            next_port: 0,
            stopped: None,
            their_epoch: 0,
        }
    }
}

#[cfg(test)]
mod tests;
