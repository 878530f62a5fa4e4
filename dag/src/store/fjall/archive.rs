//! Reads the table of contents of the archives that fjall keeps manifests and tables in.
//!
//! The library believes the number of entries before it has compared the sum, and asks for memory accordingly; a
//! flipped bit there would end the process. Read here first, a wrong one is damage.
//!
//! The layout (sfa 1; integers little-endian):
//! ```text
//! | sections | contents | trailer: 38 bytes |
//! contents  "TOC!" | entries: u32 | (at: u64 | bytes: u64 | name bytes: u16 | name)*
//! trailer   "SFA!" | 1 | kind of sum: 0 | xxh3-128 of the contents | contents at: u64 | contents bytes: u64
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::store::adapter::Fault;

const TRAILER_BYTES: u64 = 38;

/// An archive whose contents are what was written.
pub(super) struct Archive {
    file: File,
    contents: Vec<u8>,
}

impl Archive {
    /// Opens an archive; `None` if its contents are not what was written.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Fault> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let Some(contents_end) = length.checked_sub(TRAILER_BYTES) else { return Ok(None) };
        let mut trailer = [0; TRAILER_BYTES as usize];
        file.read_exact_at(&mut trailer, contents_end)?;
        let (at, bytes) = (u64_at(&trailer, 22), u64_at(&trailer, 30));
        if trailer[..6] != *b"SFA!\x01\x00" || bytes > length || at.checked_add(bytes) != Some(contents_end) {
            return Ok(None);
        }
        let mut contents = vec![0; bytes as usize];
        file.read_exact_at(&mut contents, at)?;
        let is_whole = xxh3_128(&contents).to_le_bytes() == trailer[6..22];
        Ok(is_whole.then_some(Archive { file, contents }))
    }

    /// The bytes of a section; `None` if there is none of that name.
    pub(super) fn section(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let mut rest = self.contents.get(8..).unwrap_or_default();
        while let Some((head, tail)) = rest.split_first_chunk::<18>() {
            let name_bytes = usize::from(u16::from_le_bytes([head[16], head[17]]));
            let Some((found, next)) = tail.split_at_checked(name_bytes) else { break };
            if found == name {
                let (at, bytes) = (u64_at(head, 0), u64_at(head, 8));
                if bytes > self.file.metadata()?.len() {
                    break;
                }
                let mut section = vec![0; bytes as usize];
                self.file.read_exact_at(&mut section, at)?;
                return Ok(Some(section));
            }
            rest = next;
        }
        Ok(None)
    }
}

/// The eight bytes from there on, which must exist.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
