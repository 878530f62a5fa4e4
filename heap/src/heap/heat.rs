//! Which pages are written in nearly every span between savepoints, and so are better left unarmed.
//!
//! To arm a page costs a fault at its next write; to leave it unarmed costs a comparison at every savepoint, a tenth of
//! that. Whether a page is armed never changes what a savepoint finds to be different, only what it looks at.

use std::collections::BTreeMap;

use crate::page::{PageIndex, PageRun};

/// A hot page is left unarmed for so many savepoints, then armed once to see whether it still is.
const HOT_SAVEPOINTS: u8 = 32;
/// If more pages than this are found at once, none of them is hot.
const FOUND_MAX: usize = 1024;
/// So many runs of pages are armed one by one in a small heap; with more of them all that was found is armed in one call.
const RUNS_MIN: usize = 8;
/// That call looks at every page of the heap: as long as it takes for so many pages, one run is armed.
const PAGES_A_RUN: usize = 1024;

/// What the last savepoints found.
#[derive(Debug, Default)]
pub(super) struct Heat {
    /// 0: found once, and armed since. Above: unarmed for so many savepoints more.
    pages: BTreeMap<PageIndex, u8>,
    /// Whether there were too many the last time to look at each.
    wide: bool,
}

impl Heat {
    /// Notes what a savepoint found in a heap of so many pages and tells what of it is to be armed; `None` for all of it.
    pub(super) fn cold_of(&mut self, found: &[PageRun], heap_pages: usize) -> Option<Vec<PageRun>> {
        self.armed(found);
        if self.wide {
            self.pages.clear();
            return None;
        }
        let mut cold = Vec::new();
        for page in found.iter().flat_map(|run| run.pages()) {
            if self.cools(page) {
                PageRun::push_page(&mut cold, page);
            }
        }
        (cold.len() <= RUNS_MIN.max(heap_pages / PAGES_A_RUN)).then_some(cold)
    }

    /// Whether a savepoint is likely to find so many pages that none of them is hot.
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// Notes how much a savepoint found, all of which is armed.
    pub(super) fn armed(&mut self, found: &[PageRun]) {
        self.wide = found.iter().map(|run| run.count as usize).sum::<usize>() > FOUND_MAX;
    }

    /// Memory that this takes beside itself, roughly, in bytes.
    pub(super) fn resident_bytes(&self) -> usize {
        2 * self.pages.len() * size_of::<(PageIndex, u8)>()
    }

    /// Whether a page that was found is to be armed.
    fn cools(&mut self, page: PageIndex) -> bool {
        match self.pages.get_mut(&page) {
            // New: whether it is written again shows only if it is armed.
            None => self.pages.insert(page, 0).is_none(),
            Some(left @ 0) => {
                *left = HOT_SAVEPOINTS;
                false
            }
            Some(left) => {
                *left -= 1;
                *left == 0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pages: &[u32]) -> Vec<PageRun> {
        let mut runs = Vec::new();
        pages.iter().for_each(|page| PageRun::push_page(&mut runs, PageIndex(*page)));
        runs
    }

    #[test]
    fn a_page_found_twice_is_left_unarmed_for_a_while() {
        let mut heat = Heat::default();
        let page = found(&[7]);
        for _ in 0..3 {
            assert_eq!(heat.cold_of(&page, 100), Some(page.clone()));
            for _ in 0..HOT_SAVEPOINTS {
                assert_eq!(heat.cold_of(&page, 100), Some(Vec::new()));
            }
        }
    }

    #[test]
    fn a_page_that_is_found_once_stays_armed() {
        let mut heat = Heat::default();
        for page in 0..100 {
            assert_eq!(heat.cold_of(&found(&[page]), 100), Some(found(&[page])));
        }
    }

    #[test]
    fn many_pages_are_armed_in_one_call() {
        let mut wide = Heat::default();
        let all: Vec<u32> = (0..2000).collect();
        assert_eq!(wide.cold_of(&found(&all), 2000), None);
        assert!(wide.is_wide());
        wide.armed(&found(&all[..10]));
        assert!(!wide.is_wide());
        let apart: Vec<u32> = (0..20).map(|page| 2 * page).collect();
        assert_eq!(Heat::default().cold_of(&found(&apart), 40), None);
        let large = 20 * PAGES_A_RUN;
        assert_eq!(
            Heat::default().cold_of(&found(&apart), large),
            Some(found(&apart)),
            "a scan would cost more"
        );
    }
}
