//! Waking a container that is only in the store: what its first message waits longer than others.

use everturn::ContainerId;

use super::{MIB, heaps};
use crate::Failure;
use crate::durations::{figure, median, median_time, millis, timed};
use crate::table::{Row, Table, Target};
use crate::world::{Bed, World, numbers};

const HEAP_BYTES: u64 = 16 * MIB;
const WARM_TURNS: usize = 21;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let disk = bed.store()?;
    let world = World::on(disk.store.clone(), &bed.js, heaps::settings())?;
    let id = heaps::make(&world, "main", HEAP_BYTES)?;
    let size = heaps::size(&world, &id)?;
    world.stop()?;
    let (mut reloads, mut warms) = (Vec::new(), Vec::new());
    for _ in 0..bed.effort.of(21) {
        let world = World::on(disk.store.clone(), &bed.js, heaps::settings())?;
        let first = turn(&world, &id)?;
        let warm = (0..WARM_TURNS).map(|_| turn(&world, &id)).collect::<Result<Vec<_>, _>>()?;
        let warm = millis(median_time(&warm));
        reloads.push(millis(first) - warm);
        warms.push(warm);
        world.stop()?;
    }
    let note = format!(
        "heap of {size}; the first durable turn of a new hypervisor on an open store, less a warm one of {} ms",
        figure(median(warms))
    );
    let what = "reload of a container with a 16 MB heap";
    table.add(Row::new(what, Target::AtMost(20.0), median(reloads), "ms").note(note));
    Ok(())
}

fn turn(world: &World, id: &ContainerId) -> Result<std::time::Duration, Failure> {
    let message = numbers([("n", 1)])?;
    let (took, answer) = timed(|| world.ask(id, &message));
    answer.map(|_| took)
}
