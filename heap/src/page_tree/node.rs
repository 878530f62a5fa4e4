//! One node: which of its links are there, and the links.

use everturn_dag::address::{DAG_CBOR, RAW, node_cid, raw_cid};
use everturn_dag::{Cid, Ipld, node};

use super::LoadBlock;
use crate::error::HeapError;
use crate::page::{Page, ZERO_PAGE, is_zero};

/// Links of a node.
pub(super) const FAN_OUT: u64 = 64;

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
        let value: Ipld = node::decode(&encoded).map_err(|_| bad("it is no dag-cbor node"))?;
        Self::from_ipld(value).ok_or_else(|| bad("it does not have a page tree node's shape"))
    }

    pub(super) fn encode(&self) -> (Cid, Vec<u8>) {
        let bitmap: u64 = self.links.iter().map(|(slot, _)| 1 << slot).sum();
        let links = self.links.iter().map(|(_, cid)| Ipld::Link(*cid)).collect();
        let value = Ipld::List(vec![Ipld::Bytes(bitmap.to_be_bytes().to_vec()), Ipld::List(links)]);
        let encoded = node::encode(&value).expect("bytes and links always have a dag-cbor form");
        (node_cid(&encoded), encoded)
    }

    fn from_ipld(value: Ipld) -> Option<Self> {
        let Ipld::List(parts) = value else { return None };
        let [Ipld::Bytes(bitmap), Ipld::List(links)] = parts.as_slice() else { return None };
        let bitmap = u64::from_be_bytes(bitmap.as_slice().try_into().ok()?);
        if bitmap.count_ones() as usize != links.len() {
            return None;
        }
        let slots = (0..FAN_OUT).filter(|slot| bitmap >> slot & 1 == 1);
        let link = |(slot, link): (u64, &Ipld)| match link {
            Ipld::Link(cid) => Some((slot, *cid)),
            _ => None,
        };
        Some(Self { links: slots.zip(links).map(link).collect::<Option<_>>()? })
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
