//! One pass over bytes that finds the first thing strict dag-cbor forbids. Recursive, to [`DEPTH_MAX`].

use super::{DEPTH_MAX, NodeError};
use crate::Cid;
use crate::address::{USUAL, USUAL_BYTES};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// The head of a float of 64 bits.
const FLOAT: u8 = 0xfb;

/// Scans one value; `visit` sees each link, as the bytes of a CID.
pub(super) fn value<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(&'a [u8])) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit };
    scan.item(0)?;
    scan.end()
}

/// Scans one map; `visit` sees each of its own keys, and the bytes of its value.
pub(super) fn map<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(&'a str, &'a [u8])) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit: &mut |_| {} };
    let head = scan.byte()?;
    if head >> 5 != MAP {
        return Err(NodeError::Shape("a map is expected".to_owned()));
    }
    scan.entries(head, 0, 0, visit)?;
    scan.end()
}

/// Scans one list; `visit` sees the bytes of each of its own items.
pub(super) fn list<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(&'a [u8])) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit: &mut |_| {} };
    let head = scan.byte()?;
    if head >> 5 != LIST {
        return Err(NodeError::Shape("a list is expected".to_owned()));
    }
    for _ in 0..scan.argument(head)? {
        let from = scan.at;
        scan.item(1)?;
        visit(&bytes[from..scan.at]);
    }
    scan.end()
}

/// Visits the links of a value that was scanned before. What lies in lists and maps follows their heads, so neither has to be
/// entered: one head comes after the other.
pub(super) fn links_of_valid<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(&'a [u8])) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit };
    while scan.at < bytes.len() {
        scan.head()?;
    }
    Ok(())
}

/// As [`map`], of a map that was scanned before: what lies in its values is passed over, and in the last one, which takes up the
/// rest, not even that.
pub(super) fn map_of_valid<'a>(
    bytes: &'a [u8],
    visit: &mut dyn FnMut(&'a str, &'a [u8]),
) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit: &mut |_| {} };
    let head = scan.byte()?;
    if head >> 5 != MAP {
        return Err(NodeError::Shape("a map is expected".to_owned()));
    }
    let entries = scan.argument(head)?;
    for entry in 1..=entries {
        let head = scan.byte()?;
        let (key, from, mut left) = (scan.text(head)?, scan.at, 1);
        if entry == entries {
            visit(key, &bytes[from..]);
            return Ok(());
        }
        while left > 0 {
            left = scan.head()?.saturating_add(left - 1);
        }
        visit(key, &bytes[from..scan.at]);
    }
    scan.end()
}

struct Scan<'a, 'v> {
    bytes: &'a [u8],
    at: usize,
    visit: &'v mut dyn FnMut(&'a [u8]),
}

impl<'a> Scan<'a, '_> {
    /// Passes over one head and the bytes that are its own; gives the number of items that belong to it and follow.
    #[inline]
    fn head(&mut self) -> Result<u64, NodeError> {
        let head = self.byte()?;
        match head >> 5 {
            BYTES | TEXT => self.run(head).map(|_| 0),
            UNSIGNED | NEGATIVE => self.argument(head).map(|_| 0),
            LIST => self.argument(head),
            MAP => self.argument(head).map(|entries| entries.saturating_mul(2)),
            TAG => {
                self.argument(head)?;
                let head = self.byte()?;
                let link = self.run(head)?.get(1..).unwrap_or_default();
                (self.visit)(link);
                Ok(0)
            }
            _ if head == FLOAT => self.big_endian(8).map(|_| 0),
            _ => Ok(0),
        }
    }

    fn item(&mut self, depth: usize) -> Result<(), NodeError> {
        let at = self.at;
        let head = self.byte()?;
        match head >> 5 {
            UNSIGNED | NEGATIVE => self.argument(head).map(drop),
            BYTES => self.run(head).map(drop),
            TEXT => self.text(head).map(drop),
            LIST => self.list(head, depth, at),
            MAP => self.entries(head, depth, at, &mut |_, _| {}),
            TAG => self.link(head, at),
            _ => self.simple(head, at),
        }
    }

    fn list(&mut self, head: u8, depth: usize, at: usize) -> Result<(), NodeError> {
        if depth >= DEPTH_MAX {
            return Err(NodeError::TooDeep { at });
        }
        for _ in 0..self.argument(head)? {
            self.item(depth + 1)?;
        }
        Ok(())
    }

    fn end(&self) -> Result<(), NodeError> {
        match self.at < self.bytes.len() {
            true => Err(NodeError::Trailing { at: self.at }),
            false => Ok(()),
        }
    }

    #[inline]
    fn entries(
        &mut self,
        head: u8,
        depth: usize,
        at: usize,
        visit: &mut dyn FnMut(&'a str, &'a [u8]),
    ) -> Result<(), NodeError> {
        if depth >= DEPTH_MAX {
            return Err(NodeError::TooDeep { at });
        }
        let mut previous: Option<&str> = None;
        for _ in 0..self.argument(head)? {
            let at = self.at;
            let head = self.byte()?;
            if head >> 5 != TEXT {
                return Err(NodeError::Forbidden { at, what: "a map key that is no text" });
            }
            let key = self.text(head)?;
            if let Some(previous) = previous {
                match (previous.len(), previous).cmp(&(key.len(), key)) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => {
                        return Err(NodeError::Forbidden { at, what: "a map key that comes twice" });
                    }
                    std::cmp::Ordering::Greater => {
                        return Err(NodeError::NotStrict {
                            at,
                            what: "map keys go by length, then by bytes",
                        });
                    }
                }
            }
            previous = Some(key);
            let from = self.at;
            self.item(depth + 1)?;
            visit(key, &self.bytes[from..self.at]);
        }
        Ok(())
    }

    /// A link is tag 42 around bytes that are a zero (the identity multibase prefix) and a binary CID.
    fn link(&mut self, head: u8, at: usize) -> Result<(), NodeError> {
        if self.argument(head)? != 42 {
            return Err(NodeError::Forbidden { at, what: "a tag that is not 42" });
        }
        let bad = NodeError::Forbidden { at, what: "a link that is no CID" };
        let head = self.byte()?;
        if head >> 5 != BYTES {
            return Err(bad);
        }
        let Some((0, cid)) = self.run(head)?.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(bad);
        };
        if !is_cid(cid) {
            return Err(bad);
        }
        (self.visit)(cid);
        Ok(())
    }

    fn simple(&mut self, head: u8, at: usize) -> Result<(), NodeError> {
        match head {
            0xf4..=0xf6 => Ok(()),
            FLOAT => {
                let float = f64::from_bits(self.big_endian(8)?);
                if !float.is_finite() {
                    return Err(NodeError::Forbidden { at, what: "a float that is not finite" });
                }
                if float == 0.0 && float.is_sign_negative() {
                    return Err(NodeError::NotStrict { at, what: "-0.0 is written as 0.0" });
                }
                Ok(())
            }
            0xf9 | 0xfa => Err(NodeError::NotStrict { at, what: "a float takes 64 bits" }),
            _ => Err(NodeError::Forbidden { at, what: "a simple value beyond false, true and null" }),
        }
    }

    fn text(&mut self, head: u8) -> Result<&'a str, NodeError> {
        let run = self.run(head)?;
        match std::str::from_utf8(run) {
            Ok(text) => Ok(text),
            Err(_) => Err(NodeError::Forbidden { at: self.at - run.len(), what: "text that is not UTF-8" }),
        }
    }

    #[inline]
    fn run(&mut self, head: u8) -> Result<&'a [u8], NodeError> {
        let length = self.argument(head)?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let run = end.and_then(|end| self.bytes.get(self.at..end));
        let run = run.ok_or(NodeError::Truncated { at: self.bytes.len() })?;
        self.at += run.len();
        Ok(run)
    }

    /// A head's argument, which must take the least bytes that can hold it.
    #[inline]
    fn argument(&mut self, head: u8) -> Result<u64, NodeError> {
        let at = self.at - 1;
        let (argument, least) = match head & 0x1f {
            short @ 0..=23 => return Ok(u64::from(short)),
            24 => (self.big_endian(1)?, 24),
            25 => (self.big_endian(2)?, 1 << 8),
            26 => (self.big_endian(4)?, 1 << 16),
            27 => (self.big_endian(8)?, 1 << 32),
            31 => return Err(NodeError::NotStrict { at, what: "an indefinite length" }),
            _ => return Err(NodeError::Forbidden { at, what: "a reserved head" }),
        };
        if argument < least {
            return Err(NodeError::NotStrict { at, what: "a number takes the least bytes" });
        }
        Ok(argument)
    }

    fn big_endian(&mut self, length: usize) -> Result<u64, NodeError> {
        let run = self.bytes.get(self.at..self.at + length);
        let run = run.ok_or(NodeError::Truncated { at: self.bytes.len() })?;
        self.at += length;
        Ok(run.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, NodeError> {
        let byte = *self.bytes.get(self.at).ok_or(NodeError::Truncated { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }
}

/// Whether bytes are one CID and nothing else.
fn is_cid(bytes: &[u8]) -> bool {
    if bytes.len() == USUAL_BYTES && USUAL.iter().any(|usual| bytes.starts_with(usual)) {
        return true;
    }
    let mut rest = bytes;
    Cid::read_bytes(&mut rest).is_ok_and(|read| rest.is_empty() && read.encoded_len() == bytes.len())
}
