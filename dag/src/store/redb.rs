//! The adapter for redb 4: one copy-on-write tree in one file.
//!
//! 1. `write` commits without durability, `sync` commits nothing with it, which makes the ones before durable. The
//!    library runs one writing transaction at a time, so a write waits for a sync under way.
//! 2. Opening verifies every page, because reading verifies none: it takes time with the size of the file.
//! 3. What the library changes in the file while it opens is [held](gate) until the seal has been found right.

mod gate;

use std::path::Path;
use std::sync::Arc;

use ::redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase as _, TableDefinition, TableError,
};

use self::gate::{Gate, Gated};
use super::adapter::{Adapter, Fault, Read, Row};
use super::seal::Seal;

const FILE: &str = "rows.redb";
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const CACHE_BYTES: usize = 64 << 20;

pub(super) struct Redb {
    database: Database,
}

impl Redb {
    /// Fills an empty folder.
    pub(super) fn create(folder: &Path) -> Result<Self, Fault> {
        let gate = Arc::new(Gate::create(&folder.join(FILE))?);
        let database = builder().create_with_backend(Gated(Arc::clone(&gate))).map_err(fault)?;
        gate.release()?;
        let transaction = database.begin_write().map_err(fault)?;
        transaction.open_table(ROWS).map_err(fault)?;
        transaction.commit().map_err(fault)?;
        Ok(Redb { database })
    }

    /// Opens a folder that should hold batch `noted` and those before it. Touches nothing if it does not.
    pub(super) fn open(folder: &Path, noted: u64) -> Result<Self, Fault> {
        let path = folder.join(FILE);
        if !path.try_exists()? {
            return Err(Fault::Damaged(format!("{} is missing", path.display())));
        }
        let gate = Arc::new(Gate::open(&path)?);
        let database = builder().create_with_backend(Gated(Arc::clone(&gate))).map_err(fault)?;
        let opened = Redb { database };
        let newest = Seal::newest(|key| opened.get(key))?.number;
        if newest < noted {
            let what = format!("it ends with batch {newest}, but batch {noted} was made durable");
            return Err(Fault::Damaged(what));
        }
        gate.release()?;
        Ok(opened)
    }

    fn view(&self) -> Result<View, Fault> {
        let transaction = self.database.begin_read().map_err(fault)?;
        match transaction.open_table(ROWS) {
            Ok(rows) => Ok(View { rows }),
            Err(TableError::TableDoesNotExist(_)) => Err(Fault::Damaged("its table is missing".to_owned())),
            Err(error) => Err(fault(error)),
        }
    }

    fn commit(&self, durability: Durability, rows: Vec<Row>) -> Result<(), Fault> {
        let mut transaction = self.database.begin_write().map_err(fault)?;
        transaction.set_durability(durability).map_err(fault)?;
        if !rows.is_empty() {
            let mut table = transaction.open_table(ROWS).map_err(fault)?;
            for (key, value) in rows {
                match value {
                    Some(value) => drop(table.insert(&*key, &*value).map_err(fault)?),
                    None => drop(table.remove(&*key).map_err(fault)?),
                }
            }
        }
        transaction.commit().map_err(fault)
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

impl Adapter for Redb {
    fn write(&self, rows: Vec<Row>) -> Result<(), Fault> {
        self.commit(Durability::None, rows)
    }

    fn sync(&self) -> Result<(), Fault> {
        self.commit(Durability::Immediate, Vec::new())
    }

    fn snapshot(&self) -> Result<Box<dyn Read>, Fault> {
        Ok(Box::new(self.view()?))
    }
}

/// One instant.
struct View {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Read for View {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.rows.get(key).map_err(fault)?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
        for entry in self.rows.range(prefix..).map_err(fault)? {
            let (key, value) = entry.map_err(fault)?;
            if !key.value().starts_with(prefix) || !visit(key.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }
}

impl Read for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.view()?.get(key)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
        self.view()?.scan(prefix, visit)
    }
}

fn fault(error: impl Into<::redb::Error>) -> Fault {
    use ::redb::Error;
    match error.into() {
        Error::Io(error) => match error.kind() {
            // The library reads a file of known layout; an early end is damage and no failure of the disk.
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => {
                Fault::Damaged(error.to_string())
            }
            _ => Fault::Io(error),
        },
        Error::Corrupted(what) => Fault::Damaged(what),
        other => Fault::Other(other.to_string()),
    }
}
