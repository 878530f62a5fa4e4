//! The server, killed again and again while many ask it: whatever a client was told stays true.
//!
//! Writers count, readers look. Before each request the highest value that anybody was told is noted; the answer must not lie
//! below it, in this life of the server or a later one: so nothing that was seen is undone, and the counter never goes back.
//! No value may be given to two writers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use crate::web::Visitor;
use crate::world::World;

/// Kills in the ordinary run; EVERTURN_KILLS asks for more.
const KILLS: u32 = 120;
/// Clients, each with one request under way at a time; every fourth only reads.
const CLIENTS: usize = 48;
/// Requests that have to be under way when the server is killed.
const UNDER_WAY_MIN: usize = 32;
/// Answers that a server gives at most before it is killed.
const ANSWERS_MAX: u64 = 160;

const PROGRAM: &str = "let next = 0;
    export default { fetch(request) {
        return new Response(String(request.url.endsWith('/read') ? next : next++));
    } };";

/// What the clients of all lives were told.
#[derive(Default)]
struct Known {
    /// No later answer may lie below this.
    least: AtomicU64,
    given: Mutex<HashSet<u64>>,
    written: AtomicU64,
    read: AtomicU64,
    under_way: AtomicUsize,
}

impl Known {
    fn answered(&self) -> u64 {
        self.written.load(Ordering::SeqCst) + self.read.load(Ordering::SeqCst)
    }

    /// Asks until the server is gone.
    fn ask(&self, address: &str, is_reader: bool, start: &Barrier, is_over: &AtomicBool) {
        let visitor = Visitor::connect(address);
        start.wait();
        let Ok(mut visitor) = visitor else { return };
        let path = if is_reader { "/read" } else { "/write" };
        while !is_over.load(Ordering::SeqCst) {
            let least = self.least.load(Ordering::SeqCst);
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let heard = visitor.get(path);
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            // The server was killed; what was under way may have happened or not.
            let Ok((status, body)) = heard else { return };
            assert_eq!(status, 200, "{body}");
            let value: u64 = body.parse().expect("it is a number");
            assert!(value >= least, "{path}: {value} after somebody was told that {least} comes next");
            if is_reader {
                self.least.fetch_max(value, Ordering::SeqCst);
                self.read.fetch_add(1, Ordering::SeqCst);
            } else {
                assert!(self.given.lock().expect("nobody failed").insert(value), "{value} was given twice");
                self.least.fetch_max(value + 1, Ordering::SeqCst);
                self.written.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// One life of the server, which ends with SIGKILL under load. Returns how many requests were under way then.
fn live(world: &World, known: &Arc<Known>, answers: u64) -> usize {
    let site = world.serve("app.js", &[]);
    let (start, is_over) = (Arc::new(Barrier::new(CLIENTS + 1)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (known, address) = (known.clone(), site.address.clone());
            let (start, is_over) = (start.clone(), is_over.clone());
            thread::spawn(move || known.ask(&address, number % 4 == 0, &start, &is_over))
        })
        .collect();
    let until = known.answered() + answers;
    start.wait();
    let under_way = loop {
        let under_way = known.under_way.load(Ordering::SeqCst);
        let is_time = known.answered() >= until && under_way >= UNDER_WAY_MIN;
        if is_time || clients.iter().any(|client| client.is_finished()) {
            break under_way;
        }
        thread::sleep(Duration::from_micros(50));
    };
    site.talk.kill();
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no client was told a thing that was not so");
    }
    under_way
}

#[test]
fn what_a_client_was_told_stays_true_whatever_is_killed() {
    let kills = std::env::var("EVERTURN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let world = World::new();
    world.file("app.js", PROGRAM);
    let known = Arc::new(Known::default());
    for kill in 0..kills {
        // Spread over the life: some come before the first answer.
        let under_way = live(&world, &known, u64::from(kill) * 37 % ANSWERS_MAX);
        assert!(under_way >= UNDER_WAY_MIN, "only {under_way} requests were under way at kill {kill}");
    }
    let site = world.serve("app.js", &[]);
    let (_, last) = site.get("/read");
    let last: u64 = last.parse().expect("it is a number");
    let (written, read) = (known.written.load(Ordering::SeqCst), known.read.load(Ordering::SeqCst));
    println!(
        "{kills} kills, {written} writes and {read} reads answered, {} writes kept that nobody heard of",
        last - written
    );
    assert!(last >= known.least.load(Ordering::SeqCst), "what was told last is undone");
    assert!(last <= written + u64::from(kills) * CLIENTS as u64, "{last} was never asked for");
    assert!(read > 0 && written > u64::from(kills), "the server was hardly asked");
}
