//! Requests that are done once, however often they come: before and after a restart, while they are under way, and until their
//! time is over.

use std::future::Future;
use std::io::Cursor;
use std::sync::Arc;

use everturn::{Given, HypervisorError, ImportLimits, Ipld, MemoryStore, Once, Settings, Store};

use crate::requests::{request, said};
use crate::world::{Ways, World};

const PROGRAM: &str = r#"
globalThis.count = 0;
globalThis.open = [];
export default { async fetch(request) {
    count++;
    const { pathname } = new URL(request.url);
    if (pathname === "/later") return await new Promise((answer, fail) => open.push({ answer, fail }));
    return new Response(`done ${count}`);
} };"#;

const KEPT_MS: u64 = 1_000;

fn key(key: u8, fingerprint: u8) -> Once {
    Once { key: [key; 32], fingerprint: [fingerprint; 32], kept_ms: KEPT_MS }
}

type Heard = Result<(String, Given), HypervisorError>;

impl World {
    /// Asks; the answer may be waited for.
    fn posts(&self, path: &str, once: Once) -> impl Future<Output = Heard> + use<> {
        let data = request("POST", &format!("http://here{path}"), "body");
        let answer = self.hypervisor().request_once(&self.root, data, once);
        async move { answer.await.map(|(answer, given): (Ipld, Given)| (said(answer).1, given)) }
    }

    fn post(&self, path: &str, once: Once) -> Heard {
        self.block_on(self.posts(path, once))
    }

    /// The answer must be this one.
    #[track_caller]
    fn posted(&self, path: &str, once: Once, body: &str, given: Given) {
        assert_eq!(self.post(path, once).expect("it is answered"), (body.to_owned(), given));
    }

    fn is_so_late(&self, now_ms: u64) {
        let hypervisor = self.hypervisor().clone();
        self.block_on(hypervisor.fire_timers(now_ms)).unwrap();
    }
}

#[test]
fn who_comes_again_gets_the_first_reply() {
    for ways in Ways::to_survive() {
        let mut world = World::with(PROGRAM, ways);
        world.posted("/", key(1, 1), "done 1", Given::First);
        world.posted("/", key(1, 1), "done 1", Given::Again);
        world.posted("/", key(2, 1), "done 2", Given::First);
        world.restart();
        world.posted("/", key(1, 1), "done 1", Given::Again);
        world.posted("/", key(2, 1), "done 2", Given::Again);
        assert_eq!(world.eval("count"), "2");
        world.stop();
    }
}

#[test]
fn those_who_come_while_it_is_under_way_get_the_same() {
    let mut world = World::new(PROGRAM);
    let asked: Vec<_> = (0..3).map(|_| world.posts("/later", key(1, 1))).collect();
    assert_eq!(world.eval("open.length"), "1");
    world.eval("void open[0].answer(new Response('late'))");
    let heard: Vec<(String, Given)> = asked.into_iter().map(|asked| world.block_on(asked).unwrap()).collect();
    let expected = [Given::First, Given::Again, Given::Again].map(|given| ("late".to_owned(), given));
    assert_eq!(heard, expected);
    world.stop();
}

#[test]
fn what_is_owed_is_owed_after_a_restart() {
    for ways in Ways::to_survive() {
        let mut world = World::with(PROGRAM, ways);
        drop(world.posts("/later", key(1, 1)));
        assert_eq!(world.eval("count"), "1");
        world.restart();
        let again = world.posts("/later", key(1, 1));
        let hypervisor = world.hypervisor().clone();
        // In a way of these tests that starts anew after each line, nobody waits any more: the reply is kept all the same.
        let told = hypervisor.evaluate(&world.root, "line", "void open[0].answer(new Response('late'))");
        world.block_on(told).unwrap().outcome.unwrap();
        assert_eq!(world.block_on(again).unwrap(), ("late".to_owned(), Given::Again));
        world.restart();
        world.posted("/later", key(1, 1), "late", Given::Again);
        assert_eq!(world.eval("count"), "1");
        world.stop();
    }
}

#[test]
fn a_key_belongs_to_one_request() {
    let mut world = World::new(PROGRAM);
    world.posted("/", key(1, 1), "done 1", Given::First);
    for _ in 0..2 {
        assert!(matches!(world.post("/", key(1, 2)), Err(HypervisorError::OtherRequest)));
        world.restart();
    }
    let under_way = world.posts("/later", key(2, 1));
    assert!(matches!(world.post("/later", key(2, 2)), Err(HypervisorError::OtherRequest)));
    drop(under_way);
    assert_eq!(world.eval("count"), "2");
    world.stop();
}

#[test]
fn a_turn_that_was_discarded_is_tried_again() {
    let mut world = World::new(
        "globalThis.fails = 2; export default { fetch() {
        if (fails > 0) throw new Error('not yet');
        return new Response('done');
    } };",
    );
    for _ in 0..2 {
        let failed = world.post("/", key(1, 1)).unwrap_err();
        assert!(matches!(failed, HypervisorError::Exception(_)), "{failed}");
        world.restart();
    }
    world.eval("fails = 0");
    // Nothing was kept of what it was before either.
    world.posted("/", key(1, 2), "done", Given::First);
    world.stop();
}

#[test]
fn a_failure_of_a_later_turn_is_what_came_of_it() {
    let mut world = World::new(PROGRAM);
    let asked = world.posts("/later", key(1, 1));
    world.eval("void open[0].fail(new Error('it broke'))");
    let failed = world.block_on(asked).unwrap_err();
    world.restart();
    let again = world.post("/later", key(1, 1)).unwrap_err();
    for failed in [failed, again] {
        let HypervisorError::Exception(exception) = failed else { panic!("{failed}") };
        assert_eq!(exception.text, "Error: it broke");
    }
    assert_eq!(world.eval("count"), "1");
    world.stop();
}

#[test]
fn a_reply_is_kept_for_its_time() {
    let mut world = World::new(PROGRAM);
    world.posted("/", key(1, 1), "done 1", Given::First);
    // Nobody is woken for each of them: once a minute is enough.
    assert_eq!(world.hypervisor().timers().next_ms(), Some(60_000));
    world.is_so_late(KEPT_MS - 1);
    world.posted("/", key(1, 1), "done 1", Given::Again);
    world.restart();
    world.is_so_late(KEPT_MS);
    assert_eq!(world.hypervisor().timers().next_ms(), None);
    world.restart();
    world.posted("/", key(1, 2), "done 2", Given::First);
    world.stop();
}

#[test]
fn what_somebody_waits_for_is_kept_longer() {
    let mut world = World::new(PROGRAM);
    let asked = world.posts("/later", key(1, 1));
    assert_eq!(world.eval("count"), "1");
    world.is_so_late(KEPT_MS);
    world.eval("void open[0].answer(new Response('late'))");
    assert_eq!(world.block_on(asked).unwrap(), ("late".to_owned(), Given::First));
    world.posted("/later", key(1, 1), "late", Given::Again);
    world.stop();
}

#[test]
fn one_more_than_may_be_kept_is_refused() {
    let replies = Settings { once_max: 2, ..Settings::default() };
    let bytes = Settings { once_bytes_max: 1, ..Settings::default() };
    for (settings, most) in [(replies, 2), (bytes, 1)] {
        let mut world = World::with(PROGRAM, Ways { settings, ..Ways::default() });
        for number in 0..most {
            world.post("/", key(number, 1)).unwrap();
        }
        for _ in 0..2 {
            let refused = world.post("/", key(9, 1)).unwrap_err();
            assert!(matches!(refused, HypervisorError::TooManyKept { .. }), "{refused}");
            // Those that are kept, and those without a key, are served as ever.
            world.posted("/", key(0, 1), "done 1", Given::Again);
            world.get("http://here/").unwrap();
            world.restart();
        }
        world.is_so_late(KEPT_MS);
        assert_eq!(world.post("/", key(9, 1)).unwrap().1, Given::First);
        world.stop();
    }
}

#[test]
fn no_root_tells_of_it() {
    let (mut with, mut without) = (World::new(PROGRAM), World::new(PROGRAM));
    for number in 0..3 {
        with.posted("/", key(number, 1), &format!("done {}", number + 1), Given::First);
        with.posted("/", key(number, 1), &format!("done {}", number + 1), Given::Again);
        let plain = without.hypervisor().request(&without.root, request("POST", "http://here/", "body"));
        without.block_on(plain).unwrap();
    }
    assert_eq!(with.state_root(), without.state_root());
    with.stop();
    without.stop();
}

#[test]
fn a_checkpoint_has_what_was_promised_and_an_earlier_state_has_not() {
    let mut world = World::new(PROGRAM);
    let before = world.state_root();
    world.posted("/", key(1, 1), "done 1", Given::First);
    drop(world.posts("/later", key(2, 1)));
    assert_eq!(world.eval("count"), "2");
    let hypervisor = world.hypervisor().clone();
    let checkpoint = world.block_on(hypervisor.checkpoint()).unwrap();
    let car = world.export(&checkpoint);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    everturn::import_car(&store, Cursor::new(&car), ImportLimits::default()).unwrap();
    let mut resumed = World::resumed(store, &checkpoint, Settings::default());
    resumed.posted("/", key(1, 1), "done 1", Given::Again);
    let again = resumed.posts("/later", key(2, 1));
    resumed.eval("void open[0].answer(new Response('late'))");
    assert_eq!(resumed.block_on(again).unwrap(), ("late".to_owned(), Given::Again));
    resumed.stop();

    // What they speak of has not happened in that state.
    world.block_on(hypervisor.restore(&world.root, &before)).unwrap();
    world.posted("/", key(1, 2), "done 1", Given::First);
    drop(hypervisor);
    world.stop();
}
