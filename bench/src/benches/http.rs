//! A counter over HTTP: the real program on a disk, asked by many clients and by one.

use crate::Failure;
use crate::durations::{figure, late, median, median_time, micros};
use crate::load::{Answered, Clients};
use crate::raw::RawLog;
use crate::site::Site;
use crate::table::{Row, Table, Target};
use crate::world::Bed;

const EXAMPLE: &str = include_str!("../../../examples/counter.js");
const CONNECTIONS: usize = 64;
const REQUESTS: usize = 100_000;
/// Requests of one client alone.
const ALONE: usize = 500;
const LOAD_TARGET: f64 = 20_000.0;
/// Beyond one sync, in microseconds.
const ALONE_TARGET_US: f64 = 500.0;
/// What a sync is taken to write, in bytes, when it is taken alone.
const SYNC_BYTES: usize = 1_000;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let site = Site::begin(bed, EXAMPLE, &[])?;
    let mut counted = Counted::default();
    let mut clients = Clients::connect(&site.address, CONNECTIONS)?;
    counted.check(&clients.get("/counter", 1_000)?)?;
    let mut rates = Vec::new();
    let mut slowest = Vec::new();
    for _ in 0..bed.effort.of(5) {
        let answered = clients.get("/counter", REQUESTS)?;
        counted.check(&answered)?;
        rates.push(REQUESTS as f64 / answered.seconds);
        slowest.push(micros(late(&answered.each)));
    }
    let note = format!("{CONNECTIONS} connections; 99 of 100 within {} us", figure(median(slowest)));
    let what = "GET /counter over HTTP, changing the state, durable";
    table.add(Row::new(what, Target::AtLeast(LOAD_TARGET), median(rates), "requests/s").note(note));
    let mut reads = Vec::new();
    for _ in 0..bed.effort.of(5) {
        reads.push(REQUESTS as f64 / clients.get("/", REQUESTS)?.seconds);
    }
    let what = "GET / over HTTP, changing nothing, as a turn";
    table.add(Row::new(what, Target::None, median(reads), "requests/s"));
    drop(clients);
    alone(bed, &site, &mut counted, table)?;
    site.end()
}

fn alone(bed: &Bed, site: &Site, counted: &mut Counted, table: &mut Table) -> Result<(), Failure> {
    let mut client = Clients::connect(&site.address, 1)?;
    let mut raw = RawLog::create(&bed.folder)?;
    let (mut each, mut syncs) = (Vec::new(), Vec::new());
    for _ in 0..bed.effort.of(ALONE) {
        let answered = client.get("/counter", 1)?;
        counted.check(&answered)?;
        each.extend(answered.each);
        syncs.push(raw.append(SYNC_BYTES)?);
    }
    let (one, sync) = (micros(median_time(&each)), micros(median_time(&syncs)));
    let note = format!("{} us more than the sync", figure(one - sync));
    let row = Row::new("one request alone, durable", Target::AtMost(sync + ALONE_TARGET_US), one, "us");
    table.add(row.raw(format!("{} us, taken in turn", figure(sync))).note(note));
    Ok(())
}

/// What the counter has given so far.
#[derive(Default)]
struct Counted {
    next: u64,
}

impl Counted {
    /// Fails unless these answers are the next numbers, each once.
    fn check(&mut self, answered: &Answered) -> Result<(), Failure> {
        let mut numbers = answered.bodies.iter().map(|body| number(body)).collect::<Result<Vec<_>, _>>()?;
        numbers.sort_unstable();
        for number in numbers {
            if number != self.next {
                return Err(format!("the counter gave {number} in place of {}", self.next).into());
            }
            self.next += 1;
        }
        Ok(())
    }
}

fn number(body: &[u8]) -> Result<u64, Failure> {
    let text = std::str::from_utf8(body)?;
    let number = text.trim().strip_prefix("Counter: ").ok_or_else(|| format!("an answer is {text:?}"))?;
    Ok(number.parse()?)
}
