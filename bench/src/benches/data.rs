//! `everturn:data` on a heap of a million instances, after a restart, and SQLite with the same rows and the same work.
//!
//! A figure of a read or a write is that of a turn: from the queue of a hypervisor to the receipts, with the message decoded, the
//! answer encoded and, for what is durable, the commits. SQLite is called in the process, with its statements prepared.

mod sqlite;

use std::sync::Arc;
use std::time::{Duration, Instant};

use everturn::{ContainerId, DiskStore, Ipld, Limits, Settings};

use self::sqlite::Sqlite;
use super::MIB;
use crate::Failure;
use crate::durations::{figure, median, median_time, micros, millis, timed};
use crate::process::Written;
use crate::raw::RawLog;
use crate::table::{Row, Table, Target};
use crate::world::{Bed, OnDisk, World, numbers};
use crate::{Effort, world::Handled};

const PROGRAM: &str = include_str!("data/people.js");
/// Instances made in one turn.
const FILL: i64 = 5_000;
/// Operations of one measured burst, and bursts.
const BURST: usize = 10_000;
const BURSTS: usize = 5;
/// Writes one after the other, and the blocks of them of which the middle one says what was written: what the store still holds
/// of the bursts before falls into one of them.
const ALONE: usize = 200;
const BLOCKS: usize = 10;
const LOADED: usize = 60_000;
const UNDER_WAY: usize = 16_384;
/// What is added at a time until the cycle collector's turn comes.
const BALLAST_BYTES: i64 = 4 * MIB as i64;
const BALLAST_TURNS: usize = 500;

/// Keys and scores, and the messages that ask for the same.
type Operations = (Vec<(i64, i64)>, Vec<Vec<u8>>);

/// What the program is asked, by place in its list.
#[derive(Clone, Copy)]
enum Verb {
    Fill,
    Find,
    Range,
    Insert,
    Update,
    Index,
    Left,
    Idle,
    Grow,
}

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let instances = match bed.effort {
        Effort::Quick => 100_000,
        Effort::Full => 1_000_000,
    };
    let disk = bed.store()?;
    filled(bed, &disk, instances, table)?;
    let folder = disk.close();
    let sqlite = Sqlite::fill(&bed.folder, instances)?;
    let (opening, store) = timed(|| DiskStore::open(folder.path()));
    let disk = Arc::new(store?);
    let world = World::on(disk.clone(), &bed.js, settings())?;
    let people = world.root("people", PROGRAM)?;
    let (waking, answer) = timed(|| world.ask(&people, &ask(Verb::Idle, &[])?));
    answer?;
    let row = Row::new(
        of(instances, "opened and the heap read"),
        Target::None,
        (opening + waking).as_secs_f64(),
        "s",
    );
    table.add(row);
    let raw = RawLog::create(&bed.folder)?;
    let mut bench =
        Data { bed, disk: &disk, world: &world, people, sqlite, instances, seed: 1, made: 0, raw };
    bench.reads(table)?;
    bench.writes(table)?;
    bench.load(table)?;
    bench.index(table)?;
    bench.collector(table)?;
    world.stop()
}

/// Fuel for a turn is what every container has; the heap may be larger than usual.
fn settings() -> Settings {
    Settings { limits: Limits { heap_bytes_max: 3 << 30, ..Limits::default() }, ..Settings::default() }
}

fn of(instances: i64, what: &str) -> String {
    format!("{} instances: {what}", figure(instances as f64))
}

fn ask(verb: Verb, fields: &[(&str, i64)]) -> Result<Vec<u8>, Failure> {
    let mut all = vec![("do", verb as i64)];
    all.extend_from_slice(fields);
    numbers(all)
}

fn filled(bed: &Bed, disk: &OnDisk, instances: i64, table: &mut Table) -> Result<(), Failure> {
    let world = World::on(disk.store.clone(), &bed.js, settings())?;
    let people = world.root("people", PROGRAM)?;
    let empty = world.footprint(&people)?.heap_bytes;
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    for key in (0..instances).step_by(FILL as usize) {
        let message = ask(Verb::Fill, &[("key", key), ("n", FILL), ("of", instances)])?;
        let (took, answer) = timed(|| world.ask(&people, &message));
        answer?;
        longest = longest.max(took);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let heap = world.footprint(&people)?.heap_bytes;
    let each = (heap - empty) as f64 / instances as f64;
    let note = format!(
        "a heap of {:.0} MiB; {} bytes each; the longest turn of {FILL} took {} ms",
        heap as f64 / MIB as f64,
        figure(each),
        figure(millis(longest))
    );
    table.add(Row::new(of(instances, "made, 5,000 a turn"), Target::None, seconds, "s").note(note));
    world.stop()
}

struct Data<'a> {
    bed: &'a Bed,
    disk: &'a DiskStore,
    world: &'a World,
    people: ContainerId,
    sqlite: Sqlite,
    instances: i64,
    seed: u64,
    /// Instances inserted since.
    made: i64,
    raw: RawLog,
}

impl Data<'_> {
    /// A number below this one; the same ones in every run.
    fn random(&mut self, below: i64) -> i64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % below as u64) as i64
    }

    /// The fields of one more operation, uniformly random.
    fn operation(&mut self, verb: Verb) -> (i64, i64) {
        let (key, score) = (self.random(self.instances), self.random(self.instances));
        match verb {
            Verb::Insert => {
                self.made += 1;
                (self.made, score)
            }
            Verb::Range => (key.min(self.instances - 10), score),
            _ => (key, score),
        }
    }

    fn operations(&mut self, verb: Verb, count: usize) -> Result<Operations, Failure> {
        let operations: Vec<_> = (0..count).map(|_| self.operation(verb)).collect();
        let message = |(key, score): &(i64, i64)| ask(verb, &[("key", *key), ("score", *score)]);
        let messages = operations.iter().map(message).collect::<Result<_, _>>()?;
        Ok((operations, messages))
    }

    fn burst(&mut self, verb: Verb) -> Result<(Handled, f64), Failure> {
        let (operations, messages) = self.operations(verb, BURST)?;
        let handled =
            self.world.gather(&self.people, messages.iter().map(Vec::as_slice))?.expect(BURST, 0)?;
        Ok((handled, self.sqlite.together(verb, &operations)?))
    }

    /// Many turns of one kind, divided, beside SQLite's work on the same keys.
    fn bursts(&mut self, verb: Verb, what: &str, target: f64, table: &mut Table) -> Result<(), Failure> {
        let (mut ours, mut core, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        self.burst(verb)?;
        for _ in 0..self.bed.effort.of(BURSTS) {
            let (handled, seconds) = self.burst(verb)?;
            let of_one = |seconds: f64| seconds * 1e6 / BURST as f64;
            ours.push(of_one(handled.seconds));
            core.push(of_one(handled.core_seconds));
            theirs.push(of_one(seconds));
        }
        let how = if matches!(verb, Verb::Find | Verb::Range) {
            "a call each"
        } else {
            "10,000 in one transaction"
        };
        let note = format!(
            "{} us of it processor time; SQLite {} us, {how}",
            figure(median(core)),
            figure(median(theirs))
        );
        table.add(Row::new(of(self.instances, what), Target::AtMost(target), median(ours), "us").note(note));
        Ok(())
    }

    fn reads(&mut self, table: &mut Table) -> Result<(), Failure> {
        self.bursts(Verb::Find, "lookup by a unique key", 25.0, table)?;
        self.bursts(Verb::Range, "indexed range of ten", 60.0, table)?;
        for (verb, what) in [
            (Verb::Idle, "a turn that does nothing"),
            (Verb::Find, "a lookup"),
            (Verb::Range, "a range of ten"),
        ] {
            let alone = self.alone(verb)?;
            let note = format!("{} bytes given to the system", figure(alone.bytes));
            table.add(
                Row::new(
                    of(self.instances, &format!("pages that {what} dirties")),
                    Target::None,
                    alone.pages,
                    "pages",
                )
                .note(note),
            );
        }
        Ok(())
    }

    fn writes(&mut self, table: &mut Table) -> Result<(), Failure> {
        self.bursts(Verb::Insert, "durable insert with two indexes", 60.0, table)?;
        self.bursts(Verb::Update, "durable update of an indexed field", 60.0, table)?;
        for (verb, what) in [(Verb::Insert, "an insert"), (Verb::Update, "an update")] {
            let alone = self.alone(verb)?;
            let target =
                |most: f64| if matches!(verb, Verb::Update) { Target::AtMost(most) } else { Target::None };
            table.add(Row::new(
                of(self.instances, &format!("pages that {what} dirties")),
                target(40.0),
                alone.pages,
                "pages",
            ));
            let note = format!(
                "median of {BLOCKS} blocks; with what the store still has to do for the bursts {} bytes; SQLite {} bytes, with that {}",
                figure(alone.all_bytes),
                figure(alone.sqlite_bytes),
                figure(alone.all_sqlite_bytes)
            );
            table.add(
                Row::new(
                    of(self.instances, &format!("written for {what}, alone")),
                    target(4000.0),
                    alone.bytes,
                    "bytes",
                )
                .note(note),
            );
            let raw = format!("{} us, taken in turn", figure(alone.raw));
            let note = format!("SQLite {} us, FULL and WAL", figure(alone.theirs));
            table.add(
                Row::new(
                    of(self.instances, &format!("{what}, alone and durable")),
                    Target::None,
                    alone.ours,
                    "us",
                )
                .raw(raw)
                .note(note),
            );
        }
        Ok(())
    }

    /// One after the other, each durable before the next; a raw append and SQLite's own in turn.
    fn alone(&mut self, verb: Verb) -> Result<Alone, Failure> {
        let count = self.bed.effort.of(ALONE);
        let (operations, messages) = self.operations(verb, count)?;
        let (mut ours, mut raw, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut bytes, mut sqlite_bytes, pages) = (Vec::new(), Vec::new(), self.world.dirty_pages());
        for (operation, message) in operations.iter().zip(&messages) {
            let before = Written::now()?;
            let (took, answer) = timed(|| self.world.ask(&self.people, message));
            answer?;
            ours.push(took);
            let written = Written::now()?.since(before).given;
            bytes.push(written);
            raw.push(self.raw.append(written as usize)?);
            let before = Written::now()?;
            theirs.push(Duration::from_secs_f64(self.sqlite.alone(verb, *operation)?));
            sqlite_bytes.push(Written::now()?.since(before).given);
        }
        let each = |sum: u64, of: usize| sum as f64 / of as f64;
        let mean = |bytes: &[u64]| each(bytes.iter().sum(), bytes.len());
        let middle = |bytes: &[u64]| median(bytes.chunks(count.div_ceil(BLOCKS)).map(mean).collect());
        let of = |times: &[Duration]| micros(median_time(times));
        Ok(Alone {
            ours: of(&ours),
            raw: of(&raw),
            theirs: of(&theirs),
            bytes: middle(&bytes),
            all_bytes: mean(&bytes),
            sqlite_bytes: middle(&sqlite_bytes),
            all_sqlite_bytes: mean(&sqlite_bytes),
            pages: each(self.world.dirty_pages() - pages, count),
        })
    }

    fn load(&mut self, table: &mut Table) -> Result<(), Failure> {
        let count = self.bed.effort.of(LOADED);
        let (operations, messages) = self.operations(Verb::Insert, count)?;
        let syncs = self.disk.syncs();
        let handled = self.world.load_each(&self.people, messages.iter().map(Vec::as_slice), UNDER_WAY)?;
        let handled = handled.expect(count, 0)?;
        let syncs = (self.disk.syncs() - syncs).max(1);
        let together = (count as u64).div_ceil(syncs) as usize;
        let mut seconds = 0.0;
        for some in operations.chunks(together) {
            seconds += self.sqlite.together(Verb::Insert, some)?;
        }
        let note = format!(
            "{UNDER_WAY} under way, {syncs} syncs; {} us of processor time each; SQLite {} a second in transactions of {together}",
            figure(handled.core_seconds * 1e6 / count as f64),
            figure(count as f64 / seconds)
        );
        let what = of(self.instances, "durable inserts under load");
        table.add(
            Row::new(what, Target::AtLeast(15_000.0), count as f64 / handled.seconds, "a second").note(note),
        );
        Ok(())
    }

    /// An index more, while somebody else asks and asks: no answer takes longer than the longest turn before it.
    fn index(&mut self, table: &mut Table) -> Result<(), Failure> {
        let (begun, mut waits, mut asked) = (Instant::now(), Duration::ZERO, 0);
        self.world.ask(&self.people, &ask(Verb::Index, &[])?)?;
        let first = begun.elapsed();
        let left = ask(Verb::Left, &[])?;
        loop {
            let (took, answer) = timed(|| self.world.ask(&self.people, &left));
            (waits, asked) = (waits.max(took), asked + 1);
            if answer? == Ipld::Integer(-1) {
                break;
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let theirs = self.sqlite.index()?;
        let note = format!(
            "of {asked} questions meanwhile; the definition itself {} ms; all of it {seconds:.1} s; SQLite {theirs:.2} s, in which nobody else writes",
            figure(millis(first))
        );
        let what = of(self.instances, "an index is added: the longest wait for an answer");
        table.add(Row::new(what, Target::None, millis(waits.max(first)), "ms").note(note));
        Ok(())
    }

    /// Memory is taken until a turn takes much longer than the others: behind it came the collector's.
    fn collector(&mut self, table: &mut Table) -> Result<(), Failure> {
        let (grow, idle) = (ask(Verb::Grow, &[("n", BALLAST_BYTES)])?, ask(Verb::Idle, &[])?);
        let mut before: Vec<Duration> = Vec::new();
        for _ in 0..BALLAST_TURNS {
            let pages = self.world.dirty_pages();
            let (took, answer) = timed(|| {
                self.world.ask(&self.people, &grow)?;
                self.world.ask(&self.people, &idle)?;
                self.world.ask(&self.people, &idle)
            });
            answer?;
            let usual = median_time(&before);
            if !before.is_empty() && took > usual * 20 {
                let pages = self.world.dirty_pages() - pages;
                let note = format!(
                    "{} pages; the same turns without it {} ms",
                    figure(pages as f64),
                    figure(millis(usual))
                );
                let what = of(self.instances, "a turn of the cycle collector");
                table.add(Row::new(what, Target::None, millis(took - usual), "ms").note(note));
                return Ok(());
            }
            before.push(took);
        }
        Err("the cycle collector never came".into())
    }
}

/// Of one operation: medians of times in microseconds, of bytes the median of blocks, and what all of them come to.
struct Alone {
    ours: f64,
    raw: f64,
    theirs: f64,
    bytes: f64,
    all_bytes: f64,
    sqlite_bytes: f64,
    all_sqlite_bytes: f64,
    pages: f64,
}
