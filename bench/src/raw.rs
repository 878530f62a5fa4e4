//! What the disk allows: an append to a file of our own, and its sync.
//!
//! The file's length is set ahead, as that of a store's journal is: a sync after which a length must be durable too
//! costs more, and would let a store look better than it is.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::durations::timed;

/// How far ahead a length is set, in bytes.
const STEP_BYTES: u64 = 64 << 20;

/// A file that is only appended to, beside the stores.
pub(crate) struct RawLog {
    file: File,
    content: Vec<u8>,
    end_bytes: u64,
    length_bytes: u64,
}

impl RawLog {
    pub(crate) fn create(folder: &Path) -> Result<RawLog, Failure> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(RawLog { file, content: Vec::new(), end_bytes: 0, length_bytes: 0 })
    }

    /// Appends this many bytes and waits until they are durable.
    pub(crate) fn append(&mut self, bytes: usize) -> Result<Duration, Failure> {
        // Not zeros: a disk may know those.
        self.content.resize(bytes, 0xa5);
        self.end_bytes += bytes as u64;
        if self.end_bytes > self.length_bytes {
            self.length_bytes = self.end_bytes + STEP_BYTES;
            self.file.set_len(self.length_bytes)?;
            self.file.sync_all()?;
        }
        let (took, done) = timed(|| self.file.write_all(&self.content).and_then(|()| self.file.sync_data()));
        done?;
        Ok(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RawLog::create(folder.path()).unwrap();
        log.append(3000).unwrap();
        log.append(500).unwrap();
        assert_eq!(log.end_bytes, 3500);
        assert!(log.length_bytes >= STEP_BYTES);
        let mut content = Vec::new();
        std::io::Seek::rewind(&mut log.file).unwrap();
        std::io::Read::read_to_end(&mut log.file, &mut content).unwrap();
        assert!(content[..3500].iter().all(|byte| *byte == 0xa5), "both are there");
        assert_eq!(content[3500], 0, "and nothing after them");
    }
}
