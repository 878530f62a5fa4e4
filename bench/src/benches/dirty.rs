//! A turn that dirties ten pages: what it costs must hang on the ten, not on the heap around them.

use std::sync::Arc;
use std::time::Duration;

use everturn::js::{JsType, TrackerKind};
use everturn::{ContainerId, MemoryStore, Store};

use super::{MIB, heaps};
use crate::Failure;
use crate::durations::{figure, median_time, micros, timed};
use crate::raw::RawLog;
use crate::table::{Row, Table, Target};
use crate::world::{Bed, World, numbers};

const SMALL_BYTES: u64 = 2 * MIB;
const LARGE_BYTES: u64 = 256 * MIB;
/// About what such a turn writes: for the append that is printed beside it.
const RAW_BYTES: usize = 2000;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    for tracker in TrackerKind::ALL {
        let js = match bed.engine_with(tracker) {
            Ok(js) => js,
            Err(failure) => {
                table.failed(&format!("dirty, {tracker}"), &failure.to_string());
                continue;
            }
        };
        let is_best = tracker == bed.js.tracker();
        let disk = bed.store()?;
        let synced = measure(bed, &js, disk.store.clone())?;
        drop(disk);
        let what = format!("10 dirty pages, 256 MB heap to 2 MB heap, {tracker}");
        let target = if is_best { Target::AtMost(2.0) } else { Target::None };
        let raw = format!("{} us, taken in turn", figure(synced.raw));
        table.add(
            Row::new(format!("{what}, durable"), target, synced.ratio(), "times")
                .raw(raw)
                .note(synced.note()),
        );
        let unsynced = measure(bed, &js, Arc::new(MemoryStore::new()))?;
        let row = Row::new(format!("{what}, no disk"), Target::None, unsynced.ratio(), "times");
        table.add(row.note(unsynced.note()));
    }
    Ok(())
}

/// Medians, in microseconds.
struct Compared {
    small: f64,
    large: f64,
    raw: f64,
    sizes: String,
}

impl Compared {
    fn ratio(&self) -> f64 {
        self.large / self.small
    }

    fn note(&self) -> String {
        format!("{} us to {} us; {}", figure(self.large), figure(self.small), self.sizes)
    }
}

/// Turns of both heaps and raw appends take turns, so that the disk treats them alike.
fn measure(bed: &Bed, js: &JsType, store: Arc<dyn Store>) -> Result<Compared, Failure> {
    let world = World::on(store, js, heaps::settings())?;
    let small = heaps::make(&world, "small", SMALL_BYTES)?;
    let large = heaps::make(&world, "large", LARGE_BYTES)?;
    let sizes = format!("heaps of {} and {}", heaps::size(&world, &large)?, heaps::size(&world, &small)?);
    let mut raw_log = RawLog::create(&bed.folder)?;
    let (mut of_small, mut of_large, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    for touch in 1..=bed.effort.of(100) {
        of_small.push(turn(&world, &small, touch)?);
        of_large.push(turn(&world, &large, touch)?);
        raw.push(raw_log.append(RAW_BYTES)?);
    }
    world.stop()?;
    let of = |times: &[Duration]| micros(median_time(times));
    Ok(Compared { small: of(&of_small), large: of(&of_large), raw: of(&raw), sizes })
}

fn turn(world: &World, id: &ContainerId, touch: usize) -> Result<Duration, Failure> {
    let message = numbers([("touch", touch as i64)])?;
    let (took, answer) = timed(|| world.ask(id, &message));
    answer.map(|_| took)
}
