//! The benchmarks, one file each, in the order of the table.

mod actors;
mod dirty;
mod durable;
mod heaps;
mod many;
mod native;
mod reload;
mod start;
mod throws;
mod warm;

use crate::Failure;
use crate::table::Table;
use crate::world::Bed;

/// One benchmark: it measures and adds its lines.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Bed, &mut Table) -> Result<(), Failure>,
}

/// All of them.
pub(crate) const BENCHES: [Bench; 9] = [
    Bench { name: "warm", about: "a JS turn without a disk", run: warm::run },
    Bench {
        name: "durable",
        about: "durable JS turns, under load and alone, and what they write",
        run: durable::run,
    },
    Bench {
        name: "dirty",
        about: "a turn that dirties 10 pages of a large heap and of a small one",
        run: dirty::run,
    },
    Bench { name: "throws", about: "turns that throw", run: throws::run },
    Bench { name: "native", about: "the wasm engine against QuickJS compiled natively", run: native::run },
    Bench { name: "reload", about: "waking a container that is only on the disk", run: reload::run },
    Bench { name: "many", about: "a thousand containers in memory", run: many::run },
    Bench {
        name: "actors",
        about: "containers that talk to each other, and roots of many",
        run: actors::run,
    },
    Bench { name: "start", about: "the program's start", run: start::run },
];

/// A program that counts.
const COUNTER: &str =
    "let count = 0; export default { message(msg) { count += msg.data.n; return count; } };";

/// Kilobytes here are 1,000 bytes; heaps and pages are counted in binary units.
const MIB: u64 = 1 << 20;
