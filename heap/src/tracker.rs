//! Which pages may have been written: three ways to know, one of them working everywhere.
//!
//! - **write-protect** (Linux >= 6.7): `userfaultfd` in asynchronous write-protect mode; the kernel lifts a page's
//!   protection at the first write, and `PAGEMAP_SCAN` lists those pages and protects them again.
//! - **private-bit** (other Linux, and where `userfaultfd` is forbidden): every page that is no longer the image's.
//!   It cannot forget, so savepoint bytes of all such pages are kept.
//! - **compare**: every page of the heap.
//!
//! A tracker may name too many pages, never too few. Swapped-out pages count as what they were before.

mod self_test;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod pagemap;
#[cfg(target_os = "linux")]
mod write_protect;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use crate::error::HeapError;

#[cfg(not(target_os = "linux"))]
use elsewhere::{Pagemap, WriteProtect};
#[cfg(target_os = "linux")]
use pagemap::Pagemap;
#[cfg(target_os = "linux")]
use write_protect::WriteProtect;

/// The environment variable that [`TrackerKind::from_env`] reads.
pub const TRACKER_VARIABLE: &str = "EVERTURN_TRACKER";

/// How written pages are found. Results never depend on it, only cost does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerKind {
    /// `userfaultfd`'s asynchronous write protection.
    WriteProtect,
    /// The page table's mark of private pages.
    PrivateBit,
    /// Every page is looked at.
    Compare,
}

impl TrackerKind {
    /// All kinds, the cheapest first.
    pub const ALL: [Self; 3] = [Self::WriteProtect, Self::PrivateBit, Self::Compare];

    /// The cheapest kind that passes its self-test on this machine.
    pub fn detect() -> Self {
        Arc::new(Tracking::new()).detect()
    }

    /// The kind that the variable `EVERTURN_TRACKER` demands; `None` if it is not set. For the program's edge: the
    /// heap itself never reads the environment.
    ///
    /// # Errors
    /// [`HeapError::UnknownTracker`] if the variable names no tracker.
    pub fn from_env() -> Result<Option<Self>, HeapError> {
        match std::env::var_os(TRACKER_VARIABLE) {
            None => Ok(None),
            Some(value) => value.to_string_lossy().parse().map(Some),
        }
    }

    /// The kind's name, as the variable spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::WriteProtect => "write-protect",
            Self::PrivateBit => "private-bit",
            Self::Compare => "compare",
        }
    }
}

impl fmt::Display for TrackerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TrackerKind {
    type Err = HeapError;

    fn from_str(name: &str) -> Result<Self, HeapError> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| HeapError::UnknownTracker { given: name.to_owned() })
    }
}

/// The two descriptors that watching needs, opened when first used and shared by all heaps of whoever owns this; their
/// number does not grow with heaps.
#[derive(Debug, Default)]
pub struct Tracking {
    pagemap: OnceLock<Result<Pagemap, String>>,
    write_protect: OnceLock<Result<WriteProtect, String>>,
    detected: OnceLock<TrackerKind>,
}

impl Tracking {
    /// Nothing opened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cheapest kind that passes its self-test on this machine; tested once.
    pub fn detect(self: &Arc<Self>) -> TrackerKind {
        *self.detected.get_or_init(|| {
            // A tracking of its own: the heaps it makes point back at it, and it must not wait for itself.
            let trial = Arc::new(Self::new());
            let works = |kind: &TrackerKind| self_test::check(&trial, *kind).is_ok();
            TrackerKind::ALL.into_iter().find(works).unwrap_or(TrackerKind::Compare)
        })
    }

    /// Whether a kind works here.
    ///
    /// # Errors
    /// [`HeapError::TrackerUnavailable`] says what is missing.
    pub fn check(self: &Arc<Self>, kind: TrackerKind) -> Result<(), HeapError> {
        self_test::check(self, kind)
    }

    /// A tracker of the kind demanded, or of the best one.
    pub(crate) fn tracker(self: &Arc<Self>, kind: Option<TrackerKind>) -> Result<Tracker, HeapError> {
        let kind = kind.unwrap_or_else(|| self.detect());
        match kind {
            TrackerKind::WriteProtect => {
                self.write_protect()?;
                if !self.pagemap(kind)?.can_scan() {
                    let why = "the kernel has no PAGEMAP_SCAN (Linux 6.7 has)".to_owned();
                    return Err(HeapError::TrackerUnavailable { kind, why });
                }
            }
            TrackerKind::PrivateBit => {
                self.pagemap(kind)?;
            }
            TrackerKind::Compare => {}
        }
        Ok(Tracker { kind, tracking: Arc::clone(self) })
    }

    fn pagemap(&self, kind: TrackerKind) -> Result<&Pagemap, HeapError> {
        opened(kind, self.pagemap.get_or_init(|| Pagemap::open().map_err(|error| error.to_string())))
    }

    fn write_protect(&self) -> Result<&WriteProtect, HeapError> {
        let opening = || WriteProtect::open().map_err(|error| error.to_string());
        opened(TrackerKind::WriteProtect, self.write_protect.get_or_init(opening))
    }
}

fn opened<T>(kind: TrackerKind, result: &Result<T, String>) -> Result<&T, HeapError> {
    result.as_ref().map_err(|why| HeapError::TrackerUnavailable { kind, why: why.clone() })
}

/// What a scan leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The pages found are armed: they are found again only if they are written again.
    Arm,
    /// The pages found will be found again.
    Leave,
}

/// Takes (address, bytes) of what a scan finds.
pub(crate) type Found<'a> = dyn FnMut(u64, u64) + 'a;

/// One region's way to find written pages. Ranges are (address, bytes), in whole machine pages.
#[derive(Debug)]
pub(crate) struct Tracker {
    kind: TrackerKind,
    tracking: Arc<Tracking>,
}

impl Tracker {
    pub(crate) fn kind(&self) -> TrackerKind {
        self.kind
    }

    /// Starts watching a range; it stays watched until it is unmapped.
    pub(crate) fn watch(&self, address: u64, bytes: u64) -> Result<(), HeapError> {
        match self.kind {
            TrackerKind::WriteProtect if bytes > 0 => self.tracking.write_protect()?.watch(address, bytes),
            _ => Ok(()),
        }
    }

    /// Whatever is written in the range from now on will be found.
    pub(crate) fn arm(&self, address: u64, bytes: u64) -> Result<(), HeapError> {
        match self.kind {
            TrackerKind::WriteProtect if bytes > 0 => self.tracking.write_protect()?.arm(address, bytes),
            _ => Ok(()),
        }
    }

    /// Writes in the range need not be found until it is armed again.
    pub(crate) fn disarm(&self, address: u64, bytes: u64) -> Result<(), HeapError> {
        match self.kind {
            TrackerKind::WriteProtect if bytes > 0 => self.tracking.write_protect()?.disarm(address, bytes),
            _ => Ok(()),
        }
    }

    /// Finds what may have been written since it was armed.
    pub(crate) fn written(
        &self,
        address: u64,
        bytes: u64,
        after: After,
        found: &mut Found<'_>,
    ) -> Result<(), HeapError> {
        match self.kind {
            _ if bytes == 0 => Ok(()),
            TrackerKind::WriteProtect => {
                self.tracking.pagemap(self.kind)?.written(address, bytes, after, found)
            }
            TrackerKind::PrivateBit => self.tracking.pagemap(self.kind)?.private(address, bytes, found),
            TrackerKind::Compare => {
                found(address, bytes);
                Ok(())
            }
        }
    }

    /// Finds the present pages that are no longer the image's; `None` if this tracker has no means to.
    pub(crate) fn private(
        &self,
        address: u64,
        bytes: u64,
        found: &mut Found<'_>,
    ) -> Result<Option<()>, HeapError> {
        match self.kind {
            TrackerKind::Compare => Ok(None),
            _ if bytes == 0 => Ok(Some(())),
            _ => self.tracking.pagemap(self.kind)?.present_private(address, bytes, found).map(Some),
        }
    }

    /// Finds the present pages that are still the image's; `None` if this tracker has no means to.
    pub(crate) fn views(
        &self,
        address: u64,
        bytes: u64,
        found: &mut Found<'_>,
    ) -> Result<Option<()>, HeapError> {
        match self.kind {
            TrackerKind::Compare => Ok(None),
            _ if bytes == 0 => Ok(Some(())),
            _ => self.tracking.pagemap(self.kind)?.views(address, bytes, found).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in TrackerKind::ALL {
            assert_eq!(kind.name().parse::<TrackerKind>().unwrap(), kind);
        }
        let error = "soft-dirty".parse::<TrackerKind>().unwrap_err().to_string();
        let expected = "EVERTURN_TRACKER is \"soft-dirty\"; it may be write-protect, private-bit or compare";
        assert_eq!(error, expected);
    }

    #[test]
    fn compare_always_works() {
        let tracking = Arc::new(Tracking::new());
        tracking.check(TrackerKind::Compare).unwrap();
        tracking.check(tracking.detect()).unwrap();
    }
}
