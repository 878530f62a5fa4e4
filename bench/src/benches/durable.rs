//! Durable turns of one counter: as many as go, one alone, and the bytes that each costs.

use everturn::{ContainerId, Settings};

use super::COUNTER;
use crate::Failure;
use crate::durations::{figure, median, median_time, micros};
use crate::process::Written;
use crate::raw::RawLog;
use crate::table::{Row, Table, Target};
use crate::world::{Bed, OnDisk, World, numbers};

const LOADED_TURNS: usize = 300_000;
const UNDER_WAY: usize = 16_384;
/// Appends that tell what the disk allows, after each run under load.
const RAW_APPENDS: usize = 40;
/// Of the turns alone, for what they write: a flush of what the store still holds of the turns under load falls into one of them.
const BLOCKS: usize = 10;
const LOAD_TARGET: f64 = 200_000.0;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let disk = bed.store()?;
    let world = World::on(disk.store.clone(), &bed.js, Settings::default())?;
    let counter = world.root("counter", COUNTER)?;
    let message = numbers([("n", 1)])?;
    let mut bench =
        Durable { bed, disk: &disk, world: &world, counter, message, raw: RawLog::create(&bed.folder)? };
    bench.world.load(&counter, &bench.message, 1000, UNDER_WAY)?.expect(1000, 0)?;
    bench.under_load(table)?;
    bench.alone(table)?;
    world.stop()
}

struct Durable<'a> {
    bed: &'a Bed,
    disk: &'a OnDisk,
    world: &'a World,
    counter: ContainerId,
    message: Vec<u8>,
    raw: RawLog,
}

/// One run under load.
struct Loaded {
    turns_per_second: f64,
    allowed_per_second: f64,
    bytes_per_turn: f64,
    page_bytes_per_turn: f64,
    syncs: u64,
    raw_micros: f64,
    core_micros_per_turn: f64,
}

impl Durable<'_> {
    fn under_load(&mut self, table: &mut Table) -> Result<(), Failure> {
        let mut runs = Vec::new();
        for _ in 0..self.bed.effort.of(7) {
            runs.push(self.load_once()?);
        }
        let of = |field: fn(&Loaded) -> f64| median(runs.iter().map(field).collect());
        let (turns, allowed, raw_micros) =
            (of(|run| run.turns_per_second), of(|run| run.allowed_per_second), of(|run| run.raw_micros));
        let syncs = of(|run| run.syncs as f64);
        let raw = format!(
            "{} us for the bytes of one sync: {} turns/s, 0.7 of it {}",
            figure(raw_micros),
            figure(allowed),
            figure(0.7 * allowed)
        );
        let note = format!(
            "{UNDER_WAY} under way; {} syncs for {} turns; {} us of processor time a turn",
            figure(syncs),
            figure(LOADED_TURNS as f64),
            figure(of(|run| run.core_micros_per_turn))
        );
        let target = Target::AtLeast(LOAD_TARGET.min(0.7 * allowed));
        let what = "durable JS turns, one container, under load";
        table.add(Row::new(what, target, turns, "turns/s").raw(raw).note(note));
        let pages = of(|run| run.page_bytes_per_turn);
        let note = format!("given to the system; {} bytes in whole pages", figure(pages));
        let bytes = of(|run| run.bytes_per_turn);
        let what = "written per durable turn, under load";
        table.add(Row::new(what, Target::AtMost(200.0), bytes, "bytes").note(note));
        Ok(())
    }

    fn load_once(&mut self) -> Result<Loaded, Failure> {
        let (syncs, written) = (self.disk.store.syncs(), Written::now()?);
        let handled = self.world.load(&self.counter, &self.message, LOADED_TURNS, UNDER_WAY)?;
        let handled = handled.expect(LOADED_TURNS, 0)?;
        let (syncs, written) = (self.disk.store.syncs() - syncs, Written::now()?.since(written));
        if syncs == 0 {
            return Err("no sync was issued".into());
        }
        let turns = LOADED_TURNS as f64;
        let bytes_per_sync = written.given / syncs;
        let raw = (0..RAW_APPENDS)
            .map(|_| self.raw.append(bytes_per_sync as usize))
            .collect::<Result<Vec<_>, _>>()?;
        let raw = median_time(&raw);
        Ok(Loaded {
            turns_per_second: turns / handled.seconds,
            allowed_per_second: turns / syncs as f64 / raw.as_secs_f64(),
            bytes_per_turn: written.given as f64 / turns,
            page_bytes_per_turn: written.pages as f64 / turns,
            syncs,
            raw_micros: micros(raw),
            core_micros_per_turn: handled.core_seconds * 1e6 / turns,
        })
    }

    fn alone(&mut self, table: &mut Table) -> Result<(), Failure> {
        let turns = self.bed.effort.of(500);
        let (syncs, before) = (self.disk.store.syncs(), Written::now()?);
        let mut blocks = Vec::new();
        for _ in 0..BLOCKS {
            let before = Written::now()?;
            for _ in 0..turns / BLOCKS {
                self.world.ask(&self.counter, &self.message)?;
            }
            blocks.push(Written::now()?.since(before).given);
        }
        let (syncs, written) = (self.disk.store.syncs() - syncs, Written::now()?.since(before));
        blocks.sort_unstable();
        let bytes = blocks[BLOCKS / 2] as f64 / (turns / BLOCKS) as f64;
        let (mut own, mut raw) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            raw.push(self.raw.append(bytes as usize)?);
            own.push(crate::durations::timed(|| self.world.ask(&self.counter, &self.message)).0);
        }
        let (own, raw) = (micros(median_time(&own)), micros(median_time(&raw)));
        let row = Row::new("one durable turn alone", Target::AtMost(raw + 150.0), own, "us");
        let note = format!("{} us more than the sync; {syncs} syncs for {turns} turns", figure(own - raw));
        table.add(row.raw(format!("{} us, taken in turn", figure(raw))).note(note));
        let note = format!(
            "given to the system, median of {BLOCKS} blocks of {}; with what the store still has to do for the turns under load {} bytes, \
             {} in whole pages",
            turns / BLOCKS,
            figure(written.given as f64 / turns as f64),
            figure(written.pages as f64 / turns as f64)
        );
        let what = "written per durable turn, alone";
        table.add(Row::new(what, Target::AtMost(2000.0), bytes, "bytes").note(note));
        Ok(())
    }
}
