//! A file that redb opens, repairs and checks without changing it, until [`Gate::release`].
//!
//! Blocks that the library writes before that lie in memory and are read back from there. If opening fails they are
//! dropped with the gate, and the file is as it was.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use ::redb::StorageBackend;

const BLOCK_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Gate {
    file: File,
    held: RwLock<Held>,
    released: OnceLock<()>,
}

/// The gate as the library knows it.
#[derive(Debug)]
pub(super) struct Gated(pub(super) Arc<Gate>);

#[derive(Debug, Default)]
struct Held {
    blocks: BTreeMap<u64, Vec<u8>>,
    length: u64,
}

impl Gate {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Self::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?)
    }

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::new(OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn new(file: File) -> io::Result<Self> {
        let held = Held { length: file.metadata()?.len(), ..Held::default() };
        Ok(Gate { file, held: RwLock::new(held), released: OnceLock::new() })
    }

    /// Lets everything through, what was held first.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        self.file.set_len(held.length)?;
        for (index, block) in std::mem::take(&mut held.blocks) {
            let start = index * BLOCK_BYTES as u64;
            let bytes = held.length.saturating_sub(start).min(BLOCK_BYTES as u64) as usize;
            self.file.write_all_at(&block[..bytes], start)?;
        }
        self.file.sync_data()?;
        self.released.get_or_init(|| ());
        Ok(())
    }

    fn is_released(&self) -> bool {
        self.released.get().is_some()
    }

    fn read_block(&self, held: &Held, index: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = held.blocks.get(&index) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.file.read_at(&mut block[filled..], index * BLOCK_BYTES as u64 + filled as u64)? {
                0 => break,
                bytes => filled += bytes,
            }
        }
        Ok(block)
    }
}

/// The blocks that a range touches: index, where in the block, where in the range.
fn blocks(offset: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let start = (at % BLOCK_BYTES as u64) as usize;
        let bytes = (BLOCK_BYTES - start).min(length - done);
        let block = (at / BLOCK_BYTES as u64, start..start + bytes, done);
        done += bytes;
        (bytes > 0).then_some(block)
    })
}

impl StorageBackend for Gated {
    fn len(&self) -> io::Result<u64> {
        match self.0.is_released() {
            true => Ok(self.0.file.metadata()?.len()),
            false => Ok(self.0.held.read().unwrap_or_else(PoisonError::into_inner).length),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.is_released() {
            return self.0.file.read_exact_at(out, offset);
        }
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > held.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (index, within, at) in blocks(offset, out.len()) {
            out[at..at + within.len()].copy_from_slice(&self.0.read_block(&held, index)?[within]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if self.0.is_released() {
            return self.0.file.set_len(length);
        }
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        if length < held.length {
            // What is cut off must read as zeros should the file grow again.
            let whole = length.div_ceil(BLOCK_BYTES as u64);
            for index in length / BLOCK_BYTES as u64..held.length.div_ceil(BLOCK_BYTES as u64) {
                let mut block = self.0.read_block(&held, index)?;
                let kept = if index < whole { (length % BLOCK_BYTES as u64) as usize } else { 0 };
                block[kept..].fill(0);
                held.blocks.insert(index, block);
            }
        }
        held.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.0.is_released() {
            true => self.0.file.sync_data(),
            false => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.0.is_released() {
            return self.0.file.write_all_at(data, offset);
        }
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        for (index, within, at) in blocks(offset, data.len()) {
            let mut block = self.0.read_block(&held, index)?;
            block[within.clone()].copy_from_slice(&data[at..at + within.len()]);
            held.blocks.insert(index, block);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_read_back_and_reaches_the_file_on_release_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        let gate = Arc::new(Gate::open(&path).unwrap());
        let gated = Gated(Arc::clone(&gate));
        let mut expected = vec![7; 10_000];
        for (offset, length, byte) in [(0, 3, 1), (4090, 20, 2), (9000, 1000, 3), (8192, 4, 4)] {
            gated.write(offset, &vec![byte; length]).unwrap();
            expected[offset as usize..offset as usize + length].fill(byte);
        }
        for length in [6000, 13_000, 4096, 4097, 9000] {
            gated.set_len(length as u64).unwrap();
            expected.resize(length, 0);
            assert_eq!(gated.len().unwrap(), length as u64);
            let mut read = vec![0; length];
            gated.read(0, &mut read).unwrap();
            assert_eq!(read, expected, "at length {length}");
        }
        assert!(gated.read(8999, &mut [0; 2]).is_err(), "beyond the end");
        assert!(gated.read(u64::MAX, &mut [0; 2]).is_err());
        gated.sync_data().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; 10_000], "held");
        gate.release().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected, "released");
        gated.write(2, b"through").unwrap();
        assert_eq!(&std::fs::read(&path).unwrap()[2..9], b"through");
    }
}
