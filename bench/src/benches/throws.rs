//! Turns that throw: the container goes back to its savepoint and does its good turns since once more.

use everturn::{ContainerId, Settings};

use super::{MIB, heaps};
use crate::Failure;
use crate::durations::{figure, median};
use crate::table::{Row, Table, Target};
use crate::world::{Bed, World, numbers};

/// Pairs of a good turn and one that throws.
const PAIRS: usize = 500;
const GOOD_BEFORE_FIRST: usize = 1000;
/// So many good turns that the container takes savepoints as seldom as ever.
const CALM_TURNS: usize = 10_000;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    // One batch holds all that is gathered: a commit would be a savepoint.
    let settings = Settings { batch_turns: Some(1_000_000), ..heaps::settings() };
    let world = World::in_memory(&bed.js, settings)?;
    for (name, heap_bytes, most) in [("2 MB", 2 * MIB, 60.0), ("256 MB", 256 * MIB, 500.0)] {
        let id = heaps::make(&world, name, heap_bytes)?;
        let throws = Throws {
            bed,
            world: &world,
            id,
            good: numbers([("n", 1)])?,
            bad: numbers([("fail", 1), ("n", 1)])?,
        };
        let (cost, good) = throws.every_second()?;
        let note = format!(
            "beyond a good turn of {} us; {} heap, {}",
            figure(good),
            heaps::size(&world, &id)?,
            bed.js.tracker()
        );
        let what = format!("a throw, every second turn throws, {name} heap");
        table.add(Row::new(what, Target::AtMost(most), cost, "us").note(note));
        let (first, good) = throws.first_after_good()?;
        let note = format!("the {GOOD_BEFORE_FIRST} good turns took {} us", figure(good));
        let what = format!("the first throw after {GOOD_BEFORE_FIRST} good turns, {name} heap");
        table.add(Row::new(what, Target::None, first, "us").note(note));
    }
    world.stop()
}

struct Throws<'a> {
    bed: &'a Bed,
    world: &'a World,
    id: ContainerId,
    good: Vec<u8>,
    bad: Vec<u8>,
}

impl Throws<'_> {
    /// What a throw costs beyond a good turn in its place, and a good turn, in microseconds.
    fn every_second(&self) -> Result<(f64, f64), Failure> {
        let (mut costs, mut goods) = (Vec::new(), Vec::new());
        for _ in 0..self.bed.effort.of(11) {
            let good = self.micros(std::iter::repeat_n(&self.good[..], 2 * PAIRS), 0)? / (2 * PAIRS) as f64;
            let pairs = [&self.good[..], &self.bad[..]].into_iter().cycle().take(2 * PAIRS);
            let pair = self.micros(pairs, PAIRS)? / PAIRS as f64;
            costs.push(pair - good);
            goods.push(good);
        }
        Ok((median(costs), median(goods)))
    }

    /// What a throw costs that follows many good turns, and those turns, in microseconds.
    fn first_after_good(&self) -> Result<(f64, f64), Failure> {
        let (mut costs, mut goods) = (Vec::new(), Vec::new());
        let good = || std::iter::repeat_n(&self.good[..], GOOD_BEFORE_FIRST);
        for _ in 0..self.bed.effort.of(11) {
            self.micros(std::iter::repeat_n(&self.good[..], CALM_TURNS), 0)?;
            let without = self.micros(good(), 0)?;
            let with = self.micros(good().chain([&self.bad[..]]), 1)?;
            costs.push(with - without);
            goods.push(without);
        }
        Ok((median(costs), median(goods)))
    }

    fn micros<'a>(&self, data: impl Iterator<Item = &'a [u8]>, thrown: usize) -> Result<f64, Failure> {
        let handled = self.world.gather(&self.id, data)?;
        handled.expect(handled.done, thrown).map(|handled| handled.seconds * 1e6)
    }
}
