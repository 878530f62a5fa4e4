//! A heap's node in the DAG: `{code, globals, pages, size}`, made from committed state alone.
//!
//! `pages` links to the page tree over all of the heap, the image's pages included, so that the node stands for itself.
//! Only pages that changed since the newest flush are read and hashed: what they held then is in the tree, and what has become of
//! it in the journal's newest entries. The image's tree is made once per program.

use std::collections::{BTreeMap, BTreeSet};

use everturn_dag::address::RAW;
use everturn_dag::node::Composer;
use everturn_dag::{Cid, Ipld};
use everturn_exo_interface::{BlockReader, BlockWriter, ExoError, StateReader, StateWriter};
use everturn_heap::page_tree::{PageTree, PageTreeUpdate};
use everturn_heap::{HeapError, PAGE_BYTES, Page, PageIndex, SIZE_STEP_BYTES, SourceError, ZERO_PAGE};

use super::program::Program;
use super::rows::{self, Entry, FLUSHED, Flushed, GLOBALS, HEADER, Header, encode, engine, page_key};

/// The page tree of a program's image, and its blocks.
pub(crate) struct ImageTree {
    tree: PageTree,
    blocks: Vec<(Cid, Vec<u8>)>,
}

/// The heap's field of a container's state node; brings the page tree up to date.
pub(crate) fn heap_node(
    program: &Program,
    header: &Header,
    state: &dyn StateReader,
    notes: &mut dyn StateWriter,
    blocks: &mut dyn BlockWriter,
) -> Result<Vec<u8>, ExoError> {
    let flushed = rows::flushed(state)?;
    let newer = Newer::read(state, flushed.as_ref().map_or(0, |flushed| flushed.journal))?;
    let base = match flushed {
        Some(flushed) => PageTree { root: flushed.tree, bytes: flushed.bytes },
        None => image_tree(program, blocks)?,
    };
    let tree = newer.update(program, base, header.bytes, state, blocks)?;
    notes.put(FLUSHED, encode(&Flushed { tree, bytes: header.bytes, journal: newer.newest })?);
    Ok(node(header, &rows::encoded_globals(state)?, tree))
}

/// What has changed since the newest flush.
struct Newer {
    /// Pages whose rows were written since, and may hold more than what the journal still says.
    consolidated: BTreeSet<PageIndex>,
    entries: Vec<Entry>,
    /// The newest commit.
    newest: u64,
}

impl Newer {
    /// What came after the entry of this number; all, after 0: older builds gave that number to the first entry.
    fn read(state: &dyn StateReader, since: u64) -> Result<Newer, ExoError> {
        let is_newer = |number: u64| since == 0 || number > since;
        let consolidated = rows::consolidated(state, &is_newer)?;
        let entries = if since > 0 && consolidated.is_empty() {
            rows::entries_after(state, since)?
        } else {
            // Of entries that are newer some may be gone: one does not know where they begin.
            rows::entries(state)?.into_iter().filter(|entry| is_newer(entry.number)).collect()
        };
        let numbers = entries.iter().map(|entry| entry.number).chain(consolidated.values().copied());
        let newest = numbers.max().unwrap_or(since);
        Ok(Newer { consolidated: consolidated.into_keys().collect(), entries, newest })
    }

    fn update(
        &self,
        program: &Program,
        base: PageTree,
        bytes: u64,
        state: &dyn StateReader,
        blocks: &mut dyn BlockWriter,
    ) -> Result<Cid, ExoError> {
        let mut update = PageTreeUpdate::new(Some(base), bytes);
        let in_journal = self.entries.iter().flat_map(|entry| entry.changes.pages());
        let changed = in_journal.map(|(page, _)| *page).chain(self.consolidated.iter().copied());
        for page in changed.collect::<BTreeSet<PageIndex>>() {
            update.touch(page).map_err(engine)?;
        }
        let mut made = Vec::new();
        let mut bring_up = |page, bytes: &mut Page| self.bring_up(program, page, bytes, state);
        let mut emit = |cid, block| made.push((cid, block));
        let tree = update.finish_with(&load(blocks), &mut emit, &mut bring_up).map_err(engine)?;
        for (cid, block) in made {
            blocks.emit(cid, block);
        }
        Ok(tree.root)
    }

    /// Brings a page from what it held at the newest flush to what it holds now.
    fn bring_up(
        &self,
        program: &Program,
        page: PageIndex,
        bytes: &mut Page,
        state: &dyn StateReader,
    ) -> Result<(), SourceError> {
        let initial = program.image.page(page);
        if self.consolidated.contains(&page) {
            *bytes = rows::page_row(state, page)?.as_deref().or(initial).copied().unwrap_or(ZERO_PAGE);
        }
        for entry in &self.entries {
            entry.apply(page, initial, bytes);
        }
        Ok(())
    }
}

fn load<B: BlockReader + ?Sized>(blocks: &B) -> impl Fn(&Cid) -> Result<Vec<u8>, SourceError> {
    |cid| Ok(blocks.block(cid)?)
}

/// The image's tree; its blocks are put where the others will refer to them, unless they are there.
fn image_tree(program: &Program, blocks: &mut dyn BlockWriter) -> Result<PageTree, ExoError> {
    if program.image_tree.get().is_none() {
        // Another thread may have been first: the trees are equal.
        let _ = program.image_tree.set(make_image_tree(program).map_err(engine)?);
    }
    let Some(image) = program.image_tree.get() else { return Err(rows::damaged("no image tree").into()) };
    // Of the tree's root most heaps keep nothing, of what lies below it most of it. A block that is there has all that
    // it links to beside it.
    let mut is_there = true;
    for (cid, block) in image.blocks.iter().filter(|(cid, _)| *cid == image.tree.root) {
        blocks.emit(*cid, block.clone());
        for below in everturn_dag::blocks::links(cid, block)? {
            is_there &= blocks.has(&below)?;
        }
    }
    if !is_there {
        for (cid, block) in &image.blocks {
            blocks.emit(*cid, block.clone());
        }
    }
    Ok(image.tree)
}

fn make_image_tree(program: &Program) -> Result<ImageTree, HeapError> {
    let image = &program.image;
    let mut update = PageTreeUpdate::new(None, image.bytes());
    let mut blocks = Vec::new();
    for page in (0..(image.bytes() / PAGE_BYTES as u64) as u32).map(PageIndex) {
        if let Some(bytes) = image.page(page) {
            update.set(page, bytes, &mut |cid, block| blocks.push((cid, block)))?;
        }
    }
    let nothing = |cid: &Cid| Err(format!("{cid} is not there").into());
    let tree = update.finish(&nothing, &mut |cid, block| blocks.push((cid, block)))?;
    Ok(ImageTree { tree, blocks })
}

fn node(header: &Header, globals: &[u8], tree: Cid) -> Vec<u8> {
    let mut node = Composer::with_capacity(128 + globals.len());
    node.map(4).text("code").link(Some(&header.code)).text("size").integer(header.bytes);
    node.text("pages").link(Some(&tree)).text("globals").encoded(globals);
    node.finish()
}

/// A heap's node, read back.
pub(crate) struct HeapNode {
    pub(crate) code: Cid,
    bytes: u64,
    globals: Ipld,
    pages: Cid,
}

impl HeapNode {
    /// From the fields of a container's state node.
    pub(crate) fn parse(fields: &BTreeMap<String, Ipld>) -> Result<HeapNode, ExoError> {
        let wrong =
            || ExoError::from(rows::damaged("its state node has no heap of {code, globals, pages, size}"));
        let Some(Ipld::Map(heap)) = fields.get("heap") else { return Err(wrong()) };
        match (heap.get("code"), heap.get("globals"), heap.get("pages"), heap.get("size")) {
            (
                Some(Ipld::Link(code)),
                Some(globals @ Ipld::List(_)),
                Some(Ipld::Link(pages)),
                Some(Ipld::Integer(size)),
            ) => {
                let bytes = u64::try_from(*size).map_err(|_| wrong())?;
                if code.codec() != RAW || bytes % SIZE_STEP_BYTES != 0 {
                    return Err(wrong());
                }
                Ok(HeapNode { code: *code, bytes, globals: globals.clone(), pages: *pages })
            }
            _ => Err(wrong()),
        }
    }
}

/// Writes a heap's rows from its node: every page that differs from the image's.
pub(crate) fn import(
    program: &Program,
    heap: &HeapNode,
    state: &mut dyn StateWriter,
    blocks: &dyn BlockReader,
) -> Result<(), ExoError> {
    if !program.may_have(heap.bytes) {
        let what = format!("a heap of {} bytes is not one of its module", heap.bytes);
        return Err(rows::damaged(what).into());
    }
    match program.globals.parse(&heap.globals) {
        Some(globals) if globals.is_empty() => {}
        Some(_) => state.put(GLOBALS, encode(&heap.globals)?),
        None => return Err(rows::damaged("its globals are not those of its module").into()),
    }
    let mut zero: BTreeSet<u32> = (0..(program.image.bytes() / PAGE_BYTES as u64) as u32)
        .filter(|index| program.image.page(PageIndex(*index)).is_some())
        .collect();
    let tree = PageTree { root: heap.pages, bytes: heap.bytes };
    let walked = tree.walk::<HeapError>(&load(blocks), &mut |page, bytes| {
        zero.remove(&page.0);
        if program.image.page(page) != Some(bytes) {
            state.put(&page_key(page), bytes.to_vec());
        }
        Ok(())
    });
    walked.map_err(engine)?;
    for page in zero {
        state.put(&page_key(PageIndex(page)), ZERO_PAGE.to_vec());
    }
    state.block(&heap.code, &program.wasm);
    state.put(HEADER, encode(&Header { code: heap.code, bytes: heap.bytes })?);
    state.put(FLUSHED, encode(&Flushed { tree: heap.pages, bytes: heap.bytes, journal: 0 })?);
    Ok(())
}
