//! How a heap's committed state lies in the store.
//!
//! | key | value |
//! |---|---|
//! | `h` | dag-cbor [`Header`] |
//! | `p` page (u32, big-endian) | the page's 4096 bytes, as of the last consolidation |
//! | `j` number (u64, big-endian) | the changes of one commit ([`Changes::encode`](everturn_heap::Changes)) |
//! | `c` group (u32, big-endian) | for pages of a group of 256, the journal number at which their rows were written: a byte and a u64 each |
//! | `g` | dag-cbor list: the bytes of each mutable global, little-endian; absent where a module has none that are state |
//! | `f` | dag-cbor [`Flushed`]: the page tree of the newest flush |
//!
//! A commit appends its changed byte ranges to the journal. When the journal has become dearer to read than the pages
//! it touches, its oldest entries go, and of the pages that they touch those are written whole that were not since: a
//! *consolidation*. A page's committed version is its row, or the image's page without one, with the journal's changes of it
//! applied in order. (A row may be newer than an entry that touches it. The entries between the two say again what it has.)

mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use everturn_dag::{Cid, Ipld, NodeError, StoreError};
use everturn_exo_interface::{ExoError, StateReader, StateWriter};
use everturn_heap::{
    Heap, HeapError, Image, Loader, PAGE_BYTES, Page, PageIndex, PageSource, SourceError, Sourced, ZERO_PAGE,
};
use serde::{Deserialize, Serialize};

pub(crate) use journal::{Entry, Journal, entries, entries_after};

/// The journal is kept up to this size at least, in bytes.
const JOURNAL_BYTES: usize = 64 << 10;
/// And at most up to this size, so that a page can be read in bounded time; that of a large heap up to an eighth of it, since
/// random writes touch each of its pages seldom, and one is written whole for every time that it drops out of the journal.
const JOURNAL_BYTES_MAX: usize = 1 << 20;
const JOURNAL_OF_HEAP: u64 = 8;
/// The journal of no heap is larger.
const JOURNAL_BYTES_MOST: usize = 32 << 20;
/// A consolidation lets this part of the journal go.
const CONSOLIDATED_PART: usize = 8;
/// Pages whose consolidation numbers share a row.
const GROUP_PAGES: u32 = 256;
/// Bytes that a memory of 32-bit addresses has at most.
const HEAP_BYTES_MOST: u64 = 4 << 30;
/// The dag-cbor of a list without items.
const EMPTY_LIST: u8 = 0x80;

pub(crate) const HEADER: &[u8] = b"h";
pub(crate) const FLUSHED: &[u8] = b"f";
pub(crate) const GLOBALS: &[u8] = b"g";
pub(crate) const PAGE: u8 = b'p';
pub(crate) const JOURNAL: u8 = b'j';
pub(crate) const CONSOLIDATED: u8 = b'c';

/// The facts of a container's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The module that the heap runs on.
    pub(crate) code: Cid,
    /// The heap's size, in bytes.
    pub(crate) bytes: u64,
}

/// What the newest flush has hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flushed {
    /// Root of the page tree.
    pub(crate) tree: Cid,
    /// The heap's size then, in bytes.
    pub(crate) bytes: u64,
    /// The journal's number up to which it is current; 0 before its first entry.
    pub(crate) journal: u64,
}

pub(crate) fn page_key(page: PageIndex) -> Vec<u8> {
    [&[PAGE][..], &page.0.to_be_bytes()].concat()
}

pub(crate) fn numbered_key(kind: u8, number: u64) -> Vec<u8> {
    [&[kind][..], &number.to_be_bytes()].concat()
}

pub(crate) fn parse_page(key: &[u8]) -> Option<PageIndex> {
    Some(PageIndex(u32::from_be_bytes(key.get(1..)?.try_into().ok()?)))
}

pub(crate) fn parse_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged { place: "a container's state".into(), what: what.into() }
}

/// The header of a container's state.
pub(crate) fn header(state: &dyn StateReader) -> Result<Header, StoreError> {
    let bytes = state.get(HEADER)?.ok_or_else(|| damaged("its header is not there"))?;
    everturn_dag::node::decode(&bytes).map_err(|error| damaged(format!("its header: {error}")))
}

/// The values of a container's globals, as a node.
pub(crate) fn globals(state: &dyn StateReader) -> Result<Ipld, StoreError> {
    let wrong = |error: NodeError| damaged(format!("its globals: {error}"));
    everturn_dag::node::decode(&encoded_globals(state)?).map_err(wrong)
}

/// The same, as dag-cbor.
pub(crate) fn encoded_globals(state: &dyn StateReader) -> Result<Vec<u8>, StoreError> {
    let Some(bytes) = state.get(GLOBALS)? else { return Ok(vec![EMPTY_LIST]) };
    everturn_dag::node::validate(&bytes).map_err(|error| damaged(format!("its globals: {error}")))?;
    Ok(bytes)
}

/// A page row.
pub(crate) fn page_row(state: &dyn StateReader, page: PageIndex) -> Result<Option<Box<Page>>, StoreError> {
    let Some(bytes) = state.get(&page_key(page))? else { return Ok(None) };
    let bytes: Box<[u8]> = bytes.into();
    bytes.try_into().map(Some).map_err(|_| damaged(format!("{page} has not 4096 bytes")))
}

/// The journal number at which each page's row was written last, where that is one of these.
pub(crate) fn consolidated(
    state: &dyn StateReader,
    is_one: &dyn Fn(u64) -> bool,
) -> Result<BTreeMap<PageIndex, u64>, StoreError> {
    let mut numbers = BTreeMap::new();
    let mut whole = true;
    state.scan(&[CONSOLIDATED], &mut |key, value| {
        let group = parse_page(key).map_or(0, |group| group.0);
        for entry in value.chunks(9) {
            match entry.split_first().and_then(|(page, number)| Some((page, number.try_into().ok()?))) {
                Some((page, number)) => {
                    let number = u64::from_be_bytes(number);
                    if is_one(number) {
                        numbers.insert(PageIndex(group * GROUP_PAGES + u32::from(*page)), number);
                    }
                }
                None => whole = false,
            }
        }
        whole
    })?;
    if whole { Ok(numbers) } else { Err(damaged("a list of consolidated pages cannot be read")) }
}

/// What the newest flush has hashed, if there was one.
pub(crate) fn flushed(state: &dyn StateReader) -> Result<Option<Flushed>, StoreError> {
    let Some(bytes) = state.get(FLUSHED)? else { return Ok(None) };
    everturn_dag::node::decode(&bytes).map(Some).map_err(|error| damaged(format!("its flush: {error}")))
}

/// Encodes a record of ours.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ExoError> {
    everturn_dag::node::encode(value).map_err(|error| damaged(error.to_string()).into())
}

/// Reads committed pages: a row with the journal's changes of it.
pub(crate) struct Committed<'a> {
    journal: &'a Journal,
    state: &'a dyn StateReader,
    image: &'a Image,
}

impl<'a> Committed<'a> {
    pub(crate) fn new(journal: &'a Journal, state: &'a dyn StateReader, image: &'a Image) -> Committed<'a> {
        Committed { journal, state, image }
    }
}

impl PageSource for Committed<'_> {
    fn page(&self, page: PageIndex, into: &mut Page) -> Result<Sourced, SourceError> {
        let row = page_row(self.state, page)?;
        let in_journal = self.journal.touches(page);
        if row.is_none() && !in_journal {
            return Ok(Sourced::Absent);
        }
        *into = row.as_deref().or_else(|| self.image.page(page)).copied().unwrap_or(ZERO_PAGE);
        if in_journal {
            for entry in self.journal.read(self.state)? {
                entry.apply(page, self.image.page(page), into);
            }
        }
        Ok(Sourced::Found)
    }
}

/// The writing side: what of a heap's state is in the store, and where the journal stands.
#[derive(Debug)]
pub(crate) struct Rows {
    written: Option<Header>,
    /// The number of the next journal entry. The first is 1: a flush before it says 0.
    next: u64,
    pub(crate) journal: Journal,
    /// The journal number at which the row of each page was written last, and one, by page.
    consolidated: Vec<Option<NonZeroU64>>,
}

/// How large a heap's journal may grow.
fn journal_bytes_max(heap: &Heap) -> usize {
    let part = usize::try_from(heap.savepoint_bytes() / JOURNAL_OF_HEAP).unwrap_or(JOURNAL_BYTES_MOST);
    part.clamp(JOURNAL_BYTES_MAX, JOURNAL_BYTES_MOST)
}

/// A heap's error, on its way through the heap's own load.
struct LoadError(ExoError);

impl From<HeapError> for LoadError {
    fn from(error: HeapError) -> Self {
        LoadError(engine(error))
    }
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        LoadError(error.into())
    }
}

pub(crate) fn engine(error: impl std::error::Error + Send + Sync + 'static) -> ExoError {
    ExoError::Engine { container: "on the wasm engine".into(), source: Box::new(error) }
}

impl Default for Rows {
    fn default() -> Self {
        Rows { written: None, next: 1, journal: Journal::default(), consolidated: Vec::new() }
    }
}

impl Rows {
    /// Reads a container's state into a fresh heap.
    pub(crate) fn load(state: &dyn StateReader, heap: &mut Heap) -> Result<Rows, ExoError> {
        let header = header(state)?;
        let journal = Journal::of(entries(state)?, header.bytes)?;
        let flushed = flushed(state)?.map(|flushed| flushed.journal);
        let numbers = consolidated(state, &|_| true)?;
        let newest = journal.newest().max(numbers.values().max().copied()).max(flushed).unwrap_or(0);
        let next =
            newest.checked_add(1).ok_or_else(|| damaged("the number of a journal entry is too large"))?;
        let mut rows = Rows { written: Some(header.clone()), next, journal, ..Rows::default() };
        for (page, number) in numbers {
            if page.offset() >= header.bytes.min(HEAP_BYTES_MOST) {
                return Err(damaged("a consolidated page lies behind the heap's end").into());
            }
            rows.note_consolidated(page, number);
        }
        let image = heap.image().clone();
        let loaded = heap.load(header.bytes, |loader| rows.fill(state, &image, loader));
        loaded.map_err(|error| error.0)?;
        Ok(rows)
    }

    fn fill(&self, state: &dyn StateReader, image: &Image, loader: &mut Loader<'_>) -> Result<(), LoadError> {
        let mut changed: BTreeMap<PageIndex, Box<Page>> = BTreeMap::new();
        let mut failed = None;
        state.scan(&[PAGE], &mut |key, value| {
            let put = match parse_page(key).zip(<&Page>::try_from(value).ok()) {
                Some((page, bytes)) if self.journal.touches(page) => {
                    changed.insert(page, Box::new(*bytes));
                    Ok(())
                }
                Some((page, bytes)) => loader.put(page, bytes).map_err(LoadError::from),
                None => Err(damaged("a page row cannot be read").into()),
            };
            failed = put.err();
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        for (page, change) in self.journal.read(state)?.iter().flat_map(|entry| entry.changes.pages()) {
            let initial = image.page(*page);
            let bytes = changed.entry(*page).or_insert_with(|| Box::new(*initial.unwrap_or(&ZERO_PAGE)));
            change.apply(initial, bytes);
        }
        Ok(changed.iter().try_for_each(|(page, bytes)| loader.put(*page, bytes))?)
    }

    /// Writes what changed in the heap since the last commit. The heap is at a savepoint.
    pub(crate) fn commit(
        &mut self,
        heap: &mut Heap,
        code: &Cid,
        module: &[u8],
        state: &mut dyn StateWriter,
    ) -> Result<(), ExoError> {
        let changes = heap.take_changes();
        let header = Header { code: *code, bytes: changes.bytes() };
        if self.written.as_ref() != Some(&header) {
            state.put(HEADER, encode(&header)?);
            if self.written.is_none() {
                state.block(code, module);
            }
            self.written = Some(header);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let encoded = changes.encode();
        let number = self.next;
        self.next += 1;
        self.journal.note(number, encoded.len(), &changes);
        let whole = (PAGE_BYTES * self.journal.pages()).clamp(JOURNAL_BYTES, journal_bytes_max(heap));
        if self.journal.bytes() > whole {
            self.consolidate(whole - whole / CONSOLIDATED_PART, heap, state)?;
        }
        if self.journal.newest() == Some(number) {
            state.put(&numbered_key(JOURNAL, number), encoded);
        }
        Ok(())
    }

    /// Lets the oldest entries of the journal go until it has `bytes_max` at most. Memory is as at the savepoint.
    fn consolidate(
        &mut self,
        bytes_max: usize,
        heap: &Heap,
        state: &mut dyn StateWriter,
    ) -> Result<(), ExoError> {
        let newest = self.next - 1;
        let mut pages = BTreeSet::new();
        while self.journal.bytes() > bytes_max {
            let Some(oldest) = self.journal.take_oldest() else { break };
            let is_older = |page: &PageIndex| self.consolidated_at(*page).is_none_or(|at| at < oldest.number);
            pages.extend(oldest.pages.iter().copied().filter(is_older));
            if oldest.number != newest {
                state.delete(&numbered_key(JOURNAL, oldest.number));
            }
        }
        let mut bytes = ZERO_PAGE;
        for page in &pages {
            heap.read(page.offset(), &mut bytes).map_err(engine)?;
            if heap.image().page(*page).unwrap_or(&ZERO_PAGE) == &bytes {
                state.delete(&page_key(*page));
            } else {
                state.put(&page_key(*page), bytes.to_vec());
            }
            self.note_consolidated(*page, newest);
        }
        self.write_groups(&pages, state);
        Ok(())
    }

    /// Nobody is expected to ask for committed pages soon.
    pub(crate) fn settled(&mut self) {
        self.journal.forget_read();
    }

    /// The journal number at which a page's row was written last.
    fn consolidated_at(&self, page: PageIndex) -> Option<u64> {
        Some(self.consolidated.get(page.0 as usize)?.as_ref()?.get() - 1)
    }

    fn note_consolidated(&mut self, page: PageIndex, number: u64) {
        let slot = page.0 as usize;
        if slot >= self.consolidated.len() {
            self.consolidated.resize(slot + 1, None);
        }
        self.consolidated[slot] = NonZeroU64::new(number + 1);
    }

    fn write_groups(&self, pages: &BTreeSet<PageIndex>, state: &mut dyn StateWriter) {
        let groups: BTreeSet<u32> = pages.iter().map(|page| page.0 / GROUP_PAGES).collect();
        for group in groups {
            let first = group * GROUP_PAGES;
            let mut list = Vec::new();
            for slot in 0..GROUP_PAGES {
                if let Some(number) = self.consolidated_at(PageIndex(first + slot)) {
                    list.push(slot as u8);
                    list.extend_from_slice(&number.to_be_bytes());
                }
            }
            state.put(&[&[CONSOLIDATED][..], &group.to_be_bytes()].concat(), list);
        }
    }

    /// Memory that this takes, roughly, in bytes.
    pub(crate) fn bookkeeping_bytes(&self) -> usize {
        size_of::<Self>() + self.journal.bookkeeping_bytes() + size_of_val(&*self.consolidated)
    }
}

#[cfg(test)]
mod tests;
