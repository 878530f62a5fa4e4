//! A heap: a region, the bytes its pages had at the last savepoint, and what a commit has yet to hear of.
//!
//! For a page that changed lately one copy is kept: its bytes at the savepoint, and which of its words differ from what
//! was handed out last. Every other page stands at its committed version, which a [`PageSource`] or the image gives.
//!
//! Invariants:
//! 1. A page without a kept copy has, at the savepoint, its committed version.
//! 2. A page that was never `touched` has, at the savepoint and in every committed version, the image's bytes; the
//!    source is not asked for it.
//! 3. A page that differs from its savepoint is found by the next scan, or waits in `pending`. A page that is not armed
//!    is found by every scan, so leaving one unarmed costs a comparison and can lose nothing.
//! 4. With a tracker that cannot forget, every touched page that was compared once keeps its copy.

mod heat;
mod kept;
mod load;
mod trim;

use std::fmt;
use std::sync::Arc;

use crate::changes::{Changes, PageChange};
use crate::error::HeapError;
use crate::image::Image;
use crate::page::{PAGE_BYTES, Page, PageIndex, PageRun, PageSet, ZERO_PAGE};
use crate::region::{Extent, Region, machine_page_bytes};
use crate::source::{PageSource, Sourced};
use crate::tracker::{After, TrackerKind};

use heat::Heat;
use kept::{Kept, KeptPages};
pub use load::Loader;
pub use trim::TrimReport;

/// How a heap is made. All sizes are multiples of 64 KiB.
#[derive(Clone, Copy, Debug)]
pub struct HeapSettings {
    /// Bytes of address space that belong to the heap.
    pub reserve_bytes: u64,
    /// Bytes behind them that no access may reach.
    pub guard_bytes: u64,
    /// The size up to which the heap may grow.
    pub bytes_max: u64,
    /// How written pages are found; `None` takes the best that works here.
    pub tracker: Option<TrackerKind>,
}

impl Default for HeapSettings {
    fn default() -> Self {
        Self { reserve_bytes: 4 << 30, guard_bytes: 32 << 20, bytes_max: 256 << 20, tracker: None }
    }
}

/// A rollback writes the image's bytes into so many pages; if there are more it gives their memory back.
const INITIAL_IN_PLACE_MAX: usize = 64;

/// What [`Heap::savepoint`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SavepointReport {
    /// Pages the tracker named.
    pub pages_looked_at: usize,
    /// Pages whose bytes differ from the savepoint before.
    pub pages_changed: usize,
    /// Committed pages that had to be read from the source.
    pub pages_read: usize,
}

/// What [`Heap::rollback`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackReport {
    /// Pages whose savepoint bytes were put back.
    pub pages_restored: usize,
    /// Pages that got the image's bytes back.
    pub pages_initial: usize,
    /// Whether the size went back, too.
    pub growth: Growth,
}

/// Whether memory had grown since the savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// The size is as it was.
    None,
    /// The memory had grown and is smaller again: an instance that runs in it does not know and must be made anew.
    TakenBack,
}

/// A container's linear memory.
pub struct Heap {
    image: Arc<Image>,
    region: Arc<Region>,
    kept: KeptPages,
    /// Pages whose savepoint or committed version may differ from the image's.
    touched: PageSet,
    /// Pages with words that [`Heap::take_changes`] has yet to hand out; each once.
    unsent: Vec<PageIndex>,
    /// Found by a scan and not dealt with yet; empty unless a call failed.
    pending: Vec<PageRun>,
    heat: Heat,
    savepoint_bytes: u64,
    sent_bytes: u64,
}

impl Heap {
    /// A heap whose savepoint is the image, and of which nothing is committed.
    ///
    /// # Errors
    /// If the settings do not fit the image or each other, if there is no address space, or if the tracker that
    /// `settings` demands does not work here.
    pub fn new(image: &Arc<Image>, settings: &HeapSettings) -> Result<Self, HeapError> {
        let HeapSettings { reserve_bytes, guard_bytes, bytes_max, tracker } = *settings;
        let tracker = image.tracking().tracker(tracker)?;
        let extent = Extent { reserve_bytes, guard_bytes, bytes_max };
        let region = Region::new(image, extent, tracker)?;
        Ok(Self {
            image: Arc::clone(image),
            region: Arc::new(region),
            kept: KeptPages::default(),
            touched: PageSet::default(),
            unsent: Vec::new(),
            pending: Vec::new(),
            heat: Heat::default(),
            savepoint_bytes: image.bytes(),
            sent_bytes: image.bytes(),
        })
    }

    /// The address range, to run a guest in.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// The content this heap started from.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// How this heap finds written pages.
    pub fn tracker(&self) -> TrackerKind {
        self.region.tracker().kind()
    }

    /// The size at the savepoint.
    pub fn savepoint_bytes(&self) -> u64 {
        self.savepoint_bytes
    }

    /// Makes the memory as it is now the state to roll back to. All or nothing: after an error the savepoint before
    /// still stands.
    ///
    /// # Errors
    /// If a committed page cannot be read, or the system refuses a scan.
    pub fn savepoint(&mut self, committed: &dyn PageSource) -> Result<SavepointReport, HeapError> {
        // Where many pages were found the last time, one scan finds and arms them.
        let after = if self.forgets() && self.heat.is_wide() { After::Arm } else { After::Leave };
        self.region.written(self.region.bytes(), after, &mut self.pending)?;
        let pages_read = self.read_missing(committed)?;
        self.arm_cold(after)?;
        let mut report = SavepointReport { pages_read, ..SavepointReport::default() };
        let mut runs = std::mem::take(&mut self.pending);
        for page in runs.iter().flat_map(|run| run.pages()) {
            report.pages_looked_at += 1;
            report.pages_changed += usize::from(self.note(page));
        }
        runs.clear();
        self.pending = runs;
        self.savepoint_bytes = self.region.bytes();
        Ok(report)
    }

    /// Puts memory and size back to the savepoint. After an error it may be called again.
    ///
    /// # Errors
    /// If a committed page cannot be read, or the system refuses a call.
    pub fn rollback(&mut self, committed: &dyn PageSource) -> Result<RollbackReport, HeapError> {
        self.region.written(self.savepoint_bytes, After::Leave, &mut self.pending)?;
        self.read_missing(committed)?;
        let (mut pages_restored, mut initial) = (0, Vec::new());
        let found = self.pending.iter().filter_map(|run| run.below(self.savepoint_bytes));
        for page in found.flat_map(|run| run.pages()) {
            match self.kept.get(page) {
                Some(kept) if kept.bytes != *self.region.page(page) => {
                    self.region.set_page(page, &kept.bytes);
                    pages_restored += 1;
                }
                None if !self.image.equals(page, self.region.page(page)) => initial.push(page),
                _ => {}
            }
        }
        self.make_initial(&initial)?;
        let growth = self.take_growth_back()?;
        // What was found stays unarmed. It equals its savepoint now, and whatever is written to it before the next scan
        // that scan compares (invariant 3). A container that throws writes the same pages again: to have the system
        // protect them and lift that at once would cost more than all else here.
        self.pending.clear();
        Ok(RollbackReport { pages_restored, pages_initial: initial.len(), growth })
    }

    /// Everything that changed between the last call and the savepoint. Whatever was written since the savepoint is
    /// not in it.
    pub fn take_changes(&mut self) -> Changes {
        let mut pages = std::mem::take(&mut self.unsent);
        pages.sort_unstable();
        let changes = pages.into_iter().map(|page| {
            let kept = self.kept.get_mut(page).expect("an unsent page keeps its copy");
            let words = std::mem::take(&mut kept.unsent);
            (page, PageChange::of(&words, &kept.bytes, self.image.page(page)))
        });
        let changes = changes.collect();
        self.sent_bytes = self.savepoint_bytes;
        Changes::new(self.savepoint_bytes, changes)
    }

    /// Whether [`Heap::take_changes`] would hand out anything.
    pub fn has_changes(&self) -> bool {
        !self.unsent.is_empty() || self.savepoint_bytes != self.sent_bytes
    }

    /// Bytes of the pages of which [`Heap::take_changes`] would hand out something.
    pub fn unsent_bytes(&self) -> u64 {
        (self.unsent.len() * PAGE_BYTES) as u64
    }

    /// Fills `into` with a page's bytes at the savepoint.
    ///
    /// # Errors
    /// [`HeapError::OutOfBounds`] if the heap had no such page, [`HeapError::Source`] if it cannot be read.
    pub fn savepoint_page(
        &self,
        page: PageIndex,
        committed: &dyn PageSource,
        into: &mut Page,
    ) -> Result<(), HeapError> {
        if page.offset() >= self.savepoint_bytes {
            let (offset, bytes) = (page.offset(), PAGE_BYTES as u64);
            return Err(HeapError::OutOfBounds { offset, bytes, heap_bytes: self.savepoint_bytes });
        }
        let mut buffer = ZERO_PAGE;
        let version = self.version(page, committed, &mut buffer)?;
        *into = *version.or_else(|| self.image.page(page)).unwrap_or(&ZERO_PAGE);
        Ok(())
    }

    /// Copies bytes out of the memory as it is now.
    ///
    /// # Errors
    /// [`HeapError::OutOfBounds`] past the heap's end.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), HeapError> {
        self.region.read(offset, into)
    }

    /// Writes bytes as the guest would.
    ///
    /// # Errors
    /// [`HeapError::OutOfBounds`] past the heap's end.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), HeapError> {
        self.region.write(offset, bytes)
    }

    /// Bytes of memory that this value takes besides the region's own pages.
    pub fn bookkeeping_bytes(&self) -> usize {
        size_of::<Self>()
            + size_of::<Region>()
            + self.kept.resident_bytes()
            + self.touched.resident_bytes()
            + self.unsent.capacity() * size_of::<PageIndex>()
            + self.pending.capacity() * size_of::<PageRun>()
            + self.heat.resident_bytes()
    }

    /// Whether savepoint bytes may be dropped once they are committed: the tracker will not name the page again until
    /// it is written again.
    fn forgets(&self) -> bool {
        self.tracker() == TrackerKind::WriteProtect
    }

    /// Keeps the committed version of found pages that are neither kept nor the image's; afterwards a savepoint cannot
    /// fail any more.
    fn read_missing(&mut self, committed: &dyn PageSource) -> Result<usize, HeapError> {
        let mut pages_read = 0;
        let mut buffer = ZERO_PAGE;
        for page in self.pending.iter().flat_map(|run| run.pages()) {
            if !self.touched.contains(page) || self.kept.contains(page) {
                continue;
            }
            read_committed(committed, &self.image, page, &mut buffer)?;
            self.kept.insert(page, Kept::committed(&buffer));
            pages_read += 1;
        }
        Ok(pages_read)
    }

    /// Compares a page with its savepoint and notes what is new; whether anything is.
    fn note(&mut self, page: PageIndex) -> bool {
        let live = self.region.page(page);
        let Some(kept) = self.kept.get_mut(page) else {
            if self.image.equals(page, live) {
                return false;
            }
            self.kept.insert(page, Kept::changed(live, self.image.page(page)));
            self.touched.insert(page);
            self.unsent.push(page);
            return true;
        };
        let had_unsent = !kept.unsent.is_empty();
        let changed = kept.update(live);
        if changed && !had_unsent {
            self.unsent.push(page);
        }
        changed
    }

    /// A page's bytes at the savepoint; `None` if they are the image's.
    fn version<'a>(
        &'a self,
        page: PageIndex,
        committed: &dyn PageSource,
        buffer: &'a mut Page,
    ) -> Result<Option<&'a Page>, HeapError> {
        if let Some(kept) = self.kept.get(page) {
            return Ok(Some(&kept.bytes));
        }
        if !self.touched.contains(page) {
            return Ok(None);
        }
        let sourced = read_committed(committed, &self.image, page, buffer)?;
        Ok((sourced == Sourced::Found).then_some(&*buffer))
    }

    /// Gives pages the image's bytes: in place if they are few, as a stack's are, that the next turn writes again; else
    /// their copies go back to the system.
    fn make_initial(&self, pages: &[PageIndex]) -> Result<(), HeapError> {
        if pages.len() <= INITIAL_IN_PLACE_MAX || machine_page_bytes() != PAGE_BYTES as u64 {
            for &page in pages {
                self.region.set_page(page, self.image.page(page).unwrap_or(&ZERO_PAGE));
            }
            return Ok(());
        }
        let mut runs = Vec::new();
        pages.iter().for_each(|page| PageRun::push_page(&mut runs, *page));
        runs.iter().try_for_each(|run| {
            self.region.reset(*run)?;
            self.region.arm(*run)
        })
    }

    fn take_growth_back(&mut self) -> Result<Growth, HeapError> {
        if self.region.bytes() == self.savepoint_bytes {
            return Ok(Growth::None);
        }
        self.region.shrink_to(self.savepoint_bytes)?;
        Ok(Growth::TakenBack)
    }

    /// Arms what was found, but for hot pages, unless the scan has armed it.
    fn arm_cold(&mut self, after: After) -> Result<(), HeapError> {
        if !self.forgets() {
            return Ok(());
        }
        if matches!(after, After::Arm) {
            self.heat.armed(&self.pending);
            return Ok(());
        }
        // Where the machine's pages are larger than ours only whole runs of a scan can be armed.
        let pages = (self.region.bytes() / PAGE_BYTES as u64) as usize;
        let cold =
            (machine_page_bytes() == PAGE_BYTES as u64).then(|| self.heat.cold_of(&self.pending, pages));
        match cold.flatten() {
            Some(runs) => runs.iter().try_for_each(|run| self.region.arm(*run)),
            // One call for all. It names pages that are in `pending`, and no others: nobody writes meanwhile.
            None => self.region.written(self.region.bytes(), After::Arm, &mut Vec::new()),
        }
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("bytes", &self.region.bytes())
            .field("savepoint_bytes", &self.savepoint_bytes)
            .field("tracker", &self.tracker())
            .field("pages_kept", &self.kept.len())
            .field("pages_unsent", &self.unsent.len())
            .finish_non_exhaustive()
    }
}

/// Fills `into` with the committed version, the image's if there is none.
fn read_committed(
    committed: &dyn PageSource,
    image: &Image,
    page: PageIndex,
    into: &mut Page,
) -> Result<Sourced, HeapError> {
    let sourced = committed.page(page, into).map_err(|source| HeapError::Source { page, source })?;
    if sourced == Sourced::Absent {
        *into = *image.page(page).unwrap_or(&ZERO_PAGE);
    }
    Ok(sourced)
}
