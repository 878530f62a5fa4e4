//! The initial content that heaps start from and share.

use std::sync::Arc;

use crate::error::HeapError;
use crate::page::{PAGE_BYTES, Page, PageIndex, PageSet, is_zero};
use crate::region::{SIZE_STEP_BYTES, SharedFile};
use crate::tracker::Tracking;

/// The initialised memory of an engine or a module: one file in memory, mapped privately by every heap that starts
/// from it, so that a heap costs only the pages it changes. Never written after it was made (on Linux, sealed).
#[derive(Debug)]
pub struct Image {
    file: SharedFile,
    bytes: u64,
    nonzero: PageSet,
    tracking: Arc<Tracking>,
}

impl Image {
    /// An image of `content`, filled up with zeros to a multiple of 64 KiB, with a [`Tracking`] of its own.
    ///
    /// # Errors
    /// [`HeapError::TooLarge`] if that is more than `bytes_max`, [`HeapError::System`] if the file cannot be made.
    pub fn new(content: &[u8], bytes_max: u64) -> Result<Arc<Self>, HeapError> {
        Self::with_tracking(content, bytes_max, &Arc::new(Tracking::new()))
    }

    /// As [`Image::new`], sharing the descriptors of `tracking` with other images.
    ///
    /// # Errors
    /// As [`Image::new`].
    pub fn with_tracking(
        content: &[u8],
        bytes_max: u64,
        tracking: &Arc<Tracking>,
    ) -> Result<Arc<Self>, HeapError> {
        let bytes = (content.len() as u64).next_multiple_of(SIZE_STEP_BYTES);
        if bytes > bytes_max {
            return Err(HeapError::TooLarge { asked_bytes: bytes, bytes_max });
        }
        let mut nonzero = PageSet::default();
        let mut writer = SharedFile::create(bytes)?;
        for (index, chunk) in content.chunks(PAGE_BYTES).enumerate() {
            if chunk.iter().any(|&byte| byte != 0) {
                let page = PageIndex(index as u32);
                writer.write(page.offset(), chunk)?;
                nonzero.insert(page);
            }
        }
        Ok(Arc::new(Self { file: writer.seal()?, bytes, nonzero, tracking: Arc::clone(tracking) }))
    }

    /// The size a heap starts with, in bytes; a multiple of 64 KiB.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A page's initial bytes; `None` if they are all zero or lie past the image's end.
    pub fn page(&self, page: PageIndex) -> Option<&Page> {
        self.nonzero.contains(page).then(|| self.file.page(page))
    }

    /// The descriptors with which this image's heaps watch for writes.
    pub fn tracking(&self) -> &Arc<Tracking> {
        &self.tracking
    }

    /// Whether these are the page's initial bytes.
    pub(crate) fn equals(&self, page: PageIndex, bytes: &Page) -> bool {
        match self.page(page) {
            Some(initial) => initial == bytes,
            None => is_zero(bytes),
        }
    }

    pub(crate) fn file(&self) -> &SharedFile {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_the_content_or_none() {
        let mut content = vec![0; 70_000];
        content[5000] = 7;
        content[69_999] = 9;
        let image = Image::new(&content, 1 << 20).unwrap();
        assert_eq!(image.bytes(), 131_072);
        assert!(image.page(PageIndex(0)).is_none());
        assert_eq!(image.page(PageIndex(1)).unwrap()[5000 - 4096], 7);
        assert_eq!(image.page(PageIndex(17)).unwrap()[69_999 - 17 * 4096], 9);
        assert!(image.page(PageIndex(18)).is_none());
        assert!(image.page(PageIndex(u32::MAX)).is_none());
    }

    #[test]
    fn an_image_past_the_limit_is_refused() {
        let error = Image::new(&[0; 65_537], 65_536).unwrap_err();
        assert!(matches!(error, HeapError::TooLarge { asked_bytes: 131_072, bytes_max: 65_536 }), "{error}");
    }

    #[test]
    fn an_empty_image_is_an_image() {
        let image = Image::new(&[], 65_536).unwrap();
        assert_eq!(image.bytes(), 0);
        assert!(image.page(PageIndex(0)).is_none());
    }
}
