//! Requests that only look: answered without a turn, from what is durable, and without a mark.

use std::sync::Arc;

use everturn::{HypervisorError, Message, Settings, Unloading};

use crate::counting::Counting;
use crate::host::copy;
use crate::requests::{request, said};
use crate::world::{Ways, World};

fn message(text: &str) -> Message {
    Message { data: everturn::node::encode(&text).unwrap(), ..Message::default() }
}

type Heard = Result<(i128, String), HypervisorError>;

impl World {
    /// What a question is answered with.
    fn ask(&self, url: &str) -> Heard {
        let answer = self.hypervisor().query(&self.root, request("GET", url, ""));
        self.block_on(answer).map(said)
    }

    fn asked(&self, url: &str) -> (i128, String) {
        self.ask(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn thrown(&self, url: &str) -> String {
        match self.ask(url) {
            Err(HypervisorError::Exception(exception)) => exception.text,
            other => panic!("{url}: {other:?}"),
        }
    }
}

/// Counts by requests, and tells by questions; each question counts too, in vain.
const COUNTER: &str = r#"
let count = 0, seen = [];
const told = {
    "/": () => new Response(`${count}`),
    "/greedy": () => { count += 1000; seen.push("x".repeat(100_000)); return new Response(`${count} ${seen.length}`); },
    "/random": () => new Response(`${Math.random()}`),
    "/ticks": () => new Response(`${self.ticks}`),
    "/later": async () => { await null; return new Response("at once after all"); },
    "/never": () => new Promise(() => {}),
    "/throw": () => { count = -1; throw new RangeError("no"); },
    "/loop": () => { for (;;) count++; },
    "/log": () => { console.log(`asked at ${count}`); return new Response("logged"); },
    "/odd": () => 7,
    "/send": () => { const [a, b] = ports.channel(); send(a, 1); return new Response(""); },
    "/bind": () => { ports.create("js", "0"); return new Response(""); },
    "/timer": () => { setTimeout(() => {}, 1); return new Response(""); },
    "/names": () => new Response(ports.names().join()),
};
export default {
    query(request) { return told[new URL(request.url).pathname]?.(); },
    fetch(request) { return new Response(`turn ${request.method} ${++count}`); },
};"#;

#[test]
fn a_question_is_answered_and_all_that_it_did_is_taken_back() {
    for ways in Ways::to_survive() {
        let mut world = World::with(COUNTER, ways);
        assert_eq!(world.asked("http://here/"), (200, "0".into()));
        assert_eq!(world.get("http://here/").unwrap().1, "turn GET 1", "a request is a turn");
        for _ in 0..3 {
            assert_eq!(world.asked("http://here/greedy"), (200, "1001 1".into()));
            assert_eq!(world.asked("http://here/later").1, "at once after all");
        }
        assert_eq!(world.asked("http://here/random"), world.asked("http://here/random"));
        assert_eq!(world.asked("http://here/"), (200, "1".into()));
        world.restart();
        assert_eq!(world.asked("http://here/"), (200, "1".into()));
        world.stop();
    }
}

#[test]
fn what_a_question_leaves_is_a_request() {
    let mut world = World::new(COUNTER);
    assert_eq!(world.asked("http://here/elsewhere").1, "turn GET 1", "query() gave undefined");
    assert_eq!(world.asked("http://here/").1, "1");
    let mut plain = World::new("let n = 0; export default { fetch() { return new Response(`${++n}`); } };");
    for expected in ["1", "2", "3"] {
        assert_eq!(plain.asked("http://here/").1, expected, "there is no query()");
    }
    plain.eval("globalThis.query = () => new Response('now there is')");
    assert_eq!(plain.asked("http://here/").1, "now there is");
    assert_eq!(plain.get("http://here/").unwrap().1, "4");
    let nobody = World::new("0");
    assert_eq!(nobody.asked("http://here/").0, 404);
    world.stop();
}

#[test]
fn a_question_has_no_effects_and_says_so() {
    let mut world = World::new(COUNTER);
    for path in ["/send", "/bind", "/timer"] {
        let text = world.thrown(&format!("http://here{path}"));
        assert!(text.contains("a query only looks"), "{path}: {text}");
    }
    assert_eq!(world.thrown("http://here/throw"), "RangeError: no");
    assert!(world.thrown("http://here/never").contains("is answered in its own turn"));
    assert!(world.thrown("http://here/loop").contains("fuel"));
    assert!(world.thrown("http://here/odd").contains("is answered with a Response"));
    assert_eq!(world.asked("http://here/names"), (200, String::new()));
    assert_eq!(world.asked("http://here/").1, "0");
    assert_eq!(world.asked("http://here/log").1, "logged");
    assert_eq!(world.lines(), ["asked at 0"], "lines are for people, and leave before the answer");
    world.stop();
}

/// The same life twice, once with questions between everything, of which some throw.
fn live(ways: Ways, questions: u32) -> (World, Vec<String>) {
    let mut world = World::with(COUNTER, ways);
    let mut roots = Vec::new();
    for turn in 0..6 {
        for number in 0..questions {
            let paths = ["/greedy", "/throw", "/", "/random", "/never", "/ticks"];
            let path = paths[(turn + number) as usize % paths.len()];
            // What it is answered is seen elsewhere.
            let _ = world.ask(&format!("http://here{path}"));
        }
        world.get("http://here/x").unwrap();
        if turn % 2 == 0 {
            world.line("throw new Error('between')").unwrap_err();
        }
        roots.push(format!("{} {}", world.state_root(), world.ticks()));
    }
    (world, roots)
}

#[test]
fn roots_and_ticks_are_those_of_a_life_without_questions() {
    for ways in Ways::to_survive() {
        let (mut without, roots) = live(ways.clone(), 0);
        let (mut with, same) = live(ways, 5);
        assert_eq!(roots, same);
        without.stop();
        with.stop();
    }
}

#[test]
fn a_question_writes_nothing_and_requests_share_a_batch() {
    let store: Arc<Counting> = Arc::default();
    let mut world = World::on(store.clone(), COUNTER, Ways::default());
    world.get("http://here/").unwrap();
    world.idle();
    store.take();
    for _ in 0..100 {
        assert_eq!(world.asked("http://here/").1, "1");
        world.thrown("http://here/throw");
    }
    world.idle();
    let counts = store.take();
    assert_eq!((counts.batches, counts.writes.len()), (0, 0));
    // A turn is told by its ticks, which are state: it is in a batch, and the batch is everybody's who came meanwhile.
    let answers: Vec<_> = (0..200)
        .map(|_| world.hypervisor().request(&world.root, request("GET", "http://here/", "")))
        .collect();
    for answer in answers {
        world.block_on(answer).unwrap();
    }
    let batches = store.take().batches;
    assert!((1..100).contains(&batches), "200 requests in {batches} batches");
    world.stop();
}

#[test]
fn an_answer_never_tells_what_is_not_durable() {
    let store: Arc<Counting> = Arc::default();
    let mut world = World::on(store.clone(), COUNTER, Ways::default());
    for number in 1..50 {
        // The turn is under way when the question comes; what that is told is in the store when it is told.
        let turn = world.hypervisor().request(&world.root, request("GET", "http://here/", ""));
        let heard = world.asked("http://here/").1;
        let stored = World::on(Arc::new(copy(&store.store)), COUNTER, Ways::default());
        let durable: u64 = stored.asked("http://here/").1.parse().unwrap();
        assert!(heard.parse::<u64>().unwrap() <= durable, "told {heard}, kept {durable}");
        assert_eq!(said(world.block_on(turn).unwrap()).1, format!("turn GET {number}"));
    }
    world.stop();
}

#[test]
fn a_question_wakes_a_container_that_left_memory() {
    let unloading = Unloading::Above { bytes: 0 };
    let settings = Settings { unloading, ..Settings::default() };
    let mut world = World::with(COUNTER, Ways { settings, ..Ways::default() });
    for number in 0..3 {
        assert_eq!(world.asked("http://here/").1, number.to_string());
        world.get("http://here/").unwrap();
    }
    world.stop();
}

/// Children that count their turns, and tell; `/plain` has no part for questions; nothing is ever made by `/view`, and `/late` is behind
/// a message that makes it.
const ROUTED: &str = r#"
const user = `let n = 0; export default {
    query(request) {
        n += 100;
        if (request.url.endsWith("bind")) ports.bind("x", ports.create("js", ""));
        if (!request.url.endsWith("turn")) return new Response("asked " + n);
    },
    fetch(request) { return new Response(request.method + " " + ++n); },
};`;
const plain = `let n = 0; export default { fetch() { return new Response("" + ++n); } };`;
const nested = { program: "export const routes = { '/n/:id/*': " + JSON.stringify(user) + " };" };
export const routes = {
    "/u/:id": user, "/plain": plain, "/n/*": nested,
    "/view/:id": { program: user, readOnly: true }, "/silent": { readOnly: true },
};
export default {
    message({ data }) { ports.bind(`route:${data}`, ports.create("js", data === "/silent" ? plain : user)); },
    query(request) { return request.url.endsWith("/own") ? new Response("mine") : undefined; },
    fetch(request) { return new Response(`root ${request.method}`); },
};"#;

#[test]
fn a_route_leads_a_question_to_its_container() {
    for ways in Ways::to_survive() {
        let mut world = World::with(ROUTED, ways);
        assert_eq!(world.asked("http://here/own").1, "mine", "the program's own query() comes first");
        assert_eq!(world.asked("http://here/elsewhere").1, "root GET");
        assert_eq!(
            world.asked("http://here/u/7").1,
            "GET 1",
            "there is nobody yet: a turn makes the container"
        );
        let before = (world.state_root(), world.ticks());
        assert_eq!(world.asked("http://here/u/7").1, "asked 101");
        assert_eq!(world.asked("http://here/u/7").1, "asked 101", "what it did is taken back");
        assert!(world.thrown("http://here/u/7?bind").contains("a query only looks"));
        assert_eq!((world.state_root(), world.ticks()), before);
        assert_eq!(world.asked("http://here/u/7?turn").1, "GET 2", "query() gave undefined");
        assert_eq!(world.asked("http://here/u/8").1, "GET 1");
        for expected in ["1", "2", "3"] {
            assert_eq!(world.asked("http://here/plain").1, expected, "it has no query()");
        }
        world.restart();
        assert_eq!(world.asked("http://here/u/7").1, "asked 102");
        world.stop();
    }
}

#[test]
fn a_question_follows_routes_behind_routes() {
    let mut world = World::new(ROUTED);
    assert_eq!(world.asked("http://here/n/1/a").1, "GET 1");
    let before = world.state_root();
    assert_eq!(world.asked("http://here/n/1/b").1, "asked 101");
    assert_eq!(world.state_root(), before);
    world.stop();
}

#[test]
fn a_route_that_only_reads_has_no_turns() {
    let mut world = World::new(ROUTED);
    let before = (world.state_root(), world.ticks());
    for path in ["view/1", "silent"] {
        assert_eq!(world.asked(&format!("http://here/{path}")).0, 404, "nobody has made it");
    }
    assert_eq!((world.state_root(), world.ticks()), before);
    // Asked while its first turn waits, it is born first.
    let made = world.hypervisor().send(&world.root, message("/view/1"));
    let asked = world.hypervisor().query(&world.root, request("GET", "http://here/view/1", ""));
    world.block_on(made).unwrap().outcome.unwrap();
    let heard = said(world.block_on(asked).unwrap());
    assert!(heard.0 == 404 || heard.1 == "asked 100", "{heard:?}");
    assert_eq!(world.asked("http://here/view/1"), (200, "asked 100".into()));
    let made = world.hypervisor().send(&world.root, message("/silent"));
    world.block_on(made).unwrap().outcome.unwrap();
    assert_eq!(world.asked("http://here/silent").0, 404, "it has no query()");
    assert_eq!(world.asked("http://here/view/1?turn").0, 404, "query() gave undefined");
    world.idle();
    let before = (world.state_root(), world.ticks());
    assert_eq!(world.asked("http://here/view/1").1, "asked 100");
    assert_eq!((world.state_root(), world.ticks()), before);
    // What only turns could do is not done, and it says why.
    for (method, status) in [("POST", 405), ("GET", 503)] {
        let answer = world.hypervisor().request(&world.root, request(method, "http://here/view/1", ""));
        assert_eq!(said(world.block_on(answer).unwrap()).0, status, "{method}");
    }
    assert_eq!(world.asked("http://here/view/1").1, "asked 100");
    world.stop();
}

#[test]
fn an_answer_behind_a_route_never_tells_what_is_not_durable() {
    let store: Arc<Counting> = Arc::default();
    let mut world = World::on(store.clone(), ROUTED, Ways::default());
    world.get("http://here/u/7").unwrap();
    let number = |text: &str| text.trim_start_matches("asked ").parse::<u64>().unwrap();
    for _ in 1..30 {
        let turn = world.hypervisor().request(&world.root, request("GET", "http://here/u/7", ""));
        let heard = world.asked("http://here/u/7").1;
        let stored = World::on(Arc::new(copy(&store.store)), ROUTED, Ways::default());
        let durable = stored.asked("http://here/u/7").1;
        assert!(number(&heard) <= number(&durable), "told {heard}, kept {durable}");
        world.block_on(turn).unwrap();
    }
    world.stop();
}
