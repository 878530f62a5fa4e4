//! The simplest containers there are, natively and as a wasm module: a message, and a root over a thousand that changed.

use everturn::native::{Incoming, Native};
use everturn::{Exception, ExceptionKind, Ipld, Turn};
use serde::{Deserialize, Serialize};

use super::actors::{ALL_CORES, Loop, number};
use crate::Failure;
use crate::durations::{figure, median};
use crate::process;
use crate::table::{Row, Table, Target};
use crate::world::Bed;

const MESSAGES: usize = 100_000;
const COUNTERS: u64 = 1_000;

/// Adds up what it is told.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Tally {
    sum: u64,
}

/// Has a thousand children of a type, and tells all of them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Fan {}

impl Native for Tally {
    fn create(_: &mut Turn, _: Ipld) -> Result<Tally, Exception> {
        Ok(Tally { sum: 0 })
    }

    fn run(&mut self, _: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        self.sum += number(&message.data());
        Ok(())
    }
}

impl Native for Fan {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Fan, Exception> {
        let Ipld::String(kind) = init else {
            return Err(Exception::new(ExceptionKind::Throw, "it begins with a type"));
        };
        for child in 0..COUNTERS {
            let port = turn.create(&kind, &[0])?;
            turn.bind(&format!("{child}"), port)?;
        }
        Ok(Fan {})
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        for child in 0..COUNTERS {
            let port = turn.get(&format!("{child}"))?;
            turn.send(port, message.bytes, &[], 0)?;
        }
        Ok(())
    }
}

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    messages(bed, table)?;
    for (kind, name, target) in [("tally", "native", 3.0), ("counter", "wasm", 15.0)] {
        roots(bed, table, kind, name, target)?;
    }
    Ok(())
}

fn messages(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let world = Loop::new(bed, 1, 1)?;
    let counter = world.root("counter", Ipld::Integer(0))?;
    let mut micros = Vec::new();
    for _ in 0..bed.effort.of(9) {
        let (seconds, turns) = world.play(&counter, std::iter::repeat_n(1, MESSAGES))?;
        micros.push(seconds * 1e6 / turns as f64);
    }
    let note = format!("{MESSAGES} in the queue, one batch; every answer encoded");
    table.add(
        Row::new("message to a wasm counter, no disk", Target::AtMost(2.0), median(micros), "us").note(note),
    );
    world.stop()
}

fn roots(bed: &Bed, table: &mut Table, kind: &str, name: &str, target: f64) -> Result<(), Failure> {
    let world = Loop::new(bed, ALL_CORES, 1)?;
    let root = world.root("fan", kind)?;
    world.state_root(&root)?;
    let (mut millis, mut processor) = (Vec::new(), Vec::new());
    for _ in 0..bed.effort.of(15) {
        let (_, turns) = world.play(&root, std::iter::once(1))?;
        if turns != COUNTERS + 1 {
            return Err(format!("{turns} turns ran for {COUNTERS} counters").into());
        }
        let before = process::seconds()?;
        millis.push(world.state_root(&root)?.0 * 1e3);
        processor.push((process::seconds()? - before) * 1e3);
    }
    let what = format!("state root after {COUNTERS} of {COUNTERS} {name} counters changed");
    let note =
        format!("one owner; older roots are kept; {} ms of it processor time", figure(median(processor)));
    table.add(Row::new(what, Target::AtMost(target), median(millis), "ms").note(note));
    world.stop()
}
