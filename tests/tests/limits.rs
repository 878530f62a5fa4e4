//! Limits as guests meet them: what JavaScript and WebAssembly programs lower for their children, and how they are told.

use everturn::{ExceptionKind, Ipld, Settings};

use crate::wasm::world::{World as WasmWorld, module};
use crate::world::{Ways, World};

/// What a JavaScript child with these limits is told for doing this.
fn child(limits: &str, body: &str) -> Vec<String> {
    let mut world = World::new("");
    let program = format!(
        "var exception = (msg) => console.log(`${{msg.kind}}: ${{msg.message}}`);
         var port = ports.bind('child', ports.create('js', `export default {{ message(msg) {{ {body} }} }};`, {limits}));
         send(port, null); 0"
    );
    world.eval(&program);
    world.idle();
    world.lines()
}

#[test]
fn a_javascript_program_may_lower_limits_of_its_child() {
    let spin = "let sum = 0; for (let i = 0; i < 100000; i++) sum += i; console.log(sum);";
    assert_eq!(child("undefined", spin), ["4999950000"]);
    assert_eq!(child("{}", spin), ["4999950000"]);
    let told = child("{turnFuel: 1000000}", spin);
    assert!(told[0].starts_with("fuel: "), "{told:?}");
    let fill = "globalThis.kept = new Uint8Array(8 << 20); console.log(kept.length)";
    assert_eq!(child("{heapBytesMax: 16 << 20}", fill), ["8388608"]);
    let told = child("{heapBytesMax: 4 << 20}", fill);
    assert!(told[0].contains("memory"), "{told:?}");
    let bind = "for (const name of ['a', 'b']) ports.bind(name, ports.channel()[0]); console.log('bound')";
    assert_eq!(child("{portsMax: 2}", bind), ["bound"]);
    let told = child("{portsMax: 1}", bind);
    assert_eq!(told, ["throw: Refusal: this container has as many ports as it may have"]);
}

#[test]
fn an_engine_that_is_larger_than_a_heap_may_be_is_not_begun() {
    let told = child("{heapBytesMax: 65536}", "");
    assert!(told[0].starts_with("out-of-memory: "), "{told:?}");
}

#[test]
fn limits_that_are_none_make_no_child() {
    let mut world = World::new("");
    for (limits, told) in [
        ("{turnfuel: 1}", "TypeError: ports.create: there is no limit \"turnfuel\""),
        ("{turnFuel: 'much'}", "TypeError: ports.create: turnFuel is not a number"),
        ("{portsMax: -1}", "TypeError: ports.create: portsMax is less than nothing"),
        ("7", "TypeError: ports.create: limits are an object such as {turnFuel: 1000000}"),
    ] {
        let exception = world.line(&format!("ports.create('js', 'console.log(1)', {limits})")).unwrap_err();
        assert_eq!((exception.kind, exception.text.as_str()), (ExceptionKind::Throw, told));
    }
    assert!(world.lines().is_empty(), "nobody ran");
}

#[test]
fn a_line_that_finds_no_room_ends_the_turn() {
    let mut settings = Settings::default();
    settings.limits.outbox_bytes_max = 1_000;
    let mut world = World::with("", Ways { settings, ..Ways::default() });
    // The line's answer lets out some bytes as well.
    world.eval("console.log('x'.repeat(900)); 1");
    let exception = world.line("console.log('x'.repeat(1001))").unwrap_err();
    assert!(exception.text.contains("as many bytes as a turn may let out"), "{exception}");
    let exception = world.line("while (true) console.log('line')").unwrap_err();
    assert!(exception.text.contains("as many bytes as a turn may let out"), "{exception}");
    assert_eq!(world.lines().len(), 1);
}

/// Makes a child of a type that nobody knows, lowers the limit whose number it is told, and answers with the refusal's code.
const CREATOR: &str = r#"(module
    (import "everturn" "input" (func $input (param i32 i32 i32) (result i32)))
    (import "everturn" "answer" (func $answer (param i32 i32) (result i32)))
    (import "everturn" "port_create" (func $create (param i32 i32 i32 i32) (result i32)))
    (import "everturn" "port_lower" (func $lower (param i32 i32 i64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "type\f6")
    (func (export "everturn_message") (param $len i32)
        (drop (call $input (i32.const 0) (i32.const 0) (i32.const 1)))
        (i32.store8 (i32.const 0) (i32.sub (i32.const 0) (call $lower
            (call $create (i32.const 100) (i32.const 4) (i32.const 104) (i32.const 1))
            (i32.load8_u (i32.const 0))
            (i64.const 1))))
        (drop (call $answer (i32.const 0) (i32.const 1)))))"#;

#[test]
fn a_webassembly_module_lowers_limits_by_their_numbers() {
    let mut world = WasmWorld::new(Ways::default());
    let root = world.create("main", Ipld::Bytes(module(CREATOR))).unwrap();
    for limit in 1..=10 {
        assert_eq!(world.ask(&root, limit), Ipld::Integer(0), "{limit}");
    }
    assert_eq!(world.ask(&root, 11), Ipld::Integer(14), "this hypervisor does not know it");
}
