//! Descriptors do not grow with heaps. Alone in its process: other tests open some of their own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::sync::Arc;

use everturn_heap::{Heap, HeapSettings, Image, NothingCommitted, Tracking};

#[test]
fn descriptors_do_not_grow_with_heaps() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let tracking = Arc::new(Tracking::new());
    let images: Vec<_> =
        (0..3).map(|_| Image::with_tracking(&[1; 10], 1 << 20, &tracking).unwrap()).collect();
    let heap = |image| Heap::new(image, &HeapSettings { bytes_max: 1 << 20, ..Default::default() }).unwrap();
    let mut heaps = vec![heap(&images[0])];
    let before = count();
    for image in &images {
        heaps.extend((0..100).map(|_| heap(image)));
    }
    for heap in &mut heaps {
        heap.write(0, &[9]).unwrap();
        assert_eq!(heap.savepoint(&NothingCommitted).unwrap().pages_changed, 1);
    }
    assert_eq!(count(), before);
}
