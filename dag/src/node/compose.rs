//! Nodes piece by piece: taken apart without building their values, and put together from parts that are encoded already.

use super::{NodeError, scan};
use crate::{Cid, address};

const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const LIST: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const LINK: [u8; 2] = [0xd8, 42];
const NULL: u8 = 0xf6;

/// The entries of a map in their order, each value as the bytes of its own.
///
/// # Errors
/// As [`validate`](super::validate), or if the value is no map.
pub fn entries(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, NodeError> {
    let mut entries = Vec::new();
    scan::map(bytes, &mut |key, value| entries.push((key, value)))?;
    Ok(entries)
}

/// As [`entries`], of bytes that were found valid before, which are not looked at in full again: a block of one's own.
///
/// # Errors
/// If the value is no map or ends before its last entry.
pub fn entries_of_valid(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, NodeError> {
    let mut entries = Vec::new();
    let mut wrong = None;
    visit_valid(bytes, &mut |key, value| {
        match std::str::from_utf8(key) {
            Ok(key) => entries.push((key, value)),
            Err(error) => wrong = Some(NodeError::Shape(error.to_string())),
        }
        wrong.is_none()
    })?;
    wrong.map_or(Ok(entries), Err)
}

/// Visits the entries of such a map, each the bytes of its key's text and those of its value, until `visit` says `false`.
///
/// # Errors
/// As [`entries_of_valid`].
pub fn visit_valid<'a>(
    bytes: &'a [u8],
    visit: &mut dyn FnMut(&'a [u8], &'a [u8]) -> bool,
) -> Result<(), NodeError> {
    scan::map_of_valid(bytes, visit)
}

/// The items of a list in their order, each as the bytes of its own.
///
/// # Errors
/// As [`validate`](super::validate), or if the value is no list.
pub fn items(bytes: &[u8]) -> Result<Vec<&[u8]>, NodeError> {
    let mut items = Vec::new();
    scan::list(bytes, &mut |item| items.push(item))?;
    Ok(items)
}

/// As [`items`], of bytes that were found valid before, which are not looked at in full again.
///
/// # Errors
/// If the value is no list or ends before its last item.
pub fn items_of_valid(bytes: &[u8]) -> Result<Vec<&[u8]>, NodeError> {
    scan::list_of_valid(bytes)
}

/// Writes a node front to back. What comes out is strict if as many entries follow a head as it says, and keys come in their
/// [`order`].
#[derive(Clone, Debug, Default)]
pub struct Composer(Vec<u8>);

impl Composer {
    /// Nothing yet, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Composer {
        Composer(Vec::with_capacity(bytes))
    }

    /// A map's head; so many keys, each with its value, follow.
    pub fn map(&mut self, entries: usize) -> &mut Self {
        self.head(MAP, entries as u64)
    }

    /// A list's head; so many items follow.
    pub fn list(&mut self, items: usize) -> &mut Self {
        self.head(LIST, items as u64)
    }

    /// A text, or a map's key.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(TEXT, text.len() as u64).encoded(text.as_bytes())
    }

    /// A number.
    pub fn integer(&mut self, number: u64) -> &mut Self {
        self.head(0, number)
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, bytes.len() as u64).encoded(bytes)
    }

    /// A link, or null.
    pub fn link(&mut self, cid: Option<&Cid>) -> &mut Self {
        let Some(cid) = cid else { return self.encoded(&[NULL]) };
        let cid = address::to_bytes(cid);
        self.encoded(&LINK).head(BYTES, cid.len() as u64 + 1).encoded(&[0]).encoded(&cid)
    }

    /// A value that is encoded already.
    pub fn encoded(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        let bytes = argument.to_be_bytes();
        match argument {
            0..=23 => self.0.push(major | argument as u8),
            24..=0xff => self.0.extend_from_slice(&[major | 24, argument as u8]),
            0x100..=0xffff => {
                self.0.push(major | 25);
                self.0.extend_from_slice(&bytes[6..]);
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(major | 26);
                self.0.extend_from_slice(&bytes[4..]);
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend_from_slice(&bytes);
            }
        }
        self
    }
}

/// A map whose entries come in any order, each with its value encoded.
pub fn map_of(mut entries: Vec<(&str, &[u8])>) -> Vec<u8> {
    entries.sort_by(|(left, _), (right, _)| order(left, right));
    let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len() + 9).sum();
    let mut node = Composer::with_capacity(bytes + 9);
    node.map(entries.len());
    for (key, value) in entries {
        node.text(key).encoded(value);
    }
    node.finish()
}

/// The order of a map's keys: by length, then by bytes.
pub fn order(left: &str, right: &str) -> std::cmp::Ordering {
    (left.len(), left).cmp(&(right.len(), right))
}
