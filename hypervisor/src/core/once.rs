//! Requests that are done once: who comes again with the same key gets the reply that came of the first.
//!
//! Invariants:
//! 1. What is known of a key is in the batch of the turn that took its request, and the reply in that of the turn that gave it:
//!    after a restart either nothing of both happened, or both did.
//! 2. A first turn that was discarded leaves nothing: who comes again tries again.
//! 3. Nothing is dropped before its time. One more than may be kept is refused.
//! 4. No container can tell: its record, its ticks and its roots are what they would be without.

use std::collections::{BTreeMap, BTreeSet};

use everturn_dag::{Batch, Space, StoreError};
use everturn_port_manager::{ContainerId, Kind, Message, PortId, Reply as Back};
use serde_bytes::ByteBuf;

use super::answers::Hearer;
use super::{Awaited, Core};
use crate::batch::{Output, Repeated, Reply};
use crate::once::{Kept, Row, Stored};
use crate::{Given, HypervisorError, Once, keys};

/// A key of a container.
pub(crate) type Name = (ContainerId, [u8; 32]);

/// How much longer one is known for which somebody waits, in milliseconds.
const WAITED_FOR_MS: u64 = 60_000;

/// Every key that is known.
#[derive(Default)]
pub(super) struct Onces {
    entries: BTreeMap<Name, Entry>,
    /// Those that have a row, by the time until which they are kept.
    by_until: BTreeSet<(u64, Name)>,
    held: BTreeMap<ContainerId, Held>,
    /// Those whose rows are not what they should be.
    changed: BTreeSet<Name>,
    /// Those whose replies are in memory until the batch is durable, by its number.
    unsettled: BTreeMap<u64, Vec<Name>>,
}

/// What is kept for one container.
#[derive(Clone, Copy, Default)]
struct Held {
    entries: usize,
    bytes: u64,
}

struct Entry {
    fingerprint: [u8; 32],
    until_ms: u64,
    state: State,
    /// Who waits for the reply, and as whom.
    waiting: Vec<Waiting>,
}

type Waiting = (Reply<Repeated>, Given);

enum State {
    /// Its turn was not taken yet.
    UnderWay,
    /// The answer comes out of this end of a channel.
    Owed(PortId),
    Kept {
        bytes: u64,
        /// In which batch; 0 is the one that is open.
        batch: u64,
        /// As long as it cannot be read from the store.
        reply: Option<Kept>,
    },
}

impl Onces {
    /// Takes in a row of the store. Gives the end of a channel that is to be listened to.
    pub(super) fn read(&mut self, name: Name, row: Row) -> Result<Option<PortId>, StoreError> {
        let fingerprint = <[u8; 32]>::try_from(&row.fingerprint[..]);
        let fingerprint = fingerprint.map_err(|_| StoreError::Damaged {
            place: format!("a key of container {}", name.0),
            what: "its fingerprint has not 32 bytes".to_owned(),
        })?;
        let held = self.held.entry(name.0).or_default();
        held.entries += 1;
        let (state, end) = match row.state {
            Stored::Owed(end) => (State::Owed(end), Some(end)),
            Stored::Kept(reply) => {
                held.bytes += reply.bytes();
                (State::Kept { bytes: reply.bytes(), batch: 0, reply: None }, None)
            }
        };
        self.by_until.insert((row.until_ms, name));
        let entry = Entry { fingerprint, until_ms: row.until_ms, state, waiting: Vec::new() };
        self.entries.insert(name, entry);
        Ok(end)
    }

    fn begin(&mut self, name: Name, once: Once, date_ms: u64, reply: Reply<Repeated>) {
        let until_ms = date_ms.saturating_add(once.kept_ms);
        let entry = Entry {
            fingerprint: once.fingerprint,
            until_ms,
            state: State::UnderWay,
            waiting: vec![(reply, Given::First)],
        };
        self.entries.insert(name, entry);
        self.held.entry(name.0).or_default().entries += 1;
    }

    /// The turn was done, and the answer comes later.
    pub(super) fn owe(&mut self, name: Name, end: PortId) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.state = State::Owed(end);
            self.by_until.insert((entry.until_ms, name));
            self.changed.insert(name);
        }
    }

    /// Nothing is known of this key any more. Gives those who wait.
    fn forget(&mut self, name: Name) -> Vec<Waiting> {
        let Some(entry) = self.entries.remove(&name) else { return Vec::new() };
        self.by_until.remove(&(entry.until_ms, name));
        if let Some(held) = self.held.get_mut(&name.0) {
            held.entries -= 1;
            held.bytes -= entry.state.bytes();
            if held.entries == 0 {
                self.held.remove(&name.0);
            }
        }
        if !matches!(entry.state, State::UnderWay) {
            self.changed.insert(name);
        }
        entry.waiting
    }

    /// A container is gone, and its rows with it.
    pub(super) fn forget_all(&mut self, id: ContainerId) -> Vec<Reply<Repeated>> {
        let (first, last) = ((id, [0; 32]), (id, [u8::MAX; 32]));
        let names: Vec<Name> = self.entries.range(first..=last).map(|(name, _)| *name).collect();
        names.into_iter().flat_map(|name| self.forget(name)).map(|(reply, _)| reply).collect()
    }

    /// What was to be kept until now goes. What somebody waits for stays a little longer.
    fn expire(&mut self, now_ms: u64) {
        let due: Vec<Name> = self
            .by_until
            .iter()
            .take_while(|(until_ms, _)| *until_ms <= now_ms)
            .map(|(_, name)| *name)
            .collect();
        for name in due {
            match self.entries.get_mut(&name) {
                Some(entry) if !entry.waiting.is_empty() => {
                    self.by_until.remove(&(entry.until_ms, name));
                    entry.until_ms = now_ms.saturating_add(WAITED_FOR_MS);
                    self.by_until.insert((entry.until_ms, name));
                }
                _ => drop(self.forget(name)),
            }
        }
    }

    /// Until when the first of them is kept.
    pub(super) fn first_until_ms(&self) -> Option<u64> {
        self.by_until.first().map(|(until_ms, _)| *until_ms)
    }

    /// Writes what has changed.
    pub(super) fn commit(&mut self, number: u64, batch: &mut Batch) -> Result<(), StoreError> {
        for name in std::mem::take(&mut self.changed) {
            let key = keys::once(name.0, &name.1);
            let stored = self.entries.get_mut(&name).and_then(|entry| match &mut entry.state {
                State::UnderWay => None,
                State::Owed(end) => Some((entry.fingerprint, entry.until_ms, Stored::Owed(*end))),
                State::Kept { batch, reply, .. } => {
                    *batch = number;
                    let stored = Stored::Kept(reply.clone()?);
                    self.unsettled.entry(number).or_default().push(name);
                    Some((entry.fingerprint, entry.until_ms, stored))
                }
            });
            match stored {
                None => batch.delete(Space::Runtime, key),
                Some((fingerprint, until_ms, state)) => {
                    let row = Row { fingerprint: ByteBuf::from(fingerprint), until_ms, state };
                    batch.put(Space::Runtime, key, keys::encode("a reply that is kept", &row)?);
                }
            }
        }
        Ok(())
    }

    /// A batch is durable: its replies can be read from the store.
    pub(super) fn settled(&mut self, number: u64) {
        for name in self.unsettled.remove(&number).into_iter().flatten() {
            if let Some(Entry { state: State::Kept { batch, reply, .. }, .. }) = self.entries.get_mut(&name)
                && *batch == number
            {
                *reply = None;
            }
        }
    }
}

impl State {
    fn bytes(&self) -> u64 {
        match self {
            State::Kept { bytes, .. } => *bytes,
            _ => 0,
        }
    }
}

impl Core {
    /// Takes a request that is done once. One that was done already gets its reply again, and one that is under way gets the
    /// same.
    pub(super) fn once(
        &mut self,
        to: ContainerId,
        data: Vec<u8>,
        once: Once,
        date_ms: u64,
        reply: Reply<Repeated>,
    ) -> Result<(), HypervisorError> {
        self.onces.expire(date_ms);
        let name = (to, once.key);
        let Some(entry) = self.onces.entries.get_mut(&name) else {
            if let Some(full) = self.has_no_place_to_keep(to) {
                return refuse(reply, full);
            }
            self.onces.begin(name, once, date_ms, reply);
            let message = Message { data, reply: Back::Host, ..Message::default() };
            self.post(to, Kind::Request, message, date_ms, Awaited::Answer(Hearer::Once(name)));
            return Ok(());
        };
        if entry.fingerprint != once.fingerprint {
            return refuse(reply, HypervisorError::OtherRequest);
        }
        match &entry.state {
            State::UnderWay | State::Owed(_) => entry.waiting.push((reply, Given::Again)),
            // It leaves when it is durable itself.
            State::Kept { reply: Some(kept), .. } => {
                let answer = kept.clone().reply().map(|answer| (answer, Given::Again));
                self.open.outputs.push(Output::Repeated(reply, answer));
            }
            State::Kept { reply: None, .. } => {
                let answer = self.read_kept(name)?.reply().map(|answer| (answer, Given::Again));
                // Whoever gave up waiting needs no answer.
                let _ = reply.send(answer);
            }
        }
        Ok(())
    }

    fn has_no_place_to_keep(&self, id: ContainerId) -> Option<HypervisorError> {
        let (held, settings) = (self.onces.held.get(&id)?, &self.runner.settings);
        let is_full = held.entries >= settings.once_max || held.bytes >= settings.once_bytes_max;
        is_full.then_some(HypervisorError::TooManyKept { entries: held.entries, bytes: held.bytes })
    }

    fn read_kept(&self, name: Name) -> Result<Kept, StoreError> {
        let damaged = |what: &str| StoreError::Damaged {
            place: format!("a reply that container {} gave", name.0),
            what: what.to_owned(),
        };
        let row = self.runner.store.get(Space::Runtime, &keys::once(name.0, &name.1))?;
        let row = row.ok_or_else(|| damaged("it is not there"))?;
        match keys::decode::<Row>("a reply that is kept", &row)?.state {
            Stored::Kept(kept) => Ok(kept),
            Stored::Owed(_) => Err(damaged("it was not given")),
        }
    }

    /// The turn of a request is over: whether it was done, and with which answer.
    pub(super) fn conclude_once(&mut self, name: Name, done: Result<Option<Vec<u8>>, HypervisorError>) {
        match done {
            Ok(answer) => self.keep(name, answer.ok_or(HypervisorError::Unanswered).into()),
            Err(error) => self.fail_once(name, error),
        }
    }

    /// Nothing of the request happened: all who wait are told why, and nothing is kept.
    pub(super) fn fail_once(&mut self, name: Name, error: HypervisorError) {
        let mut waiting = self.onces.forget(name).into_iter();
        let first = waiting.next();
        for (reply, _) in waiting {
            let error = match &error {
                HypervisorError::Exception(exception) => HypervisorError::Exception(exception.clone()),
                _ => HypervisorError::Unanswered,
            };
            self.open.outputs.push(Output::Repeated(reply, Err(error)));
        }
        self.open.outputs.extend(first.map(|(reply, _)| Output::Repeated(reply, Err(error))));
    }

    /// This is what came of a request.
    pub(super) fn keep(&mut self, name: Name, kept: Kept) {
        let Some(entry) = self.onces.entries.get_mut(&name) else { return };
        for (reply, given) in entry.waiting.drain(..) {
            let answer = kept.clone().reply().map(|answer| (answer, given));
            self.open.outputs.push(Output::Repeated(reply, answer));
        }
        let bytes = kept.bytes();
        entry.state = State::Kept { bytes, batch: 0, reply: Some(kept) };
        self.onces.by_until.insert((entry.until_ms, name));
        self.onces.changed.insert(name);
        self.onces.held.entry(name.0).or_default().bytes += bytes;
        self.open.bytes += bytes;
    }

    /// It is `now_ms`: what was kept long enough goes.
    pub(super) fn expire_kept(&mut self, now_ms: u64) {
        self.onces.expire(now_ms);
    }
}

fn refuse(reply: Reply<Repeated>, error: HypervisorError) -> Result<(), HypervisorError> {
    // Whoever gave up waiting needs no answer.
    let _ = reply.send(Err(error));
    Ok(())
}
