//! The adapter for sled 0.34, behind the feature `sled`: a log in segments, and large pages as files of their own.
//!
//! 1. The library syncs its log with `sync_file_range`, which brings nothing to a disk's own cache, and large pages not
//!    at all. `sync` lets it write what it has, and then syncs the log, what is new beside it, and the folders.
//! 2. It has no snapshots: one is a copy of all rows in memory. A scan of what is newest is one of an instant for 64 rows
//!    at a time.
//! 3. It verifies what it reads of its log, but leaves out what it cannot read. So every batch carries a sum over all
//!    rows, and opening compares it with the rows that are there: it takes time with the size of the store.
//! 4. Opening cuts the log where it finds it damaged. So a copy is opened first, and the folder only if that is right.
//! 5. A power cut between a write and its sync may leave a log that names a large page whose file is not there. The
//!    library leaves such a page out, so the folder is refused (docs/decisions/0002).
//! 6. It does not survive a full disk: see [`library`]. So a batch that the disk may have no room for is refused before
//!    the library learns of it.

mod files;
mod library;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use self::library::{Library, Open};
use super::adapter::{Adapter, Fault, Read, Row};
use super::seal::Seal;

/// Beside the keys of spaces and seals, which begin with less.
const SUM: &[u8] = &[255];
/// Rows that a scan reads at once.
const CHUNK_ROWS: usize = 64;
/// Where a copy is opened first, beside the folder.
const PROBE: &str = "sled.probe";

pub(super) struct Sled {
    library: Library,
    folder: PathBuf,
    room: Room,
    /// Files that no sync need look at again.
    synced: Mutex<BTreeSet<PathBuf>>,
}

/// What must be free on the disk before the library is asked to write.
#[derive(Clone, Copy)]
struct Room {
    /// In any case: several segments of the log, one of which a sync may begin.
    least_bytes: u64,
    /// For each byte of a batch, which the library writes again with the page it belongs to.
    bytes_per_byte: u64,
}

const ROOM: Room = Room { least_bytes: 4 << 20, bytes_per_byte: 6 };

impl Room {
    fn for_batch(self, folder: &Path, bytes: u64) -> Result<(), Fault> {
        demand(folder, self.least_bytes.saturating_add(self.bytes_per_byte.saturating_mul(bytes)))
    }

    /// Its batches found room, but others write to the disk as well.
    fn for_sync(self, folder: &Path) -> Result<(), Fault> {
        demand(folder, self.least_bytes / 4)
    }
}

fn demand(folder: &Path, bytes: u64) -> Result<(), Fault> {
    match files::free_bytes(folder)? < bytes {
        true => Err(std::io::Error::from(rustix::io::Errno::NOSPC).into()),
        false => Ok(()),
    }
}

impl Sled {
    /// Fills an empty folder.
    pub(super) fn create(folder: &Path) -> Result<Self, Fault> {
        let created = Self::start(folder, ROOM)?;
        created.sync()?;
        Ok(created)
    }

    /// Opens a folder that should hold batch `noted` and those before it. Touches nothing if it does not.
    pub(super) fn open(folder: &Path, noted: u64) -> Result<Self, Fault> {
        let probe = folder.with_file_name(PROBE);
        files::remove(&probe)?;
        ROOM.for_batch(folder, 0)?;
        let copied = files::copy(folder, &probe).map_err(Fault::from);
        let checked = copied.and_then(|()| Self::start(&probe, ROOM)?.check(noted));
        files::remove(&probe)?;
        checked?;
        Self::start(folder, ROOM)
    }

    fn start(folder: &Path, room: Room) -> Result<Self, Fault> {
        room.for_batch(folder, 0)?;
        let library = Library::start(folder)?;
        Ok(Sled { library, folder: folder.to_owned(), room, synced: Mutex::default() })
    }

    fn check(self, noted: u64) -> Result<(), Fault> {
        self.library.enter(|open| {
            let mut sum = 0;
            for row in &open.rows {
                let (key, value) = row?;
                if key != SUM {
                    sum ^= sum_of(&key, &value);
                }
            }
            match sum == sum_over_all(open)? {
                true => Ok(()),
                false => Err(Fault::Damaged("its rows are not those that were written".to_owned())),
            }
        })?;
        let newest = Seal::newest(|key| self.get(key))?.number;
        if newest < noted {
            let what = format!("it ends with batch {newest}, but batch {noted} was made durable");
            return Err(Fault::Damaged(what));
        }
        Ok(())
    }
}

fn sum_of(key: &[u8], value: &[u8]) -> u128 {
    xxh3_128_with_seed(value, xxh3_64(key))
}

/// The sum that the newest batch carries.
fn sum_over_all(open: &Open) -> Result<u128, Fault> {
    let Some(sum) = open.rows.get(SUM)? else { return Ok(0) };
    let sum = sum.as_ref().try_into().map(u128::from_le_bytes);
    sum.map_err(|_| Fault::Damaged("the sum over its rows has not 16 bytes".to_owned()))
}

impl Adapter for Sled {
    fn write(&self, rows: Vec<Row>) -> Result<(), Fault> {
        let bytes = rows.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
        self.room.for_batch(&self.folder, bytes.sum::<usize>() as u64)?;
        self.library.enter(|open| {
            let (mut sum, mut batch) = (sum_over_all(open)?, ::sled::Batch::default());
            for (key, value) in rows {
                if let Some(before) = open.rows.get(&key)? {
                    sum ^= sum_of(&key, &before);
                }
                match value {
                    Some(value) => {
                        sum ^= sum_of(&key, &value);
                        batch.insert(key, value);
                    }
                    None => batch.remove(key),
                }
            }
            batch.insert(SUM, &sum.to_le_bytes());
            Ok(open.rows.apply_batch(batch)?)
        })
    }

    fn sync(&self) -> Result<(), Fault> {
        self.room.for_sync(&self.folder)?;
        self.library.enter(|open| Ok(open.database.flush()?))?;
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(files::sync(&self.folder, &mut synced)?)
    }

    fn snapshot(&self) -> Result<Box<dyn Read>, Fault> {
        self.library.enter(|open| {
            let rows = open.rows.iter().map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())));
            Ok(Box::new(Copied(rows.collect::<Result<_, _>>()?)) as Box<dyn Read>)
        })
    }
}

impl Read for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.library.enter(|open| Ok(open.rows.get(key)?.map(|value| value.to_vec())))
    }

    /// In chunks, so that whoever visits may read and write.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
        let mut from = Bound::Included(prefix.to_vec());
        loop {
            let chunk = self.chunk(prefix, from)?;
            let Some((last, _)) = chunk.last() else { return Ok(()) };
            from = Bound::Excluded(last.to_vec());
            for (key, value) in &chunk {
                if !visit(key, value) {
                    return Ok(());
                }
            }
        }
    }
}

type Chunk = Vec<(::sled::IVec, ::sled::IVec)>;

impl Sled {
    fn chunk(&self, prefix: &[u8], from: Bound<Vec<u8>>) -> Result<Chunk, Fault> {
        self.library.enter(|open| {
            let rows = open.rows.range::<Vec<u8>, _>((from, Bound::Unbounded)).take(CHUNK_ROWS);
            let within = rows.take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)));
            Ok(within.collect::<Result<_, _>>()?)
        })
    }
}

/// One instant.
struct Copied(BTreeMap<Vec<u8>, Vec<u8>>);

impl Read for Copied {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
        for (key, value) in self.0.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded)) {
            if !key.starts_with(prefix) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
