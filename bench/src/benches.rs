//! The benchmarks, one file each, in the order of the table.

mod actors;
mod counters;
mod data;
mod dirty;
mod durable;
mod heaps;
mod http;
mod link;
mod many;
mod million;
mod native;
mod queries;
mod reload;
mod sockets;
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
    pub(crate) asked: Asked,
    pub(crate) run: fn(&Bed, &mut Table) -> Result<(), Failure>,
}

/// When a benchmark is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// With all others, or when it is named.
    Always,
    /// Only when it is named: it takes long, or much memory.
    ByName,
}

/// All of them.
pub(crate) const BENCHES: [Bench; 16] = [
    Bench { name: "warm", asked: Asked::Always, about: "a JS turn without a disk", run: warm::run },
    Bench {
        name: "durable",
        asked: Asked::Always,
        about: "durable JS turns, under load and alone, and what they write",
        run: durable::run,
    },
    Bench {
        name: "dirty",
        asked: Asked::Always,
        about: "a turn that dirties 10 pages of a large heap and of a small one",
        run: dirty::run,
    },
    Bench { name: "throws", asked: Asked::Always, about: "turns that throw", run: throws::run },
    Bench {
        name: "native",
        asked: Asked::Always,
        about: "the wasm engine against QuickJS compiled natively",
        run: native::run,
    },
    Bench {
        name: "reload",
        asked: Asked::Always,
        about: "waking a container that is only on the disk",
        run: reload::run,
    },
    Bench { name: "many", asked: Asked::Always, about: "a thousand containers in memory", run: many::run },
    Bench {
        name: "actors",
        asked: Asked::Always,
        about: "containers that talk to each other, and roots of many",
        run: actors::run,
    },
    Bench {
        name: "counters",
        asked: Asked::Always,
        about: "native and wasm counters: a message, and a root over a thousand",
        run: counters::run,
    },
    Bench {
        name: "million",
        asked: Asked::ByName,
        about: "a million native containers on the disk: made, messaged, rooted, opened again",
        run: million::run,
    },
    Bench {
        name: "data",
        asked: Asked::ByName,
        about: "everturn:data with a million instances in one heap, and SQLite with the same rows",
        run: data::run,
    },
    Bench {
        name: "http",
        asked: Asked::Always,
        about: "a counter over HTTP: 64 connections, and one",
        run: http::run,
    },
    Bench {
        name: "queries",
        asked: Asked::Always,
        about: "requests that only look, over HTTP",
        run: queries::run,
    },
    Bench {
        name: "sockets",
        asked: Asked::Always,
        about: "ten thousand open WebSockets, a message a second each",
        run: sockets::run,
    },
    Bench { name: "link", asked: Asked::Always, about: "messages between two hypervisors", run: link::run },
    Bench { name: "start", asked: Asked::Always, about: "the program's start", run: start::run },
];

/// A program that counts.
const COUNTER: &str =
    "let count = 0; export default { message(msg) { count += msg.data.n; return count; } };";

/// Kilobytes here are 1,000 bytes; heaps and pages are counted in binary units.
const MIB: u64 = 1 << 20;
