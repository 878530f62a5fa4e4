//! A warm JS turn from the hypervisor's queue to the receipt, its message decoded and its answer encoded, no disk.

use everturn::Settings;

use super::COUNTER;
use crate::Failure;
use crate::durations::{figure, median};
use crate::table::{Row, Table, Target};
use crate::world::{Bed, World, numbers};

const TURNS: usize = 100_000;
/// All of them in one batch, so that no commit comes between.
const BATCH_TURNS: u32 = 1_000_000;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let settings = Settings { batch_turns: Some(BATCH_TURNS), ..Settings::default() };
    let world = World::in_memory(&bed.js, settings)?;
    let counter = world.root("counter", COUNTER)?;
    let message = numbers([("n", 1)])?;
    let burst = || {
        let handled = world.gather(&counter, std::iter::repeat_n(&message[..], TURNS))?.expect(TURNS, 0)?;
        let of_one = |seconds: f64| seconds * 1e6 / TURNS as f64;
        Ok::<_, Failure>((of_one(handled.seconds), of_one(handled.core_seconds)))
    };
    burst()?;
    let runs = (0..bed.effort.of(15)).map(|_| burst()).collect::<Result<Vec<_>, _>>()?;
    let (micros, core): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
    let note = format!("{TURNS} in the queue, one batch; {} us of it processor time", figure(median(core)));
    let what = "warm JS turn, queue to receipt, no disk";
    table.add(Row::new(what, Target::AtMost(2.0), median(micros), "us").note(note));
    world.stop()
}
