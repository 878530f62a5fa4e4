//! The note: a small file that says which batch was the newest when a sync last succeeded.
//!
//! It lies outside the library's files, so that a library that loses batches cannot lose the note with them. Two
//! slots take turns, so a torn write spoils one and leaves the other. The note is not synced itself: it is written
//! after the batch is safe, survives the death of the process, and may be older than the truth after a power cut,
//! never newer.
//!
//! A slot is 48 bytes, at offset 0 and 4096, so that they share no sector:
//! ```text
//! 0                   8        16       24                40      48
//! | magic "EVTNOTE\1" | turn   | number | hash            | check |   little-endian; check: xxh3-64 of the rest
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::seal::Seal;

const MAGIC: [u8; 8] = *b"EVTNOTE\x01";
const SLOT_BYTES: usize = 48;
const SLOTS_APART_BYTES: u64 = 4096;

#[derive(Debug)]
pub(super) struct Note {
    file: File,
    turn: u64,
    noted: Seal,
}

impl Note {
    /// Makes the file, with both slots at the place before the first batch, durable but for its folder's entry.
    pub(super) fn create(path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let mut note = Note { file, turn: 0, noted: Seal::default() };
        note.write(Seal::default())?;
        note.write(Seal::default())?;
        note.file.sync_all()
    }

    /// Opens the file; `None` if neither slot is readable.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let slots = [read(&file, 0)?, read(&file, 1)?];
        let newest = slots.into_iter().flatten().max_by_key(|(turn, _)| *turn);
        Ok(newest.map(|(turn, noted)| Note { file, turn, noted }))
    }

    /// The newest batch that is known to be durable.
    pub(super) fn noted(&self) -> Seal {
        self.noted
    }

    pub(super) fn write(&mut self, seal: Seal) -> io::Result<()> {
        let turn = self.turn + 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&MAGIC);
        slot[8..16].copy_from_slice(&turn.to_le_bytes());
        slot[16..24].copy_from_slice(&seal.number.to_le_bytes());
        slot[24..40].copy_from_slice(&seal.hash.to_le_bytes());
        let check = xxh3_64(&slot[..40]);
        slot[40..].copy_from_slice(&check.to_le_bytes());
        self.file.write_all_at(&slot, (turn % 2) * SLOTS_APART_BYTES)?;
        (self.turn, self.noted) = (turn, seal);
        Ok(())
    }
}

fn read(file: &File, slot: u64) -> io::Result<Option<(u64, Seal)>> {
    let mut bytes = [0; SLOT_BYTES];
    match file.read_exact_at(&mut bytes, slot * SLOTS_APART_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(number)
    };
    let (turn, check) = (number(8), number(40));
    if bytes[..8] != MAGIC || check != xxh3_64(&bytes[..40]) || turn % 2 != slot {
        return Ok(None);
    }
    let hash = u128::from(number(24)) | u128::from(number(32)) << 64;
    Ok(Some((turn, Seal { number: number(16), hash })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(number: u64) -> Seal {
        Seal { number, hash: u128::from(number) << 70 | 5 }
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        Note::create(&path).unwrap();
        let mut note = Note::open(&path).unwrap().unwrap();
        assert_eq!(note.noted(), Seal::default());
        for number in 1..6 {
            note.write(seal(number)).unwrap();
            assert_eq!(Note::open(&path).unwrap().unwrap().noted(), seal(number));
        }
        let whole = std::fs::read(&path).unwrap();
        for bit in (0..SLOT_BYTES * 8).chain(4096 * 8..(4096 + SLOT_BYTES) * 8) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            let noted = Note::open(&path).unwrap().unwrap().noted();
            assert_eq!(noted, seal(if bit < 4096 { 5 } else { 4 }), "bit {bit}");
        }
    }

    #[test]
    fn nothing_readable_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        assert_eq!(Note::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        for content in [&b""[..], b"short", &[0; 9000]] {
            std::fs::write(&path, content).unwrap();
            assert!(Note::open(&path).unwrap().is_none());
        }
    }
}
