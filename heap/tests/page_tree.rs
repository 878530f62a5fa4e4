//! The root of a heap's pages is the same whatever way led to them.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use everturn_dag::Cid;
use everturn_dag::address::{node_cid, raw_cid};
use everturn_heap::page_tree::{PageTree, PageTreeUpdate};
use everturn_heap::{HeapError, PAGE_BYTES, Page, PageIndex, ZERO_PAGE};
use proptest::prelude::*;

const STEP: u64 = PAGE_BYTES as u64;

/// Blocks in memory, which counts what is loaded.
#[derive(Default)]
struct Blocks {
    blocks: BTreeMap<Cid, Vec<u8>>,
    loaded: RefCell<usize>,
}

type Pages = BTreeMap<u32, Box<Page>>;

impl Blocks {
    fn update<'a>(
        &mut self,
        before: Option<PageTree>,
        bytes: u64,
        changed: impl IntoIterator<Item = (&'a u32, &'a Box<Page>)> + Clone,
    ) -> Result<(PageTree, usize), HeapError> {
        let mut new = Vec::new();
        let mut update = PageTreeUpdate::new(before, bytes);
        for (page, content) in changed.clone() {
            update.set(PageIndex(*page), content, &mut |cid, block| new.push((cid, block)))?;
        }
        let load = |cid: &Cid| self.load(cid);
        let tree = update.finish(&load, &mut |cid, block| new.push((cid, block)))?;
        let count = new.len();
        self.brings_up(before, &tree, changed)?;
        self.blocks.extend(new);
        Ok((tree, count))
    }

    /// Pages that are brought up from what they held give the same tree, and no block that it has not.
    fn brings_up<'a>(
        &self,
        before: Option<PageTree>,
        tree: &PageTree,
        changed: impl IntoIterator<Item = (&'a u32, &'a Box<Page>)>,
    ) -> Result<(), HeapError> {
        let loaded = *self.loaded.borrow();
        let held = match before {
            Some(before) => self.walk(&before)?,
            None => Pages::new(),
        };
        *self.loaded.borrow_mut() = loaded;
        let now: BTreeMap<u32, &Page> =
            changed.into_iter().map(|(page, content)| (*page, &**content)).collect();
        let mut update = PageTreeUpdate::new(before, tree.bytes);
        for page in now.keys() {
            update.touch(PageIndex(*page))?;
        }
        let load = |cid: &Cid| Ok(self.blocks.get(cid).ok_or("no such block")?.clone());
        let mut made = BTreeMap::new();
        let touched = update.finish_with(
            &load,
            &mut |cid, block| drop(made.insert(cid, block)),
            &mut |page, bytes| {
                assert_eq!(bytes, held.get(&page.0).map_or(&ZERO_PAGE, |page| &**page), "what {page} held");
                *bytes = *now[&page.0];
                Ok(())
            },
        )?;
        assert_eq!(touched, *tree);
        assert!(made.iter().all(|(cid, block)| *cid == node_cid(block) || *cid == raw_cid(block)));
        Ok(())
    }

    fn load(&self, cid: &Cid) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        *self.loaded.borrow_mut() += 1;
        Ok(self.blocks.get(cid).ok_or("no such block")?.clone())
    }

    fn walk(&self, tree: &PageTree) -> Result<Pages, HeapError> {
        let mut pages = Pages::new();
        tree.walk::<HeapError>(&|cid| self.load(cid), &mut |page, bytes| {
            pages.insert(page.0, Box::new(*bytes));
            Ok(())
        })?;
        Ok(pages)
    }
}

fn page(content: u8) -> Box<Page> {
    let mut page = ZERO_PAGE;
    page[usize::from(content) * 3] = content;
    Box::new(page)
}

/// Sizes around every boundary of depth up to 64^3 pages.
fn pages_of_heap() -> impl Strategy<Value = u32> {
    prop_oneof![0..70_u32, 60..70_u32, 4090..4100_u32, 262_140..262_150_u32]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_root_is_independent_of_history(
        steps in prop::collection::vec(
            (pages_of_heap(), prop::collection::vec((any::<u32>(), 0..4_u8), 0..12)), 1..8)
    ) {
        let mut blocks = Blocks::default();
        let (mut tree, mut state) = (None, Pages::new());
        for (heap_pages, writes) in steps {
            state.retain(|page, _| *page < heap_pages);
            let mut changed = Pages::new();
            for (place, content) in writes {
                if heap_pages > 0 {
                    changed.insert(place % heap_pages, page(content));
                }
            }
            for (page, bytes) in &changed {
                if **bytes == ZERO_PAGE { state.remove(page); } else { state.insert(*page, bytes.clone()); }
            }
            let bytes = u64::from(heap_pages) * STEP;
            let (updated, _) = blocks.update(tree, bytes, &changed).unwrap();
            let (scratch, _) = Blocks::default().update(None, bytes, &state).unwrap();
            prop_assert_eq!(updated, scratch);
            prop_assert_eq!(&blocks.walk(&updated).unwrap(), &state);
            tree = Some(updated);
        }
    }
}

/// A heap of 256 MiB with every page in use.
fn large() -> (Blocks, PageTree) {
    let mut blocks = Blocks::default();
    let pages: Pages = (0..65_536).map(|index| (index, page(1 + (index % 200) as u8))).collect();
    let (tree, _) = blocks.update(None, 65_536 * STEP, &pages).unwrap();
    (blocks, tree)
}

#[test]
fn an_update_loads_and_emits_the_paths_of_changed_pages_alone() {
    let (mut blocks, tree) = large();
    let check = |blocks: &mut Blocks, changed: &[u32], loads: usize, emits: usize| {
        *blocks.loaded.borrow_mut() = 0;
        let changed: Pages = changed.iter().map(|index| (*index, page(250))).collect();
        let (_, emitted) = blocks.update(Some(tree), tree.bytes, &changed).unwrap();
        assert_eq!((*blocks.loaded.borrow(), emitted), (loads, emits));
    };
    // 65,536 pages make three levels.
    check(&mut blocks, &[], 0, 0);
    check(&mut blocks, &[777], 3, 1 + 3);
    check(&mut blocks, &[768, 769, 770], 3, 3 + 3);
    check(&mut blocks, &[0, 65_535], 5, 2 + 5);
}

#[test]
fn growing_across_a_boundary_of_depth_loads_nothing() {
    let mut blocks = Blocks::default();
    let (small, _) = blocks.update(None, 64 * STEP, &Pages::from([(3, page(7))])).unwrap();
    *blocks.loaded.borrow_mut() = 0;
    let (grown, emitted) = blocks.update(Some(small), 5000 * STEP, &Pages::new()).unwrap();
    assert_eq!((*blocks.loaded.borrow(), emitted), (0, 2));
    assert_eq!(blocks.walk(&grown).unwrap(), Pages::from([(3, page(7))]));
}

/// These were computed apart from this crate, by twenty lines of Python over the form that `page_tree` documents.
#[test]
fn addresses_stay_what_they_are() {
    let mut blocks = Blocks::default();
    let mut check = |pages: &[u32], bytes: u64, expected: &str| {
        let pages: Pages = pages.iter().map(|index| (*index, page(9))).collect();
        let (tree, _) = blocks.update(None, bytes, &pages).unwrap();
        assert_eq!(tree.root.to_string(), expected, "{pages:?} of {bytes}", pages = pages.keys());
    };
    check(&[], 0, "bafyreify3zk3xiflenwjfscy6ek5kxtfrx23zgrx2ciguq33kcb5mvum2y");
    check(&[0], 1 << 16, "bafyreie5dvwoccjobz6s4dscco2rx3v7pu5t6gewdfcshptdnwqgoiylvm");
    check(&[1, 70, 511], 2 << 20, "bafyreif5jzc277ehsfkme5ffgvv7dvqbvjwe2vscltporwrn73lcty6bhu");
}

#[test]
fn damage_is_an_error() {
    let mut blocks = Blocks::default();
    let pages = Pages::from([(1, page(1)), (100, page(2))]);
    let (tree, _) = blocks.update(None, 128 * STEP, &pages).unwrap();
    for cid in blocks.blocks.keys().copied().collect::<Vec<_>>() {
        let whole = blocks.blocks.remove(&cid).unwrap();
        assert!(matches!(blocks.walk(&tree), Err(HeapError::Block { cid: named, .. }) if named == cid));
        let mut damaged = whole.clone();
        damaged[5] ^= 1;
        blocks.blocks.insert(cid, damaged);
        assert!(matches!(blocks.walk(&tree), Err(HeapError::BadTree { cid: named, .. }) if named == cid));
        blocks.blocks.insert(cid, whole);
    }
    // A size that is not the tree's: its pages lie past the end, or at the wrong height.
    for bytes in [64 * STEP, 100 * STEP, 5000 * STEP] {
        let wrong = PageTree { bytes, ..tree };
        assert!(matches!(blocks.walk(&wrong), Err(HeapError::BadTree { .. })), "{bytes}");
    }
}

#[test]
fn a_page_past_the_end_is_refused() {
    let error = Blocks::default().update(None, 64 * STEP, &Pages::from([(64, page(1))])).unwrap_err();
    assert!(matches!(error, HeapError::OutOfBounds { heap_bytes: 262_144, .. }), "{error}");
}
