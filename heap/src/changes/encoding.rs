//! Changes as bytes.
//!
//! ```text
//! changes  = bytes / 65536, number of pages, page*
//! page     = gap to the page before (the first: its index), kind, body
//! kind     = 0 initial | 1 zero | 2 whole | 2 + number of ranges
//! whole    = 4096 bytes
//! ranges   = (gap to the range before in words, words, the words' bytes)*
//! ```
//! Every number is an unsigned LEB128 of least length. Pages and ranges ascend; two ranges never touch. So the same
//! changes have one encoding, and [`decode`] accepts no other.

use super::{ChangedRange, Changes, PageChange};
use crate::error::HeapError;
use crate::page::{PAGE_BYTES, PAGE_WORDS, PageIndex, WORD_BYTES, ZERO_PAGE};
use crate::region::SIZE_STEP_BYTES;

const INITIAL: u64 = 0;
const ZERO: u64 = 1;
const WHOLE: u64 = 2;

/// Bytes of a whole page with its kind.
pub(super) const WHOLE_PAGE_BYTES: usize = 1 + PAGE_BYTES;

pub(super) fn encode(changes: &Changes) -> Vec<u8> {
    let pages_bytes: usize = changes.pages.iter().map(|(_, change)| 5 + page_change_bytes(change)).sum();
    let mut out = Vec::with_capacity(16 + pages_bytes);
    put_number(&mut out, changes.bytes / SIZE_STEP_BYTES);
    put_number(&mut out, changes.pages.len() as u64);
    let mut next = 0;
    for (page, change) in &changes.pages {
        put_number(&mut out, u64::from(page.0) - next);
        put_page_change(&mut out, change);
        next = u64::from(page.0) + 1;
    }
    out
}

/// Encoded bytes of one page's change, its index not counted.
pub(super) fn page_change_bytes(change: &PageChange) -> usize {
    match change {
        PageChange::Initial | PageChange::Zero => 1,
        PageChange::Whole(_) => WHOLE_PAGE_BYTES,
        PageChange::Ranges { ranges, bytes } => {
            let heads: usize =
                range_heads(ranges).map(|(gap, words)| number_bytes(gap) + number_bytes(words)).sum();
            number_bytes(WHOLE + ranges.len() as u64) + heads + bytes.len()
        }
    }
}

fn put_page_change(out: &mut Vec<u8>, change: &PageChange) {
    match change {
        PageChange::Initial => put_number(out, INITIAL),
        PageChange::Zero => put_number(out, ZERO),
        PageChange::Whole(bytes) => {
            put_number(out, WHOLE);
            out.extend_from_slice(&bytes[..]);
        }
        PageChange::Ranges { ranges, bytes } => {
            put_number(out, WHOLE + ranges.len() as u64);
            let mut rest = bytes.as_slice();
            for (gap, words) in range_heads(ranges) {
                put_number(out, gap);
                put_number(out, words);
                let (new, after) = rest.split_at(words as usize * WORD_BYTES);
                out.extend_from_slice(new);
                rest = after;
            }
        }
    }
}

/// For each range: its distance from the one before and its length, in words.
fn range_heads(ranges: &[ChangedRange]) -> impl Iterator<Item = (u64, u64)> {
    let mut end = 0;
    ranges.iter().map(move |range| {
        let (first, words) = (range.offset as usize / WORD_BYTES, range.len as usize / WORD_BYTES);
        let gap = first - end;
        end = first + words;
        (gap as u64, words as u64)
    })
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

pub(super) fn decode(encoded: &[u8]) -> Result<Changes, HeapError> {
    let mut input = Input { encoded, offset: 0 };
    let steps = input.number()?;
    let heap_pages = steps.checked_mul(SIZE_STEP_BYTES / PAGE_BYTES as u64);
    let heap_pages = heap_pages.filter(|&pages| pages <= 1 << 32);
    let heap_pages = heap_pages.ok_or_else(|| input.bad("the heap's size is impossible"))?;
    let count = input.number()?;
    let mut pages = Vec::new();
    let mut next: u64 = 0;
    for _ in 0..count {
        let gap = input.number()?;
        let page = next.checked_add(gap).filter(|&page| page < heap_pages);
        let page = page.ok_or_else(|| input.bad("a page lies past the heap's end"))?;
        let change = input.page_change()?;
        pages.push((PageIndex(page as u32), change));
        next = page + 1;
    }
    if input.offset < encoded.len() {
        return Err(input.bad("there is more than the changes"));
    }
    Ok(Changes { bytes: steps * SIZE_STEP_BYTES, pages })
}

struct Input<'a> {
    encoded: &'a [u8],
    offset: usize,
}

impl Input<'_> {
    fn page_change(&mut self) -> Result<PageChange, HeapError> {
        match self.number()? {
            INITIAL => Ok(PageChange::Initial),
            ZERO => Ok(PageChange::Zero),
            WHOLE => {
                let mut page = Box::new(ZERO_PAGE);
                page.copy_from_slice(self.bytes(PAGE_BYTES)?);
                Ok(PageChange::Whole(page))
            }
            kind => self.ranges(kind - WHOLE),
        }
    }

    fn ranges(&mut self, count: u64) -> Result<PageChange, HeapError> {
        let (mut ranges, mut bytes) = (Vec::new(), Vec::new());
        let mut end: usize = 0;
        for index in 0..count {
            let (gap, words) = (self.number()?, self.number()?);
            if words == 0 || gap > PAGE_WORDS as u64 || words > PAGE_WORDS as u64 {
                return Err(self.bad("a range is empty or too long"));
            }
            if index > 0 && gap == 0 {
                return Err(self.bad("two ranges touch"));
            }
            let (first, words) = (end + gap as usize, words as usize);
            end = first + words;
            if end > PAGE_WORDS {
                return Err(self.bad("a range passes the page's end"));
            }
            let (offset, len) = (first * WORD_BYTES, words * WORD_BYTES);
            bytes.extend_from_slice(self.bytes(len)?);
            ranges.push(ChangedRange { offset: offset as u16, len: len as u16 });
        }
        Ok(PageChange::Ranges { ranges, bytes })
    }

    fn number(&mut self) -> Result<u64, HeapError> {
        let mut number: u64 = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.bytes(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return if shortest {
                    Ok(number)
                } else {
                    Err(self.bad("a number is longer than it need be"))
                };
            }
        }
        Err(self.bad("a number is too large"))
    }

    fn bytes(&mut self, count: usize) -> Result<&[u8], HeapError> {
        let end = self.offset.saturating_add(count);
        let bad = HeapError::BadChanges { offset: self.offset, what: "the end is missing" };
        let bytes = self.encoded.get(self.offset..end).ok_or(bad)?;
        self.offset = end;
        Ok(bytes)
    }

    fn bad(&self, what: &'static str) -> HeapError {
        HeapError::BadChanges { offset: self.offset, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Changes {
        let ranges = vec![ChangedRange { offset: 0, len: 8 }, ChangedRange { offset: 2000, len: 2096 }];
        let bytes = (0..2104_u32).map(|byte| byte as u8).collect();
        let pages = vec![
            (PageIndex(0), PageChange::Initial),
            (PageIndex(1), PageChange::Zero),
            (PageIndex(200), PageChange::Ranges { ranges, bytes }),
            (PageIndex(511), PageChange::Whole(Box::new([7; PAGE_BYTES]))),
        ];
        Changes { bytes: 2 << 20, pages }
    }

    #[test]
    fn changes_are_read_back() {
        let changes = example();
        assert_eq!(decode(&changes.encode()).unwrap(), changes);
        let nothing = Changes { bytes: 65_536, pages: Vec::new() };
        assert_eq!(nothing.encode(), [1, 0]);
        assert_eq!(decode(&[1, 0]).unwrap(), nothing);
    }

    #[test]
    fn one_word_costs_a_few_bytes() {
        let ranges = vec![ChangedRange { offset: 1600, len: 8 }];
        let change = PageChange::Ranges { ranges, bytes: vec![1; 8] };
        let changes = Changes { bytes: 2 << 20, pages: vec![(PageIndex(300), change)] };
        assert_eq!(changes.encode().len(), 1 + 1 + 2 + 1 + 2 + 1 + 8);
    }

    #[test]
    fn damage_is_an_error_or_other_changes_but_never_a_panic() {
        let encoded = example().encode();
        for end in 0..encoded.len() {
            decode(&encoded[..end]).unwrap_err();
        }
        for index in 0..encoded.len() {
            for bit in 0..8 {
                let mut damaged = encoded.clone();
                damaged[index] ^= 1 << bit;
                if let Ok(changes) = decode(&damaged) {
                    assert_eq!(changes.encode(), damaged, "one encoding for each");
                }
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let check = |encoded: &[u8], expected: &str| {
            let error = decode(encoded).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&[0x81, 0x00, 0], "longer than it need be");
        check(&[0xff; 12], "too large");
        check(&[1, 1, 16, 0], "past the heap's end");
        check(&[1, 0, 0], "more than the changes");
        check(&[1, 1, 0, 3, 0, 0], "empty");
        check(&[1, 1, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "touch");
    }
}
