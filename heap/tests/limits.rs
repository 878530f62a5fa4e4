//! What a heap refuses, and what it costs the machine.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::sync::Arc;

use everturn_heap::{
    Heap, HeapError, HeapSettings, Image, Loader, NothingCommitted, PAGE_BYTES, PageIndex, SIZE_STEP_BYTES,
};

const MIB: u64 = 1 << 20;

fn refusal(image: &Arc<Image>, settings: HeapSettings) -> String {
    Heap::new(image, &settings).unwrap_err().to_string()
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let image = Image::new(&[1; 3 * SIZE_STEP_BYTES as usize], MIB).unwrap();
    let settings = HeapSettings { bytes_max: MIB, ..HeapSettings::default() };
    let check = |settings, expected: &str| assert_eq!(refusal(&image, settings), expected);
    check(
        HeapSettings { bytes_max: 2 * SIZE_STEP_BYTES, ..settings },
        "a heap of 196608 bytes was asked for, at most 131072 are allowed",
    );
    check(
        HeapSettings { bytes_max: MIB + 4096, ..settings },
        "bytes_max is 1052672 bytes, which is no multiple of 65536",
    );
    check(
        HeapSettings { reserve_bytes: MIB / 2, ..settings },
        "reserve_bytes is 524288 bytes, at least 1048576 are needed",
    );
    check(
        HeapSettings { guard_bytes: 1, ..settings },
        "guard_bytes is 1 bytes, which is no multiple of 65536",
    );
    check(
        HeapSettings { reserve_bytes: 1 << 50, ..settings },
        "a heap of 1125899906842624 bytes was asked for, at most 17592186040320 are allowed",
    );
}

#[test]
fn too_little_address_space_is_an_error() {
    let image = Image::new(&[], MIB).unwrap();
    // A process has 128 TiB: somewhere on the way there is no room left.
    let settings = HeapSettings { reserve_bytes: 15 << 40, ..HeapSettings::default() };
    let mut heaps = Vec::new();
    let error = loop {
        match Heap::new(&image, &settings) {
            Ok(heap) => heaps.push(heap),
            Err(error) => break error,
        }
        assert!(heaps.len() < 100);
    };
    assert!(matches!(error, HeapError::AddressSpace { .. }), "{error}");
    drop(heaps);
    Heap::new(&image, &settings).unwrap();
}

#[test]
fn accesses_past_the_end_are_errors() {
    let image = Image::new(&[1; 10], MIB).unwrap();
    let mut heap = Heap::new(&image, &HeapSettings { bytes_max: MIB, ..HeapSettings::default() }).unwrap();
    let mut page = [0; PAGE_BYTES];
    heap.write(SIZE_STEP_BYTES - 1, &[1, 2]).unwrap_err();
    heap.write(u64::MAX, &[1]).unwrap_err();
    heap.read(SIZE_STEP_BYTES, &mut [0]).unwrap_err();
    heap.read(SIZE_STEP_BYTES, &mut []).unwrap();
    heap.savepoint_page(PageIndex(16), &NothingCommitted, &mut page).unwrap_err();
    heap.savepoint_page(PageIndex(u32::MAX), &NothingCommitted, &mut page).unwrap_err();
}

#[test]
fn a_load_that_fails_leaves_the_image() {
    let image = Image::new(&[1; 10], MIB).unwrap();
    let mut heap = Heap::new(&image, &HeapSettings { bytes_max: MIB, ..HeapSettings::default() }).unwrap();
    let put = |page: u32| {
        move |loader: &mut Loader<'_>| {
            loader.put(PageIndex(0), &[7; PAGE_BYTES])?;
            loader.put(PageIndex(page), &[7; PAGE_BYTES])
        }
    };
    heap.load(2 * SIZE_STEP_BYTES, put(32)).unwrap_err();
    assert_eq!((heap.region().bytes(), heap.savepoint_bytes()), (SIZE_STEP_BYTES, SIZE_STEP_BYTES));
    let mut bytes = [0; 11];
    heap.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    heap.savepoint(&NothingCommitted).unwrap();
    assert!(!heap.has_changes());

    assert!(matches!(heap.load(2 * MIB, put(1)), Err(HeapError::TooLarge { .. })));
    assert!(matches!(heap.load(0, put(1)), Err(HeapError::TooSmall { .. })));
    assert!(matches!(heap.load(SIZE_STEP_BYTES + 1, put(1)), Err(HeapError::Unaligned { .. })));
    heap.load(2 * SIZE_STEP_BYTES, put(31)).unwrap();
    assert_eq!(heap.savepoint_bytes(), 2 * SIZE_STEP_BYTES);
}

#[test]
fn a_region_outlives_its_heap_and_image() {
    let image = Image::new(&[5; 10], MIB).unwrap();
    let heap = Heap::new(&image, &HeapSettings { bytes_max: MIB, ..HeapSettings::default() }).unwrap();
    let region = heap.region().clone();
    drop((heap, image));
    region.grow_to(2 * SIZE_STEP_BYTES).unwrap();
    assert_eq!(region.bytes(), 2 * SIZE_STEP_BYTES);
}

#[test]
fn heaps_are_independent_of_each_other() {
    let image = Image::new(&[1; 10], MIB).unwrap();
    let settings = HeapSettings { bytes_max: MIB, ..HeapSettings::default() };
    let mut heaps: Vec<_> = (0..8).map(|_| Heap::new(&image, &settings).unwrap()).collect();
    for (index, heap) in heaps.iter_mut().enumerate() {
        heap.write(0, &[index as u8; 3]).unwrap();
    }
    for (index, heap) in heaps.iter_mut().enumerate() {
        let mut bytes = [0; 4];
        heap.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [index as u8, index as u8, index as u8, 1]);
        // The image holds ones: what heap 1 wrote is what was there.
        let pages_changed = usize::from(index != 1);
        assert_eq!(heap.savepoint(&NothingCommitted).unwrap().pages_changed, pages_changed);
    }
    assert_eq!(image.page(PageIndex(0)).unwrap()[..3], [1, 1, 1], "the image is never written");
}
