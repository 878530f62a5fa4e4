//! The address range that a guest runs in, and every access of ours to it.
//!
//! ```text
//! base                image.bytes          bytes            bytes_max        reserved       + guard
//!  | image, private    | zeros, private     | zeros, no access | no access                     |
//! ```
//! The image's part is a private mapping of its file; behind it lies private anonymous memory. (Were it the file's, too,
//! the first write to a page there would put a page of zeros into the file and copy it: measured, twice the memory and
//! 5.6 us in place of 3.1.) Both are mapped and watched once, up to `bytes_max`;
//! growing is `mprotect`.
//!
//! Invariants:
//! 1. `base` never moves, and `[0, bytes)` is readable and writable for as long as the region lives.
//! 2. `bytes` grows through [`Region::grow_to`], and shrinks only when a rollback takes a growth back.
#![allow(unsafe_code, reason = "a guest's memory is raw memory: mapped, protected and read by address")]

mod shared_file;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::HeapError;
use crate::image::Image;
use crate::page::{PAGE_BYTES, Page, PageIndex, PageRun};
use crate::tracker::{After, Tracker};

pub(crate) use shared_file::SharedFile;

/// Bytes by which sizes step: a wasm page, and a multiple of every machine's own page.
pub const SIZE_STEP_BYTES: u64 = 65_536;

/// A heap's address range, shared with whoever runs the guest in it.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    bytes: AtomicU64,
    bytes_max: u64,
    reserved_bytes: u64,
    mapped_bytes: u64,
    image: Arc<Image>,
    tracker: Tracker,
}

// SAFETY: the mapping belongs to this value and is not bound to a thread. The bytes in it are reached only through
// `Heap` (which holds them exclusively, by the contract of `base`) and through `base` itself.
unsafe impl Send for Region {}
// SAFETY: as above; what a shared reference can do (`grow_to`) is atomic.
unsafe impl Sync for Region {}

/// How large a region is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) reserve_bytes: u64,
    pub(crate) guard_bytes: u64,
    pub(crate) bytes_max: u64,
}

impl Region {
    /// Reserves the range, maps the image and starts watching.
    pub(crate) fn new(image: &Arc<Image>, extent: Extent, tracker: Tracker) -> Result<Self, HeapError> {
        let Extent { reserve_bytes, guard_bytes, bytes_max } = extent;
        check_extent(image.bytes(), extent)?;
        let mapped_bytes = reserve_bytes + guard_bytes;
        let region = Self {
            base: reserve(mapped_bytes)?,
            bytes: AtomicU64::new(0),
            bytes_max,
            reserved_bytes: reserve_bytes,
            mapped_bytes,
            image: Arc::clone(image),
            tracker,
        };
        region.map_image()?;
        region.refuse_huge_pages();
        region.tracker.watch(region.address(0), bytes_max)?;
        region.grow_to(image.bytes())?;
        Ok(region)
    }

    /// The address of the heap's first byte. It never changes.
    ///
    /// # Safety of its use
    /// Reading and writing through it is sound within `[0, bytes)`, for as long as the region lives, and only while no
    /// method of the [`Heap`](crate::Heap) that owns the region is running. A guest must be stopped for those.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The heap's size at this moment.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// The size up to which the heap may grow.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Bytes of address space that belong to the heap, the guard behind it not counted.
    pub fn reserved_bytes(&self) -> u64 {
        self.reserved_bytes
    }

    /// Makes the heap `bytes` long; the new pages are zero. A size that is not larger changes nothing.
    ///
    /// # Errors
    /// [`HeapError::TooLarge`] past [`Region::bytes_max`], [`HeapError::Unaligned`] if `bytes` is no multiple of
    /// [`SIZE_STEP_BYTES`], [`HeapError::System`] if the system has no memory for it.
    pub fn grow_to(&self, bytes: u64) -> Result<(), HeapError> {
        check_step("the heap's size", bytes)?;
        if bytes > self.bytes_max {
            return Err(HeapError::TooLarge { asked_bytes: bytes, bytes_max: self.bytes_max });
        }
        let old_bytes = self.bytes();
        if bytes <= old_bytes {
            return Ok(());
        }
        self.protect(old_bytes, bytes - old_bytes, libc::PROT_READ | libc::PROT_WRITE)?;
        self.tracker.arm(self.address(old_bytes), bytes - old_bytes)?;
        self.bytes.fetch_max(bytes, Ordering::AcqRel);
        Ok(())
    }

    /// Takes a growth back: the pages past `bytes` lose their content and cannot be reached.
    pub(crate) fn shrink_to(&self, bytes: u64) -> Result<(), HeapError> {
        let old_bytes = self.bytes();
        assert!(bytes >= self.image.bytes() && bytes <= old_bytes, "a region shrinks to an earlier size");
        if bytes == old_bytes {
            return Ok(());
        }
        self.discard(bytes, old_bytes - bytes)?;
        self.protect(bytes, old_bytes - bytes, libc::PROT_NONE)?;
        self.bytes.store(bytes, Ordering::Release);
        Ok(())
    }

    /// The bytes of a page as the guest left them.
    pub(crate) fn page(&self, page: PageIndex) -> &Page {
        // SAFETY: `page_address` checked that the page is mapped readable; nobody writes while a method of `Heap` runs
        // (the contract of `base`), and this reference does not outlive one.
        unsafe { &*self.page_address(page) }
    }

    /// Sets the bytes of a page.
    pub(crate) fn set_page(&self, page: PageIndex, bytes: &Page) {
        // SAFETY: `page_address` checked that the page is mapped writable; nobody else reads or writes while a method
        // of `Heap` runs; `bytes` cannot lie in the region, since no reference into it is held while setting.
        unsafe { std::ptr::copy_nonoverlapping(bytes, self.page_address(page), 1) };
    }

    /// Copies bytes out.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), HeapError> {
        self.check_bounds(offset, into.len())?;
        // SAFETY: the range is readable (checked); nobody writes while a method of `Heap` runs.
        unsafe { std::ptr::copy_nonoverlapping(self.pointer(offset), into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Copies bytes in, as the guest would.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), HeapError> {
        self.check_bounds(offset, bytes.len())?;
        // SAFETY: the range is writable (checked); nobody else uses it while a method of `Heap` runs.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.pointer(offset), bytes.len()) };
        Ok(())
    }

    /// Gives pages their initial bytes back: the private copies go, the image's (or zeros) show again.
    pub(crate) fn reset(&self, run: PageRun) -> Result<(), HeapError> {
        assert!(run.offset() + run.bytes() <= self.bytes(), "pages past the heap's end");
        if machine_page_bytes() == PAGE_BYTES as u64 {
            return self.discard(run.offset(), run.bytes());
        }
        for page in run.pages() {
            self.set_page(page, self.image.page(page).unwrap_or(&crate::page::ZERO_PAGE));
        }
        Ok(())
    }

    /// Appends the pages below `bytes` that may have been written since they were armed last.
    pub(crate) fn written(&self, bytes: u64, after: After, runs: &mut Vec<PageRun>) -> Result<(), HeapError> {
        let base = self.address(0);
        self.tracker.written(base, bytes.min(self.bytes()), after, &mut |address, bytes| {
            runs.push(PageRun::covering(address - base, bytes));
        })
    }

    /// Appends the present pages that are this heap's own; `None` where the system cannot tell.
    pub(crate) fn private(&self, runs: &mut Vec<PageRun>) -> Result<Option<()>, HeapError> {
        let base = self.address(0);
        self.tracker.private(base, self.bytes(), &mut |address, bytes| {
            runs.push(PageRun::covering(address - base, bytes));
        })
    }

    /// Appends the present pages that are the image's own; `None` where the system cannot tell.
    pub(crate) fn views(&self, runs: &mut Vec<PageRun>) -> Result<Option<()>, HeapError> {
        let base = self.address(0);
        self.tracker.views(base, self.image.bytes(), &mut |address, bytes| {
            runs.push(PageRun::covering(address - base, bytes));
        })
    }

    /// From now on a write to these pages is reported.
    pub(crate) fn arm(&self, run: PageRun) -> Result<(), HeapError> {
        self.tracker.arm(self.address(run.offset()), run.bytes())
    }

    /// Writes to these pages need not be reported until they are armed.
    pub(crate) fn disarm(&self, run: PageRun) -> Result<(), HeapError> {
        self.tracker.disarm(self.address(run.offset()), run.bytes())
    }

    pub(crate) fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    fn address(&self, offset: u64) -> u64 {
        self.base.as_ptr() as u64 + offset
    }

    /// The pointer to an offset, which the caller has checked to lie within the mapping.
    fn pointer(&self, offset: u64) -> *mut u8 {
        debug_assert!(offset <= self.mapped_bytes);
        self.base.as_ptr().wrapping_add(offset as usize)
    }

    fn page_address(&self, page: PageIndex) -> *mut Page {
        assert!(page.offset() + PAGE_BYTES as u64 <= self.bytes(), "{page} lies past the heap's end");
        self.pointer(page.offset()).cast()
    }

    fn check_bounds(&self, offset: u64, len: usize) -> Result<(), HeapError> {
        let (bytes, heap_bytes) = (len as u64, self.bytes());
        match offset.checked_add(bytes) {
            Some(end) if end <= heap_bytes => Ok(()),
            _ => Err(HeapError::OutOfBounds { offset, bytes, heap_bytes }),
        }
    }

    fn map_image(&self) -> Result<(), HeapError> {
        let file = self.image.file();
        if file.bytes() == 0 { Ok(()) } else { self.map_file(file, 0, file.bytes(), libc::PROT_NONE) }
    }

    fn map_file(&self, file: &SharedFile, offset: u64, bytes: u64, access: i32) -> Result<(), HeapError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the range lies within this region's own reservation, so nothing foreign is replaced; no reference
        // into it is held.
        let mapped = unsafe {
            libc::mmap(
                self.pointer(offset).cast(),
                bytes as usize,
                access,
                flags,
                file.descriptor(),
                offset as libc::off_t,
            )
        };
        if mapped == libc::MAP_FAILED { Err(HeapError::last_os("map a heap's image")) } else { Ok(()) }
    }

    fn protect(&self, offset: u64, bytes: u64, access: i32) -> Result<(), HeapError> {
        // SAFETY: the range lies within this region's own mapping; references into it are held by no one, and what
        // becomes unreachable is past `bytes`.
        let done = unsafe { libc::mprotect(self.pointer(offset).cast(), bytes as usize, access) };
        if done != 0 { Err(HeapError::last_os("change a heap's protection")) } else { Ok(()) }
    }

    /// One page that is used must cost one page, and a write must be seen page by page.
    fn refuse_huge_pages(&self) {
        // A kernel without huge pages answers EINVAL, and has nothing to refuse.
        #[cfg(target_os = "linux")]
        // SAFETY: advice about this region's own mapping; it changes no content.
        unsafe {
            libc::madvise(self.pointer(0).cast(), self.bytes_max as usize, libc::MADV_NOHUGEPAGE)
        };
    }

    /// Has the system make private copies of pages that will be written next, all at once. A system that cannot makes
    /// them one by one, at the first write.
    pub(crate) fn make_room(&self, run: PageRun) {
        assert!(run.offset() + run.bytes() <= self.bytes(), "pages past the heap's end");
        #[cfg(target_os = "linux")]
        // SAFETY: advice about this region's own mapping, in machine pages; it changes no content. (Of a part of a
        // machine page it makes nothing, which is an error that may be ignored.)
        unsafe {
            let start = self.pointer(run.offset()).cast();
            libc::madvise(start, run.bytes() as usize, libc::MADV_POPULATE_WRITE)
        };
    }

    /// Asks the system to swap the heap out. It may not: this is for whoever tests what happens then.
    #[doc(hidden)]
    pub fn page_out(&self) {
        #[cfg(target_os = "linux")]
        // SAFETY: advice about this region's own mapping; it changes no content.
        unsafe {
            libc::madvise(self.pointer(0).cast(), self.bytes() as usize, libc::MADV_PAGEOUT)
        };
    }

    #[cfg(target_os = "linux")]
    fn discard(&self, offset: u64, bytes: u64) -> Result<(), HeapError> {
        // SAFETY: the range lies within this region's own mapping, and no reference into it is held.
        let done = unsafe { libc::madvise(self.pointer(offset).cast(), bytes as usize, libc::MADV_DONTNEED) };
        if done != 0 { Err(HeapError::last_os("drop a heap's pages")) } else { Ok(()) }
    }

    /// Elsewhere `MADV_DONTNEED` may keep the content: the range is mapped anew.
    #[cfg(not(target_os = "linux"))]
    fn discard(&self, offset: u64, bytes: u64) -> Result<(), HeapError> {
        let file = self.image.file();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let in_image = file.bytes().saturating_sub(offset).min(bytes);
        if in_image > 0 {
            self.map_file(file, offset, in_image, access)?;
        }
        if in_image == bytes {
            return Ok(());
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let start = self.pointer(offset + in_image).cast();
        // SAFETY: the range lies within this region's own mapping, and no reference into it is held.
        let mapped = unsafe { libc::mmap(start, (bytes - in_image) as usize, access, flags, -1, 0) };
        if mapped == libc::MAP_FAILED { Err(HeapError::last_os("drop a heap's pages")) } else { Ok(()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the whole mapping belongs to this value; whoever runs a guest in it holds an `Arc` of it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.mapped_bytes as usize) };
    }
}

/// The machine's own page size.
pub(crate) fn machine_page_bytes() -> u64 {
    // SAFETY: the call touches no memory.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(PAGE_BYTES as u64)
}

fn reserve(bytes: u64) -> Result<NonNull<u8>, HeapError> {
    let failed = |source| HeapError::AddressSpace { bytes, source };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    // SAFETY: a fresh mapping at an address of the system's choice; it aliases nothing.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes as usize, libc::PROT_NONE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(failed(std::io::Error::last_os_error()));
    }
    NonNull::new(base.cast()).ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))
}

fn check_extent(image_bytes: u64, extent: Extent) -> Result<(), HeapError> {
    let Extent { reserve_bytes, guard_bytes, bytes_max } = extent;
    check_step("bytes_max", bytes_max)?;
    check_step("reserve_bytes", reserve_bytes)?;
    check_step("guard_bytes", guard_bytes)?;
    if image_bytes > bytes_max {
        return Err(HeapError::TooLarge { asked_bytes: image_bytes, bytes_max });
    }
    if bytes_max > reserve_bytes {
        return Err(HeapError::TooSmall {
            what: "reserve_bytes",
            bytes: reserve_bytes,
            bytes_min: bytes_max,
        });
    }
    if reserve_bytes == 0 {
        return Err(HeapError::TooSmall { what: "reserve_bytes", bytes: 0, bytes_min: SIZE_STEP_BYTES });
    }
    let limit = u64::from(u32::MAX) * PAGE_BYTES as u64;
    match reserve_bytes.checked_add(guard_bytes) {
        Some(bytes) if bytes <= limit => Ok(()),
        _ => Err(HeapError::TooLarge { asked_bytes: reserve_bytes, bytes_max: limit }),
    }
}

pub(crate) fn check_step(what: &'static str, bytes: u64) -> Result<(), HeapError> {
    if bytes.is_multiple_of(SIZE_STEP_BYTES) { Ok(()) } else { Err(HeapError::Unaligned { what, bytes }) }
}
