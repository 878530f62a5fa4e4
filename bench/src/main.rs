//! What Everturn costs, end to end: every figure of the README's table, measured on the machine at hand.
//!
//! Layer 4: it stands on the facade alone, and on a QuickJS compiled for this machine to compare with.
//!
//! These are not micro-benchmarks: a figure is the time between a message in the hypervisor's queue and its receipt, or
//! what a disk got to write. So there is no statistics library: every figure is the median of repeated runs, each of
//! which is long against the clock. One that rests on the disk is taken in turn with an append and a sync of as many
//! bytes to a file beside the store, and both are printed: a disk's own mood is not ours.
//!
//! Invariants:
//! 1. A figure that is printed was measured in this run. What cannot be measured here says why.
//! 2. Nothing passes or fails: a target that is missed is a word in a table. Tests never depend on time.

mod benches;
mod durations;
mod gate;
mod load;
mod machine;
mod process;
mod raw;
mod site;
mod table;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::benches::{Asked, BENCHES, Bench};
use crate::machine::Machine;
use crate::table::Table;
use crate::world::Bed;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What goes wrong here is only ever printed.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures what Everturn costs on this machine and prints a table.
#[derive(Parser)]
#[command(name = "everturn-bench")]
struct Arguments {
    /// Run only the benchmarks with these names; some run only when they are named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Where the stores lie, on the disk to be measured
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    folder: PathBuf,
    /// Fewer and shorter runs, for a first look
    #[arg(long)]
    quick: bool,
    /// Print the names and what they measure, and end
    #[arg(long)]
    list: bool,
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Enough to see that it works.
    Quick,
    /// Enough to print.
    Full,
}

impl Effort {
    /// A number of repetitions: a tenth of it for a quick look, but at least three.
    pub(crate) fn of(self, full: usize) -> usize {
        match self {
            Effort::Quick => (full / 10).max(3),
            Effort::Full => full,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        BENCHES.iter().for_each(|bench| println!("{:<8} {}", bench.name, bench.about));
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("everturn-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let chosen = choose(&arguments.names)?;
    let effort = if arguments.quick { Effort::Quick } else { Effort::Full };
    let machine = Machine::look(&arguments.folder)?;
    let bed = Bed::make(&machine, effort)?;
    let mut table = Table::default();
    for bench in chosen {
        eprintln!("{}: {}", bench.name, bench.about);
        if let Err(failure) = (bench.run)(&bed, &mut table) {
            table.failed(bench.name, &failure.to_string());
        }
    }
    println!("{machine}");
    println!("{table}");
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Bench>, Failure> {
    if let Some(stranger) = names.iter().find(|name| BENCHES.iter().all(|bench| bench.name != **name)) {
        return Err(format!("there is no benchmark {stranger:?}; --list shows their names").into());
    }
    let is_chosen = |bench: &&Bench| match names {
        [] => bench.asked == Asked::Always,
        names => names.iter().any(|name| name == bench.name),
    };
    Ok(BENCHES.iter().filter(is_chosen).collect())
}
