//! A process that writes much is killed, again and again: while the library moves batches into tables, starts new
//! journals, drops old ones. No acknowledged batch may be missing, and no half of one be there.

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Command, Stdio};

use everturn_dag::{Backend, Batch, DiskStore, Space, Store};

use crate::world::{Model, Random, count};

const NAME: &str = "killed::a_killed_process_leaves_every_acknowledged_batch";
const PAGES: u64 = 60;

/// Batch `number` overwrites some pages, all with content that tells the number.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::Meta, "number", number.to_be_bytes());
    for page in 0..Random(number).next() % 20 {
        let (page, length) = ((number * 7 + page * 3) % PAGES, 20_000 + (number % 9) as usize * 5_000);
        let mut value = number.to_be_bytes().to_vec();
        value.resize(length, number as u8);
        batch.put(Space::State, page.to_be_bytes(), value);
    }
    batch.delete(Space::State, (number % PAGES).to_be_bytes());
    batch
}

#[test]
fn a_killed_process_leaves_every_acknowledged_batch() {
    if let Some(folder) = std::env::var_os("EVERTURN_TEST_KILL") {
        return write_until_killed(Path::new(&folder));
    }
    for backend in Backend::ALL.iter().copied() {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        drop(DiskStore::open_with(folder.path(), backend).unwrap());
        let (mut random, mut model, mut applied) = (Random(31), Model::default(), 0);
        let kills = count("EVERTURN_KILLS", 12);
        for kill in 0..kills {
            let acknowledged = run_and_kill(folder.path(), 1 + random.below(150)).unwrap_or(applied);
            let found = Model::of(&DiskStore::open(folder.path()).unwrap()).unwrap();
            let number = found.0.get(&(Space::Meta, b"number".to_vec()));
            let number = number.map_or(0, |number| u64::from_be_bytes(number.as_slice().try_into().unwrap()));
            assert!(number >= acknowledged, "{backend:?}, kill {kill}: {number} of {acknowledged}");
            (applied + 1..=number).for_each(|number| model.apply(&batch(number)));
            applied = number;
            assert!(found == model, "{backend:?}, kill {kill}: not the state after batch {number}");
        }
        println!("{backend:?}: {kills} kills, {applied} batches");
    }
}

fn write_until_killed(folder: &Path) {
    let store = DiskStore::open(folder).unwrap();
    let number = everturn_dag::Reader::get(&store, Space::Meta, b"number").unwrap();
    let mut number = number.map_or(0, |number| u64::from_be_bytes(number.try_into().unwrap()));
    loop {
        number += 1;
        store.write(batch(number)).unwrap();
        if number.is_multiple_of(3) {
            store.sync().unwrap();
            println!("\nacknowledged {number}");
        }
    }
}

/// Kills the writer after some acknowledgements; gives the last one that was read.
fn run_and_kill(folder: &Path, acknowledgements: usize) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env("EVERTURN_TEST_KILL", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut numbers = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    let last = numbers.by_ref().take(acknowledgements).last();
    child.kill().unwrap();
    child.wait().unwrap();
    // What was acknowledged between the decision and the kill counts as well.
    numbers.last().or(last)
}
