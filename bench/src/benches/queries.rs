//! Requests that only look: answered by `query(request)`, without a turn.

use crate::Failure;
use crate::durations::{figure, late, median, micros};
use crate::load::Clients;
use crate::site::Site;
use crate::table::{Row, Table, Target};
use crate::world::Bed;

/// Counts by `POST`, and says how far it is by `GET`.
const PROGRAM: &str = "let count = 0;
    export default {
        query() { return new Response(`Counter: ${count}\\n`); },
        fetch() { return new Response(`Counter: ${++count}\\n`); },
    };";
const CONNECTIONS: usize = 64;
const REQUESTS: usize = 200_000;
const LOAD_TARGET: f64 = 40_000.0;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let site = Site::begin(bed, PROGRAM, &[])?;
    let mut clients = Clients::connect(&site.address, CONNECTIONS)?;
    let (mut rates, mut slowest) = (Vec::new(), Vec::new());
    // The first shows whether all is right and warms up.
    clients.get("/", 1_000)?;
    for _ in 0..bed.effort.of(5) {
        let answered = clients.get("/", REQUESTS)?;
        if let Some(body) = answered.bodies.iter().find(|body| *body != b"Counter: 0\n") {
            return Err(format!("a query gives {:?}", String::from_utf8_lossy(body)).into());
        }
        rates.push(REQUESTS as f64 / answered.seconds);
        slowest.push(micros(late(&answered.each)));
    }
    let note = format!("{CONNECTIONS} connections; 99 of 100 within {} us", figure(median(slowest)));
    let what = "GET over HTTP, answered by query(request)";
    table.add(Row::new(what, Target::AtLeast(LOAD_TARGET), median(rates), "requests/s").note(note));
    drop(clients);
    site.end()
}
