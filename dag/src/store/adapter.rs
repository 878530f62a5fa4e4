//! What [`DiskStore`](super::DiskStore) asks of a library: one ordered map of bytes to bytes, on disk.
//!
//! An adapter translates and nothing more: spaces, the seal and the checks on values are ordinary keys and values to
//! it. It may panic on damage (libraries do); whoever calls it catches that.

/// A change: `None` removes the key. Each key comes once in a batch, in byte order.
pub(super) type Row = (Vec<u8>, Option<Vec<u8>>);

pub(super) trait Read: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    fn has(&self, key: &[u8]) -> Result<bool, Fault> {
        Ok(self.get(key)?.is_some())
    }

    /// Visits the keys that start with `prefix`, in byte order, until `visit` returns `false`.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault>;
}

pub(super) trait Adapter: Read {
    /// Applies all rows or none.
    fn write(&self, rows: Vec<Row>) -> Result<(), Fault>;

    /// Makes every batch written before the call durable. May run beside `write` and the reads.
    fn sync(&self) -> Result<(), Fault>;

    fn snapshot(&self) -> Result<Box<dyn Read>, Fault>;
}

/// What went wrong below, before it has a place and a name.
#[derive(Debug)]
pub(super) enum Fault {
    Io(std::io::Error),
    Damaged(String),
    Other(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Fault::Io(error)
    }
}
