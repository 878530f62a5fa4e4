//! One node: which of its links are there, and the links.

use everturn_dag::address::{DAG_CBOR, RAW, from_bytes, node_cid, raw_cid};
use everturn_dag::node::{self, Composer};
use everturn_dag::{Cid, NodeError};

use super::LoadBlock;
use crate::error::HeapError;
use crate::page::{Page, ZERO_PAGE, is_zero};

/// Links of a node.
pub(super) const FAN_OUT: u64 = 64;

/// A link of the usual form, encoded.
const LINK_BYTES: usize = 41;
/// The dag-cbor heads of eight bytes and of a link.
const EIGHT_BYTES: u8 = 0x48;
const TAG: u8 = 0xd8;

/// `[bitmap, [link...]]`: eight bytes, big-endian, whose bit `n` (of value `2^n`) says that link `n` is there; then
/// the links that are, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    links: Vec<(u64, Cid)>,
}

impl Node {
    pub(super) fn load(cid: &Cid, load: &LoadBlock<'_>) -> Result<Self, HeapError> {
        let bad = |what| HeapError::BadTree { cid: *cid, what };
        if cid.codec() != DAG_CBOR {
            return Err(bad("a page stands where a node should"));
        }
        let encoded = load_block(cid, load)?;
        if node_cid(&encoded) != *cid {
            return Err(bad("its bytes have another address"));
        }
        match Self::decode(&encoded) {
            Ok(Some(node)) => Ok(node),
            Ok(None) | Err(NodeError::Shape(_)) => Err(bad("it does not have a page tree node's shape")),
            Err(_) => Err(bad("it is no dag-cbor node")),
        }
    }

    pub(super) fn encode(&self) -> (Cid, Vec<u8>) {
        let bitmap: u64 = self.links.iter().map(|(slot, _)| 1 << slot).sum();
        let mut node = Composer::with_capacity(16 + LINK_BYTES * self.links.len());
        node.list(2).bytes(&bitmap.to_be_bytes()).list(self.links.len());
        for (_, cid) in &self.links {
            node.link(Some(cid));
        }
        let encoded = node.finish();
        (node_cid(&encoded), encoded)
    }

    /// The node that bytes stand for; `None` if they are another list.
    fn decode(encoded: &[u8]) -> Result<Option<Self>, NodeError> {
        let parts = node::items(encoded)?;
        let [[EIGHT_BYTES, bitmap @ ..], list] = parts[..] else { return Ok(None) };
        let Some(bitmap) = bitmap.first_chunk().map(|bitmap| u64::from_be_bytes(*bitmap)) else {
            return Ok(None);
        };
        let are_links = node::items(list)?.iter().all(|item| item.first() == Some(&TAG));
        let links = node::links_as_they_stand(list)?;
        if !are_links || bitmap.count_ones() as usize != links.len() {
            return Ok(None);
        }
        let slots = (0..FAN_OUT).filter(|slot| bitmap >> slot & 1 == 1);
        let link = |(slot, link)| Some((slot, from_bytes(link).ok()?));
        Ok(slots.zip(links).map(link).collect::<Option<_>>().map(|links| Self { links }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The links that are there, with their places.
    pub(super) fn links(&self) -> impl Iterator<Item = (u64, Cid)> {
        self.links.iter().copied()
    }

    pub(super) fn link(&self, slot: u64) -> Option<Cid> {
        let place = self.links.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        self.links.get(place).map(|(_, cid)| *cid)
    }

    pub(super) fn set(&mut self, slot: u64, link: Option<Cid>) {
        match (self.links.binary_search_by_key(&slot, |(slot, _)| *slot), link) {
            (Ok(place), Some(cid)) => self.links[place].1 = cid,
            (Ok(place), None) => drop(self.links.remove(place)),
            (Err(place), Some(cid)) => self.links.insert(place, (slot, cid)),
            (Err(_), None) => {}
        }
    }
}

/// Loads a leaf.
pub(super) fn load_page(cid: &Cid, load: &LoadBlock<'_>) -> Result<Box<Page>, HeapError> {
    let bad = |what| HeapError::BadTree { cid: *cid, what };
    if cid.codec() != RAW {
        return Err(bad("a node stands where a page should"));
    }
    let bytes = load_block(cid, load)?;
    if raw_cid(&bytes) != *cid {
        return Err(bad("its bytes have another address"));
    }
    let mut page = Box::new(ZERO_PAGE);
    let whole = page.get_mut(..).filter(|page| page.len() == bytes.len());
    whole.ok_or_else(|| bad("it is no page of 4096 bytes"))?.copy_from_slice(&bytes);
    if is_zero(&page) { Err(bad("a page of zeros is not absent")) } else { Ok(page) }
}

fn load_block(cid: &Cid, load: &LoadBlock<'_>) -> Result<Vec<u8>, HeapError> {
    load(cid).map_err(|source| HeapError::Block { cid: *cid, source })
}
