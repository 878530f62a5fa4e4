//! What a durable commit costs with each backend, beside a raw append and sync of the same bytes on the same disk.
//!
//! `cargo run --release -p everturn-dag --example commit_cost [FOLDER]`; the folder must lie on a real disk.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use everturn_dag::{Backend, Batch, DiskStore, Reader as _, Space, Store as _, StoreError, node};

const ROUNDS: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let kind = file_system(Path::new(&parent))?;
    if kind == "tmpfs" {
        return Err("this folder is in memory, where a sync costs nothing; give one on a disk".into());
    }
    let folder = tempfile::tempdir_in(&parent)?;
    println!("medians of {ROUNDS} rounds in turn, file system {kind}\n");
    println!("{:28} {:>10} {:>10} {:>12} {:>12}", "durable commit", "500 B", "80 KB", "written", "written");
    let small = race(&folder.path().join("small"), small_batch)?;
    let large = race(&folder.path().join("large"), large_batch)?;
    for (small, large) in small.iter().zip(&large) {
        row(small.name, [small.whole, large.whole], [small.bytes, large.bytes]);
        if !small.write.is_zero() {
            row("  of it the write alone", [small.write, large.write], [0, 0]);
            row("  a write beside a sync", [small.beside, large.beside], [0, 0]);
            row("  on disk after, kilobytes", [Duration::ZERO; 2], [small.disk >> 10, large.disk >> 10]);
        }
    }
    println!();
    for backend in Backend::ALL.iter().copied() {
        reading(&folder.path().join(backend.name()).join("reading"), backend)?;
    }
    validating();
    Ok(())
}

fn row(name: &str, times: [Duration; 2], bytes: [u64; 2]) {
    let time = |time: Duration| match time.is_zero() {
        true => String::new(),
        false => format!("{:.1} us", time.as_secs_f64() * 1e6),
    };
    let count = |count: u64| if count == 0 { String::new() } else { count.to_string() };
    println!(
        "{name:28} {:>10} {:>10} {:>12} {:>12}",
        time(times[0]),
        time(times[1]),
        count(bytes[0]),
        count(bytes[1])
    );
}

/// A turn of a counter: a page's changed range, a runtime record, a stale mark.
fn small_batch(round: usize) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::State, [&[7; 36][..], &[0, 0, 0, 1]].concat(), vec![round as u8; 300]);
    batch.put(Space::Runtime, [7; 36], vec![round as u8; 80]);
    batch.put(Space::Stale, [7; 36], [round as u8; 4]);
    batch
}

/// Twenty pages of a larger heap.
fn large_batch(round: usize) -> Batch {
    let mut batch = Batch::new();
    for page in 0..20 {
        let key = [&[7; 36][..], &((round * 7 + page) % 500).to_be_bytes()].concat();
        batch.put(Space::State, key, vec![(round + page) as u8; 4000]);
    }
    batch
}

#[derive(Default)]
struct Cost {
    name: &'static str,
    whole: Duration,
    write: Duration,
    beside: Duration,
    /// Bytes that a commit sends to the disk.
    bytes: u64,
    disk: u64,
}

/// One of the racers, and what it took in each round.
struct Runner {
    commit: Box<dyn FnMut(Batch) -> Result<Duration, StoreError>>,
    whole: Vec<Duration>,
    write: Vec<Duration>,
    bytes: u64,
    cost: Cost,
}

impl Runner {
    fn new(name: &'static str, commit: impl FnMut(Batch) -> Result<Duration, StoreError> + 'static) -> Self {
        let cost = Cost { name, ..Cost::default() };
        Runner { commit: Box::new(commit), whole: Vec::new(), write: Vec::new(), bytes: 0, cost }
    }
}

/// Commits in turn, so that whatever else the disk does troubles all alike.
fn race(folder: &Path, batch: fn(usize) -> Batch) -> Result<Vec<Cost>, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let mut file = File::create(folder.join("raw"))?;
    let mut runners = vec![Runner::new("raw append + fdatasync", move |batch| {
        let data = vec![1; batch.bytes()];
        let failed = |source| StoreError::Io { place: "raw".to_owned(), source };
        file.write_all(&data).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        Ok(Duration::ZERO)
    })];
    for backend in Backend::ALL.iter().copied() {
        let store = DiskStore::open_with(folder.join(backend.name()), backend)?;
        runners.push(Runner::new(backend.name(), move |batch| {
            let (start, syncs) = (Instant::now(), store.syncs());
            store.write(batch)?;
            let write = start.elapsed();
            store.sync()?;
            assert_eq!(store.syncs(), syncs + 1, "the sync was issued");
            Ok(write)
        }));
    }
    for round in 0..ROUNDS {
        for runner in &mut runners {
            let (batch, before, start) = (batch(round), written(), Instant::now());
            runner.write.push((runner.commit)(batch)?);
            runner.whole.push(start.elapsed());
            runner.bytes += written() - before;
        }
    }
    let mut costs = Vec::new();
    for Runner { commit, whole, write, bytes, mut cost } in runners {
        drop(commit);
        (cost.whole, cost.write) = (median(whole), median(write));
        cost.bytes = bytes / ROUNDS as u64;
        if let Some(backend) = Backend::ALL.iter().copied().find(|backend| backend.name() == cost.name) {
            let path = folder.join(backend.name());
            cost.disk = size(&path)?;
            cost.beside = writes_beside_syncs(&path, batch)?;
        }
        costs.push(cost);
    }
    Ok(costs)
}

fn writes_beside_syncs(folder: &Path, batch: fn(usize) -> Batch) -> Result<Duration, StoreError> {
    let (store, mut times) = (DiskStore::open(folder)?, Vec::new());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                store.sync()?;
            }
            Ok::<(), StoreError>(())
        });
        let written = (0..ROUNDS).try_for_each(|round| {
            let batch = batch(round);
            let start = Instant::now();
            store.write(batch)?;
            times.push(start.elapsed());
            // Leaves the processor to the syncs.
            std::thread::sleep(Duration::from_micros(100));
            Ok::<(), StoreError>(())
        });
        is_done.store(true, Ordering::Relaxed);
        syncing.join().expect("syncing does not panic")?;
        written
    })?;
    Ok(median(times))
}

fn reading(folder: &Path, backend: Backend) -> Result<(), StoreError> {
    let store = DiskStore::open_with(folder, backend)?;
    let mut batch = Batch::new();
    for page in 0..4096u32 {
        batch.put(Space::State, page.to_be_bytes(), vec![page as u8; 4096]);
    }
    store.write(batch)?;
    store.sync()?;
    drop(store);
    let start = Instant::now();
    let store = DiskStore::open(folder)?;
    let open = start.elapsed();
    let (mut scans, mut gets) = (Vec::new(), Vec::new());
    for round in 0..20u32 {
        let (mut bytes, start) = (0, Instant::now());
        store.scan(Space::State, &[], &mut |_, value| {
            bytes += value.len();
            true
        })?;
        scans.push(start.elapsed());
        assert_eq!(bytes, 4096 * 4096);
        let start = Instant::now();
        for page in 0..100 {
            store.get(Space::State, &(page * 37 + round).to_be_bytes())?;
        }
        gets.push(start.elapsed() / 100);
    }
    println!(
        "{}: open with 16 MB {open:.1?}, scan of 4096 values of 4 KiB {:.1?}, get {:.2?}",
        backend.name(),
        median(scans),
        median(gets)
    );
    Ok(())
}

fn validating() {
    let bytes = b"\xa2\x61n\x01\x64kind\x69increment".to_vec();
    let (rounds, start) = (1_000_000, Instant::now());
    for _ in 0..rounds {
        node::validate(std::hint::black_box(&bytes)).expect("these bytes are strict");
    }
    println!("validating a message of {} bytes: {:.1?}", bytes.len(), start.elapsed() / rounds);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Bytes that this process has had sent to the disk.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Bytes that a folder takes on disk.
fn size(folder: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// The kind of file system under a path, as the system lists it.
fn file_system(path: &Path) -> std::io::Result<String> {
    let path = path.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let over = fields.filter(|fields| fields.len() > 2 && path.starts_with(fields[1]));
    let nearest = over.max_by_key(|fields| fields[1].len());
    Ok(nearest.map(|fields| fields[2].to_owned()).unwrap_or_default())
}
