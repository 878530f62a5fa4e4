//! A million native containers on the disk: made, messaged once, rooted, opened again.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use everturn::native::{Incoming, Native};
use everturn::{DiskStore, Exception, Ipld, Store, Turn};
use serde::{Deserialize, Serialize};

use super::actors::{Loop, encode, number};
use crate::Failure;
use crate::process::Memory;
use crate::table::{Row, Table, Target};
use crate::world::Bed;

/// Children of each, and levels below the root: 1,010,101 containers.
const FAN_OUT: u64 = 100;
const LEVELS: u64 = 3;

/// Tells its children what it is told.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Crowd {
    level: u64,
    count: u64,
}

impl Native for Crowd {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Crowd, Exception> {
        let level = number(&init);
        for child in 0..if level > 0 { FAN_OUT } else { 0 } {
            let port = turn.create("crowd", &encode(level - 1))?;
            turn.bind(&format!("{child}"), port)?;
        }
        Ok(Crowd { level, count: 0 })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        self.count += 1;
        for child in 0..if self.level > 0 { FAN_OUT } else { 0 } {
            let port = turn.get(&format!("{child}"))?;
            turn.send(port, message.bytes, &[], 0)?;
        }
        Ok(())
    }
}

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let disk = bed.store()?;
    let containers: u64 = (0..=LEVELS).map(|level| FAN_OUT.pow(level as u32)).sum();
    let mut story = Story { table, containers, folder: disk.folder().to_owned() };
    let begun = Instant::now();
    let world = Loop::on(disk.store.clone(), bed, 1, 1)?;
    let root = world.root("crowd", Ipld::Integer(LEVELS.into()))?;
    story.tell("made", begun)?;
    let begun = Instant::now();
    let (_, turns) = world.play(&root, std::iter::once(1))?;
    if turns != containers {
        return Err(format!("{turns} turns ran for {containers} containers").into());
    }
    story.tell("messaged once", begun)?;
    let begun = Instant::now();
    let (_, cid) = world.state_root(&root)?;
    story.tell("rooted, for the first time", begun)?;
    world.stop()?;
    let disk = disk.close();
    let begun = Instant::now();
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(disk.path())?);
    let world = Loop::on(store, bed, 1, 1)?;
    if world.state_root(&root)?.1 != cid {
        return Err("the root is another after opening the store again".into());
    }
    story.tell("opened again, to the same root", begun)?;
    world.stop()
}

struct Story<'a> {
    table: &'a mut Table,
    containers: u64,
    folder: std::path::PathBuf,
}

impl Story<'_> {
    fn tell(&mut self, what: &str, begun: Instant) -> Result<(), Failure> {
        let seconds = begun.elapsed().as_secs_f64();
        let (memory, disk) = (Memory::now()?.resident * 1024, bytes_in(&self.folder)?);
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let each = |bytes: u64| bytes / self.containers;
        let note = format!(
            "{:.2} GB resident, {} bytes each; {:.2} GB on the disk, {} bytes each",
            gigabytes(memory),
            each(memory),
            gigabytes(disk),
            each(disk)
        );
        let what = format!("{} native containers {what}", self.containers);
        self.table.add(Row::new(what, Target::None, seconds, "s").note(note));
        Ok(())
    }
}

/// What the files of a folder take.
fn bytes_in(folder: &Path) -> Result<u64, Failure> {
    let (mut bytes, mut open) = (0, vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // The store may remove a file meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                bytes += std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
            }
        }
    }
    Ok(bytes)
}
