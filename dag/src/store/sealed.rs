//! A library behind its seal: checks on values, numbered batches, the note, poisoning, and panics made errors.
//!
//! Everything that must hold whichever library keeps the bytes is here; an [adapter](super::adapter) translates.
//!
//! On disk a key is its space's tag, one byte, and the key itself:
//! ```text
//! 0 seal   1 meta   2 state   3 runtime   4 blocks   5 stale   6 references
//! ```
//!
//! Locks: `newest` is held while a batch is written, so that numbers follow the order of the writes; `note` while a
//! sync runs. A sync takes `newest` only for an instant: batches are written while the disk is awaited.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::adapter::{Adapter, Fault, Read, Row};
use super::note::Note;
use super::seal::Seal;
use super::{Batch, Change, KEY_BYTES_MAX, Reader, Space, StoreError, check};

pub(super) struct Sealed {
    origin: Origin,
    adapter: Arc<dyn Adapter>,
    live: View,
    newest: Mutex<Seal>,
    note: Mutex<Note>,
    poisoned: AtomicBool,
    syncs: AtomicU64,
}

/// What an error names.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) place: String,
    pub(super) backend: &'static str,
}

impl Sealed {
    /// Follows the chain of seals and compares it with the note, before anything may be written.
    pub(super) fn open(origin: Origin, adapter: Box<dyn Adapter>, note: Note) -> Result<Self, StoreError> {
        let adapter: Arc<dyn Adapter> = adapter.into();
        let newest = origin.guard(|| Seal::newest(|key| adapter.get(key)))?;
        let noted = note.noted();
        if newest.number < noted.number {
            let (found, noted) = (newest.number, noted.number);
            let what = format!("it ends with batch {found}, but batch {noted} was made durable");
            return Err(origin.damaged(what));
        }
        if newest.number == noted.number && newest.hash != noted.hash {
            let what = format!("its batch {} is not the one that was made durable", newest.number);
            return Err(origin.damaged(what));
        }
        let live = View { origin: origin.clone(), reader: adapter.clone() };
        let sealed = Sealed {
            origin,
            adapter,
            live,
            newest: Mutex::new(newest),
            note: Mutex::new(note),
            poisoned: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
        };
        // Batches after the note survived the process but perhaps not a power cut: they are about to be built upon.
        sealed.sync()?;
        sealed.syncs.store(0, Ordering::Relaxed);
        Ok(sealed)
    }

    pub(super) fn write(&self, batch: Batch) -> Result<(), StoreError> {
        let mut rows = self.rows(batch)?;
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_alive()?;
        let (seal, row) = newest.next(&rows);
        rows.push(row);
        self.poison_on_error(self.origin.guard(|| self.adapter.write(rows)))?;
        *newest = seal;
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let mut note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_alive()?;
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest == note.noted() {
            return Ok(());
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.poison_on_error(self.origin.guard(|| self.adapter.sync()))?;
        self.poison_on_error(note.write(newest).map_err(|error| self.origin.error(Fault::Io(error))))
    }

    pub(super) fn snapshot(&self) -> Result<View, StoreError> {
        self.check_alive()?;
        let reader = self.origin.guard(|| self.adapter.snapshot())?;
        Ok(View { origin: self.origin.clone(), reader: reader.into() })
    }

    /// What is written, durable or not.
    pub(super) fn newest_state(&self) -> &View {
        &self.live
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// A batch as rows: sorted, each key once with its last change, values with their check.
    fn rows(&self, batch: Batch) -> Result<Vec<Row>, StoreError> {
        let mut rows: Vec<Row> = Vec::with_capacity(batch.changes().len() + 1);
        for change in batch.into_changes() {
            let (space, key, value) = match change {
                Change::Put { space, key, value } => (space, key, Some(value)),
                Change::Delete { space, key } => (space, key, None),
            };
            if key.len() > KEY_BYTES_MAX {
                let what = format!("a key of {} bytes; {KEY_BYTES_MAX} is the most", key.len());
                return Err(self.origin.error(Fault::Other(what)));
            }
            let address = address(space, &key);
            let value = value.map(|mut value| {
                check::append(&address, &mut value);
                value
            });
            rows.push((address, value));
        }
        // Stable and from the back, so that the change that stays is the last.
        rows.reverse();
        rows.sort_by(|left, right| left.0.cmp(&right.0));
        rows.dedup_by(|later, kept| later.0 == kept.0);
        Ok(rows)
    }

    fn check_alive(&self) -> Result<(), StoreError> {
        match self.poisoned.load(Ordering::Acquire) {
            true => Err(StoreError::Poisoned),
            false => Ok(()),
        }
    }

    fn poison_on_error<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        result
    }
}

/// A space's first byte on disk. These never change.
fn tag(space: Space) -> u8 {
    match space {
        Space::Meta => 1,
        Space::State => 2,
        Space::Runtime => 3,
        Space::Blocks => 4,
        Space::Stale => 5,
        Space::References => 6,
        Space::Inputs => 7,
    }
}

fn address(space: Space, key: &[u8]) -> Vec<u8> {
    let mut address = Vec::with_capacity(key.len() + 1);
    address.push(tag(space));
    address.extend(key);
    address
}

/// One instant, or what is newest, read through the checks.
pub(super) struct View {
    origin: Origin,
    reader: Arc<dyn Read>,
}

impl Reader for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let address = address(space, key);
        let Some(mut stored) = self.origin.guard(|| self.reader.get(&address))? else { return Ok(None) };
        let Some(value) = check::strip(&address, &stored) else {
            return Err(self.origin.flipped(space, key));
        };
        let bytes = value.len();
        stored.truncate(bytes);
        Ok(Some(stored))
    }

    fn has(&self, space: Space, key: &[u8]) -> Result<bool, StoreError> {
        self.origin.guard(|| self.reader.has(&address(space, key)))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let mut flipped = None;
        self.origin.guard(|| {
            self.reader.scan(&address(space, prefix), &mut |address, stored| {
                let key = address.get(1..).unwrap_or_default();
                match check::strip(address, stored) {
                    Some(value) => visit(key, value),
                    None => {
                        flipped = Some(self.origin.flipped(space, key));
                        false
                    }
                }
            })
        })?;
        flipped.map_or(Ok(()), Err)
    }
}

impl Origin {
    /// Runs a library's code. Its panic is an error like any other; what it left half done is not used again,
    /// because whoever writes is poisoned by the error, and whoever opens gives up.
    pub(super) fn guard<T>(&self, run: impl FnOnce() -> Result<T, Fault>) -> Result<T, StoreError> {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result.map_err(|fault| self.error(fault)),
            Err(panic) => {
                let message = panic.downcast_ref::<String>().map(String::as_str);
                let message =
                    message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                Err(self.damaged(format!("the {} library gave up on it: {message}", self.backend)))
            }
        }
    }

    pub(super) fn error(&self, fault: Fault) -> StoreError {
        let place = self.place.clone();
        match fault {
            Fault::Io(source) => StoreError::Io { place, source },
            Fault::Damaged(what) => StoreError::Damaged { place, what },
            Fault::Other(what) => StoreError::Backend { backend: self.backend, place, what },
        }
    }

    pub(super) fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { place: self.place.clone(), what }
    }

    fn flipped(&self, space: Space, key: &[u8]) -> StoreError {
        self.damaged(format!("the value under {key:02x?} in {} is not what was written", space.name()))
    }
}

#[cfg(test)]
mod tests;
