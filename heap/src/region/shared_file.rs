//! The file behind an image: in memory on Linux, unlinked on a disk elsewhere.
#![allow(unsafe_code, reason = "making, sealing and mapping a file in memory are system calls")]

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use crate::error::HeapError;
use crate::page::{PAGE_BYTES, Page, PageIndex};

/// A file nobody writes any more, with a mapping to read it through.
#[derive(Debug)]
pub(crate) struct SharedFile {
    file: File,
    bytes: u64,
    /// `None` if the file is empty: nothing can be mapped then.
    view: Option<NonNull<u8>>,
}

// SAFETY: the view is a mapping that this value owns and that is only ever read.
unsafe impl Send for SharedFile {}
// SAFETY: as above; the bytes below it never change.
unsafe impl Sync for SharedFile {}

/// The file while it is being filled.
pub(crate) struct SharedFileWriter {
    file: File,
    bytes: u64,
}

impl SharedFile {
    /// A sparse file of `bytes` zeros, to be filled.
    pub(crate) fn create(bytes: u64) -> Result<SharedFileWriter, HeapError> {
        let doing = "make an image's file";
        let file = anonymous_file().map_err(|source| HeapError::System { doing, source })?;
        file.set_len(bytes).map_err(|source| HeapError::System { doing, source })?;
        Ok(SharedFileWriter { file, bytes })
    }

    /// A page's bytes.
    ///
    /// # Panics
    /// If the page lies past the file's end, which would be a bug of the image.
    pub(crate) fn page(&self, page: PageIndex) -> &Page {
        assert!(page.offset() + PAGE_BYTES as u64 <= self.bytes, "{page} lies past the image's end");
        let view = self.view.expect("a file with pages has a view");
        // SAFETY: the view covers `bytes` bytes, of which the page is a part (asserted); nobody writes the file or
        // the view after `seal`, and the view lives as long as `self`.
        unsafe { view.add(page.offset() as usize).cast::<Page>().as_ref() }
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        if let Some(view) = self.view {
            // SAFETY: this is the mapping made by `seal`; references into it borrow `self` and are gone.
            unsafe { libc::munmap(view.as_ptr().cast(), self.bytes as usize) };
        }
    }
}

impl SharedFileWriter {
    pub(crate) fn write(&mut self, offset: u64, content: &[u8]) -> Result<(), HeapError> {
        self.file
            .write_all_at(content, offset)
            .map_err(|source| HeapError::System { doing: "fill an image's file", source })
    }

    /// Ends the writing, for good where the system can promise that.
    pub(crate) fn seal(self) -> Result<SharedFile, HeapError> {
        let Self { file, bytes } = self;
        forbid_writing(&file)?;
        if bytes == 0 {
            return Ok(SharedFile { file, bytes, view: None });
        }
        // SAFETY: a fresh mapping at an address of the system's choice; it aliases nothing.
        let view = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes as usize,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if view == libc::MAP_FAILED {
            return Err(HeapError::last_os("map an image's file"));
        }
        Ok(SharedFile { file, bytes, view: NonNull::new(view.cast()) })
    }
}

#[cfg(target_os = "linux")]
fn anonymous_file() -> std::io::Result<File> {
    use std::os::fd::FromRawFd;
    // SAFETY: the name is a terminated string; the call touches no other memory.
    let descriptor = unsafe {
        libc::memfd_create(c"everturn-image".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    };
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else owns it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

#[cfg(target_os = "linux")]
fn forbid_writing(file: &File) -> Result<(), HeapError> {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    for _ in 0..SEAL_TRIES {
        // SAFETY: the descriptor is open; the call touches no memory of ours.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } >= 0 {
            return Ok(());
        }
        let source = std::io::Error::last_os_error();
        if source.kind() != std::io::ErrorKind::ResourceBusy {
            return Err(HeapError::System { doing: "seal an image's file", source });
        }
    }
    // Nobody else has the descriptor, and we write to it no more: the seal would only have kept us to it.
    Ok(())
}

/// How often a file is to be sealed while the system has its pages in use for a moment (`EBUSY`; seen once, on a machine whose
/// kernel watches pages). It waits some 75 ms each time by itself (mm/memfd.c).
#[cfg(target_os = "linux")]
const SEAL_TRIES: u32 = 4;

#[cfg(not(target_os = "linux"))]
fn anonymous_file() -> std::io::Result<File> {
    use std::sync::atomic::{AtomicU32, Ordering};
    // A name's uniqueness, not state: whoever comes second merely tries the next number.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("everturn-image-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        match File::options().read(true).write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
            Ok(file) => return std::fs::remove_file(&path).map(|()| file),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn forbid_writing(_: &File) -> Result<(), HeapError> {
    Ok(())
}
