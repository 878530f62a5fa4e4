//! `/proc/self/pagemap`: what the kernel knows about each page of an address range.
//!
//! Numbers and structures are those of `<linux/fs.h>` (`struct pm_scan_arg`, `struct page_region`) and of the kernel's
//! documentation "Examining Process Page Tables".
#![allow(unsafe_code, reason = "PAGEMAP_SCAN is an ioctl")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::{After, Found};
use crate::error::HeapError;
use crate::region::machine_page_bytes;

const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;
const SCAN_WP_MATCHING: u64 = 1 << 0;
const SCAN_CHECK_WPASYNC: u64 = 1 << 1;

const PAGE_IS_WRITTEN: u64 = 1 << 1;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

const ENTRY_PRESENT: u64 = 1 << 63;
const ENTRY_SWAPPED: u64 = 1 << 62;
const ENTRY_FILE: u64 = 1 << 61;

/// Ranges that one call of the kernel may return.
const RANGES_A_CALL: usize = 128;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Which pages a scan asks for, in the kernel's terms.
#[derive(Clone, Copy, Default)]
struct Question {
    flags: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
}

impl Question {
    /// Pages without write protection. Nothing else may be asked along: this form alone also finds pages that the
    /// page table does not know yet.
    const fn written(after: After) -> Self {
        let then = match after {
            After::Arm => SCAN_WP_MATCHING,
            After::Leave => 0,
        };
        Self { flags: then | SCAN_CHECK_WPASYNC, inverted: 0, all_of: PAGE_IS_WRITTEN, any_of: 0 }
    }

    /// Pages of the file that are in memory.
    const VIEWS: Self = Self { flags: 0, inverted: 0, all_of: PAGE_IS_FILE | PAGE_IS_PRESENT, any_of: 0 };

    /// Pages that are neither the file's nor the shared page of zeros, and in one of these states.
    const fn private(any_of: u64) -> Self {
        let not = PAGE_IS_FILE | PAGE_IS_PFNZERO;
        Self { flags: 0, inverted: not, all_of: not, any_of }
    }
}

/// The open pagemap of this process.
#[derive(Debug)]
pub(super) struct Pagemap {
    file: File,
    way: Way,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By `PAGEMAP_SCAN` (Linux >= 6.7).
    Scan,
    /// By reading an entry of eight bytes for each page.
    Entries,
}

impl Pagemap {
    pub(super) fn open() -> io::Result<Self> {
        let mut pagemap = Self { file: File::open("/proc/self/pagemap")?, way: Way::Scan };
        let here = (&raw const pagemap as u64) & !(machine_page_bytes() - 1);
        if pagemap
            .scan(here, machine_page_bytes(), Question::private(PAGE_IS_PRESENT), &mut |_, _| {})
            .is_err()
        {
            pagemap.way = Way::Entries;
        }
        Ok(pagemap)
    }

    /// Whether the kernel has `PAGEMAP_SCAN`.
    pub(super) fn can_scan(&self) -> bool {
        self.way == Way::Scan
    }

    /// Finds pages of a write-protected range that were written.
    pub(super) fn written(
        &self,
        address: u64,
        bytes: u64,
        after: After,
        found: &mut Found<'_>,
    ) -> Result<(), HeapError> {
        self.scan(address, bytes, Question::written(after), found)
    }

    /// Finds pages that are no longer the file's, wherever they are.
    pub(super) fn private(&self, address: u64, bytes: u64, found: &mut Found<'_>) -> Result<(), HeapError> {
        match self.way {
            Way::Scan => {
                self.scan(address, bytes, Question::private(PAGE_IS_PRESENT | PAGE_IS_SWAPPED), found)
            }
            Way::Entries => self.read_entries(
                address,
                bytes,
                &|entry| is_private(entry, ENTRY_PRESENT | ENTRY_SWAPPED),
                found,
            ),
        }
    }

    /// Finds pages that are no longer the file's and in memory. (A write-protected page that was never there looks as
    /// if it were swapped out, so that state is of no use to whoever wants to free memory.)
    pub(super) fn present_private(
        &self,
        address: u64,
        bytes: u64,
        found: &mut Found<'_>,
    ) -> Result<(), HeapError> {
        match self.way {
            Way::Scan => self.scan(address, bytes, Question::private(PAGE_IS_PRESENT), found),
            Way::Entries => {
                self.read_entries(address, bytes, &|entry| is_private(entry, ENTRY_PRESENT), found)
            }
        }
    }

    /// Finds pages that are the file's own and in memory.
    pub(super) fn views(&self, address: u64, bytes: u64, found: &mut Found<'_>) -> Result<(), HeapError> {
        match self.way {
            Way::Scan => self.scan(address, bytes, Question::VIEWS, found),
            Way::Entries => self.read_entries(address, bytes, &is_view, found),
        }
    }

    fn scan(
        &self,
        address: u64,
        bytes: u64,
        question: Question,
        found: &mut Found<'_>,
    ) -> Result<(), HeapError> {
        let mut ranges = [PageRegion::default(); RANGES_A_CALL];
        let (mut start, end) = (address, address + bytes);
        while start < end {
            let mut arguments = ScanArguments {
                size: size_of::<ScanArguments>() as u64,
                flags: question.flags,
                start,
                end,
                vec: ranges.as_mut_ptr() as u64,
                vec_len: RANGES_A_CALL as u64,
                category_inverted: question.inverted,
                category_mask: question.all_of,
                category_anyof_mask: question.any_of,
                return_mask: question.all_of | question.any_of,
                ..ScanArguments::default()
            };
            // SAFETY: the structure has the kernel's layout and size, and its vector points at `ranges`, which
            // outlives the call; the kernel writes at most `vec_len` entries there.
            let count = unsafe { libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN, &raw mut arguments) };
            let Ok(count) = usize::try_from(count) else {
                return Err(HeapError::last_os("scan a heap's page table"));
            };
            for range in ranges.iter().take(count) {
                found(range.start, range.end - range.start);
            }
            if arguments.walk_end <= start {
                break;
            }
            start = arguments.walk_end;
        }
        Ok(())
    }

    fn read_entries(
        &self,
        address: u64,
        bytes: u64,
        wanted: &dyn Fn(u64) -> bool,
        found: &mut Found<'_>,
    ) -> Result<(), HeapError> {
        let page_bytes = machine_page_bytes();
        let mut buffer = [0; 4096];
        let (mut page, end) = (address / page_bytes, (address + bytes) / page_bytes);
        while page < end {
            let count = ((end - page) as usize).min(buffer.len() / 8);
            let entries = &mut buffer[..count * 8];
            self.file
                .read_exact_at(entries, page * 8)
                .map_err(|source| HeapError::System { doing: "read a heap's page table", source })?;
            for (first, count) in runs_where(entries, wanted) {
                found((page + first) * page_bytes, count * page_bytes);
            }
            page += count as u64;
        }
        Ok(())
    }
}

/// Whether a page is not the file's and in one of these states.
fn is_private(entry: u64, any_of: u64) -> bool {
    entry & any_of != 0 && entry & ENTRY_FILE == 0
}

/// Whether a page is the file's and in memory.
fn is_view(entry: u64) -> bool {
    entry & (ENTRY_PRESENT | ENTRY_FILE) == ENTRY_PRESENT | ENTRY_FILE
}

/// Runs (first, count) of wanted entries.
fn runs_where(entries: &[u8], wanted: &dyn Fn(u64) -> bool) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (index, entry) in (0..).zip(entries.as_chunks::<8>().0) {
        let entry = u64::from_ne_bytes(*entry);
        if !wanted(entry) {
            continue;
        }
        match runs.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => runs.push((index, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs_of(entries: &[u64], any_of: u64) -> Vec<(u64, u64)> {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_ne_bytes()).collect();
        runs_where(&bytes, &|entry| is_private(entry, any_of))
    }

    #[test]
    fn swapped_pages_are_private_and_file_pages_are_not() {
        // Low bits carry frame numbers, or a swap slot: they mean nothing here.
        let entries = [
            0,
            ENTRY_PRESENT | 0x1234,
            ENTRY_SWAPPED | 0x8001,
            ENTRY_PRESENT | ENTRY_FILE,
            ENTRY_SWAPPED,
            ENTRY_SWAPPED | ENTRY_FILE,
        ];
        assert_eq!(runs_of(&entries, ENTRY_PRESENT | ENTRY_SWAPPED), [(1, 2), (4, 1)]);
        assert_eq!(runs_of(&entries, ENTRY_PRESENT), [(1, 1)]);
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_ne_bytes()).collect();
        assert_eq!(runs_where(&bytes, &is_view), [(3, 1)]);
    }

    #[test]
    fn both_ways_to_ask_agree() {
        let mut pagemap = Pagemap::open().unwrap();
        let page_bytes = machine_page_bytes();
        let memory = vec![1_u8; 64 * page_bytes as usize];
        let start = (memory.as_ptr() as u64).next_multiple_of(page_bytes);
        let ask = |pagemap: &Pagemap| {
            let mut found = 0;
            pagemap.private(start, 62 * page_bytes, &mut |_, bytes| found += bytes).unwrap();
            found
        };
        let by_scan = ask(&pagemap);
        pagemap.way = Way::Entries;
        assert_eq!(ask(&pagemap), by_scan);
        assert_eq!(by_scan, 62 * page_bytes);
    }
}
