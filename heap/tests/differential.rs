//! The same random life, led by a heap of each tracker and by a naive model that copies everything: after every step
//! they must be equal, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod model;

use everturn_heap::{HeapError, NothingCommitted, PAGE_BYTES, SIZE_STEP_BYTES, TrackerKind};
use model::{FailingSource, Random, World};

const MIB: u64 = 1 << 20;

/// Leads a life of `steps` steps; the seed tells which.
fn lead(seed: u64, bytes: u64, bytes_max: u64, steps: usize) {
    let mut random = Random(seed);
    let mut world = World::new(&mut random, bytes, bytes_max);
    for step in 0..steps {
        let deed = random.below(100);
        let place = format!("seed {seed}, step {step}, deed {deed}");
        match deed {
            0..24 => world.write_some(&mut random),
            24..30 => world.write_again_and_again(&mut random, &place),
            30..36 => world.write_pages(&mut random),
            36..42 => world.wipe(&mut random),
            42..45 => world.write_what_is_there(&mut random),
            45..49 => world.undo_to_image(&mut random),
            49..52 => world.grow(&mut random),
            52..68 => world.savepoint(&place),
            68..80 => world.rollback(&place),
            80..88 => world.take_changes(&place),
            88..92 => world.trim(&place),
            92..95 => world.page_out(),
            95..97 => world.fail_and_retry(&place),
            97..98 => world.reload(&place),
            _ => world.check(&place),
        }
    }
    world.rollback(&format!("seed {seed}, end"));
    world.check(&format!("seed {seed}, end"));
}

#[test]
fn small_heaps_lead_the_same_life_with_every_tracker() {
    for seed in 0..60 {
        lead(seed, 2 * SIZE_STEP_BYTES, MIB, 150);
    }
}

#[test]
fn heaps_of_two_megabytes_lead_the_same_life_with_every_tracker() {
    for seed in 100..108 {
        lead(seed, 2 * MIB, 8 * MIB, 150);
    }
}

#[test]
fn a_heap_of_sixty_four_megabytes_leads_the_same_life_with_every_tracker() {
    lead(1000, 48 * MIB, 64 * MIB, 60);
}

#[test]
fn every_tracker_is_there_on_this_machine_or_says_why_not() {
    for kind in TrackerKind::ALL {
        match model::heap_with(kind, &[1; 10], MIB) {
            Ok(heap) => assert_eq!(heap.tracker(), kind),
            Err(HeapError::TrackerUnavailable { kind: named, why }) => {
                assert_eq!(named, kind);
                assert!(!why.is_empty());
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_page_written_again_after_going_back_is_found() {
    for mut heap in model::heaps(&[1; 3 * PAGE_BYTES], MIB) {
        let kind = heap.tracker();
        let mut byte = [0];
        for value in 2..20 {
            // Page 1 has a savepoint of its own from the second round on, page 9 is the image's for ever.
            for offset in [PAGE_BYTES as u64, 9 * PAGE_BYTES as u64] {
                heap.write(offset, &[100 + value]).unwrap();
            }
            heap.rollback(&NothingCommitted).unwrap();
            heap.read(9 * PAGE_BYTES as u64, &mut byte).unwrap();
            assert_eq!(byte, [0], "{kind}");
            heap.write(PAGE_BYTES as u64, &[value]).unwrap();
            assert_eq!(heap.savepoint(&NothingCommitted).unwrap().pages_changed, 1, "{kind}");
            heap.write(PAGE_BYTES as u64, &[200 + value]).unwrap();
            heap.rollback(&NothingCommitted).unwrap();
            heap.read(PAGE_BYTES as u64, &mut byte).unwrap();
            assert_eq!(byte, [value], "{kind}");
        }
    }
}

#[test]
fn many_pages_that_give_way_to_the_image_are_found_again() {
    for mut heap in model::heaps(&[1; 2 << 20], 4 * MIB) {
        let kind = heap.tracker();
        for pages in [10, 64, 65, 400] {
            for page in 0..pages {
                heap.write(page * PAGE_BYTES as u64, &[2; 9]).unwrap();
            }
            assert_eq!(heap.rollback(&NothingCommitted).unwrap().pages_initial, pages as usize, "{kind}");
            heap.write(5 * PAGE_BYTES as u64, &[3]).unwrap();
            assert_eq!(heap.rollback(&NothingCommitted).unwrap().pages_initial, 1, "{kind}");
            assert_eq!(heap.savepoint(&NothingCommitted).unwrap().pages_changed, 0, "{kind}");
        }
    }
}

#[test]
fn growth_is_taken_back_and_leaves_zeros() {
    for mut heap in model::heaps(&[1; 10], MIB) {
        let region = heap.region().clone();
        region.grow_to(3 * SIZE_STEP_BYTES).unwrap();
        heap.write(2 * SIZE_STEP_BYTES, &[9; 100]).unwrap();
        let report = heap.rollback(&NothingCommitted).unwrap();
        assert_eq!(report.growth, everturn_heap::Growth::TakenBack);
        assert_eq!(region.bytes(), SIZE_STEP_BYTES);
        heap.write(2 * SIZE_STEP_BYTES, &[9; 100]).unwrap_err();
        region.grow_to(3 * SIZE_STEP_BYTES).unwrap();
        let mut bytes = [1; 100];
        heap.read(2 * SIZE_STEP_BYTES, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 100]);
        assert_eq!(heap.savepoint(&NothingCommitted).unwrap().pages_changed, 0);
        assert!(heap.has_changes(), "the size changed");
        let changes = heap.take_changes();
        assert_eq!((changes.bytes(), changes.is_empty()), (3 * SIZE_STEP_BYTES, true));
    }
}

#[test]
fn an_untouched_heap_has_no_changes_and_no_costs() {
    for mut heap in model::heaps(&[1; 2 << 20], 64 * MIB) {
        heap.savepoint(&FailingSource).unwrap();
        assert!(!heap.has_changes());
        assert!(heap.take_changes().is_empty());
        assert_eq!(heap.rollback(&FailingSource).unwrap().pages_restored, 0);
    }
}

#[test]
fn an_idle_trimmed_heap_needs_little_bookkeeping() {
    let Ok(mut heap) = model::heap_with(TrackerKind::WriteProtect, &[1; 2 << 20], 64 * MIB) else { return };
    for page in 0..60 {
        heap.write(page * 7 * PAGE_BYTES as u64, &[2; 500]).unwrap();
    }
    heap.savepoint(&NothingCommitted).unwrap();
    assert_eq!(heap.take_changes().pages().len(), 60);
    assert_eq!(heap.trim().unwrap().copies_dropped, 60);
    assert!(heap.bookkeeping_bytes() < 10_000, "{}", heap.bookkeeping_bytes());
}

#[test]
fn a_trimmed_heap_lets_go_of_the_image_and_still_finds_writes() {
    for mut heap in model::heaps(&[1; 2 << 20], 4 * MIB) {
        let kind = heap.tracker();
        heap.write(5 * PAGE_BYTES as u64, &[2; 9]).unwrap();
        heap.savepoint(&NothingCommitted).unwrap();
        assert_eq!(heap.take_changes().pages().len(), 1);
        let mut bytes = vec![0; 30 * PAGE_BYTES];
        heap.read(10 * PAGE_BYTES as u64, &mut bytes).unwrap();
        let dropped = heap.trim().unwrap().views_dropped;
        // Without a page map nobody can tell which pages are in memory.
        let least = if kind == TrackerKind::Compare { 0 } else { 30 };
        assert!(dropped >= least, "{kind}: {dropped}");
        assert_eq!(heap.trim().unwrap().views_dropped, 0, "{kind}");
        heap.read(10 * PAGE_BYTES as u64, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 1), "{kind}");
        heap.write(20 * PAGE_BYTES as u64, &[3]).unwrap();
        heap.write(50 * PAGE_BYTES as u64, &[3]).unwrap();
        assert_eq!(heap.savepoint(&NothingCommitted).unwrap().pages_changed, 2, "{kind}");
    }
}

#[test]
fn the_limit_is_an_error() {
    for heap in model::heaps(&[1; 10], MIB) {
        let error = heap.region().grow_to(MIB + SIZE_STEP_BYTES).unwrap_err();
        let told = "a heap of 1114112 bytes was asked for, at most 1048576 are allowed";
        assert_eq!(error.to_string(), told);
        assert!(matches!(heap.region().grow_to(MIB - 1), Err(HeapError::Unaligned { .. })));
        heap.region().grow_to(MIB).unwrap();
        assert_eq!(heap.region().bytes(), MIB);
    }
}
