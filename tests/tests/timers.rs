//! Timers: due by date, durable, in order, each a turn. The tests say what time it is.

use std::sync::Arc;

use everturn::native::{Incoming, Native, NativeType};
use everturn::{
    Exception, Hypervisor, Ipld, Kind, Limits, MemoryStore, Message, Refusal, Settings, TimerId, Turn, node,
};
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::wasm::world::{World as WasmWorld, module};
use crate::world::{Ways, World, js};

impl World {
    /// It is so many milliseconds since 1970, and everything that is then to be done is done.
    fn at(&mut self, now_ms: u64) {
        let hypervisor = self.hypervisor().clone();
        self.block_on(hypervisor.fire_timers(now_ms)).unwrap();
        self.idle();
    }

    fn next_timer(&self) -> Option<u64> {
        self.hypervisor().timers().next_ms()
    }
}

const PROGRAM: &str = r#"
var log = [];
var note = (...what) => log.push(what.join(" ") + " at " + Date.now());
"#;

#[test]
fn callbacks_are_called_when_they_are_due_and_in_order() {
    for ways in Ways::to_survive() {
        let mut world = World::with(PROGRAM, ways);
        assert_eq!(world.next_timer(), None);
        world.eval("setTimeout(note, 300, 'late', 1); setTimeout(note, 100, 'a'); setTimeout(note, 100, 'b'); setTimeout(note);");
        world.at(0);
        assert_eq!(world.eval("log.join()"), "' at 0'");
        assert_eq!(world.next_timer(), Some(100));
        world.at(99);
        assert_eq!(world.eval("log.length"), "1");
        world.at(250);
        assert_eq!(world.eval("log.slice(1).join()"), "'a at 250,b at 250'");
        world.restart();
        assert_eq!(world.next_timer(), Some(300));
        world.at(1_000);
        assert_eq!(world.eval("log.slice(3).join()"), "'late 1 at 1000'");
        assert_eq!(world.next_timer(), None);
        world.stop();
    }
}

#[test]
fn what_was_due_while_nobody_ran_comes_once_and_in_order() {
    let mut world = World::new(PROGRAM);
    world
        .eval("setInterval(note, 10, 'tick'); setTimeout(note, 25, 'once'); setTimeout(note, 15, 'before');");
    world.at(10);
    world.restart();
    world.at(1_005);
    let expected = "'tick at 10,before at 1005,tick at 1005,once at 1005'";
    assert_eq!(world.eval("log.join()"), expected);
    assert_eq!(world.next_timer(), Some(1_010));
    world.stop();
}

#[test]
fn an_interval_goes_on_until_it_is_cleared_also_after_a_throw() {
    let mut world = World::new(PROGRAM);
    world.eval("var n = 0; var timer = setInterval(() => { n++; if (n === 2 && !globalThis.calm) throw new Error('two'); }, 10);");
    for now_ms in [10, 20, 30] {
        world.at(now_ms);
    }
    // The throw took n back to 1, each time.
    assert_eq!(world.eval("n"), "1");
    world.eval("globalThis.calm = true");
    world.at(40);
    assert_eq!(world.eval("clearInterval(timer); n"), "2");
    assert_eq!(world.next_timer(), None);
    world.at(1_000);
    assert_eq!(world.eval("n"), "2");
    world.eval("timer = setInterval(() => { n++; clearInterval(timer); }, 5)");
    world.at(2_000);
    world.at(3_000);
    assert_eq!(world.eval("n"), "3");
    world.stop();
}

#[test]
fn a_turn_that_throws_sets_and_clears_nothing() {
    let mut world = World::new(PROGRAM);
    world.eval("var kept = setTimeout(note, 50, 'kept')");
    world.line("clearTimeout(kept); setTimeout(note, 10, 'never'); throw new Error('no')").unwrap_err();
    assert_eq!(world.next_timer(), Some(50));
    world.at(100);
    assert_eq!(world.eval("log.join()"), "'kept at 100'");
    world.stop();
}

#[test]
fn a_promise_may_wait_for_a_timer_and_so_may_a_child() {
    let mut world = World::new(
        r#"const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms, "slept"));
        ports.bind("child", ports.create("js", `export default { message(msg) {
            return new Promise((resolve) => setTimeout(resolve, msg.data, "the child slept"));
        } };`));
        export default { async message(msg) { return [await sleep(msg.data), await call(ports.get("child"), msg.data)]; } };"#,
    );
    let message = Message { data: node::encode(&100).unwrap(), ..Message::default() };
    let answer = world.hypervisor().call(&world.root, message);
    world.idle();
    world.at(100);
    assert_eq!(world.next_timer(), Some(200), "the child's time is that of the message which it got");
    world.at(200);
    let expected = vec!["slept".into(), "the child slept".into()];
    assert_eq!(world.block_on(answer).unwrap(), Ipld::List(expected));
    world.stop();
}

#[test]
fn bad_timers_are_told() {
    let mut world = World::new("");
    for (line, told) in [
        ("setTimeout()", "TypeError: setTimeout calls a function, not undefined"),
        (
            "setInterval(() => {}, 2 ** 40)",
            "RangeError: setInterval waits for at most 2147483647 milliseconds",
        ),
    ] {
        let text = world.line(line).unwrap_err().text;
        assert!(text.starts_with(told), "{text}");
    }
    world.eval("clearTimeout(99); clearTimeout(); clearInterval('x'); setTimeout(() => {}, -5); setTimeout(() => {}, NaN)");
    assert_eq!(world.next_timer(), Some(0));
    world.stop();
}

#[test]
fn a_container_that_is_deleted_takes_its_timers_along() {
    let mut world =
        World::new(r#"ports.bind("child", ports.create("js", "setTimeout(() => print('no'), 10)"))"#);
    world.idle();
    assert_eq!(world.next_timer(), Some(10));
    world.eval("ports.delete('child')");
    world.idle();
    assert_eq!(world.next_timer(), None);
    world.at(100);
    assert!(world.lines().is_empty());
    world.stop();
}

/// A timer of which there may be no more is refused, one that went makes room.
#[test]
fn there_may_be_so_many_timers() {
    let limits = Limits { timers_max: 2, ..Limits::default() };
    let ways = Ways { settings: Settings { limits, ..Settings::default() }, ..Ways::default() };
    let mut world = World::with("", ways);
    world.eval("setTimeout(() => {}, 10); setTimeout(() => {}, 20)");
    let refused = world.line("setTimeout(() => {}, 30)").unwrap_err().text;
    assert_eq!(refused, "Refusal: this container has as many timers as it may have; cancel some");
    world.at(10);
    world.eval("setTimeout(() => {}, 30)");
    world.stop();
}

/// Sets timers as it is told, and counts what comes.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Waits {
    heard: Vec<u64>,
}

impl Native for Waits {
    fn create(_: &mut Turn, _: Ipld) -> Result<Self, Exception> {
        Ok(Waits::default())
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let (what, number): (String, u64) = node::decode(message.bytes).unwrap();
        let data = node::encode(&("", number)).unwrap();
        match what.as_str() {
            "after" => assert_eq!(turn.after(number, &data).unwrap(), TimerId(0)),
            "every" => assert_eq!(turn.every(number, number, &data).unwrap(), TimerId(1)),
            "cancel" => turn.cancel(TimerId(number)).unwrap(),
            "bad" => assert_eq!(turn.after(1, b"\xff"), Err(Refusal::InvalidData)),
            _ => {
                assert_eq!(message.kind, Kind::Timer);
                self.heard.push(number);
            }
        }
        turn.answer(&node::encode(&self.heard).unwrap()).unwrap();
        Ok(())
    }
}

#[test]
fn native_containers_have_timers() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let hypervisor = Hypervisor::builder().build().await.unwrap();
        hypervisor.register_container("waits", NativeType::<Waits>::new());
        let id = hypervisor.create_instance("waits", "", Ipld::Null).await.unwrap();
        let tell = async |what: &str, number: u64| {
            let message = Message { data: node::encode(&(what, number)).unwrap(), ..Message::default() };
            let heard = hypervisor.send(&id, message).await.unwrap().outcome.unwrap().unwrap();
            node::decode::<Vec<u64>>(&node::encode(&heard).unwrap()).unwrap()
        };
        tell("after", 5).await;
        tell("every", 7).await;
        tell("bad", 0).await;
        for now_ms in [4, 6, 7, 14] {
            hypervisor.fire_timers(now_ms).await.unwrap();
        }
        assert_eq!(tell("cancel", 1).await, [5, 7, 7]);
        hypervisor.fire_timers(1_000).await.unwrap();
        assert_eq!(tell("cancel", 1).await, [5, 7, 7]);
        assert_eq!(hypervisor.timers().next_ms(), None);
        hypervisor.stop().await.unwrap();
    });
}

/// Told 1, sets a timer that comes after 5 ms and then each 10 ms, with the data 7; told 2, cancels the first one. Answers with
/// the sum of what its timers said.
const SETTER: &str = r#"(module
    (import "everturn" "input" (func $input (param i32 i32 i32) (result i32)))
    (import "everturn" "answer" (func $answer (param i32 i32) (result i32)))
    (import "everturn" "timer_set" (func $set (param i64 i64 i32 i32) (result i64)))
    (import "everturn" "timer_cancel" (func $cancel (param i64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "\07")
    (global $sum (mut i32) (i32.const 0))
    (func (export "everturn_timer") (param $len i32)
        (drop (call $input (i32.const 0) (i32.const 0) (i32.const 1)))
        (global.set $sum (i32.add (global.get $sum) (i32.load8_u (i32.const 0)))))
    (func (export "everturn_message") (param $len i32)
        (drop (call $input (i32.const 0) (i32.const 0) (i32.const 1)))
        (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 1))
            (then (drop (call $set (i64.const 5) (i64.const 10) (i32.const 100) (i32.const 1)))))
        (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 2))
            (then (drop (call $cancel (i64.const 0)))))
        (i32.store8 (i32.const 0) (global.get $sum))
        (drop (call $answer (i32.const 0) (i32.const 1)))))"#;

#[test]
fn webassembly_modules_have_timers() {
    let mut world = WasmWorld::new(Ways::default());
    let root = world.create("main", Ipld::Bytes(module(SETTER))).unwrap();
    world.ask(&root, 1);
    for now_ms in [4, 5, 14, 15, 36] {
        let hypervisor = world.hypervisor().clone();
        world.block_on(hypervisor.fire_timers(now_ms)).unwrap();
    }
    // At 5, at 15, and late at 25.
    assert_eq!(world.ask(&root, 2), Ipld::Integer(21));
    let hypervisor = world.hypervisor().clone();
    world.block_on(hypervisor.fire_timers(1_000)).unwrap();
    assert_eq!(world.ask(&root, 0), Ipld::Integer(21));
}

/// A module that sets a timer and has no entry for it is told so, when it comes.
#[test]
fn a_webassembly_module_without_an_entry_for_timers_loses_only_that_turn() {
    let deaf = SETTER.replace("(export \"everturn_timer\")", "(export \"other\")");
    let mut world = WasmWorld::new(Ways::default());
    let root = world.create("main", Ipld::Bytes(module(&deaf))).unwrap();
    world.ask(&root, 1);
    let hypervisor = world.hypervisor().clone();
    world.block_on(hypervisor.fire_timers(100)).unwrap();
    assert_eq!(world.ask(&root, 2), Ipld::Integer(0));
}

#[test]
fn the_first_turn_of_a_program_has_a_date_as_well() {
    let mut host = Host::on(Arc::new(MemoryStore::new()));
    let builder = Hypervisor::builder().clock(|| 1_000_000);
    host.start(builder.register_container("js", js(&Ways::default()))).unwrap();
    let program = "globalThis.born = Date.now(); setTimeout(() => {}, 60_000); export default { message() { return born; } };";
    let root = host.block_on(host.hypervisor().create_instance("js", "main", program)).unwrap();
    assert_eq!(host.hypervisor().timers().next_ms(), Some(1_060_000));
    let null = Message { data: node::encode(&Ipld::Null).unwrap(), ..Message::default() };
    let born = host.block_on(host.hypervisor().send(&root, null)).unwrap().outcome.unwrap();
    assert_eq!(born, Some(Ipld::Integer(1_000_000)));
}
