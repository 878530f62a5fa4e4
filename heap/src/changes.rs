//! What a commit must write of a heap: byte ranges, or whole pages where that is less.
//!
//! [`encoding`] gives the bytes; what is handed out here holds no reference into live memory.

mod encoding;

use crate::error::HeapError;
use crate::image::Image;
use crate::page::{ChangedWords, PAGE_BYTES, Page, PageIndex, WORD_BYTES, ZERO_PAGE, is_zero};
use crate::source::{PageSource, Sourced};

/// Everything that changed between two calls of [`Heap::take_changes`](crate::Heap::take_changes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    bytes: u64,
    pages: Vec<(PageIndex, PageChange)>,
}

/// What became of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageChange {
    /// It equals the image's again: nothing of it need be stored.
    Initial,
    /// It is all zero, which the image's is not.
    Zero,
    /// Some of its bytes changed, relative to the version handed out before (or the image's).
    Ranges {
        /// Where, in order and apart from each other.
        ranges: Vec<ChangedRange>,
        /// The new bytes of all ranges, one after the other.
        bytes: Vec<u8>,
    },
    /// So much changed that the whole page is less.
    Whole(Box<Page>),
}

/// Changed bytes within a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedRange {
    /// The first byte's place in the page; a multiple of 8.
    pub offset: u16,
    /// How many bytes; a multiple of 8, never 0.
    pub len: u16,
}

impl Changes {
    pub(crate) fn new(bytes: u64, pages: Vec<(PageIndex, PageChange)>) -> Self {
        Self { bytes, pages }
    }

    /// The heap's size, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The changed pages, in order.
    pub fn pages(&self) -> &[(PageIndex, PageChange)] {
        &self.pages
    }

    /// Whether no page changed. (The size may have.)
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The bytes to write.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// Reads what [`Changes::encode`] wrote.
    ///
    /// # Errors
    /// [`HeapError::BadChanges`] if no heap wrote these bytes.
    pub fn decode(encoded: &[u8]) -> Result<Self, HeapError> {
        encoding::decode(encoded)
    }

    /// Brings a committed state up to date: reads the pages that changed in part from `committed`, and hands each
    /// changed page's new version to `write`; `None` says that the page is the image's again and needs no version.
    ///
    /// # Errors
    /// [`HeapError::Source`] if a page cannot be read; what `write` returns.
    pub fn apply<E: From<HeapError>>(
        &self,
        image: &Image,
        committed: &dyn PageSource,
        mut write: impl FnMut(PageIndex, Option<&Page>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = ZERO_PAGE;
        for (page, change) in &self.pages {
            match change {
                PageChange::Initial => write(*page, None)?,
                PageChange::Zero => write(*page, Some(&ZERO_PAGE))?,
                PageChange::Whole(bytes) => write(*page, Some(bytes))?,
                PageChange::Ranges { .. } => {
                    let sourced = committed
                        .page(*page, &mut buffer)
                        .map_err(|source| HeapError::Source { page: *page, source })?;
                    if sourced == Sourced::Absent {
                        buffer = *image.page(*page).unwrap_or(&ZERO_PAGE);
                    }
                    change.apply(image.page(*page), &mut buffer);
                    write(*page, Some(&buffer))?;
                }
            }
        }
        Ok(())
    }
}

impl PageChange {
    /// The least way to say that these words of a page changed.
    pub(crate) fn of(words: &ChangedWords, page: &Page, initial: Option<&Page>) -> Self {
        let zero = is_zero(page);
        match initial {
            None if zero => return Self::Initial,
            Some(initial) if initial == page => return Self::Initial,
            Some(_) if zero => return Self::Zero,
            _ => {}
        }
        let change = Self::ranges(words, page);
        if encoding::page_change_bytes(&change) < encoding::WHOLE_PAGE_BYTES {
            change
        } else {
            Self::Whole(Box::new(*page))
        }
    }

    /// Turns the version handed out before into this one.
    pub fn apply(&self, initial: Option<&Page>, page: &mut Page) {
        match self {
            Self::Initial => *page = *initial.unwrap_or(&ZERO_PAGE),
            Self::Zero => *page = ZERO_PAGE,
            Self::Whole(bytes) => *page = **bytes,
            Self::Ranges { ranges, bytes } => {
                let mut rest = bytes.as_slice();
                for range in ranges {
                    let (offset, len) = (usize::from(range.offset), usize::from(range.len));
                    let Some((new, after)) = rest.split_at_checked(len) else { return };
                    let Some(place) = page.get_mut(offset..offset + len) else { return };
                    place.copy_from_slice(new);
                    rest = after;
                }
            }
        }
    }

    fn ranges(words: &ChangedWords, page: &Page) -> Self {
        let (mut ranges, mut bytes) = (Vec::new(), Vec::new());
        for (first, count) in words.spans() {
            let (offset, len) = (first * WORD_BYTES, count * WORD_BYTES);
            debug_assert!(offset + len <= PAGE_BYTES);
            ranges.push(ChangedRange { offset: offset as u16, len: len as u16 });
            bytes.extend_from_slice(&page[offset..offset + len]);
        }
        Self::Ranges { ranges, bytes }
    }
}
