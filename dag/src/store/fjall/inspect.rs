//! Looks at fjall's folder before the library does.
//!
//! fjall 3 deletes a tree without its manifest, makes a new journal for a missing one and does not verify a manifest
//! although the sum lies beside it. Here each of these is damage, and nothing is touched. Of a table only the
//! contents are read here: the library verifies every block when it reads it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::archive::Archive;
use super::journal::{self, Entry, Tail};
use crate::store::adapter::Fault;

/// The library's own tree, and ours.
const TREES: [&str; 2] = ["0", "1"];

/// What a folder holds that may be opened.
pub(super) struct Inspected {
    /// Batches in the journals, oldest first.
    pub(super) entries: Vec<Entry>,
    /// What must be cut off the newest journal: a batch that was never made durable and is not whole.
    pub(super) cut: Option<Cut>,
}

/// The end of a journal that is to go.
pub(super) struct Cut {
    path: PathBuf,
    at: u64,
}

/// Reads the folder, in which batch `noted` and those before it should be.
pub(super) fn inspect(folder: &Path, noted: u64) -> Result<Inspected, Fault> {
    exists(&folder.join("version"))?;
    for tree in TREES {
        manifest(&folder.join("keyspaces").join(tree))?;
    }
    let journals = super::journals(folder)?;
    let Some(newest) = journals.last() else {
        return Err(Fault::Damaged("there is no journal".to_owned()));
    };
    let (mut entries, mut cut) = (Vec::new(), None);
    for number in &journals {
        let path = super::path(folder, *number);
        let journal = journal::read(&path)?;
        entries.extend(journal.entries);
        // In an older journal the end is no matter: the next batch must follow its last whole one.
        if number == newest && journal.tail == Tail::Torn {
            cut = Some(Cut { path, at: journal.end });
        }
    }
    journal::check(&entries)?;
    if let Some(last) = entries.last().map(|entry| entry.link.seal.number).filter(|last| *last < noted) {
        let what = format!("its journal ends with batch {last}, but batch {noted} was made durable");
        return Err(Fault::Damaged(what));
    }
    Ok(Inspected { entries, cut })
}

impl Cut {
    /// Cuts. Unless that is kept, the journal becomes what it was.
    pub(super) fn make(&self) -> io::Result<Undo> {
        let undo = Undo { path: self.path.clone(), bytes: Some(fs::read(&self.path)?) };
        let file = fs::OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(self.at)?;
        file.sync_all()?;
        Ok(undo)
    }
}

/// A journal as it was before the cut; written back when dropped, also when the library panics.
pub(super) struct Undo {
    path: PathBuf,
    bytes: Option<Vec<u8>>,
}

impl Undo {
    pub(super) fn keep_the_cut(mut self) {
        self.bytes = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            // The open has failed already, and says so.
            let _ = fs::write(&self.path, bytes);
        }
    }
}

/// `current` names the manifest and its sum: id u64, xxh3-128, kind of sum 0; little-endian.
fn manifest(tree: &Path) -> Result<(), Fault> {
    let current = file(&tree.join("current"))?;
    let named =
        current.split_first_chunk::<8>().zip(current.get(8..24)).filter(|_| current.get(24..) == Some(&[0]));
    let Some(((id, _), sum)) = named else {
        return Err(Fault::Damaged("a manifest's name is not readable".to_owned()));
    };
    let path = tree.join(format!("v{}", u64::from_le_bytes(*id)));
    let damaged = |path: &Path| Fault::Damaged(format!("{} is not what was written", path.display()));
    if xxh3_128(&file(&path)?).to_le_bytes() != sum {
        return Err(damaged(&path));
    }
    let tables = Archive::open(&path)?.map(|manifest| manifest.section(b"tables")).transpose()?.flatten();
    for id in tables.as_deref().and_then(ids).ok_or_else(|| damaged(&path))? {
        let path = tree.join("tables").join(id.to_string());
        exists(&path)?;
        if Archive::open(&path)?.is_none() {
            return Err(damaged(&path));
        }
    }
    Ok(())
}

/// The tables that a manifest lists: levels u8, in each runs u8, in each tables u32, each of them id u64, kind of sum
/// u8, sum u128, seqno u64.
fn ids(section: &[u8]) -> Option<Vec<u64>> {
    let mut rest = section;
    let mut take = |bytes: usize| {
        let (taken, after) = rest.split_at_checked(bytes)?;
        rest = after;
        Some(taken)
    };
    let mut ids = Vec::new();
    for _ in 0..take(1)?[0] {
        for _ in 0..take(1)?[0] {
            for _ in 0..u32::from_le_bytes(take(4)?.try_into().ok()?) {
                ids.push(u64::from_le_bytes(take(8)?.try_into().ok()?));
                take(1 + 16 + 8)?;
            }
        }
    }
    Some(ids)
}

fn file(path: &Path) -> Result<Vec<u8>, Fault> {
    exists(path)?;
    Ok(fs::read(path)?)
}

fn exists(path: &Path) -> Result<(), Fault> {
    match path.try_exists()? {
        true => Ok(()),
        false => Err(Fault::Damaged(format!("{} is missing", path.display()))),
    }
}
