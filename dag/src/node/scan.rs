//! One pass over bytes that finds the first thing strict dag-cbor forbids. Recursive, to [`DEPTH_MAX`].

use std::cell::Cell;
use std::cmp::Ordering;

use super::{DEPTH_MAX, LINK_SPACING, NodeError};
use crate::Cid;
use crate::address::{USUAL_BYTES, is_usual};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// The head of a link: tag 42 follows.
const LINK_HEAD: u8 = 0xd8;
/// The head of a float of 64 bits.
const FLOAT: u8 = 0xfb;

/// Scans one value; `visit` sees each link, as the bytes of a CID.
pub(super) fn value<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(&'a [u8])) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit };
    scan.item(0)?;
    scan.end()
}

/// The integer that these bytes are, strictly, and nothing else.
#[inline]
pub(super) fn integer(bytes: &[u8]) -> Option<i128> {
    let (head, rest) = bytes.split_first()?;
    let (major, short) = (head >> 5, head & 0x1f);
    if major > NEGATIVE {
        return None;
    }
    let argument = match (short, rest) {
        (0..=23, []) => u64::from(short),
        (24, [byte @ 24..=0xff]) => u64::from(*byte),
        (25, [high @ 1..=0xff, low]) => u64::from(u16::from_be_bytes([*high, *low])),
        (26, _) => u64::from(u32::from_be_bytes(rest.try_into().ok()?)),
        (27, _) => u64::from_be_bytes(rest.try_into().ok()?),
        _ => return None,
    };
    if (short == 26 && argument >> 16 == 0) || (short == 27 && argument >> 32 == 0) {
        return None;
    }
    Some(if major == UNSIGNED { argument.into() } else { -1 - i128::from(argument) })
}

/// The text that these bytes are, strictly, and nothing else.
pub(super) fn lone_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(lone_run(bytes, TEXT)?).ok()
}

/// The bytes that these bytes are as a node, strictly, and nothing else.
pub(super) fn lone_bytes(bytes: &[u8]) -> Option<&[u8]> {
    lone_run(bytes, BYTES)
}

fn lone_run(bytes: &[u8], major: u8) -> Option<&[u8]> {
    let mut scan = Scan { bytes, at: 0, visit: &mut |_| {} };
    let head = scan.byte().ok().filter(|head| head >> 5 == major)?;
    let run = scan.run(head).ok()?;
    scan.end().ok().map(|()| run)
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

/// As [`list`], of a list that was scanned before: what lies in its items is passed over.
pub(super) fn list_of_valid(bytes: &[u8]) -> Result<Vec<&[u8]>, NodeError> {
    let mut scan = Scan { bytes, at: 0, visit: &mut |_| {} };
    let head = scan.byte()?;
    if head >> 5 != LIST {
        return Err(NodeError::Shape("a list is expected".to_owned()));
    }
    let number = scan.argument(head)?;
    let mut items = Vec::with_capacity(usize::try_from(number).unwrap_or_default().min(bytes.len()));
    for _ in 0..number {
        items.push(scan.passed_item()?);
    }
    scan.end().map(|()| items)
}

/// A link, and the one that stands in its place in an earlier version.
pub(crate) type Versions<'a> = (&'a [u8], &'a [u8]);

/// Whether the head of a link stands anywhere in the bytes, which most that have none tell at once.
pub(super) fn may_have_links(bytes: &[u8]) -> bool {
    bytes.contains(&LINK_HEAD)
}

/// The links of a value that was scanned before, each with what stands there in an earlier one that differs in nothing but its
/// links; `None` if it differs in more.
pub(super) fn links_beside<'a>(
    bytes: &'a [u8],
    earlier: &'a [u8],
) -> Result<Option<Vec<Versions<'a>>>, NodeError> {
    if bytes.len() != earlier.len() {
        return Ok(None);
    }
    let found = Cell::new(None);
    let mut scan = Scan { bytes, at: 0, visit: &mut |link| found.set(Some(link)) };
    let (mut pairs, mut same_to) = (Vec::with_capacity(bytes.len() / LINK_SPACING), 0);
    loop {
        scan.short_heads(u64::MAX);
        if scan.at >= bytes.len() {
            break;
        }
        scan.head()?;
        let Some(link) = found.take() else { continue };
        let from = scan.at - link.len();
        if bytes[same_to..from] != earlier[same_to..from] {
            return Ok(None);
        }
        pairs.push((link, &earlier[from..scan.at]));
        same_to = scan.at;
    }
    scan.end()?;
    Ok((bytes[same_to..] == earlier[same_to..]).then_some(pairs))
}

/// Visits the links of a value that was scanned before. What lies in lists and maps follows their heads, so neither has to be
/// entered: one head comes after the other.
pub(super) fn links_of_valid<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(&'a [u8])) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit };
    loop {
        scan.short_heads(u64::MAX);
        if scan.at >= bytes.len() {
            return scan.end();
        }
        scan.head()?;
    }
}

/// As [`map`], of a map that was scanned before: what lies in its values is passed over, and in the last one, which takes up the
/// rest, not even that. Ends early where `visit` says `false`.
pub(super) fn map_of_valid<'a>(
    bytes: &'a [u8],
    visit: &mut dyn FnMut(&'a [u8], &'a [u8]) -> bool,
) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit: &mut |_| {} };
    let head = scan.byte()?;
    if head >> 5 != MAP {
        return Err(NodeError::Shape("a map is expected".to_owned()));
    }
    let number = scan.argument(head)?;
    for entry in 1..=number {
        let head = scan.byte()?;
        let key = scan.run(head)?;
        if entry == number {
            visit(key, &bytes[scan.at..]);
            return Ok(());
        }
        if !visit(key, scan.passed_item()?) {
            return Ok(());
        }
    }
    scan.end()
}

/// Heads after which one knows how far the item goes: the bytes that are its own, the head included, and the items that belong
/// to it and follow. No bytes for any other head.
const SHORT: [(u8, u8); 256] = {
    let mut short = [(0, 0); 256];
    let mut head = 0;
    while head < short.len() {
        let (major, argument) = (head as u8 >> 5, head as u8 & 0x1f);
        short[head] = match (major, argument) {
            (BYTES | TEXT, 0..=23) => (1 + argument, 0),
            (LIST, 0..=23) => (1, argument),
            (MAP, 0..=23) => (1, 2 * argument),
            (UNSIGNED | NEGATIVE, 0..=23) => (1, 0),
            (UNSIGNED | NEGATIVE, 24..=27) => (1 + (1 << (argument - 24)), 0),
            _ => (0, 0),
        };
        head += 1;
    }
    short
};
/// How a link of the usual form begins, after the head of its tag; its address follows.
const USUAL_LINK: [u8; 4] = [42, 0x58, USUAL_BYTES as u8 + 1, 0];

struct Scan<'a, 'v> {
    bytes: &'a [u8],
    at: usize,
    visit: &'v mut dyn FnMut(&'a [u8]),
}

impl<'a> Scan<'a, '_> {
    /// Passes over one head and the bytes that are its own, perhaps beyond the end; gives the number of items that belong to it
    /// and follow.
    #[inline]
    fn head(&mut self) -> Result<u64, NodeError> {
        let head = self.byte()?;
        let (own, items) = SHORT[usize::from(head)];
        if own > 0 {
            self.at += usize::from(own) - 1;
            return Ok(items.into());
        }
        self.long_head(head)
    }

    /// Passes over short heads and the bytes that are their own, until so many items are passed or another head comes; gives
    /// the number of items that are left. (A loop of its own, as most heads are short: half the instructions.)
    #[inline]
    fn short_heads(&mut self, mut left: u64) -> u64 {
        let mut at = self.at;
        while left > 0
            && let Some(head) = self.bytes.get(at)
            && let (own @ 1.., items) = SHORT[usize::from(*head)]
        {
            at += usize::from(own);
            left = (left - 1).saturating_add(items.into());
        }
        self.at = at;
        left
    }

    /// Passes over one item; gives its bytes.
    #[inline]
    fn passed_item(&mut self) -> Result<&'a [u8], NodeError> {
        let (from, mut left) = (self.at, 1);
        loop {
            left = self.short_heads(left);
            if left == 0 {
                break;
            }
            left = self.head()?.saturating_add(left - 1);
        }
        self.bytes.get(from..self.at).ok_or(NodeError::Truncated { at: self.bytes.len() })
    }

    /// As [`Scan::head`], of one that is not short.
    fn long_head(&mut self, head: u8) -> Result<u64, NodeError> {
        match head >> 5 {
            BYTES | TEXT => self.run(head).map(|_| 0),
            LIST => self.argument(head),
            MAP => self.argument(head).map(|entries| entries.saturating_mul(2)),
            TAG => self.passed_link(head).map(|()| 0),
            _ if head == FLOAT => self.big_endian(8).map(|_| 0),
            _ => Ok(0),
        }
    }

    #[inline]
    fn passed_link(&mut self, head: u8) -> Result<(), NodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if let Some(link) = rest.strip_prefix(&USUAL_LINK)
            && let Some(link) = link.get(..USUAL_BYTES)
        {
            self.at += USUAL_LINK.len() + USUAL_BYTES;
            (self.visit)(link);
            return Ok(());
        }
        self.argument(head)?;
        let head = self.byte()?;
        let link = self.run(head)?.get(1..).unwrap_or_default();
        (self.visit)(link);
        Ok(())
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
        match self.at.cmp(&self.bytes.len()) {
            Ordering::Less => Err(NodeError::Trailing { at: self.at }),
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(NodeError::Truncated { at: self.bytes.len() }),
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
                    Ordering::Less => {}
                    Ordering::Equal => {
                        return Err(NodeError::Forbidden { at, what: "a map key that comes twice" });
                    }
                    Ordering::Greater => {
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
    if is_usual(bytes) {
        return true;
    }
    let mut rest = bytes;
    Cid::read_bytes(&mut rest).is_ok_and(|read| rest.is_empty() && read.encoded_len() == bytes.len())
}
