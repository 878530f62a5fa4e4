//! Filling a heap with a committed state.

use super::{Heap, Heat, Kept};
use crate::error::HeapError;
use crate::page::{PAGE_BYTES, Page, PageIndex, PageRun};
use crate::region::check_step;

impl Heap {
    /// Replaces memory and size by a committed state, which becomes the savepoint; nothing is dirty then. `fill` puts
    /// every page that the store has; all others are the image's. If it fails, the heap is as the image.
    ///
    /// # Errors
    /// What `fill` returns, and [`HeapError`] if the size does not fit the image or the limit.
    pub fn load<E: From<HeapError>>(
        &mut self,
        bytes: u64,
        fill: impl FnOnce(&mut Loader<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.start_over(bytes)?;
        let mut loader = Loader { heap: self, waiting: Vec::with_capacity(WAITING_MAX) };
        let filled = fill(&mut loader).map(|()| loader.write_waiting());
        match filled {
            Ok(()) => Ok(self.region.arm(PageRun::covering(0, bytes))?),
            Err(error) => {
                self.start_over(self.image.bytes())?;
                self.region.arm(PageRun::covering(0, self.image.bytes()))?;
                Err(error)
            }
        }
    }

    /// Back to the image, with another size; nothing is armed yet.
    fn start_over(&mut self, bytes: u64) -> Result<(), HeapError> {
        let (bytes_min, bytes_max) = (self.image.bytes(), self.region.bytes_max());
        check_step("the loaded size", bytes)?;
        if bytes < bytes_min {
            return Err(HeapError::TooSmall { what: "the loaded size", bytes, bytes_min });
        }
        if bytes > bytes_max {
            return Err(HeapError::TooLarge { asked_bytes: bytes, bytes_max });
        }
        self.kept.clear();
        self.touched.clear();
        self.unsent.clear();
        self.pending.clear();
        self.heat = Heat::default();
        self.region.shrink_to(bytes_min)?;
        self.region.reset(PageRun::covering(0, bytes_min))?;
        self.region.grow_to(bytes)?;
        self.region.disarm(PageRun::covering(0, bytes))?;
        (self.savepoint_bytes, self.sent_bytes) = (bytes, bytes);
        Ok(())
    }
}

/// Pages that wait to be written together: the system makes room for many at once in half the time.
const WAITING_MAX: usize = 32;

/// Takes the pages of a committed state, fastest in ascending order.
#[derive(Debug)]
pub struct Loader<'a> {
    heap: &'a mut Heap,
    waiting: Vec<(PageIndex, Page)>,
}

impl Loader<'_> {
    /// Sets a page's bytes.
    ///
    /// # Errors
    /// [`HeapError::OutOfBounds`] if the page lies past the loaded size.
    pub fn put(&mut self, page: PageIndex, bytes: &Page) -> Result<(), HeapError> {
        let (offset, heap_bytes) = (page.offset(), self.heap.savepoint_bytes);
        if offset >= heap_bytes {
            return Err(HeapError::OutOfBounds { offset, bytes: PAGE_BYTES as u64, heap_bytes });
        }
        self.heap.touched.insert(page);
        if !self.heap.forgets() {
            self.heap.kept.insert(page, Kept::committed(bytes));
        }
        self.waiting.push((page, *bytes));
        if self.waiting.len() >= WAITING_MAX {
            self.write_waiting();
        }
        Ok(())
    }

    fn write_waiting(&mut self) {
        let region = &self.heap.region;
        let mut runs = Vec::new();
        self.waiting.iter().for_each(|(page, _)| PageRun::push_page(&mut runs, *page));
        runs.iter().for_each(|run| region.make_room(*run));
        self.waiting.drain(..).for_each(|(page, bytes)| region.set_page(page, &bytes));
    }
}
