//! What a savepoint and a rollback cost, by tracker and heap size, with ten dirty pages.
//!
//! `cargo run --release -p everturn-heap --example cost`

use std::time::{Duration, Instant};

use everturn_heap::{
    Heap, HeapError, HeapSettings, Image, NothingCommitted, PAGE_BYTES, PageIndex, TrackerKind,
};

const DIRTY_PAGES: u64 = 10;

fn main() -> Result<(), HeapError> {
    println!("best here: {}", TrackerKind::detect());
    println!(
        "{:<14} {:>7} {:>14} {:>13} {:>13} {:>11} {:>11}",
        "tracker", "heap", "writing", "savepoint", "rollback", "changes", "load"
    );
    for kind in TrackerKind::ALL {
        for (mebibytes, rounds) in [(2, 2000), (16, 500), (256, 100)] {
            if let Err(error) = measure(kind, mebibytes, rounds) {
                println!("{kind:<14} {mebibytes:>3} MiB  {error}");
            }
        }
    }
    Ok(())
}

fn measure(kind: TrackerKind, mebibytes: u64, rounds: usize) -> Result<(), HeapError> {
    let bytes = mebibytes << 20;
    let image = Image::new(&vec![1; 1 << 20], bytes)?;
    let settings = HeapSettings { bytes_max: bytes, tracker: Some(kind), ..HeapSettings::default() };
    let mut heap = Heap::new(&image, &settings)?;

    // Every page is in use, as in a heap that has lived for a while.
    let mut load = Vec::new();
    for _ in 0..5 {
        load.push(timed(|| load_all(&mut heap, bytes))?);
    }
    let mut tick = 0;
    let mut write = |heap: &mut Heap| {
        tick += 1;
        (0..DIRTY_PAGES).try_for_each(|page| {
            let offset = page * (bytes / DIRTY_PAGES) / PAGE_BYTES as u64 * PAGE_BYTES as u64;
            heap.write(offset + 64, &u64::to_le_bytes(tick))
        })
    };
    // The committed version of these pages is read once; after that they are kept.
    write(&mut heap)?;
    heap.savepoint(&NothingCommitted)?;
    heap.take_changes();

    let mut times = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        times[0].push(timed(|| write(&mut heap))?);
        times[1].push(timed(|| heap.savepoint(&NothingCommitted).map(|_| ()))?);
        times[2].push(timed(|| {
            heap.take_changes();
            Ok(())
        })?);
        write(&mut heap)?;
        times[3].push(timed(|| heap.rollback(&NothingCommitted).map(|_| ()))?);
    }
    let [writing, savepoint, changes, rollback] = times.map(median);
    let load = median(load);
    println!(
        "{:<14} {mebibytes:>3} MiB {writing:>14.1?} {savepoint:>13.1?} {rollback:>13.1?} {changes:>11.1?} {load:>11.1?}",
        kind.name()
    );
    Ok(())
}

fn load_all(heap: &mut Heap, bytes: u64) -> Result<(), HeapError> {
    heap.load(bytes, |loader| {
        let mut page = [7; PAGE_BYTES];
        for index in 0..(bytes / PAGE_BYTES as u64) as u32 {
            page[0] = index as u8;
            loader.put(PageIndex(index), &page)?;
        }
        Ok(())
    })
}

fn timed(mut run: impl FnMut() -> Result<(), HeapError>) -> Result<Duration, HeapError> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
