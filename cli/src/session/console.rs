//! How far the lines of containers were shown, in a file beside the store.
//!
//! A line is in the store until it was told, and `console` says which was shown last; so after a kill each comes once. The file is
//! written around the write of the line itself. Where that goes to a regular file, its length decides about a kill between the two;
//! a pipe or a terminal keeps no trace, so there a kill within the write may make that one line come again, with its number.
//!
//! The file is not synced: after a power cut it may be older, or unreadable, and lines that were still in the store are shown again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use everturn::address::raw_cid;

/// The file's name.
pub(super) const FILE: &str = "console";
const NUMBERS: usize = 4;
const CHECK_BYTES: usize = 8;
const MARK_BYTES: usize = NUMBERS * 8 + CHECK_BYTES;

/// The last line that was shown; or that was about to be, to a regular file, which is so long when it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    number: u64,
    about_to: Option<Place>,
}

/// The end of a line in a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    end: u64,
}

/// The file, while its folder is open.
pub(super) struct Console {
    path: PathBuf,
    /// Made with the first line. Without it lines may come again after a kill; that is no reason to show none.
    file: OnceLock<Option<File>>,
    /// Standard output and standard error.
    streams: [Option<File>; 2],
}

impl Console {
    /// Reads the file of a folder, and says which line was shown last.
    pub(super) fn open(folder: &Path) -> (Console, u64) {
        let streams = [own(&io::stdout()), own(&io::stderr())];
        Console::with(folder, streams)
    }

    fn with(folder: &Path, streams: [Option<File>; 2]) -> (Console, u64) {
        let console = Console { path: folder.join(FILE), file: OnceLock::new(), streams };
        let shown = console.read().map_or(0, |mark| console.shown(mark));
        (console, shown)
    }

    /// A line is about to be written, so many bytes.
    pub(super) fn about_to(&self, number: u64, stream: Stream, bytes: usize) {
        if let Some(place) = self.end_of(stream) {
            let place = Place { end: place.end + bytes as u64, ..place };
            self.write(Mark { number, about_to: Some(place) });
        }
    }

    /// A line was written.
    pub(super) fn wrote(&self, number: u64) {
        self.write(Mark { number, about_to: None });
    }

    /// The number of the line that was shown last, as the mark and the files tell.
    fn shown(&self, mark: Mark) -> u64 {
        let Some(place) = mark.about_to else { return mark.number };
        let is_there =
            |now: Place| (now.device, now.inode) == (place.device, place.inode) && now.end >= place.end;
        let was_written =
            [Stream::Out, Stream::Err].into_iter().filter_map(|stream| self.end_of(stream)).any(is_there);
        if was_written { mark.number } else { mark.number - 1 }
    }

    /// Where a regular file ends.
    fn end_of(&self, stream: Stream) -> Option<Place> {
        let metadata =
            self.streams[stream as usize].as_ref()?.metadata().ok().filter(|metadata| metadata.is_file())?;
        Some(Place { device: metadata.dev(), inode: metadata.ino(), end: metadata.len() })
    }

    fn read(&self) -> Option<Mark> {
        let mut bytes = [0; MARK_BYTES];
        File::open(&self.path).ok()?.read_exact_at(&mut bytes, 0).ok()?;
        Mark::decode(&bytes)
    }

    fn write(&self, mark: Mark) {
        if let Some(file) = self.file.get_or_init(|| self.made())
            && let Err(error) = file.write_all_at(&mark.encode(), 0)
        {
            tracing::debug!(%error, "{FILE} cannot be written");
        }
    }

    fn made(&self) -> Option<File> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
        let told = opened.inspect_err(|error| {
            tracing::warn!(%error, "{FILE} cannot be opened: after a kill lines may be shown twice");
        });
        told.ok()
    }
}

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out = 0,
    Err = 1,
}

impl Mark {
    fn encode(self) -> [u8; MARK_BYTES] {
        let place = self.about_to.unwrap_or(Place { device: 0, inode: 0, end: u64::MAX });
        let mut bytes = [0; MARK_BYTES];
        let (numbers, check) = bytes.split_at_mut(NUMBERS * 8);
        let values: [u64; NUMBERS] = [self.number, place.device, place.inode, place.end];
        for (to, value) in numbers.chunks_exact_mut(8).zip(values) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        check.copy_from_slice(&check_of(numbers));
        bytes
    }

    /// `None`: it is none, or a torn one.
    fn decode(bytes: &[u8; MARK_BYTES]) -> Option<Mark> {
        let (numbers, check) = bytes.split_at(NUMBERS * 8);
        if check != check_of(numbers) {
            return None;
        }
        let (numbers, _) = numbers.as_chunks::<8>();
        let [number, device, inode, end] =
            <[[u8; 8]; NUMBERS]>::try_from(numbers).ok()?.map(u64::from_le_bytes);
        let about_to = (end < u64::MAX).then_some(Place { device, inode, end });
        // There is no line before the first.
        (number > 0).then_some(Mark { number, about_to })
    }
}

fn check_of(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&raw_cid(bytes).hash().digest()[..CHECK_BYTES]);
    check
}

/// A descriptor of our own for a stream.
fn own(stream: &impl AsFd) -> Option<File> {
    stream.as_fd().try_clone_to_owned().ok().map(File::from)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn stream(folder: &Path) -> Option<File> {
        Some(OpenOptions::new().create(true).append(true).open(folder.join("out")).unwrap())
    }

    /// What the next one finds, which writes to the same file.
    fn shown(folder: &Path) -> u64 {
        Console::with(folder, [stream(folder), None]).1
    }

    #[test]
    fn a_kill_before_during_and_after_the_write_is_told_apart_by_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, line) = (folder.path(), b"a line\n");
        let mut out = stream(folder);
        let (console, none) = Console::with(folder, [stream(folder), None]);
        assert_eq!(none, 0);
        console.about_to(1, Stream::Out, line.len());
        assert_eq!(shown(folder), 0, "nothing was written");
        out.as_mut().unwrap().write_all(&line[..3]).unwrap();
        assert_eq!(shown(folder), 0, "a part was written");
        out.as_mut().unwrap().write_all(&line[3..]).unwrap();
        assert_eq!(shown(folder), 1, "it was written");
        console.wrote(1);
        assert_eq!(shown(folder), 1);
        console.about_to(2, Stream::Out, line.len());
        assert_eq!(shown(folder), 1);
        std::fs::remove_file(folder.join("out")).unwrap();
        assert_eq!(shown(folder), 1, "it is another file");
    }

    #[test]
    fn what_is_no_regular_file_is_taken_at_its_word() {
        let folder = tempfile::tempdir().unwrap();
        let null = || OpenOptions::new().write(true).open("/dev/null").ok();
        let (console, _) = Console::with(folder.path(), [null(), None]);
        console.about_to(1, Stream::Out, 5);
        assert_eq!(Console::with(folder.path(), [null(), None]).1, 0);
        console.wrote(1);
        assert_eq!(Console::with(folder.path(), [null(), None]).1, 1);
    }

    #[test]
    fn a_damaged_mark_is_none() {
        let place = Some(Place { device: 3, inode: 4, end: 5 });
        for mark in [Mark { number: 9, about_to: None }, Mark { number: 1, about_to: place }] {
            let good = mark.encode();
            assert_eq!(Mark::decode(&good), Some(mark));
            for (at, bit) in (0..MARK_BYTES).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert_eq!(Mark::decode(&bad), None);
            }
        }
        assert_eq!(Mark::decode(&[0; MARK_BYTES]), None);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"short").unwrap();
        assert_eq!(shown(folder.path()), 0);
    }
}
