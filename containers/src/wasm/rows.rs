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
//! it touches, these are written whole and it starts anew: a *consolidation*. A page's committed version is its row,
//! or the image's page without one, with the journal's changes of it applied in order.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use everturn_dag::{Cid, Ipld, NodeError, StoreError};
use everturn_exo_interface::{ExoError, StateReader, StateWriter};
use everturn_heap::{
    Changes, Heap, HeapError, Image, Loader, PAGE_BYTES, Page, PageIndex, PageSource, SourceError, Sourced,
    ZERO_PAGE,
};
use serde::{Deserialize, Serialize};

/// The journal is kept up to this size at least, in bytes.
const JOURNAL_BYTES: usize = 64 << 10;
/// And up to this size at most, so that a page can be read in bounded time.
const JOURNAL_BYTES_MAX: usize = 1 << 20;
/// Pages whose consolidation numbers share a row.
const GROUP_PAGES: u32 = 256;
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
    /// The journal's number up to which it is current.
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

/// One commit's changes.
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) changes: Changes,
    /// Encoded.
    pub(crate) bytes: usize,
}

/// The journal, oldest first.
pub(crate) fn journal(state: &dyn StateReader) -> Result<Vec<Entry>, StoreError> {
    let mut journal = Vec::new();
    let mut failed = None;
    state.scan(&[JOURNAL], &mut |key, value| {
        let read = parse_number(key).zip(Changes::decode(value).ok());
        match read {
            Some((number, changes)) => journal.push(Entry { number, changes, bytes: value.len() }),
            None => failed = Some(damaged("a journal entry cannot be read")),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(journal), Err)
}

/// A page row.
pub(crate) fn page_row(state: &dyn StateReader, page: PageIndex) -> Result<Option<Box<Page>>, StoreError> {
    let Some(bytes) = state.get(&page_key(page))? else { return Ok(None) };
    let bytes: Box<[u8]> = bytes.into();
    bytes.try_into().map(Some).map_err(|_| damaged(format!("{page} has not 4096 bytes")))
}

/// The journal number at which each page's row was written last.
pub(crate) fn consolidated(state: &dyn StateReader) -> Result<BTreeMap<PageIndex, u64>, StoreError> {
    let mut numbers = BTreeMap::new();
    let mut whole = true;
    state.scan(&[CONSOLIDATED], &mut |key, value| {
        let group = parse_page(key).map_or(0, |group| group.0);
        for entry in value.chunks(9) {
            match entry.split_first().and_then(|(page, number)| Some((page, number.try_into().ok()?))) {
                Some((page, number)) => {
                    let page = PageIndex(group * GROUP_PAGES + u32::from(*page));
                    numbers.insert(page, u64::from_be_bytes(number));
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

/// Reads committed pages: a row with the journal's changes of it. The journal is read once, when first needed.
pub(crate) struct Committed<'a> {
    journal_pages: &'a BTreeSet<PageIndex>,
    state: &'a dyn StateReader,
    image: &'a Image,
    journal: OnceCell<Vec<Entry>>,
}

impl<'a> Committed<'a> {
    /// `journal_pages` are the pages that the journal has changes of.
    pub(crate) fn new(
        journal_pages: &'a BTreeSet<PageIndex>,
        state: &'a dyn StateReader,
        image: &'a Image,
    ) -> Committed<'a> {
        Committed { journal_pages, state, image, journal: OnceCell::new() }
    }

    /// With the journal already read.
    pub(crate) fn with_journal(self, journal: Vec<Entry>) -> Committed<'a> {
        Committed { journal: OnceCell::from(journal), ..self }
    }

    fn journal(&self) -> Result<&[Entry], StoreError> {
        if self.journal.get().is_none() {
            let _ = self.journal.set(journal(self.state)?);
        }
        Ok(self.journal.get().map_or(&[], Vec::as_slice))
    }
}

impl PageSource for Committed<'_> {
    fn page(&self, page: PageIndex, into: &mut Page) -> Result<Sourced, SourceError> {
        let row = page_row(self.state, page)?;
        let in_journal = self.journal_pages.contains(&page);
        if row.is_none() && !in_journal {
            return Ok(Sourced::Absent);
        }
        *into = row.as_deref().or_else(|| self.image.page(page)).copied().unwrap_or(ZERO_PAGE);
        if in_journal {
            for entry in self.journal()? {
                if let Ok(at) = entry.changes.pages().binary_search_by_key(&page, |(page, _)| *page) {
                    entry.changes.pages()[at].1.apply(self.image.page(page), into);
                }
            }
        }
        Ok(Sourced::Found)
    }
}

/// The writing side: what of a heap's state is in the store, and where the journal stands.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    written: Option<Header>,
    first: u64,
    next: u64,
    journal_bytes: usize,
    pub(crate) journal_pages: BTreeSet<PageIndex>,
    consolidated: BTreeMap<PageIndex, u64>,
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

impl Rows {
    /// Reads a container's state into a fresh heap.
    pub(crate) fn load(state: &dyn StateReader, heap: &mut Heap) -> Result<Rows, ExoError> {
        let header = header(state)?;
        let journal = journal(state)?;
        let flushed = flushed(state)?.map_or(0, |flushed| flushed.journal + 1);
        let consolidated = consolidated(state)?;
        let oldest = consolidated.values().max().map_or(0, |number| number + 1).max(flushed);
        let mut rows = Rows { written: Some(header.clone()), next: oldest, consolidated, ..Rows::default() };
        rows.first = journal.first().map_or(oldest, |entry| entry.number);
        for entry in &journal {
            rows.note(entry.number, entry.bytes, &entry.changes);
        }
        let image = heap.image().clone();
        let loaded = heap.load(header.bytes, |loader| rows.fill(state, &journal, &image, loader));
        loaded.map_err(|error| error.0)?;
        Ok(rows)
    }

    fn fill(
        &self,
        state: &dyn StateReader,
        journal: &[Entry],
        image: &Image,
        loader: &mut Loader<'_>,
    ) -> Result<(), LoadError> {
        let mut changed: BTreeMap<PageIndex, Box<Page>> = BTreeMap::new();
        let mut failed = None;
        state.scan(&[PAGE], &mut |key, value| {
            let put = match parse_page(key).zip(<&Page>::try_from(value).ok()) {
                Some((page, bytes)) if self.journal_pages.contains(&page) => {
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
        for (page, change) in journal.iter().flat_map(|entry| entry.changes.pages()) {
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
        self.note(self.next, encoded.len(), &changes);
        let affordable = (PAGE_BYTES * self.journal_pages.len()).clamp(JOURNAL_BYTES, JOURNAL_BYTES_MAX);
        if self.journal_bytes > affordable {
            return self.consolidate(heap, state);
        }
        state.put(&numbered_key(JOURNAL, self.next - 1), encoded);
        Ok(())
    }

    fn note(&mut self, number: u64, bytes: usize, changes: &Changes) {
        self.next = number + 1;
        self.journal_bytes += bytes;
        self.journal_pages.extend(changes.pages().iter().map(|(page, _)| *page));
    }

    /// Writes every page of the journal whole and starts the journal anew. Memory is as at the savepoint.
    fn consolidate(&mut self, heap: &Heap, state: &mut dyn StateWriter) -> Result<(), ExoError> {
        let number = self.next - 1;
        let mut bytes = ZERO_PAGE;
        let pages = std::mem::take(&mut self.journal_pages);
        for page in &pages {
            heap.read(page.offset(), &mut bytes).map_err(engine)?;
            if heap.image().page(*page).unwrap_or(&ZERO_PAGE) == &bytes {
                state.delete(&page_key(*page));
            } else {
                state.put(&page_key(*page), bytes.to_vec());
            }
            self.consolidated.insert(*page, number);
        }
        for old in self.first..number {
            state.delete(&numbered_key(JOURNAL, old));
        }
        self.write_groups(&pages, state);
        self.first = self.next;
        self.journal_bytes = 0;
        Ok(())
    }

    fn write_groups(&self, pages: &BTreeSet<PageIndex>, state: &mut dyn StateWriter) {
        let groups: BTreeSet<u32> = pages.iter().map(|page| page.0 / GROUP_PAGES).collect();
        for group in groups {
            let first = group * GROUP_PAGES;
            let mut list = Vec::new();
            for (page, number) in
                self.consolidated.range(PageIndex(first)..=PageIndex(first + (GROUP_PAGES - 1)))
            {
                list.push((page.0 - first) as u8);
                list.extend_from_slice(&number.to_be_bytes());
            }
            state.put(&[&[CONSOLIDATED][..], &group.to_be_bytes()].concat(), list);
        }
    }

    /// Memory that this takes, roughly, in bytes.
    pub(crate) fn bookkeeping_bytes(&self) -> usize {
        size_of::<Self>() + 24 * self.journal_pages.len() + 32 * self.consolidated.len()
    }
}
