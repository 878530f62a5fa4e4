//! Pages, runs of pages, sets of pages, and which words of a page changed.

use std::fmt;

/// Bytes of a page: what the store keeps under one key, whatever the machine's own page size is.
pub const PAGE_BYTES: usize = 4096;

/// A page's bytes.
pub type Page = [u8; PAGE_BYTES];

/// The page that is nowhere stored.
pub const ZERO_PAGE: Page = [0; PAGE_BYTES];

/// Bytes of the unit in which changes within a page are noted.
pub(crate) const WORD_BYTES: usize = 8;

/// Words of a page.
pub(crate) const PAGE_WORDS: usize = PAGE_BYTES / WORD_BYTES;

/// A page's number: its offset in the heap divided by [`PAGE_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageIndex(pub u32);

impl PageIndex {
    /// The page's offset in the heap, in bytes.
    pub fn offset(self) -> u64 {
        u64::from(self.0) * PAGE_BYTES as u64
    }
}

impl fmt::Display for PageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {}", self.0)
    }
}

/// Whether a page holds nothing but zeros.
pub(crate) fn is_zero(page: &Page) -> bool {
    *page == ZERO_PAGE
}

/// Consecutive pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRun {
    pub(crate) first: PageIndex,
    pub(crate) count: u32,
}

impl PageRun {
    /// The run that covers `bytes` from `offset`, both within one heap.
    pub(crate) fn covering(offset: u64, bytes: u64) -> Self {
        let first = offset / PAGE_BYTES as u64;
        let end = (offset + bytes).div_ceil(PAGE_BYTES as u64);
        Self { first: PageIndex(first as u32), count: (end - first) as u32 }
    }

    pub(crate) fn offset(self) -> u64 {
        self.first.offset()
    }

    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.count) * PAGE_BYTES as u64
    }

    /// The part that lies below `bytes`, a multiple of [`PAGE_BYTES`].
    pub(crate) fn below(self, bytes: u64) -> Option<Self> {
        let pages = u32::try_from(bytes / PAGE_BYTES as u64).unwrap_or(u32::MAX);
        let count = self.count.min(pages.saturating_sub(self.first.0));
        (count > 0).then_some(Self { first: self.first, count })
    }

    pub(crate) fn pages(self) -> impl Iterator<Item = PageIndex> {
        (self.first.0..self.first.0 + self.count).map(PageIndex)
    }

    /// Adds a page to the last run if it follows it, else starts a run.
    pub(crate) fn push_page(runs: &mut Vec<PageRun>, page: PageIndex) {
        match runs.last_mut() {
            Some(last) if last.first.0 + last.count == page.0 => last.count += 1,
            _ => runs.push(PageRun { first: page, count: 1 }),
        }
    }
}

/// A set of pages: one bit each, up to the highest page that was ever in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageSet {
    bits: Vec<u64>,
}

impl PageSet {
    pub(crate) fn insert(&mut self, page: PageIndex) {
        let (slot, bit) = Self::place(page);
        if slot >= self.bits.len() {
            self.bits.resize(slot + 1, 0);
        }
        self.bits[slot] |= bit;
    }

    pub(crate) fn contains(&self, page: PageIndex) -> bool {
        let (slot, bit) = Self::place(page);
        self.bits.get(slot).is_some_and(|bits| bits & bit != 0)
    }

    pub(crate) fn clear(&mut self) {
        self.bits.clear();
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        self.bits.capacity() * size_of::<u64>()
    }

    fn place(page: PageIndex) -> (usize, u64) {
        (page.0 as usize / 64, 1 << (page.0 % 64))
    }
}

/// Which words of a page changed: bit `w % 64` of slot `w / 64` stands for word `w`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangedWords([u64; PAGE_WORDS / 64]);

impl ChangedWords {
    /// The words in which two pages differ.
    pub(crate) fn between(old: &Page, new: &Page) -> Self {
        let mut words = Self::default();
        let blocks = old.chunks_exact(64 * WORD_BYTES).zip(new.chunks_exact(64 * WORD_BYTES));
        for (bits, (old, new)) in words.0.iter_mut().zip(blocks) {
            if old == new {
                continue;
            }
            let pairs = old.chunks_exact(WORD_BYTES).zip(new.chunks_exact(WORD_BYTES));
            for (bit, (old, new)) in pairs.enumerate() {
                *bits |= u64::from(old != new) << bit;
            }
        }
        words
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0; PAGE_WORDS / 64]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }

    /// The changed words as (first word, number of words), in order and apart from each other.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let first = self.next(from, Wanted::Changed)?;
            let end = self.next(first, Wanted::Unchanged).unwrap_or(PAGE_WORDS);
            from = end;
            Some((first, end - first))
        })
    }

    /// The first word at or after `from` that is as wanted.
    fn next(&self, from: usize, wanted: Wanted) -> Option<usize> {
        let mut word = from;
        while word < PAGE_WORDS {
            let bits = match wanted {
                Wanted::Changed => self.0[word / 64],
                Wanted::Unchanged => !self.0[word / 64],
            };
            let rest = bits >> (word % 64);
            if rest != 0 {
                return Some(word + rest.trailing_zeros() as usize);
            }
            word = (word / 64 + 1) * 64;
        }
        None
    }
}

#[derive(Clone, Copy)]
enum Wanted {
    Changed,
    Unchanged,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans_of(changed: &[usize]) -> Vec<(usize, usize)> {
        let mut new = ZERO_PAGE;
        for word in changed {
            new[word * WORD_BYTES + 3] = 1;
        }
        ChangedWords::between(&ZERO_PAGE, &new).spans().collect()
    }

    #[test]
    fn changed_words_come_as_spans() {
        assert_eq!(spans_of(&[]), []);
        assert_eq!(spans_of(&[0]), [(0, 1)]);
        assert_eq!(spans_of(&[511]), [(511, 1)]);
        assert_eq!(spans_of(&[62, 63, 64, 65, 67, 128]), [(62, 4), (67, 1), (128, 1)]);
        assert_eq!(spans_of(&(0..512).collect::<Vec<_>>()), [(0, 512)]);
    }

    #[test]
    fn neighbours_join_one_run() {
        let mut runs = Vec::new();
        for page in [3, 4, 5, 9, 11, 12] {
            PageRun::push_page(&mut runs, PageIndex(page));
        }
        let counts: Vec<_> = runs.iter().map(|run| (run.first.0, run.count)).collect();
        assert_eq!(counts, [(3, 3), (9, 1), (11, 2)]);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = PageSet::default();
        for page in [0, 63, 64, 1000] {
            set.insert(PageIndex(page));
        }
        let held: Vec<_> = (0..2000).filter(|&page| set.contains(PageIndex(page))).collect();
        assert_eq!(held, [0, 63, 64, 1000]);
    }
}
