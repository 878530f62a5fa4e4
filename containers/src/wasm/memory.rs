//! Guest memory as wasmtime sees it, and as syscalls do.
//!
//! The second of two places with unsafe code (the first is the heap crate). Invariants:
//! 1. A region outlives every instance that runs in it: each holds an `Arc` of it.
//! 2. Host code touches guest memory only while the guest is stopped: between calls, or inside a syscall of its own
//!    thread. Slices handed out here do not outlive that.
#![allow(unsafe_code, reason = "a guest's memory is raw memory that compiled code writes")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everturn_heap::Region;
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// Hands each new instance the region that was laid ready for it.
#[derive(Default)]
pub(crate) struct Regions {
    ready: Mutex<Option<Arc<Region>>>,
    turn: Mutex<()>,
}

impl Regions {
    /// Lays a region ready and keeps others from doing so until the guard is dropped.
    pub(crate) fn lay_ready(&self, region: &Arc<Region>) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(region.clone());
        turn
    }
}

// SAFETY: the region reserves at least `reserved_size_in_bytes + guard_size_in_bytes` (both are this crate's own
// constants, checked below), is zero-filled past the image, never moves, and is inaccessible past its size.
unsafe impl MemoryCreator for Regions {
    fn new_memory(
        &self,
        _type: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let region = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let region = region.ok_or("no heap was laid ready for this memory")?;
        let fits = region.bytes() >= minimum as u64
            && region.reserved_bytes() >= reserved_size_in_bytes.unwrap_or(0) as u64
            && guard_size_in_bytes as u64 <= super::config::GUARD_BYTES;
        if fits {
            Ok(Box::new(GuestMemory(region)))
        } else {
            Err("the heap is smaller than the module's memory".into())
        }
    }
}

/// A region, as wasmtime grows it.
struct GuestMemory(Arc<Region>);

// SAFETY: `as_ptr` is the region's base, which never moves while the `Arc` lives; `byte_size` bytes from it are
// readable and writable; `grow_to` makes more of them so, or fails.
unsafe impl LinearMemory for GuestMemory {
    fn byte_size(&self) -> usize {
        self.0.bytes() as usize
    }

    fn byte_capacity(&self) -> usize {
        self.0.bytes_max() as usize
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Ok(self.0.grow_to(new_size as u64)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base()
    }
}

/// A guest's memory for a syscall, or for the host between two calls.
#[derive(Clone)]
pub(crate) struct View(pub(crate) Arc<Region>);

impl View {
    /// Bytes of the guest's, or `None` if they are not within its memory. They are only good until it runs again.
    pub(crate) fn bytes(&self, pointer: u32, len: u32) -> Option<&[u8]> {
        let start = self.place(pointer, len)?;
        // SAFETY: `place` checked the range; the guest is stopped (invariant 2), so nobody writes meanwhile.
        Some(unsafe { std::slice::from_raw_parts(start, len as usize) })
    }

    /// Copies bytes into the guest; `None` if they do not fit its memory.
    pub(crate) fn put(&self, pointer: u32, bytes: &[u8]) -> Option<()> {
        let start = self.place(pointer, u32::try_from(bytes.len()).ok()?)?;
        // SAFETY: as in `bytes`; the source is the host's and cannot overlap a region.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
        Some(())
    }

    /// Sets `[start, end)` to zero, as far as it lies within the memory.
    pub(crate) fn wipe(&self, start: u32, end: u32) {
        let len = end.saturating_sub(start);
        if let Some(start) = self.place(start, len) {
            // SAFETY: as in `put`.
            unsafe { std::ptr::write_bytes(start, 0, len as usize) };
        }
    }

    fn place(&self, pointer: u32, len: u32) -> Option<*mut u8> {
        let end = u64::from(pointer) + u64::from(len);
        // SAFETY: the offset lies within the region's mapping.
        (end <= self.0.bytes()).then(|| unsafe { self.0.base().add(pointer as usize) })
    }
}
