//! The copies that are kept of pages.

use crate::page::{ChangedWords, Page, PageIndex, ZERO_PAGE};

/// A page's bytes at the savepoint, and which words of them were not handed out yet.
pub(super) struct Kept {
    pub(super) unsent: ChangedWords,
    pub(super) bytes: Page,
}

impl Kept {
    /// A page at its committed version.
    pub(super) fn committed(bytes: &Page) -> Box<Self> {
        let mut kept = Self::zero();
        kept.bytes = *bytes;
        kept
    }

    /// A page that was the image's until now.
    pub(super) fn changed(bytes: &Page, initial: Option<&Page>) -> Box<Self> {
        let mut kept = Self::committed(bytes);
        kept.unsent = ChangedWords::between(initial.unwrap_or(&ZERO_PAGE), bytes);
        kept
    }

    fn zero() -> Box<Self> {
        Box::new(Self { unsent: ChangedWords::default(), bytes: ZERO_PAGE })
    }

    /// Takes a page's new bytes over; whether they differ.
    pub(super) fn update(&mut self, live: &Page) -> bool {
        let words = ChangedWords::between(&self.bytes, live);
        if words.is_empty() {
            return false;
        }
        self.unsent.add(&words);
        self.bytes = *live;
        true
    }
}

/// Pages of one group.
const GROUP_PAGES: usize = 64;

type Group = [Option<Box<Kept>>; GROUP_PAGES];

/// The copies by page: two steps to each, wherever it lies, since a savepoint looks for thousands that no cache has.
#[derive(Default)]
pub(super) struct KeptPages {
    groups: Vec<Option<Box<Group>>>,
    len: usize,
}

impl KeptPages {
    pub(super) fn get(&self, page: PageIndex) -> Option<&Kept> {
        let (group, slot) = place(page);
        self.groups.get(group)?.as_deref()?.get(slot)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, page: PageIndex) -> Option<&mut Kept> {
        let (group, slot) = place(page);
        self.groups.get_mut(group)?.as_deref_mut()?.get_mut(slot)?.as_deref_mut()
    }

    pub(super) fn contains(&self, page: PageIndex) -> bool {
        let (group, slot) = place(page);
        let group = self.groups.get(group).and_then(Option::as_deref);
        group.is_some_and(|group| group.get(slot).is_some_and(Option::is_some))
    }

    /// Keeps this copy in place of any other.
    pub(super) fn insert(&mut self, page: PageIndex, kept: Box<Kept>) {
        let (group, slot) = place(page);
        if group >= self.groups.len() {
            self.groups.resize_with(group + 1, || None);
        }
        let group = self.groups[group].get_or_insert_with(|| Box::new([const { None }; GROUP_PAGES]));
        self.len += usize::from(group[slot].replace(kept).is_none());
    }

    /// Drops the copies with nothing that was not handed out, and what room they needed.
    pub(super) fn drop_sent(&mut self) {
        self.len = 0;
        for place in &mut self.groups {
            let Some(group) = place else { continue };
            let mut left = 0;
            for slot in group.iter_mut() {
                if slot.as_ref().is_some_and(|kept| kept.unsent.is_empty()) {
                    *slot = None;
                }
                left += usize::from(slot.is_some());
            }
            if left == 0 {
                *place = None;
            }
            self.len += left;
        }
        let used = self.groups.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.groups.truncate(used);
        self.groups.shrink_to_fit();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Memory that they take, in bytes.
    pub(super) fn resident_bytes(&self) -> usize {
        let groups = self.groups.iter().filter(|group| group.is_some()).count();
        self.len * size_of::<Kept>()
            + groups * size_of::<Group>()
            + self.groups.capacity() * size_of::<usize>()
    }
}

fn place(page: PageIndex) -> (usize, usize) {
    (page.0 as usize / GROUP_PAGES, page.0 as usize % GROUP_PAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_found_where_they_were_put_and_dropped_when_they_were_handed_out() {
        let mut kept = KeptPages::default();
        let pages = [0, 63, 64, 1000].map(PageIndex);
        for page in pages {
            kept.insert(page, Kept::committed(&[page.0 as u8; 4096]));
        }
        kept.insert(pages[1], Kept::changed(&[7; 4096], None));
        assert_eq!(kept.len(), 4);
        for page in 0..2000 {
            assert_eq!(kept.contains(PageIndex(page)), pages.contains(&PageIndex(page)), "page {page}");
        }
        assert_eq!(kept.get(pages[3]).map(|kept| kept.bytes[0]), Some(1000_u32 as u8));
        let all = kept.resident_bytes();
        kept.drop_sent();
        assert_eq!((kept.len(), kept.contains(pages[1]), kept.contains(pages[0])), (1, true, false));
        assert!(kept.resident_bytes() < all / 2);
        if let Some(kept) = kept.get_mut(pages[1]) {
            kept.unsent = ChangedWords::default();
        }
        kept.drop_sent();
        assert_eq!((kept.len(), kept.resident_bytes()), (0, 0));
    }
}
