//! The copy that is kept of a page.

use crate::page::{ChangedWords, Page, ZERO_PAGE};

/// A page's bytes at the savepoint, and which words of them were not handed out yet.
pub(super) struct Kept {
    pub(super) bytes: Box<Page>,
    pub(super) unsent: ChangedWords,
}

impl Kept {
    /// A page at its committed version.
    pub(super) fn committed(bytes: &Page) -> Self {
        Self { bytes: boxed(bytes), unsent: ChangedWords::default() }
    }

    /// A page that was the image's until now.
    pub(super) fn changed(bytes: &Page, initial: Option<&Page>) -> Self {
        let unsent = ChangedWords::between(initial.unwrap_or(&ZERO_PAGE), bytes);
        Self { bytes: boxed(bytes), unsent }
    }

    /// Takes a page's new bytes over; whether they differ.
    pub(super) fn update(&mut self, live: &Page) -> bool {
        let words = ChangedWords::between(&self.bytes, live);
        if words.is_empty() {
            return false;
        }
        self.unsent.add(&words);
        *self.bytes = *live;
        true
    }
}

fn boxed(bytes: &Page) -> Box<Page> {
    let mut page = Box::new(ZERO_PAGE);
    *page = *bytes;
    page
}
