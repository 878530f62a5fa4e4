//! One message, one turn, atomic: whatever goes wrong, nothing of the turn is left and the next one works.

use everturn::ExceptionKind;

use crate::world::{Ways, World};

/// Runs a line that must fail, and sees that nothing is left of it.
fn fails(world: &mut World, line: &str) -> everturn::Exception {
    let before = world.state_root();
    let exception = world.line(line).expect_err(line);
    assert_eq!(world.state_root(), before, "{line} left something behind");
    assert_eq!(world.eval("1 + 1"), "2");
    exception
}

fn world() -> World {
    World::new("var counter = 0; var big = [];")
}

#[test]
fn an_uncaught_throw_is_an_exception_with_its_stack() {
    let mut world = world();
    let exception = fails(&mut world, "function bad() { counter = 9; throw new TypeError('no'); } bad();");
    assert_eq!(exception.kind, ExceptionKind::Throw);
    assert_eq!(exception.text, "TypeError: no");
    assert!(exception.stack.contains("bad"), "{}", exception.stack);
    assert_eq!(world.eval("counter"), "0");
    assert_eq!(world.eval("typeof bad"), "'undefined'");
}

#[test]
fn what_is_thrown_need_not_be_an_error() {
    let mut world = world();
    assert_eq!(fails(&mut world, "throw 'text'").text, "'text'");
    assert!(fails(&mut world, "throw { code: 7 }").text.contains("7"));
    fails(&mut world, "throw undefined");
    fails(&mut world, "throw { toString() { throw 1; } }");
}

#[test]
fn a_syntax_error_is_an_exception() {
    let exception = fails(&mut world(), "var = 3");
    assert!(exception.text.starts_with("SyntaxError"), "{}", exception.text);
}

#[test]
fn an_unhandled_rejection_is_an_exception() {
    let mut world = world();
    let exception = fails(&mut world, "counter = 5; Promise.reject(new Error('late')); 1");
    assert_eq!((exception.kind, exception.text.as_str()), (ExceptionKind::Rejection, "Error: late"));
    assert_eq!(world.eval("var p = Promise.reject(1); p.catch(() => counter = 1); 2"), "2");
    assert_eq!(world.eval("counter"), "1");
}

#[test]
fn burning_all_fuel_is_an_exception_and_the_ticks_stay_burnt() {
    let mut settings = everturn::Settings::default();
    settings.limits.turn_fuel = 50_000_000;
    let mut world = World::with("var counter = 0;", Ways { settings, ..Ways::default() });
    let before = ticks(&mut world);
    let exception = fails(&mut world, "counter = 1; for (;;) {}");
    assert_eq!(exception.kind, ExceptionKind::Fuel);
    assert!(ticks(&mut world) >= before + 50_000_000);
    assert_eq!(world.eval("counter"), "0");
}

#[test]
fn a_line_burns_what_it_does_whether_it_throws_or_not() {
    let mut world = world();
    assert!(ticks(&mut world) < 1_000_000, "making it burnt {} ticks", ticks(&mut world));
    let mut burnt = |line: &str| {
        let before = ticks(&mut world);
        let _ = world.line(line);
        ticks(&mut world) - before
    };
    let (little, much) = (burnt("1"), burnt("for (let i = 0; i < 100_000; i++) {}"));
    assert!(little < 100_000 && (20 * little..100_000_000).contains(&much), "{little} and {much}");
    assert!(burnt("throw 1") < 100_000);
}

fn ticks(world: &mut World) -> u64 {
    let hypervisor = world.hypervisor().clone();
    world.block_on(hypervisor.inspect()).unwrap()[0].ticks.0
}

#[test]
fn stack_overflows_are_exceptions() {
    let mut world = world();
    let deep = [
        "function f() { return 1 + f(); } f()",
        "var o = {}; o.toString = () => '' + o; '' + o",
        "JSON.parse('['.repeat(1e6))",
        "new RegExp('(?:'.repeat(1e5) + ')'.repeat(1e5))",
        "var n = []; for (let i = 0; i < 1e5; i++) n = [n]; '' + n",
        "eval('('.repeat(1e5))",
        "class A extends (function g() { return g(); })() {}",
    ];
    for line in deep {
        let exception = fails(&mut world, line);
        assert_eq!(exception.kind, ExceptionKind::StackOverflow, "{line}: {exception}");
    }
}

#[test]
fn catching_a_stack_overflow_is_allowed() {
    let mut world = world();
    let line = "var depth = 0; function g() { depth++; g(); } try { g(); } catch (e) { } depth > 500";
    assert_eq!(world.eval(line), "true");
}

#[test]
fn out_of_memory_is_an_exception_and_the_memory_shrinks_back() {
    let mut settings = everturn::Settings::default();
    settings.limits.heap_bytes_max = 32 << 20;
    let mut world = World::with("var big = [];", Ways { settings, ..Ways::default() });
    for line in [
        "for (;;) big.push(new Uint8Array(1 << 20));",
        "for (;;) big.push({ a: [1, 2, 3] });",
        "var s = 'x'; for (;;) s += s;",
        "big = new Array(1e9).fill(0)",
        "big = new ArrayBuffer(2 ** 31 - 1)",
    ] {
        let exception = fails(&mut world, line);
        assert!(
            matches!(exception.kind, ExceptionKind::OutOfMemory | ExceptionKind::Throw | ExceptionKind::Fuel),
            "{line}: {exception}"
        );
        assert!(!matches!(exception.kind, ExceptionKind::Trap), "{line}: {exception}");
    }
    assert_eq!(world.eval("big.length"), "0");
}

#[test]
fn a_message_that_throws_leaves_nothing() {
    let program = "let sum = 0; export default { message(msg) { sum += msg.data; if (msg.data < 0) throw new RangeError('negative'); return sum; } };";
    let mut world = World::new(program);
    let receipt = world.send(everturn::Ipld::Integer(5));
    assert_eq!(receipt.outcome, Ok(Some(everturn::Ipld::Integer(5))));
    let exception = world.send(everturn::Ipld::Integer(-3)).outcome.unwrap_err();
    assert_eq!(exception.text, "RangeError: negative");
    assert_eq!(world.send(everturn::Ipld::Integer(1)).outcome, Ok(Some(everturn::Ipld::Integer(6))));
}

#[test]
fn a_program_that_throws_while_it_loads_leaves_no_container() {
    let world = World::new("");
    let hypervisor = world.hypervisor().clone();
    let failed =
        world.block_on(hypervisor.create_instance("js", "bad", "var x = 1; throw new Error('stop')"));
    assert!(failed.unwrap_err().to_string().contains("Error: stop"));
    assert_eq!(world.block_on(hypervisor.inspect()).unwrap().len(), 1);
    world.block_on(hypervisor.create_instance("js", "bad", "var x = 1")).unwrap();
}

#[test]
fn requests_that_make_no_sense_are_errors_for_the_host() {
    let world = World::new("");
    let hypervisor = world.hypervisor().clone();
    let unknown = world.block_on(hypervisor.create_instance("python", "p", "")).unwrap_err();
    assert!(unknown.to_string().contains("register_container"), "{unknown}");
    let again = world.block_on(hypervisor.create_instance("js", "main", "")).unwrap_err();
    assert!(again.to_string().contains("alive already"), "{again}");
    let nobody = everturn::ContainerId::root("nobody");
    assert!(world.block_on(hypervisor.wait(&nobody, everturn::Ticks::MAX)).is_err());
    assert!(world.block_on(hypervisor.create_state_root(&nobody, everturn::Ticks::MAX)).is_err());
    assert!(world.block_on(hypervisor.evaluate(&nobody, "f", "1")).is_err());
}

#[test]
fn a_host_is_held_to_what_messages_may_be() {
    let mut settings = everturn::Settings::default();
    settings.limits.message_bytes_max = 1_000;
    let world =
        World::with("var got = 0; function message(m) { got++; }", Ways { settings, ..Ways::default() });
    let hypervisor = world.hypervisor().clone();
    let send = |data: Vec<u8>| {
        let message = everturn::Message { data, ..everturn::Message::default() };
        world.block_on(hypervisor.send(&world.root, message))
    };
    assert!(send(vec![0xf6]).is_ok());
    for (data, why) in
        [(vec![], "end"), (vec![0x18, 0x01], ""), (vec![0xf6, 0xf6], ""), (vec![0x40; 1_001], "limit")]
    {
        let error = send(data).unwrap_err();
        assert!(matches!(error, everturn::HypervisorError::Message(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}
