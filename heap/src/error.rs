//! What can go wrong with a heap.

use everturn_dag::Cid;

use crate::page::PageIndex;
use crate::source::SourceError;
use crate::tracker::{TRACKER_VARIABLE, TrackerKind};

/// Why a heap could not do what was asked.
///
/// [`HeapError::TooLarge`] is the one a guest can cause (by growing too far); all others are host errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeapError {
    /// More memory than the heap may have.
    #[error("a heap of {asked_bytes} bytes was asked for, at most {bytes_max} are allowed")]
    TooLarge {
        /// What was asked for.
        asked_bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A size that is no multiple of 64 KiB.
    #[error("{what} is {bytes} bytes, which is no multiple of 65536")]
    Unaligned {
        /// Which size.
        what: &'static str,
        /// Its value.
        bytes: u64,
    },
    /// A size smaller than what it must hold.
    #[error("{what} is {bytes} bytes, at least {bytes_min} are needed")]
    TooSmall {
        /// Which size.
        what: &'static str,
        /// Its value.
        bytes: u64,
        /// What is needed.
        bytes_min: u64,
    },
    /// The system has no room for the reservation.
    #[error("cannot reserve {bytes} bytes of address space: {source}")]
    AddressSpace {
        /// Reservation and guard together.
        bytes: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// A system call failed.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The tracker that was demanded does not work on this machine.
    #[error("the {kind} tracker does not work here: {why}")]
    TrackerUnavailable {
        /// Which tracker.
        kind: TrackerKind,
        /// What is missing.
        why: String,
    },
    /// The environment names a tracker that does not exist.
    #[error("{TRACKER_VARIABLE} is {given:?}; it may be write-protect, private-bit or compare")]
    UnknownTracker {
        /// The variable's value.
        given: String,
    },
    /// An access past the heap's end.
    #[error("bytes {offset}..{} lie past the heap's end at {heap_bytes}", offset.saturating_add(*bytes))]
    OutOfBounds {
        /// Where the access starts.
        offset: u64,
        /// How long it is.
        bytes: u64,
        /// The heap's size.
        heap_bytes: u64,
    },
    /// The committed version of a page could not be read.
    #[error("the committed version of {page} cannot be read: {source}")]
    Source {
        /// Which page.
        page: PageIndex,
        /// The source's complaint.
        source: SourceError,
    },
    /// A block of a page tree could not be read.
    #[error("block {cid} of a page tree cannot be read: {source}")]
    Block {
        /// Which block.
        cid: Cid,
        /// The reader's complaint.
        source: SourceError,
    },
    /// A block is not what its place in a page tree requires.
    #[error("block {cid} of a page tree is damaged: {what}")]
    BadTree {
        /// Which block.
        cid: Cid,
        /// What was wrong.
        what: &'static str,
    },
    /// Encoded changes that no heap wrote.
    #[error("encoded heap changes are damaged at byte {offset}: {what}")]
    BadChanges {
        /// Where decoding stopped.
        offset: usize,
        /// What was wrong.
        what: &'static str,
    },
}

impl HeapError {
    /// A system call's failure, taken from `errno`.
    pub(crate) fn last_os(doing: &'static str) -> Self {
        Self::System { doing, source: std::io::Error::last_os_error() }
    }
}
