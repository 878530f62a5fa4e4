//! A heap's node in the DAG: `{code, globals, pages, size}`, made from committed state alone.
//!
//! `pages` links to the page tree over all of the heap, the image's pages included, so that the node stands for itself.
//! Only pages that changed since the newest flush are read and hashed; the image's tree is made once per program.

use std::collections::{BTreeMap, BTreeSet};

use everturn_dag::address::RAW;
use everturn_dag::node::Composer;
use everturn_dag::{Cid, Ipld};
use everturn_exo_interface::{BlockReader, BlockWriter, ExoError, StateReader, StateWriter};
use everturn_heap::page_tree::{PageTree, PageTreeUpdate};
use everturn_heap::{HeapError, PAGE_BYTES, PageIndex, PageSource, SIZE_STEP_BYTES, Sourced, ZERO_PAGE};

use super::program::Program;
use super::rows::{
    self, Committed, FLUSHED, Flushed, GLOBALS, HEADER, Header, Journal, encode, engine, page_key,
};

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
    let journal = rows::entries(state)?;
    let flushed = rows::flushed(state)?;
    let since = flushed.as_ref().map(|flushed| flushed.journal);
    let newer = |number: u64| since.is_none_or(|since| number > since);
    let mut changed: BTreeSet<PageIndex> = BTreeSet::new();
    let mut newest = since.unwrap_or(0);
    for entry in journal.iter().filter(|entry| newer(entry.number)) {
        newest = newest.max(entry.number);
        changed.extend(entry.changes.pages().iter().map(|(page, _)| *page));
    }
    for (page, number) in rows::consolidated(state)? {
        newest = newest.max(number);
        if newer(number) {
            changed.insert(page);
        }
    }
    let base = match flushed {
        Some(flushed) => PageTree { root: flushed.tree, bytes: flushed.bytes },
        None => image_tree(program, blocks)?,
    };
    let journal = Journal::of(journal, header.bytes)?;
    let source = Committed::new(&journal, state, &program.image);
    let tree = update(program, base, header.bytes, &changed, &source, blocks)?;
    notes.put(FLUSHED, encode(&Flushed { tree, bytes: header.bytes, journal: newest })?);
    Ok(node(header, &rows::encoded_globals(state)?, tree))
}

fn update(
    program: &Program,
    base: PageTree,
    bytes: u64,
    changed: &BTreeSet<PageIndex>,
    source: &Committed<'_>,
    blocks: &mut dyn BlockWriter,
) -> Result<Cid, ExoError> {
    let mut update = PageTreeUpdate::new(Some(base), bytes);
    let mut buffer = ZERO_PAGE;
    for &page in changed {
        let sourced = source
            .page(page, &mut buffer)
            .map_err(|source| ExoError::Engine { container: "while it is flushed".into(), source })?;
        if sourced == Sourced::Absent {
            buffer = *program.image.page(page).unwrap_or(&ZERO_PAGE);
        }
        update.set(page, &buffer, &mut |cid, block| blocks.emit(cid, block)).map_err(engine)?;
    }
    let mut made = Vec::new();
    let tree = update.finish(&load(blocks), &mut |cid, block| made.push((cid, block))).map_err(engine)?;
    for (cid, block) in made {
        blocks.emit(cid, block);
    }
    Ok(tree.root)
}

fn load<B: BlockReader + ?Sized>(blocks: &B) -> impl Fn(&Cid) -> Result<Vec<u8>, everturn_heap::SourceError> {
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
