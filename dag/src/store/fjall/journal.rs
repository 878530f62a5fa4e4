//! Reads fjall's journals without the library, before it may touch them.
//!
//! fjall 3 cuts a journal off where it stops making sense, and refuses one whose last batch is complete but wrong.
//! Either is right or fatal depending on what had been made durable, which only the seal knows. So the journals are
//! read first, and each batch must be whole, sealed, and follow the one before.
//!
//! The layout (fjall 3, `journal/entry.rs`; integers little-endian):
//! ```text
//! batch   start item* end
//! start   1 | items: u32 | seqno: u64
//! item    2 | kind: u8 (0 value, 1 tombstone) | compression: u8 (0) | tree: u64 | key bytes: u16
//!           | value bytes: u32 | the same again: u32 | key | value
//! end     3 | xxh3-64 of the items: u64 | "FJL" 3
//! ```
//! After the last batch come zeros, or nothing.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::store::adapter::Fault;
use crate::store::seal::{Hasher, Link, Seal, TAG};

const BUFFER_BYTES: usize = 256 << 10;

/// A batch in a journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) seqno: u64,
    pub(super) link: Link,
}

/// What one journal holds.
pub(super) struct Journal {
    pub(super) entries: Vec<Entry>,
    /// Where the last whole batch ends, in bytes.
    pub(super) end: u64,
    pub(super) tail: Tail,
}

/// What comes after the last whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, or room.
    Empty,
    /// Something that is no whole batch.
    Torn,
}

/// Reads the whole batches of a journal, up to the first thing that is none.
pub(super) fn read(path: &Path) -> Result<Journal, Fault> {
    let file = File::open(path)?;
    let left = file.metadata()?.len();
    let mut reader = Reader { input: BufReader::with_capacity(BUFFER_BYTES, file), left };
    let (mut entries, mut end) = (Vec::new(), 0);
    let bytes = left;
    loop {
        let tail = match reader.batch() {
            Ok(Some(entry)) => {
                entries.push(entry);
                end = bytes - reader.left;
                continue;
            }
            Ok(None) => Tail::Empty,
            Err(Stop::Torn) => Tail::Torn,
            Err(Stop::Io(error)) => return Err(Fault::Io(error)),
        };
        return Ok(Journal { entries, end, tail });
    }
}

/// Whether each batch follows the one before, across all journals, in number and in the library's own order.
pub(super) fn check(entries: &[Entry]) -> Result<(), Fault> {
    for pair in entries.windows(2) {
        if !pair[1].link.follows(pair[0].link.seal) || pair[1].seqno <= pair[0].seqno {
            let number = pair[1].link.seal.number;
            return Err(Fault::Damaged(format!(
                "in the journal, batch {number} does not follow the one before it"
            )));
        }
    }
    Ok(())
}

/// Whether the journal goes on where the tables end: batches up to `seqno` lie in tables, the last of them `sealed`.
pub(super) fn check_joint(entries: &[Entry], seqno: Option<u64>, sealed: Seal) -> Result<(), Fault> {
    let damaged = |what: String| Err(Fault::Damaged(what));
    for entry in entries {
        let (number, is_in_tables) = (entry.link.seal.number, Some(entry.seqno) <= seqno);
        if is_in_tables != (number <= sealed.number) {
            return damaged(format!("the journal and the tables disagree about batch {number}"));
        }
        if number == sealed.number && entry.link.seal.hash != sealed.hash {
            return damaged(format!("the tables hold another batch {number} than the journal"));
        }
        if number == sealed.number + 1 && !entry.link.follows(sealed) {
            return damaged(format!("batch {number} in the journal does not follow the tables"));
        }
    }
    match entries.first() {
        Some(first) if first.link.seal.number > sealed.number + 1 => {
            let (from, to) = (sealed.number + 1, first.link.seal.number - 1);
            damaged(format!("batches {from} to {to} are neither in the journal nor in the tables"))
        }
        _ => Ok(()),
    }
}

enum Stop {
    Torn,
    Io(io::Error),
}

struct Reader {
    input: BufReader<File>,
    left: u64,
}

impl Reader {
    /// The next batch; `None` where the journal ends.
    fn batch(&mut self) -> Result<Option<Entry>, Stop> {
        if self.left == 0 {
            return Ok(None);
        }
        match self.array::<1>()? {
            [0] => return Ok(None),
            [1] => {}
            _ => return Err(Stop::Torn),
        }
        let items = u32::from_le_bytes(self.array()?);
        let seqno = u64::from_le_bytes(self.array()?);
        let (mut check, mut hasher, mut link) = (Xxh3::new(), Hasher::default(), None);
        for _ in 0..items {
            if link.is_some() {
                return Err(Stop::Torn);
            }
            let (key, value) = self.item(&mut check)?;
            match (key.first(), &value) {
                (Some(&TAG), Some(value)) => link = Some(Link::read(&key, value).map_err(|_| Stop::Torn)?),
                _ => hasher.row(&key, value.as_deref()),
            }
        }
        if self.array::<1>()? != [3] || u64::from_le_bytes(self.array()?) != check.digest() {
            return Err(Stop::Torn);
        }
        if self.array::<4>()? != *b"FJL\x03" {
            return Err(Stop::Torn);
        }
        match link {
            Some(link) if hasher.finish(link.before, link.seal.number) == link.seal.hash => {
                Ok(Some(Entry { seqno, link }))
            }
            _ => Err(Stop::Torn),
        }
    }

    fn item(&mut self, check: &mut Xxh3) -> Result<(Vec<u8>, Option<Vec<u8>>), Stop> {
        let head = self.array::<21>()?;
        check.update(&head);
        let [2, kind @ 0..=1, 0, .., v0, v1, v2, v3, w0, w1, w2, w3] = head else { return Err(Stop::Torn) };
        let value_bytes = u32::from_le_bytes([v0, v1, v2, v3]);
        if value_bytes != u32::from_le_bytes([w0, w1, w2, w3]) {
            return Err(Stop::Torn);
        }
        let key = self.bytes(u16::from_le_bytes([head[11], head[12]]).into())?;
        let value = self.bytes(value_bytes)?;
        check.update(&key);
        check.update(&value);
        Ok((key, (kind == 0).then_some(value)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: u32) -> Result<Vec<u8>, Stop> {
        if u64::from(length) > self.left {
            return Err(Stop::Torn);
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Stop> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(Stop::Torn)?;
        self.input.read_exact(bytes).map_err(Stop::Io)
    }
}
