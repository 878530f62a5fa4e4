//! The content address of a heap's pages.
//!
//! ```text
//! height 2                 [bitmap, [link, link]]                     dag-cbor
//! height 1     [bitmap, [link, link]]      [bitmap, [link]]           dag-cbor
//! height 0         page       page             page                   raw, 4096 bytes
//! ```
//! Invariants:
//! 1. The root depends on the heap's size and the pages' bytes alone, never on the order or number of updates.
//! 2. A page of zeros is absent, and so is a subtree without pages; only the root may be an empty node.
//! 3. The root's height is the least that reaches every page of the size, and at least 1.
//! 4. An update loads the nodes on the paths to changed pages and no others, and of the pages those that are brought up.
//!
//! It does not know where blocks are kept, nor when they may go.

mod node;

use everturn_dag::Cid;
use everturn_dag::address::raw_cid;

use crate::error::HeapError;
use crate::page::{PAGE_BYTES, Page, PageIndex, ZERO_PAGE, is_zero};
use crate::source::SourceError;
use node::{FAN_OUT, Node};

/// Reads a block by its address.
pub type LoadBlock<'a> = dyn Fn(&Cid) -> Result<Vec<u8>, SourceError> + 'a;

/// Takes a new block.
pub type EmitBlock<'a> = dyn FnMut(Cid, Vec<u8>) + 'a;

/// Brings a page from what it held in the tree before (zeros, if it was not there) to what it holds now.
pub type BringUp<'a> = dyn FnMut(PageIndex, &mut Page) -> Result<(), SourceError> + 'a;

/// The pages of a heap of a certain size, as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageTree {
    /// The root node.
    pub root: Cid,
    /// The heap's size; the root does not carry it.
    pub bytes: u64,
}

impl PageTree {
    /// Visits every page that is not all zero, in order; what `load` gives is checked against its address.
    ///
    /// # Errors
    /// [`HeapError::Block`] if a block cannot be read, [`HeapError::BadTree`] if it is not what its place requires,
    /// and what `visit` returns.
    pub fn walk<E: From<HeapError>>(
        &self,
        load: &LoadBlock<'_>,
        visit: &mut dyn FnMut(PageIndex, &Page) -> Result<(), E>,
    ) -> Result<(), E> {
        let root = Node::load(&self.root, load)?;
        walk_node(&root, &self.root, Place::root(self.bytes), load, visit)
    }
}

/// A tree in the making: from nothing, or from the tree of an earlier state.
///
/// A page that is neither set nor touched is as it was before; pages past the new size are dropped.
#[derive(Debug)]
pub struct PageTreeUpdate {
    before: Option<PageTree>,
    bytes: u64,
    changed: Vec<(PageIndex, Setting)>,
}

/// What is known of a page that changed.
#[derive(Clone, Copy, Debug)]
enum Setting {
    /// Where its bytes are; nowhere, if they are all zero.
    At(Option<Cid>),
    /// That it is to be brought up.
    Touched,
}

impl PageTreeUpdate {
    /// An update of `before`, or a tree from scratch, for a heap of `bytes` bytes.
    pub fn new(before: Option<PageTree>, bytes: u64) -> Self {
        Self { before, bytes, changed: Vec::new() }
    }

    /// Sets a page's bytes and emits its block, unless it is all zero. The last setting of a page counts.
    ///
    /// # Errors
    /// [`HeapError::OutOfBounds`] past the heap's end.
    pub fn set(&mut self, page: PageIndex, bytes: &Page, emit: &mut EmitBlock<'_>) -> Result<(), HeapError> {
        self.check(page)?;
        self.changed.push((page, Setting::At(emit_page(bytes, None, emit))));
        Ok(())
    }

    /// Says that a page has changed; [`PageTreeUpdate::finish_with`] asks what it holds.
    ///
    /// # Errors
    /// As [`PageTreeUpdate::set`].
    pub fn touch(&mut self, page: PageIndex) -> Result<(), HeapError> {
        self.check(page)?;
        self.changed.push((page, Setting::Touched));
        Ok(())
    }

    fn check(&self, page: PageIndex) -> Result<(), HeapError> {
        if page.offset() >= self.bytes {
            let (offset, bytes, heap_bytes) = (page.offset(), PAGE_BYTES as u64, self.bytes);
            return Err(HeapError::OutOfBounds { offset, bytes, heap_bytes });
        }
        Ok(())
    }

    /// As [`PageTreeUpdate::finish_with`], of pages that were set: one that was only touched is as it was before.
    ///
    /// # Errors
    /// As [`PageTreeUpdate::finish_with`].
    pub fn finish(self, load: &LoadBlock<'_>, emit: &mut EmitBlock<'_>) -> Result<PageTree, HeapError> {
        self.finish_with(load, emit, &mut |_, _| Ok(()))
    }

    /// Builds the new nodes on the paths to what changed, emits them and the pages that are brought up, and returns the new
    /// tree.
    ///
    /// # Errors
    /// [`HeapError::Block`] if a block of the tree before cannot be read, [`HeapError::BadTree`] if it is damaged,
    /// [`HeapError::Source`] if a page cannot be brought up.
    pub fn finish_with(
        mut self,
        load: &LoadBlock<'_>,
        emit: &mut EmitBlock<'_>,
        bring_up: &mut BringUp<'_>,
    ) -> Result<PageTree, HeapError> {
        // A stable sort keeps the settings of one page in order; of equals the last counts.
        self.changed.sort_by_key(|(page, _)| *page);
        self.changed.reverse();
        self.changed.dedup_by_key(|(page, _)| *page);
        self.changed.reverse();
        let place = Place::root(self.bytes);
        let shrinks = self.before.is_some_and(|before| before.bytes > self.bytes);
        let mut old = Old::of(self.before);
        while let Old::Stored { cid, height } = old
            && height > place.height
        {
            old = Old::child(Node::load(&cid, load)?.link(0), height - 1);
        }
        let pages = page_count(self.bytes);
        let mut builder = Builder { pages, shrinks, load, emit, bring_up };
        let root = match builder.node(place, old, &self.changed)? {
            Some(root) => root,
            None => builder.emit_root_without_pages(self.before),
        };
        Ok(PageTree { root, bytes: self.bytes })
    }
}

/// Where a node stands: which pages it spans.
#[derive(Clone, Copy)]
struct Place {
    height: u32,
    first: u64,
    /// Pages of the heap.
    pages: u64,
}

impl Place {
    fn root(bytes: u64) -> Self {
        Self { height: height(bytes), first: 0, pages: page_count(bytes) }
    }

    /// Pages that one link of the node spans.
    fn pages_a_link(self) -> u64 {
        FAN_OUT.pow(self.height - 1)
    }

    fn child(self, slot: u64) -> Self {
        let first = self.first + slot * self.pages_a_link();
        Self { height: self.height - 1, first, pages: self.pages }
    }
}

/// The height of the root of a heap of `bytes` bytes.
fn height(bytes: u64) -> u32 {
    let (mut height, mut reach) = (1, FAN_OUT);
    while reach < page_count(bytes) {
        height += 1;
        reach *= FAN_OUT;
    }
    height
}

fn page_count(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES as u64)
}

/// What stood in a node's place before.
#[derive(Clone, Copy)]
enum Old {
    Nothing,
    /// A node, which spans the whole place if it has the place's height, else its first part.
    Stored {
        cid: Cid,
        height: u32,
    },
}

impl Old {
    fn of(tree: Option<PageTree>) -> Self {
        let Some(tree) = tree else { return Self::Nothing };
        let nothing = tree.root == Node::default().encode().0;
        if nothing { Self::Nothing } else { Self::Stored { cid: tree.root, height: height(tree.bytes) } }
    }

    fn child(link: Option<Cid>, height: u32) -> Self {
        link.map_or(Self::Nothing, |cid| Self::Stored { cid, height })
    }
}

struct Builder<'a, 'b> {
    pages: u64,
    shrinks: bool,
    load: &'a LoadBlock<'b>,
    emit: &'a mut EmitBlock<'b>,
    bring_up: &'a mut BringUp<'b>,
}

impl Builder<'_, '_> {
    /// The node of a place after the changes that fall into it; `None` if it has no pages.
    fn node(
        &mut self,
        place: Place,
        old: Old,
        changed: &[(PageIndex, Setting)],
    ) -> Result<Option<Cid>, HeapError> {
        let (mut node, lower) = match old {
            Old::Nothing if changed.is_empty() => return Ok(None),
            Old::Stored { cid, height } if height == place.height => {
                if changed.is_empty() && !self.reaches_past_the_end(place) {
                    return Ok(Some(cid));
                }
                (Node::load(&cid, self.load)?, Old::Nothing)
            }
            // The root of a smaller heap: all of it lies below the first link.
            lower => (Node::default(), lower),
        };
        let mut rest = changed;
        for slot in 0..FAN_OUT {
            let child = place.child(slot);
            let end = child.first + place.pages_a_link();
            let inside = rest.partition_point(|(page, _)| u64::from(page.0) < end);
            let (mine, after) = rest.split_at(inside);
            rest = after;
            let link = if child.first >= self.pages {
                None
            } else if child.height == 0 {
                match mine.last() {
                    None => node.link(slot),
                    Some((_, Setting::At(leaf))) => *leaf,
                    Some((page, Setting::Touched)) => self.page(*page, node.link(slot))?,
                }
            } else {
                let old = match lower {
                    Old::Stored { .. } if slot == 0 => lower,
                    _ => Old::child(node.link(slot), child.height),
                };
                self.node(child, old, mine)?
            };
            node.set(slot, link);
        }
        Ok(self.emit_node(&node, old))
    }

    /// A page that was touched.
    fn page(&mut self, page: PageIndex, before: Option<Cid>) -> Result<Option<Cid>, HeapError> {
        let mut bytes = match before {
            Some(cid) => node::load_page(&cid, self.load)?,
            None => Box::new(ZERO_PAGE),
        };
        (self.bring_up)(page, &mut bytes).map_err(|source| HeapError::Source { page, source })?;
        Ok(emit_page(&bytes, before, self.emit))
    }

    /// Whether a place may hold pages that the heap no longer has.
    fn reaches_past_the_end(&self, place: Place) -> bool {
        self.shrinks && place.first + place.pages_a_link() * FAN_OUT > self.pages
    }

    fn emit_node(&mut self, node: &Node, old: Old) -> Option<Cid> {
        if node.is_empty() {
            return None;
        }
        let (cid, encoded) = node.encode();
        if !matches!(old, Old::Stored { cid: before, .. } if before == cid) {
            (self.emit)(cid, encoded);
        }
        Some(cid)
    }

    fn emit_root_without_pages(&mut self, before: Option<PageTree>) -> Cid {
        let (cid, encoded) = Node::default().encode();
        if before.is_none_or(|before| before.root != cid) {
            (self.emit)(cid, encoded);
        }
        cid
    }
}

/// Emits a page, unless it is all zero or as it was before; where it is.
fn emit_page(bytes: &Page, before: Option<Cid>, emit: &mut EmitBlock<'_>) -> Option<Cid> {
    let leaf = (!is_zero(bytes)).then(|| raw_cid(bytes));
    if let Some(cid) = leaf.filter(|_| leaf != before) {
        emit(cid, bytes.to_vec());
    }
    leaf
}

fn walk_node<E: From<HeapError>>(
    node: &Node,
    cid: &Cid,
    place: Place,
    load: &LoadBlock<'_>,
    visit: &mut dyn FnMut(PageIndex, &Page) -> Result<(), E>,
) -> Result<(), E> {
    for (slot, link) in node.links() {
        let child = place.child(slot);
        if child.first >= place.pages {
            return Err(HeapError::BadTree { cid: *cid, what: "it holds pages past the heap's end" }.into());
        }
        if child.height == 0 {
            let page = node::load_page(&link, load)?;
            visit(PageIndex(child.first as u32), &page)?;
        } else {
            let below = Node::load(&link, load)?;
            if below.is_empty() {
                return Err(HeapError::BadTree { cid: link, what: "it is empty and not the root" }.into());
            }
            walk_node(&below, &link, child, load, visit)?;
        }
    }
    Ok(())
}
