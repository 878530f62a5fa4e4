//! Inputs that are kept: what came from outside since a checkpoint, row by row, so that it can be run again.
//!
//! | key in [`Space::Inputs`] | value |
//! |---|---|
//! | `b` | [`Beginning`]: the checkpoint from which on inputs are kept; without it none are |
//! | `s` | [`Standing`]: how far the rows go |
//! | `r`, number: u64 | [`Row`] |
//! | `m`, number: u64, id | [`Mark`]: the state root of a container that was made when so many rows were there |
//!
//! Numbers are big-endian.
//!
//! Invariants:
//! 1. A row is in the batch of what it caused: the turn that took the input, or the change that the host made. So the rows of a
//!    reopened store are those of exactly the state that is there.
//! 2. Numbers begin with 0 and have no gaps. Marks are extra: one that a crash has cost is one comparison less.
//! 3. The checkpoint, and a root that a row goes back to, are held for as long as the row is there, by names of their own: whoever
//!    releases pins that are not his does no harm.

use everturn_dag::{Batch, Cid, Reader, Space, StoreError, references};
use everturn_exo_interface::OwnLimits;
use everturn_port_manager::{ContainerId, Delivery, Ticks};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::writer::Writer;
use crate::{HypervisorError, keys};

pub(crate) const BEGINNING: &[u8] = b"b";
pub(crate) const STANDING: &[u8] = b"s";
const ROW: u8 = b'r';
const MARK: u8 = b'm';
/// What the names begin with under which roots are held; the checkpoint's is that alone.
const HELD: &[u8] = b"kept";
/// Such a name is no longer; a container's is.
const HELD_BYTES_MAX: usize = HELD.len() + 8;

/// Where keeping began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beginning {
    pub(crate) checkpoint: Cid,
}

/// How far the rows go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Turns that were run since the beginning.
    pub(crate) turns: u64,
    /// The number of the next row.
    pub(crate) next: u64,
    /// What the rows take, in bytes of keys and values.
    pub(crate) bytes: u64,
}

/// A place between two turns, or the turn that it follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Turns that were run since the beginning.
    pub(crate) turns: u64,
    /// The end of the last window begun.
    pub(crate) window_end: Ticks,
}

/// One input, or what else a turn got from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Where it was met; of a message after the turn that took it.
    pub(crate) place: Place,
    pub(crate) what: What,
}

/// What came from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// A root container was made.
    Create {
        #[serde(rename = "type")]
        container_type: String,
        name: String,
        data: ByteBuf,
        #[serde(default, skip_serializing_if = "OwnLimits::is_empty")]
        lowered: OwnLimits,
        /// The highest delivery tick that waited then, after which its stamp is.
        #[serde(default)]
        foremost: Ticks,
        /// When that was.
        #[serde(default)]
        date_ms: u64,
    },
    /// A turn took what a host had sent.
    Take {
        to: ContainerId,
        delivery: Delivery,
        /// The number that the next row had when it was sent.
        sent: u64,
    },
    /// Two root containers were connected.
    Connect { ends: [(ContainerId, String); 2] },
    /// A root container went back to a state root.
    Restore { id: ContainerId, root: Cid },
    /// A root container was made from a state root.
    Revive {
        #[serde(rename = "type")]
        container_type: String,
        name: String,
        root: Cid,
    },
    /// Timers were due.
    Fire {
        now_ms: u64,
        /// As for a creation.
        #[serde(default)]
        foremost: Ticks,
    },
    /// A turn drew random bytes; null where there were none to be had.
    Draw { container: ContainerId, ticks: Ticks, drawn: Vec<Option<ByteBuf>> },
    /// A person interrupted a turn.
    Interrupt { container: ContainerId, ticks: Ticks, burnt: Ticks },
}

/// A state root to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) place: Place,
    /// The container's ticks.
    pub(crate) ticks: Ticks,
    pub(crate) root: Cid,
}

/// What is kept of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The checkpoint with which keeping began: what a replay goes on from.
    pub checkpoint: Cid,
    /// Rows: an input each, or what a turn drew.
    pub rows: u64,
    /// Turns that were run since.
    pub turns: u64,
    /// What the rows take, in bytes.
    pub bytes: u64,
}

/// What a store keeps of its inputs; `None` if it keeps none.
///
/// # Errors
/// If the store cannot be read, or says so in a way that this program does not.
pub fn kept_inputs(reader: &dyn Reader) -> Result<Option<Kept>, HypervisorError> {
    Ok(read(reader)?.map(|(Beginning { checkpoint }, Standing { turns, next, bytes })| Kept {
        checkpoint,
        rows: next,
        turns,
        bytes,
    }))
}

/// The beginning and how far it has come since, if inputs are kept.
pub(crate) fn read(reader: &dyn Reader) -> Result<Option<(Beginning, Standing)>, StoreError> {
    let Some(beginning) = reader.get(Space::Inputs, BEGINNING)? else { return Ok(None) };
    let standing = reader.get(Space::Inputs, STANDING)?.ok_or_else(|| {
        damaged("the inputs that are kept".to_owned(), "nothing says how far they go".to_owned())
    })?;
    let beginning = keys::decode("the beginning of the inputs that are kept", &beginning)?;
    Ok(Some((beginning, keys::decode("how far the kept inputs go", &standing)?)))
}

pub(crate) fn row_key(number: u64) -> Vec<u8> {
    [&[ROW][..], &number.to_be_bytes()].concat()
}

pub(crate) fn mark_key(number: u64, id: ContainerId) -> Vec<u8> {
    [&[MARK][..], &number.to_be_bytes(), id.as_bytes()].concat()
}

/// One row.
pub(crate) fn row(reader: &dyn Reader, number: u64) -> Result<Row, StoreError> {
    let place = || format!("kept input {number}");
    let bytes = reader.get(Space::Inputs, &row_key(number))?;
    let bytes = bytes.ok_or_else(|| damaged(place(), "it is not there".to_owned()))?;
    keys::decode(place(), &bytes)
}

/// Every mark, in order: the number of the row that came next, and whose.
pub(crate) fn marks(reader: &dyn Reader) -> Result<Vec<(u64, ContainerId, Mark)>, StoreError> {
    let (mut marks, mut failed) = (Vec::new(), None);
    reader.scan(Space::Inputs, &[MARK], &mut |key, value| {
        match read_mark(key, value) {
            Ok(mark) => marks.push(mark),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(marks), Err)
}

fn read_mark(key: &[u8], value: &[u8]) -> Result<(u64, ContainerId, Mark), StoreError> {
    let place = "a state root among the kept inputs";
    let parts = key.get(1..).and_then(|key| key.split_first_chunk::<8>());
    let parts = parts.and_then(|(number, id)| Some((number, <&[u8; 32]>::try_from(id).ok()?)));
    let Some((number, id)) = parts else {
        return Err(damaged(place.to_owned(), format!("a key of {} bytes", key.len())));
    };
    let mark = keys::decode(place, value)?;
    Ok((u64::from_be_bytes(*number), ContainerId::from_bytes(*id), mark))
}

/// The name under which a row holds its root.
pub(crate) fn held_by(number: u64) -> Vec<u8> {
    [HELD, &number.to_be_bytes()].concat()
}

fn damaged(place: String, what: String) -> StoreError {
    StoreError::Damaged { place, what }
}

impl Writer {
    /// Begins: from what is durable now on.
    pub(crate) fn begin_keeping(&mut self) -> Result<Kept, HypervisorError> {
        self.forget_inputs()?;
        let checkpoint = self.checkpoint()?;
        let mut batch = Batch::new();
        batch.put(Space::Inputs, BEGINNING, keys::encode("a beginning", &Beginning { checkpoint })?);
        batch.put(Space::Inputs, STANDING, keys::encode("a standing", &Standing::default())?);
        references::hold(&mut batch, HELD, &checkpoint);
        self.write(batch)?;
        // It is held by its name now, and needs no pin.
        self.release(&checkpoint)?;
        Ok(Kept { checkpoint, rows: 0, turns: 0, bytes: 0 })
    }

    /// Removes what is kept: the beginning first, so that what a crash leaves of the rest is nothing but bytes.
    pub(crate) fn forget_inputs(&mut self) -> Result<(), HypervisorError> {
        let mut batch = Batch::new();
        batch.delete(Space::Inputs, BEGINNING);
        self.write(batch)?;
        self.clear(Space::Inputs)?;
        let names = references::names(&*self.store, HELD)?;
        Ok(self.let_go(names.into_iter().filter(|name| name.len() <= HELD_BYTES_MAX))?)
    }

    /// Notes a state root that was made, to compare with.
    pub(crate) fn note_mark(&mut self, key: Vec<u8>, mark: &Mark) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(Space::Inputs, key, keys::encode("a mark", mark)?);
        self.write(batch)
    }
}
