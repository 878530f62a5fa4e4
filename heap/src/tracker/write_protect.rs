//! `userfaultfd` in asynchronous write-protect mode: no handler thread, no signal; the kernel lifts the protection of a
//! page at its first write and leaves the trace in the page table, where [`Pagemap`](super::Pagemap) finds it.
//!
//! Numbers and structures are those of `<linux/userfaultfd.h>`.
#![allow(unsafe_code, reason = "userfaultfd is reached by system calls alone")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::error::HeapError;

const UFFD_USER_MODE_ONLY: libc::c_int = 1;
const UFFD_API: u64 = 0xaa;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const REGISTER_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1 << 0;

const UFFDIO_API: libc::Ioctl = 0xc018_aa3f_u32 as libc::Ioctl;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00_u32 as libc::Ioctl;
const UFFDIO_WRITEPROTECT: libc::Ioctl = 0xc018_aa06_u32 as libc::Ioctl;

#[repr(C)]
struct ApiArguments {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct RegisterArguments {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct WriteProtectArguments {
    start: u64,
    len: u64,
    mode: u64,
}

/// The descriptor on which ranges are registered.
#[derive(Debug)]
pub(super) struct WriteProtect {
    descriptor: OwnedFd,
}

impl WriteProtect {
    pub(super) fn open() -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | UFFD_USER_MODE_ONLY;
        // SAFETY: the call takes plain flags and touches no memory of ours.
        let descriptor = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let descriptor = libc::c_int::try_from(descriptor).unwrap_or(-1);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED;
        let mut arguments = ApiArguments { api: UFFD_API, features, ioctls: 0 };
        // SAFETY: the structure has the kernel's layout and outlives the call.
        let done = unsafe { libc::ioctl(descriptor.as_raw_fd(), UFFDIO_API, &raw mut arguments) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { descriptor }) }
    }

    /// Registers a range, mapped for good; unmapping ends it.
    pub(super) fn watch(&self, address: u64, bytes: u64) -> Result<(), HeapError> {
        let mut arguments =
            RegisterArguments { start: address, len: bytes, mode: REGISTER_MODE_WP, ioctls: 0 };
        // SAFETY: the structure has the kernel's layout and outlives the call. Registering changes no content, and in
        // asynchronous mode no access ever waits for us.
        let done = unsafe { libc::ioctl(self.descriptor.as_raw_fd(), UFFDIO_REGISTER, &raw mut arguments) };
        if done < 0 { Err(HeapError::last_os("watch a heap for writes")) } else { Ok(()) }
    }

    /// Protects a registered range, whether its pages exist yet or not.
    pub(super) fn arm(&self, address: u64, bytes: u64) -> Result<(), HeapError> {
        self.protect(address, bytes, WRITEPROTECT_MODE_WP)
    }

    /// Lifts the protection of a registered range.
    pub(super) fn disarm(&self, address: u64, bytes: u64) -> Result<(), HeapError> {
        self.protect(address, bytes, 0)
    }

    fn protect(&self, address: u64, bytes: u64, mode: u64) -> Result<(), HeapError> {
        let mut arguments = WriteProtectArguments { start: address, len: bytes, mode };
        // SAFETY: as for `watch`; protecting changes no content.
        let done =
            unsafe { libc::ioctl(self.descriptor.as_raw_fd(), UFFDIO_WRITEPROTECT, &raw mut arguments) };
        if done < 0 { Err(HeapError::last_os("protect a heap's pages")) } else { Ok(()) }
    }
}
