//! Where the committed version of a page comes from.

use crate::page::{Page, PageIndex};

/// A page source's own complaint.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Whether a page has a committed version of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sourced {
    /// It has, and the bytes are filled in.
    Found,
    /// It has none: the committed version is the image's page.
    Absent,
}

/// Reads committed pages; the store, seen from a heap.
pub trait PageSource {
    /// Fills `into` with the committed version of `page`; leaves it alone if that is the image's.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn page(&self, page: PageIndex, into: &mut Page) -> Result<Sourced, SourceError>;
}

/// The source of a heap of which nothing was committed yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingCommitted;

impl PageSource for NothingCommitted {
    fn page(&self, _: PageIndex, _: &mut Page) -> Result<Sourced, SourceError> {
        Ok(Sourced::Absent)
    }
}
