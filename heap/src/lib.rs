//! A container's linear memory: mapped, watched for writes, set back when a turn fails, and told apart into what a
//! commit must write.
//!
//! Place on a message's path: a turn's guest writes straight into [`Region`]; [`Heap::savepoint`] sets the dirty
//! pages aside, [`Heap::rollback`] puts them back, [`Heap::take_changes`] hands them to the commit, and
//! [`page_tree`] gives the pages their content address.
//!
//! Invariants:
//! 1. An [`Image`] is never written after it was made; all heaps that start from it share its memory.
//! 2. A page without a kept copy has, at the savepoint, exactly its committed version (and where no version was ever
//!    committed, the image's bytes).
//! 3. Results never depend on the [`TrackerKind`]: a tracker only names pages that *may* have been written, and every
//!    page is compared before anything is recorded.
//! 4. Nothing is global: descriptors belong to a [`Tracking`], which its owner shares as far as it wishes.
//!
//! Deliberately unknown here: turns, messages, wasm, the store. Unsafe code lives in `region.rs`, `region/` and
//! `tracker/` alone.

mod changes;
mod error;
mod heap;
mod image;
mod page;
pub mod page_tree;
mod region;
mod source;
mod tracker;

pub use changes::{ChangedRange, Changes, PageChange};
pub use error::HeapError;
pub use heap::{Growth, Heap, HeapSettings, Loader, RollbackReport, SavepointReport, TrimReport};
pub use image::Image;
pub use page::{PAGE_BYTES, Page, PageIndex, ZERO_PAGE};
pub use region::{Region, SIZE_STEP_BYTES};
pub use source::{NothingCommitted, PageSource, SourceError, Sourced};
pub use tracker::{TRACKER_VARIABLE, TrackerKind, Tracking};
