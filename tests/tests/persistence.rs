//! What a JavaScript program makes stays: across turns, commits, restarts and reloads, without a line of its own.

use std::num::NonZeroUsize;
use std::sync::Arc;

use everturn::{Hypervisor, MemoryStore, Settings, Store};

use crate::world::{Ways, World};

/// Three ways for state to survive: in memory between commits, by a restart after every line, and by leaving memory
/// after every turn.
fn each_way(story: impl Fn(&mut World)) {
    for ways in Ways::to_survive() {
        story(&mut World::with("", ways));
    }
}

/// Lines and what a shell shows of them.
fn check(lines: &[(&str, &str)]) {
    each_way(|world| {
        for (line, expected) in lines {
            assert_eq!(world.eval(line), *expected, "{line}");
        }
    });
}

#[test]
fn closures_stay() {
    check(&[
        (
            "var create_counter = function() { var counter = 0; return function() { return counter++; }; };",
            "",
        ),
        ("var a = create_counter();", ""),
        ("a();", "0"),
        ("a();", "1"),
        ("var b = create_counter(); b();", "0"),
        ("create_counter", "function() { var counter = 0; return function() { return counter++; }; }"),
        ("a();", "2"),
        ("b();", "1"),
    ]);
}

#[test]
fn classes_prototypes_getters_and_private_fields_stay() {
    check(&[
        ("class Point { #x; constructor(x) { this.#x = x; } get double() { return this.#x * 2; } }", ""),
        ("class Named extends Point { constructor(x, name) { super(x); this.name = name; } }", ""),
        ("var p = new Named(21, 'p');", ""),
        ("p.double", "42"),
        (
            "Point.prototype.half = function () { return this.double / 4; };",
            "function () { return this.double / 4; }",
        ),
        ("p.half()", "10.5"),
        ("p instanceof Point && Object.getPrototypeOf(p) === Named.prototype", "true"),
        ("Object.defineProperty(p, 'now', { get() { return 'g' + this.name; } }).now", "'gp'"),
        ("p.now", "'gp'"),
    ]);
}

#[test]
fn symbols_maps_and_sets_stay() {
    check(&[
        ("var s = Symbol('mine'); var o = { [s]: 1 };", ""),
        ("o[s]", "1"),
        ("Symbol.for('shared') === Symbol.for('shared')", "true"),
        ("var key = {}; var m = new Map([[key, 'object'], ['k', 2], [NaN, 3]]);", ""),
        ("m.get(key) + m.get('k') + m.get(NaN)", "'object23'"),
        ("for (let i = 0; i < 2000; i++) m.set('n' + i, i); m.size", "2003"),
        ("m.get('n1999')", "1999"),
        ("[...m.keys()].slice(-2).join()", "'n1998,n1999'"),
        ("var set = new Set([3, 1, 2]); [...set].join()", "'3,1,2'"),
        ("set.delete(1); set.add(1); [...set].join()", "'3,2,1'"),
    ]);
}

#[test]
fn weak_references_and_finalizers_stay() {
    check(&[
        ("var kept = { name: 'kept' }; var ref = new WeakRef(kept); var done = [];", ""),
        ("ref.deref().name", "'kept'"),
        (
            "var registry = new FinalizationRegistry(held => done.push(held)); registry.register(kept, 'gone');",
            "",
        ),
        ("var weak = new WeakMap([[kept, 7]]); weak.get(kept)", "7"),
        ("weak.get(ref.deref())", "7"),
        ("kept = undefined;", ""),
        ("ref.deref()", ""),
        ("done.join()", "'gone'"),
    ]);
}

#[test]
fn typed_arrays_bigints_and_dates_stay() {
    check(&[
        ("var bytes = new Uint8Array([1, 2, 255]); var view = new DataView(bytes.buffer);", ""),
        ("bytes[0] = 9; view.getUint16(0)", "2306"),
        ("new Float64Array([0.5, -0, NaN]).join()", "'0.5,0,NaN'"),
        ("var big = 2n ** 200n;", ""),
        ("big + 1n === 2n ** 200n + 1n", "true"),
        ("var day = new Date(86400000);", ""),
        ("day.toISOString()", "'1970-01-02T00:00:00.000Z'"),
        ("var grown = new Float32Array(100000).fill(1.5); grown.length", "100000"),
        ("grown[99999]", "1.5"),
    ]);
}

#[test]
fn regular_expressions_keep_their_place() {
    check(&[
        ("var re = /a(\\d)/g; var text = 'a1 a2 a3';", ""),
        ("re.exec(text)[1]", "'1'"),
        ("re.lastIndex", "2"),
        ("re.exec(text)[1]", "'2'"),
        ("re.exec(text)[1]", "'3'"),
        ("re.exec(text)", "null"),
    ]);
}

#[test]
fn a_generator_suspended_in_the_middle_goes_on() {
    check(&[
        (
            "function* walk() { let sum = 0; try { for (let i = 1; ; i++) sum += i * (yield sum); } finally { done = sum; } }",
            "",
        ),
        ("var done; var g = walk(); g.next().value", "0"),
        ("g.next(10).value", "10"),
        ("g.next(10).value", "30"),
        ("g.return(5).value", "5"),
        ("done", "30"),
    ]);
}

#[test]
fn an_async_function_awaits_across_restarts() {
    check(&[
        ("var resolve, reject, log = [];", ""),
        ("var gate = new Promise((yes, no) => { resolve = yes; reject = no; });", ""),
        (
            "async function wait() { log.push('before'); const got = await gate; log.push(got); return got * 2; }",
            "",
        ),
        ("var result = wait(); log.join()", "'before'"),
        ("result", "Promise { <pending> }"),
        ("resolve(21); log.join()", "'before'"),
        ("log.join()", "'before,21'"),
        ("result", "Promise { 42 }"),
        ("await result", "42"),
    ]);
}

#[test]
fn async_generators_and_iterators_stay() {
    check(&[
        ("async function* numbers() { let n = 0; while (true) yield n++; }", ""),
        ("var it = numbers();", ""),
        ("(await it.next()).value", "0"),
        ("(await it.next()).value", "1"),
        ("var entries = ['x', 'y'].entries(); entries.next().value.join()", "'0,x'"),
        ("entries.next().value.join()", "'1,y'"),
    ]);
}

#[test]
fn at_a_turns_end_no_microtask_is_left() {
    check(&[
        (
            "var order = []; Promise.resolve().then(() => order.push(1)).then(() => order.push(2)); queueMicrotask(() => order.push(3)); order.push(0);",
            "1",
        ),
        ("order.join()", "'0,1,3,2'"),
    ]);
}

#[test]
fn declarations_may_be_made_again_at_the_prompt() {
    check(&[
        ("let x = 1; const y = 2; class C { v() { return 1; } }", ""),
        ("let x = 3; const y = 4; class C { v() { return 2; } }", ""),
        ("x + y + new C().v()", "9"),
        ("const x = 5", ""),
        ("x", "5"),
    ]);
}

#[test]
fn a_program_of_its_own_is_a_module_with_handlers() {
    let program = "let count = 0; export default { message(msg) { count += msg.data.n; return count; } };";
    let mut world = World::with(program, Ways { restart_always: true, ..Ways::default() });
    let add = |n: i64| everturn::Ipld::Map([("n".to_owned(), everturn::Ipld::Integer(n.into()))].into());
    assert_eq!(world.send(add(2)).outcome, Ok(Some(everturn::Ipld::Integer(2))));
    assert_eq!(world.send(add(40)).outcome, Ok(Some(everturn::Ipld::Integer(42))));
}

/// A heap whose cycles cost more to collect than a turn may burn goes on: a collection has fuel of its own, and one
/// that exceeds even that is put off.
#[test]
fn a_heap_that_is_dear_to_collect_keeps_working() {
    for collect_fuel_per_byte in [1_000, 0] {
        let mut settings = Settings::default();
        settings.limits.turn_fuel = 200_000_000;
        settings.limits.collect_fuel_per_byte = collect_fuel_per_byte;
        let mut world = World::with("var keep = [];", Ways { settings, ..Ways::default() });
        for round in 0..40 {
            world.eval(
                "for (let i = 0; i < 5000; i++) { const a = {}; a.self = [a]; keep.push(a); } keep.length",
            );
            if round % 8 == 7 {
                world.eval("keep = []; 0");
            }
        }
        assert_eq!(world.eval("keep.length"), "0");
    }
}

/// Whoever waited for the end may open the folder again at once: every thread has let go of the store.
#[test]
fn who_stopped_has_the_store_for_itself() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for _ in 0..50 {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let settings = Settings { threads: NonZeroUsize::new(8), ..Settings::default() };
        let building = Hypervisor::builder().shared_store(store.clone()).settings(settings).build();
        let hypervisor = runtime.block_on(building).unwrap();
        runtime.block_on(hypervisor.stop()).unwrap();
        assert_eq!(Arc::strong_count(&store), 1);
    }
}
