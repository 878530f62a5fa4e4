//! One pass over bytes that finds the first thing strict dag-cbor forbids. Recursive, to [`DEPTH_MAX`].

use super::{DEPTH_MAX, NodeError};
use crate::Cid;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// Scans one value; `visit` sees each link.
pub(super) fn value(bytes: &[u8], visit: &mut dyn FnMut(Cid)) -> Result<(), NodeError> {
    let mut scan = Scan { bytes, at: 0, visit };
    scan.item(0)?;
    if scan.at < bytes.len() {
        return Err(NodeError::Trailing { at: scan.at });
    }
    Ok(())
}

struct Scan<'a, 'v> {
    bytes: &'a [u8],
    at: usize,
    visit: &'v mut dyn FnMut(Cid),
}

impl<'a> Scan<'a, '_> {
    fn item(&mut self, depth: usize) -> Result<(), NodeError> {
        let at = self.at;
        let head = self.byte()?;
        match head >> 5 {
            UNSIGNED | NEGATIVE => self.argument(head).map(drop),
            BYTES => self.run(head).map(drop),
            TEXT => self.text(head).map(drop),
            LIST => self.list(head, depth, at),
            MAP => self.map(head, depth, at),
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

    fn map(&mut self, head: u8, depth: usize, at: usize) -> Result<(), NodeError> {
        if depth >= DEPTH_MAX {
            return Err(NodeError::TooDeep { at });
        }
        let mut previous: Option<&[u8]> = None;
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
            self.item(depth + 1)?;
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
        let Some((0, mut cid)) = self.run(head)?.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(bad);
        };
        let length = cid.len();
        match Cid::read_bytes(&mut cid) {
            Ok(read) if cid.is_empty() && read.encoded_len() == length => {
                (self.visit)(read);
                Ok(())
            }
            _ => Err(bad),
        }
    }

    fn simple(&mut self, head: u8, at: usize) -> Result<(), NodeError> {
        match head {
            0xf4..=0xf6 => Ok(()),
            0xfb => {
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

    fn text(&mut self, head: u8) -> Result<&'a [u8], NodeError> {
        let run = self.run(head)?;
        match std::str::from_utf8(run) {
            Ok(_) => Ok(run),
            Err(_) => Err(NodeError::Forbidden { at: self.at - run.len(), what: "text that is not UTF-8" }),
        }
    }

    fn run(&mut self, head: u8) -> Result<&'a [u8], NodeError> {
        let length = self.argument(head)?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let run = usize::try_from(length).ok().and_then(|length| rest.get(..length));
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
