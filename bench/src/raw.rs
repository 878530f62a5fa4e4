//! What the disk allows: an append to a file of our own, and its sync.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::durations::timed;

/// A file that only grows, beside the stores.
pub(crate) struct RawLog {
    file: File,
    content: Vec<u8>,
}

impl RawLog {
    pub(crate) fn create(folder: &Path) -> Result<RawLog, Failure> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(RawLog { file, content: Vec::new() })
    }

    /// Appends this many bytes and waits until they are durable.
    pub(crate) fn append(&mut self, bytes: usize) -> Result<Duration, Failure> {
        // Not zeros: a disk may know those.
        self.content.resize(bytes, 0xa5);
        let (took, done) = timed(|| self.file.write_all(&self.content).and_then(|()| self.file.sync_data()));
        done?;
        Ok(took)
    }
}
