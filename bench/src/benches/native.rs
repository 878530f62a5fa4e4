//! The JS engine as a container has it (wasm, fuel on) against the same QuickJS sources compiled for this machine.

use everturn::{ContainerId, Ipld, Limits, Settings};
use rquickjs::allocator::RustAllocator;
use rquickjs::{CatchResultExt, Context, Function, Runtime};

use crate::Failure;
use crate::durations::{figure, median_time, millis, timed};
use crate::table::{Row, Table, Target};
use crate::world::{Bed, World, numbers};

/// What both run. Each answers an integer, and both must answer the same.
const SCRIPTS: &str = include_str!("scripts.js");
const NAMES: [&str; 8] = ["fib", "loop", "objects", "strings", "sort", "map", "regexp", "closures"];

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let contained = Contained::make(bed)?;
    let native = Native::make()?;
    let (mut ratios, mut notes) = (Vec::new(), Vec::new());
    for (number, name) in NAMES.into_iter().enumerate() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..bed.effort.of(11) {
            let (took, answer) = timed(|| contained.call(number));
            ours.push(took);
            let (took, expected) = timed(|| native.call(number));
            theirs.push(took);
            let (answer, expected) = (answer?, expected?);
            if answer != expected {
                return Err(
                    format!("{name} answers {answer} in the container and {expected} natively").into()
                );
            }
        }
        let (ours, theirs) = (millis(median_time(&ours)), millis(median_time(&theirs)));
        ratios.push(theirs / ours);
        notes.push(format!("{name} {} ({} ms)", figure(theirs / ours), figure(ours)));
    }
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    let what = "JS speed, fuel on, of the same sources compiled natively";
    table.add(
        Row::new(what, Target::AtLeast(0.6), mean, "times")
            .note(format!("geometric mean of {}", notes.join(", "))),
    );
    contained.world.stop()
}

/// The scripts in a container.
struct Contained {
    world: World,
    id: ContainerId,
}

impl Contained {
    fn make(bed: &Bed) -> Result<Contained, Failure> {
        let limits = Limits { turn_fuel: 1_000_000_000_000, ..Limits::default() };
        let world = World::in_memory(&bed.js, Settings { limits, ..Settings::default() })?;
        let program =
            format!("{SCRIPTS}\nexport default {{ message(msg) {{ return scripts[msg.data.n](); }} }};");
        let id = world.root("scripts", &program)?;
        Ok(Contained { world, id })
    }

    fn call(&self, number: usize) -> Result<i64, Failure> {
        match self.world.ask(&self.id, &numbers([("n", number as i64)])?)? {
            Ipld::Integer(answer) => Ok(answer.try_into()?),
            other => Err(format!("it answered {other:?}").into()),
        }
    }
}

/// The scripts outside of any container.
struct Native {
    context: Context,
    _runtime: Runtime,
}

impl Native {
    fn make() -> Result<Native, Failure> {
        let runtime = Runtime::new_with_alloc(RustAllocator)?;
        let context = Context::full(&runtime)?;
        let program = format!("{SCRIPTS}\nglobalThis.run = number => scripts[number]();");
        context.with(|ctx| ctx.eval::<(), _>(program).catch(&ctx).map_err(|error| error.to_string()))?;
        Ok(Native { context, _runtime: runtime })
    }

    fn call(&self, number: usize) -> Result<i64, Failure> {
        let answer = self.context.with(|ctx| {
            let run: Function<'_> = ctx.globals().get("run").map_err(|error| error.to_string())?;
            run.call::<_, f64>((number as u32,)).catch(&ctx).map_err(|error| error.to_string())
        })?;
        Ok(answer as i64)
    }
}
