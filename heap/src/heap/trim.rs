//! Giving memory back while a heap is idle.

use super::{Heap, Heat};
use crate::error::HeapError;
use crate::page::{PAGE_BYTES, PageIndex, PageRun, PageSet};
use crate::region::machine_page_bytes;
use crate::tracker::After;

/// What [`Heap::trim`] gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrimReport {
    /// Savepoint copies that equal the committed version.
    pub copies_dropped: usize,
    /// Private pages that equal the image's.
    pub pages_released: usize,
    /// Pages of the image that this heap had looked at.
    pub views_dropped: usize,
}

impl Heap {
    /// Drops kept savepoint bytes that equal the committed version, private pages that equal the image's, and the
    /// image's own from the page table. The caller promises that its source now gives everything that
    /// [`Heap::take_changes`] handed out.
    ///
    /// The private-bit and compare trackers name the same pages at every scan; for them the copies stay, as reading
    /// every page from the store at every savepoint would cost more than it saves.
    ///
    /// # Errors
    /// If the system refuses a call.
    pub fn trim(&mut self) -> Result<TrimReport, HeapError> {
        let copies_before = self.kept.len();
        if self.forgets() {
            self.kept.drop_sent();
        }
        self.unsent.shrink_to_fit();
        self.pending.shrink_to_fit();
        self.heat = Heat::default();
        let pages_released = self.release_initial_pages()?;
        let views_dropped = self.drop_views()?;
        Ok(TrimReport { copies_dropped: copies_before - self.kept.len(), pages_released, views_dropped })
    }

    /// Pages of the image are one piece of memory however many heaps have looked at them, but the system counts them for
    /// each. (A page of the image that is there stands at the image's bytes, now and at the savepoint: it got private with
    /// the first write, and is the image's again only where both are. So to arm it loses nothing.)
    fn drop_views(&self) -> Result<usize, HeapError> {
        let mut runs = Vec::new();
        if machine_page_bytes() != PAGE_BYTES as u64 || self.region.views(&mut runs)?.is_none() {
            return Ok(0);
        }
        for run in &runs {
            self.region.reset(*run)?;
            self.region.arm(*run)?;
        }
        Ok(runs.iter().map(|run| run.count as usize).sum())
    }

    /// Frees private pages that equal the image's, now and at the savepoint: stack that was wiped, for the most part.
    fn release_initial_pages(&mut self) -> Result<usize, HeapError> {
        let mut private = Vec::new();
        if machine_page_bytes() != PAGE_BYTES as u64 {
            return Ok(0);
        }
        if self.region.private(&mut private)?.is_none() {
            return Ok(0);
        }
        let written = self.written_now()?;
        let mut runs = Vec::new();
        for page in private.iter().flat_map(|run| run.pages()) {
            if self.is_initial(page, &written) {
                PageRun::push_page(&mut runs, page);
            }
        }
        for run in &runs {
            self.region.reset(*run)?;
            self.region.arm(*run)?;
        }
        Ok(runs.iter().map(|run| run.count as usize).sum())
    }

    /// Whether a page equals the image's, now and at the savepoint. (A page that differs from its savepoint must stay
    /// what the tracker finds.)
    fn is_initial(&self, page: PageIndex, written: &PageSet) -> bool {
        let savepoint_is_initial = match self.kept.get(page) {
            Some(kept) => self.image.equals(page, &kept.bytes),
            None => !self.touched.contains(page) || (self.forgets() && !written.contains(page)),
        };
        savepoint_is_initial && self.image.equals(page, self.region.page(page))
    }

    fn written_now(&self) -> Result<PageSet, HeapError> {
        let mut runs = Vec::new();
        if self.forgets() {
            self.region.written(self.region.bytes(), After::Leave, &mut runs)?;
        }
        let mut written = PageSet::default();
        for page in runs.iter().chain(&self.pending).flat_map(|run| run.pages()) {
            written.insert(page);
        }
        Ok(written)
    }
}
