//! The adapter for fjall 3: one log-structured tree behind a journal.
//!
//! 1. A batch is one journal entry; `write` hands it to memory only, `sync` brings the journal to the disk.
//! 2. `sync` flushes under the library's lock but waits for the disk outside it, through a descriptor of its own, so
//!    that writes go on meanwhile. A journal that the library has left behind was synced before it was left.
//! 3. There is one tree for all spaces: creating a tree costs a dozen syncs.

mod archive;
mod inspect;
mod journal;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ::fjall::{
    AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot,
};

use super::adapter::{Adapter, Fault, Read, Row};
use super::seal::Seal;

/// Bytes that stay in memory, and in the journal, before they move to a file of their own.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Bytes of all journals before the library hurries to move batches into tables; bounds what opening reads.
const JOURNALS_BYTES_MAX: u64 = 128 << 20;
const TREE: &str = "rows";

pub(super) struct Fjall {
    tree: Keyspace,
    database: Database,
    journal: Mutex<Journal>,
}

/// The journal that is being written.
struct Journal {
    folder: PathBuf,
    number: u64,
    file: File,
}

impl Fjall {
    /// Fills an empty folder.
    pub(super) fn create(folder: &Path) -> Result<Self, Fault> {
        Self::start(folder)
    }

    fn start(folder: &Path) -> Result<Self, Fault> {
        let database = Database::builder(folder)
            .manual_journal_persist(true)
            .worker_threads(1)
            .max_journaling_size(JOURNALS_BYTES_MAX)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let tree = database.keyspace(TREE, options)?;
        let journal = Mutex::new(Journal::newest(folder)?);
        Ok(Fjall { tree, database, journal })
    }

    /// Opens a folder that should hold batch `noted` and those before it. Touches nothing if it does not.
    pub(super) fn open(folder: &Path, noted: u64) -> Result<Self, Fault> {
        let inspected = inspect::inspect(folder, noted)?;
        // Declared first, dropped last: when the library has let go of its files.
        let undo = inspected.cut.map(|cut| cut.make()).transpose()?;
        let opened = Self::start(folder)?;
        let newest = opened.check_joint(&inspected.entries)?;
        if newest < noted {
            let what = format!("it ends with batch {newest}, but batch {noted} was made durable");
            return Err(Fault::Damaged(what));
        }
        if let Some(undo) = undo {
            undo.keep_the_cut();
        }
        Ok(opened)
    }

    /// Compares the journal with the tables and gives the newest batch. A worker may move batches into tables
    /// meanwhile; then it looks again.
    fn check_joint(&self, entries: &[journal::Entry]) -> Result<u64, Fault> {
        loop {
            let seqno = self.tree.tree.get_highest_persisted_seqno();
            let sealed = match seqno {
                Some(seqno) => Seal::newest(|key| {
                    let value = self.tree.tree.get(key, seqno + 1).map_err(::fjall::Error::from)?;
                    Ok(value.map(|value| value.to_vec()))
                })?,
                None => Seal::default(),
            };
            if self.tree.tree.get_highest_persisted_seqno() == seqno {
                journal::check_joint(entries, seqno, sealed)?;
                return Ok(entries.last().map_or(sealed.number, |entry| entry.link.seal.number));
            }
        }
    }
}

impl Journal {
    fn newest(folder: &Path) -> Result<Self, Fault> {
        let newest = journals(folder)?.pop();
        let number = newest.ok_or_else(|| Fault::Damaged("there is no journal".to_owned()))?;
        Ok(Journal { file: File::open(path(folder, number))?, folder: folder.to_owned(), number })
    }

    /// Moves on if the library has: it numbers its journals one after the other.
    fn follow(&mut self) -> Result<(), Fault> {
        while path(&self.folder, self.number + 1).try_exists()? {
            self.number += 1;
            self.file = File::open(path(&self.folder, self.number))?;
        }
        Ok(())
    }
}

/// The numbers of the journals, oldest first.
fn journals(folder: &Path) -> Result<Vec<u64>, Fault> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".jnl")?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.jnl"))
}

impl Adapter for Fjall {
    fn write(&self, rows: Vec<Row>) -> Result<(), Fault> {
        let mut batch = self.database.batch();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(&self.tree, key, value),
                None => batch.remove(&self.tree, key),
            }
        }
        Ok(batch.commit()?)
    }

    fn sync(&self) -> Result<(), Fault> {
        self.database.persist(PersistMode::Buffer)?;
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.follow()?;
        Ok(journal.file.sync_data()?)
    }

    fn snapshot(&self) -> Result<Box<dyn Read>, Fault> {
        Ok(Box::new(View { snapshot: self.database.snapshot(), tree: self.tree.clone() }))
    }
}

/// One instant. The live store reads through one as well, so that it never sees half a batch.
struct View {
    snapshot: Snapshot,
    tree: Keyspace,
}

impl Read for View {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        get(&self.snapshot, &self.tree, key)
    }

    fn has(&self, key: &[u8]) -> Result<bool, Fault> {
        Ok(self.snapshot.contains_key(&self.tree, key)?)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
        scan(&self.snapshot, &self.tree, prefix, visit)
    }
}

impl Read for Fjall {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        get(&self.database.snapshot(), &self.tree, key)
    }

    fn has(&self, key: &[u8]) -> Result<bool, Fault> {
        Ok(self.database.snapshot().contains_key(&self.tree, key)?)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
        scan(&self.database.snapshot(), &self.tree, prefix, visit)
    }
}

fn get(snapshot: &Snapshot, tree: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    Ok(snapshot.get(tree, key)?.map(|value| value.to_vec()))
}

fn scan(
    snapshot: &Snapshot,
    tree: &Keyspace,
    prefix: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), Fault> {
    for entry in snapshot.prefix(tree, prefix) {
        let (key, value) = entry.into_inner()?;
        if !visit(&key, &value) {
            break;
        }
    }
    Ok(())
}

impl From<::fjall::Error> for Fault {
    fn from(error: ::fjall::Error) -> Self {
        use ::fjall::{Error, LsmError};
        match error {
            Error::Io(error) | Error::Storage(LsmError::Io(error)) => match error.kind() {
                // The library reads files of known layout: an end that comes too early, or content that is refused,
                // is damage and no failure of the disk.
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => {
                    Fault::Damaged(error.to_string())
                }
                _ => Fault::Io(error),
            },
            Error::Poisoned | Error::Locked | Error::KeyspaceDeleted => Fault::Other(error.to_string()),
            damage => Fault::Damaged(damage.to_string()),
        }
    }
}
