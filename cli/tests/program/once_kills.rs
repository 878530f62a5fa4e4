//! The server, killed again and again, and clients that ask again until they have an answer, each request with a key of its own:
//! every effect happens once, and every repetition gets the same reply.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use crate::web::Visitor;
use crate::world::World;

/// Kills in the ordinary run; EVERTURN_KILLS asks for more.
const KILLS: u32 = 40;
/// Clients, each with one request under way at a time. Every third request is answered in a later turn.
const CLIENTS: usize = 32;
/// Requests that have to be under way when the server is killed.
const UNDER_WAY_MIN: usize = 16;
/// Answers that a server gives at most before it is killed.
const ANSWERS_MAX: u64 = 160;

/// What was done is told by the container's own count; a request that is done twice is seen in `done`.
const PROGRAM: &str = "let count = 0;
    const done = Object.create(null);
    const reply = (key) => new Response(`${key} ${done[key]}`);
    export default { fetch(request) {
        const key = request.headers.get('idempotency-key');
        if (key === null) return Response.json({ count, done });
        done[key] = `${done[key] ?? ''}${count++};`;
        return key.endsWith('later') ? new Promise((answer) => setTimeout(() => answer(reply(key)), 1)) : reply(key);
    } };";

/// What the clients of all lives know.
#[derive(Default)]
struct Known {
    /// Every key, and its reply when there was one.
    replies: Mutex<BTreeMap<String, Option<String>>>,
    answered: AtomicU64,
    repeated: AtomicU64,
    under_way: AtomicUsize,
}

impl Known {
    fn ask(&self, visitor: &mut Visitor, key: &str) -> Option<String> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let heard = visitor.ask_with(&format!("Idempotency-Key: {key}\r\n"), "POST", "/", b"pay");
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        // The server was killed; what was under way may have happened or not.
        let (status, body) = heard.ok()?;
        assert_eq!(status, 200, "{key}: {body}");
        let before = self.replies.lock().expect("nobody failed").insert(key.to_owned(), Some(body.clone()));
        if let Some(Some(before)) = before {
            assert_eq!(before, body, "{key} got two replies");
            self.repeated.fetch_add(1, Ordering::SeqCst);
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        Some(body)
    }

    /// Asks until the server is gone: what had no answer first, then new things, some of them twice.
    fn live(&self, address: &str, client: usize, kill: u32, start: &Barrier, is_over: &AtomicBool) {
        let visitor = Visitor::connect(address);
        start.wait();
        let Ok(mut visitor) = visitor else { return };
        let of_client = format!("c{client}-");
        let open: Vec<String> = {
            let replies = self.replies.lock().expect("nobody failed");
            let open = replies.iter().filter(|(key, reply)| key.starts_with(&of_client) && reply.is_none());
            open.map(|(key, _)| key.clone()).collect()
        };
        for key in open {
            if self.ask(&mut visitor, &key).is_none() {
                return;
            }
        }
        for number in 0_u32.. {
            if is_over.load(Ordering::SeqCst) {
                return;
            }
            let when = if number % 3 == 0 { "later" } else { "now" };
            let key = format!("{of_client}{kill}-{number}-{when}");
            self.replies.lock().expect("nobody failed").insert(key.clone(), None);
            let times = if number % 4 == 0 { 2 } else { 1 };
            if (0..times).any(|_| self.ask(&mut visitor, &key).is_none()) {
                return;
            }
        }
    }
}

/// One life of the server, which ends with SIGKILL under load.
fn live(world: &World, known: &Arc<Known>, kill: u32) {
    let site = world.serve("app.js", &[]);
    let (start, is_over) = (Arc::new(Barrier::new(CLIENTS + 1)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (known, address) = (known.clone(), site.address.clone());
            let (start, is_over) = (start.clone(), is_over.clone());
            thread::spawn(move || known.live(&address, client, kill, &start, &is_over))
        })
        .collect();
    // Spread over the life: some kills come before the first answer.
    let until = known.answered.load(Ordering::SeqCst) + u64::from(kill) * 37 % ANSWERS_MAX;
    start.wait();
    loop {
        let is_time = known.answered.load(Ordering::SeqCst) >= until
            && known.under_way.load(Ordering::SeqCst) >= UNDER_WAY_MIN;
        if is_time || clients.iter().any(|client| client.is_finished()) {
            break;
        }
        thread::sleep(Duration::from_micros(50));
    }
    site.talk.kill();
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no client got two replies");
    }
}

#[test]
fn what_comes_again_is_done_once_whatever_is_killed() {
    let kills = std::env::var("EVERTURN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let world = World::new();
    world.file("app.js", PROGRAM);
    let known = Arc::new(Known::default());
    for kill in 0..kills {
        live(&world, &known, kill);
    }
    let site = world.serve("app.js", &[]);
    let mut visitor = site.visit();
    // Whoever had no answer asks once more, and everybody asks again.
    let keys: Vec<String> = known.replies.lock().expect("nobody failed").keys().cloned().collect();
    for key in &keys {
        known.ask(&mut visitor, key).unwrap_or_else(|| panic!("{key} is not answered"));
    }
    let (_, told) = visitor.get("/").expect("the server answers");
    let told: serde_json::Value = serde_json::from_str(&told).expect("it is JSON");
    let done = told["done"].as_object().expect("it is a map");
    assert_eq!(told["count"], keys.len() as u64, "something was done twice, or not at all");
    assert_eq!(done.len(), keys.len());
    for (key, reply) in known.replies.lock().expect("nobody failed").iter() {
        let own = done[key].as_str().expect("it is text");
        assert_eq!(own.matches(';').count(), 1, "{key} was done more than once");
        assert_eq!(reply.as_deref(), Some(&*format!("{key} {own}")));
    }
    let repeated = known.repeated.load(Ordering::SeqCst);
    println!("{kills} kills, {} requests done once each, {repeated} replies given again", keys.len());
    assert!(keys.len() > kills as usize && repeated >= keys.len() as u64 / 4, "the server was hardly asked");
}
