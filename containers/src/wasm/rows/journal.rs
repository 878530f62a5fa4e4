//! The journal of a heap's changes: which pages its entries touch, and which entry goes first.
//!
//! The entries themselves lie in the store. Only who needs the committed version of a page that it touches reads them: all at
//! once, and then they stay until that is no longer likely.

use std::cell::OnceCell;
use std::collections::VecDeque;

use everturn_dag::StoreError;
use everturn_exo_interface::StateReader;
use everturn_heap::{Changes, Page, PageIndex};

use super::{HEAP_BYTES_MOST, JOURNAL, damaged, numbered_key, parse_number};

/// One commit's changes.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) changes: Changes,
    /// Encoded.
    bytes: usize,
}

impl Entry {
    fn decode(number: u64, value: &[u8]) -> Result<Entry, StoreError> {
        let changes = Changes::decode(value).map_err(|_| unreadable())?;
        Ok(Entry { number, changes, bytes: value.len() })
    }

    /// Makes its changes of a page, if it has any, to what the page was before it. `initial` is the image's page.
    pub(crate) fn apply(&self, page: PageIndex, initial: Option<&Page>, into: &mut Page) {
        let pages = self.changes.pages();
        if let Ok(at) = pages.binary_search_by_key(&page, |(page, _)| *page) {
            pages[at].1.apply(initial, into);
        }
    }
}

fn unreadable() -> StoreError {
    damaged("a journal entry cannot be read")
}

/// The journal of a state, oldest entry first.
pub(crate) fn entries(state: &dyn StateReader) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    let mut failed = None;
    state.scan(&[JOURNAL], &mut |key, value| {
        let read = parse_number(key).ok_or_else(unreadable).and_then(|number| Entry::decode(number, value));
        match read {
            Ok(entry) => entries.push(entry),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(entries), Err)
}

/// Those of its entries that are newer than this one, which is or was one of them, while none of them is gone. Numbers follow
/// each other, and the oldest entries go first: a number that is not there is behind the newest.
pub(crate) fn entries_after(state: &dyn StateReader, number: u64) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for number in number.saturating_add(1).. {
        let Some(value) = state.get(&numbered_key(JOURNAL, number))? else { break };
        entries.push(Entry::decode(number, &value)?);
    }
    Ok(entries)
}

/// What is known of an entry without reading it.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) number: u64,
    pub(super) pages: Box<[PageIndex]>,
    bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    noted: VecDeque<Noted>,
    /// How many entries touch each page, by page: a change looks up one, and a large heap has many that no cache has.
    touching: Vec<u32>,
    /// How many pages are touched.
    pages: usize,
    bytes: usize,
    /// The entries as they were when a page was asked for. What came later touches only pages that memory keeps.
    read: OnceCell<Vec<Entry>>,
}

impl Journal {
    /// A journal that was read, of a heap of so many bytes.
    pub(crate) fn of(entries: Vec<Entry>, heap_bytes: u64) -> Result<Journal, StoreError> {
        let mut journal = Journal::default();
        for entry in &entries {
            let lies_behind = |(page, _): &(PageIndex, _)| page.offset() >= heap_bytes.min(HEAP_BYTES_MOST);
            if entry.changes.pages().iter().any(lies_behind) {
                return Err(damaged("a journal entry has a page behind the heap's end"));
            }
            journal.note(entry.number, entry.bytes, &entry.changes);
        }
        journal.read = OnceCell::from(entries);
        Ok(journal)
    }

    /// An entry was added, of so many bytes.
    pub(super) fn note(&mut self, number: u64, bytes: usize, changes: &Changes) {
        let pages: Box<[PageIndex]> = changes.pages().iter().map(|(page, _)| *page).collect();
        let end = pages.iter().max().map_or(0, |last| last.0 as usize + 1);
        if end > self.touching.len() {
            self.touching.resize(end, 0);
        }
        for page in &pages {
            let touching = &mut self.touching[page.0 as usize];
            self.pages += usize::from(*touching == 0);
            *touching += 1;
        }
        self.bytes += bytes;
        self.noted.push_back(Noted { number, pages, bytes });
    }

    /// Takes the oldest entry out.
    pub(super) fn take_oldest(&mut self) -> Option<Noted> {
        let oldest = self.noted.pop_front()?;
        self.bytes -= oldest.bytes;
        for page in &oldest.pages {
            let touching = &mut self.touching[page.0 as usize];
            *touching -= 1;
            self.pages -= usize::from(*touching == 0);
        }
        Some(oldest)
    }

    /// What its entries take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many pages it touches.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// Whether it touches a page.
    pub(super) fn touches(&self, page: PageIndex) -> bool {
        self.touching.get(page.0 as usize).is_some_and(|touching| *touching > 0)
    }

    /// The number of its newest entry.
    pub(super) fn newest(&self) -> Option<u64> {
        self.noted.back().map(|entry| entry.number)
    }

    /// Its entries, or at least those that touch pages of which memory keeps no copy.
    pub(super) fn read(&self, state: &dyn StateReader) -> Result<&[Entry], StoreError> {
        if self.read.get().is_none() {
            let _ = self.read.set(entries(state)?);
        }
        Ok(self.read.get().map_or(&[], Vec::as_slice))
    }

    /// Lets go of what was read: memory may keep no copies any more of pages that changed since.
    pub(super) fn forget_read(&mut self) {
        self.read = OnceCell::new();
    }

    /// Memory that this takes beside what was read, roughly, in bytes.
    pub(super) fn bookkeeping_bytes(&self) -> usize {
        let noted: usize = self.noted.iter().map(|entry| size_of_val(&*entry.pages)).sum();
        noted + self.noted.capacity() * size_of::<Noted>() + size_of_val(&*self.touching)
    }
}
