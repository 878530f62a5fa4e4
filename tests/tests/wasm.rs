//! Containers that are WebAssembly modules: how they live, fail, and come back.

mod guests;
mod ways;
pub(crate) mod world;

use everturn::{ExceptionKind, HypervisorError, Ipld, Settings};

use crate::world::Ways;
use world::{World, creation, module};

const COUNTER: &str = include_str!("../../containers/guest/examples/counter.wat");

/// In memory between commits, by a restart after every message, and by leaving memory after every turn.
fn each_way(story: impl Fn(&mut World)) {
    for ways in Ways::to_survive() {
        story(&mut World::new(ways));
    }
}

#[test]
fn a_global_stays() {
    each_way(|world| {
        let counter = world.root(COUNTER);
        assert_eq!(world.ask(&counter, 3), Ipld::Integer(3));
        assert_eq!(world.ask(&counter, 20), Ipld::Integer(23));
        let exception = world.failure(&counter, "three");
        assert_eq!(
            (exception.kind, exception.text.as_str()),
            (ExceptionKind::Throw, "not a number from 0 to 23")
        );
        assert_eq!(world.ask(&counter, 1), Ipld::Integer(24));
        assert_eq!(world.ask(&counter, 23), Ipld::Integer(47));
    });
}

/// Every kind of numeric global, a start function that counts its runs, a passive segment, and a memory that grows: each
/// message answers all of it as bytes.
const EVERYTHING: &str = r#"(module
    (import "everturn" "answer" (func $answer (param i32 i32) (result i32)))
    (memory (export "memory") 1 8)
    (data (i32.const 8) "\58\40")
    (data $passive "passive!")
    (table 4 funcref) (elem (i32.const 1) $step)
    (global $i (mut i32) (i32.const 0)) (global $l (mut i64) (i64.const -1))
    (global $f (mut f32) (f32.const nan:0x200001)) (global $d (mut f64) (f64.const 0))
    (global $v (mut v128) (v128.const i32x4 1 2 3 4)) (global $constant i32 (i32.const 7))
    (start $begin)
    (func $begin (i32.store (i32.const 500) (i32.add (i32.load (i32.const 500)) (i32.const 1))))
    (func $step (result i32)
        (global.set $i (i32.add (global.get $i) (global.get $constant)))
        (global.set $l (i64.mul (global.get $l) (i64.const 3)))
        (global.set $d (f64.sub (global.get $d) (f64.const 0.1)))
        (global.set $v (i32x4.add (global.get $v) (global.get $v)))
        (memory.grow (i32.const 1)))
    (func (export "everturn_message") (param i32)
        (local $size i32)
        (local.set $size (call_indirect (result i32) (i32.const 1)))
        (i32.store (i32.const 10) (i32.load (i32.const 500)))
        (i32.store (i32.const 14) (local.get $size))
        (i32.store (i32.const 18) (global.get $i))
        (i64.store (i32.const 22) (global.get $l))
        (f32.store (i32.const 30) (global.get $f))
        (f64.store (i32.const 34) (global.get $d))
        (v128.store (i32.const 42) (global.get $v))
        (memory.init $passive (i32.const 58) (i32.const 0) (i32.const 8))
        (i64.store (i32.const 66) (i64.load (i32.const 58)))
        (drop (call $answer (i32.const 8) (i32.const 66)))))"#;

#[test]
fn memory_globals_and_segments_come_back_and_the_start_function_does_not() {
    let answers = std::cell::RefCell::new(Vec::new());
    each_way(|world| {
        let root = world.root(EVERYTHING);
        let mut own = Vec::new();
        for turn in 1..=9i32 {
            let Ipld::Bytes(bytes) = world.ask(&root, Ipld::Null) else { panic!("bytes") };
            assert_eq!(bytes[..4], 1i32.to_le_bytes(), "the start function ran once");
            assert_eq!(
                bytes[4..8],
                if turn < 8 { turn } else { -1 }.to_le_bytes(),
                "the memory grows to its maximum"
            );
            assert_eq!(bytes[8..12], (7 * turn).to_le_bytes());
            assert_eq!(bytes[20..24], 0x7fa0_0001u32.to_le_bytes(), "a NaN keeps its bits");
            assert_eq!(bytes[48..56], *b"passive!");
            own.push(bytes);
        }
        own.push(world.state_root(&root).to_bytes());
        answers.borrow_mut().push(own);
    });
    let answers = answers.into_inner();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Writes to its memory with the first message, not before.
const QUIET: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "everturn_message") (param i32)
        (i32.store (i32.const 5000) (i32.add (i32.load (i32.const 5000)) (i32.const 1)))))"#;

#[test]
fn a_root_from_before_the_first_write_leaves_no_page_behind() {
    let roots = std::cell::RefCell::new(Vec::new());
    each_way(|world| {
        let root = world.root(QUIET);
        let mut own = vec![world.state_root(&root)];
        for _ in 0..3 {
            world.ask(&root, Ipld::Null);
            own.push(world.state_root(&root));
        }
        assert_eq!(own.iter().collect::<std::collections::BTreeSet<_>>().len(), own.len(), "{own:?}");
        roots.borrow_mut().push(own);
    });
    assert!(roots.into_inner().windows(2).all(|pair| pair[0] == pair[1]));
}

/// Does what its message says: 0 traps, 1 never ends, 2 recurses, 3 grows as far as it goes, 4 reads outside of its
/// memory by a syscall, 5 answers twice, 6 answers what is no dag-cbor. All but 3, 5 and 6 write to memory and globals first.
const FAILING: &str = r#"(module
    (import "everturn" "input" (func $input (param i32 i32 i32) (result i32)))
    (import "everturn" "answer" (func $answer (param i32 i32) (result i32)))
    (import "everturn" "log" (func $log (param i32 i32 i32)))
    (memory (export "memory") 1)
    (global $turns (mut i32) (i32.const 0))
    (func $deep (param i32) (result i32) (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
    (func (export "everturn_message") (param i32)
        (local $what i32)
        (drop (call $input (i32.const 0) (i32.const 0) (i32.const 1)))
        (local.set $what (i32.load8_u (i32.const 0)))
        (global.set $turns (i32.add (global.get $turns) (i32.const 1)))
        (i32.store (i32.const 5000) (global.get $turns))
        (if (i32.eqz (local.get $what)) (then unreachable))
        (if (i32.eq (local.get $what) (i32.const 1)) (then (loop (br 0))))
        (if (i32.eq (local.get $what) (i32.const 2)) (then (drop (call $deep (i32.const 0)))))
        (if (i32.eq (local.get $what) (i32.const 3)) (then
            (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
            (i32.store8 (i32.const 0) (memory.size))))
        (if (i32.eq (local.get $what) (i32.const 4)) (then (call $log (i32.const 1) (i32.const 65530) (i32.const 100))))
        (if (i32.eq (local.get $what) (i32.const 6)) (then
            (i32.store8 (i32.const 0) (i32.sub (i32.const 0) (call $answer (i32.const 5000) (i32.const 4))))))
        (drop (call $answer (i32.const 0) (i32.const 1)))
        (if (i32.eq (local.get $what) (i32.const 5)) (then
            (i32.store8 (i32.const 0) (i32.load8_u (i32.const 5000)))
            (drop (call $answer (i32.const 0) (i32.const 1)))))))"#;

#[test]
fn a_turn_that_fails_never_was() {
    let mut settings = Settings::default();
    settings.limits.turn_fuel = 10_000_000;
    settings.limits.heap_bytes_max = 16 << 16;
    for savepoint_turns in [None, Some(1), Some(1_000)] {
        let settings = Settings { savepoint_turns, ..settings };
        let mut world = World::new(Ways { settings, ..Ways::default() });
        let root = world.root(FAILING);
        let mut calm = World::new(Ways { settings, ..Ways::default() });
        assert_eq!(calm.root(FAILING), root);
        for (what, kind, text) in [
            (0, ExceptionKind::Trap, "unreachable"),
            (1, ExceptionKind::Fuel, "10000000 units of fuel"),
            (2, ExceptionKind::StackOverflow, "262144 units"),
            (4, ExceptionKind::Trap, "out of bounds"),
        ] {
            assert_eq!(world.ask(&root, 7), Ipld::Integer(7));
            assert_eq!(calm.ask(&root, 7), Ipld::Integer(7));
            let receipt = world.send(&root, what);
            assert_eq!(receipt.burnt.0, settings.limits.turn_fuel, "a trap is charged the whole limit");
            let exception = receipt.outcome.expect_err("it fails");
            assert_eq!(exception.kind, kind, "{exception}");
            assert!(exception.text.contains(text), "{exception}");
            assert_eq!(world.state_root(&root), calm.state_root(&root), "{savepoint_turns:?}, {what}");
        }
        assert_eq!(
            world.ask(&root, 3),
            Ipld::Integer(16),
            "growing ends at the limit, and the guest sees it"
        );
        assert_eq!(world.ask(&root, 5), Ipld::Integer(6), "the last answer counts, and failed turns do not");
        assert_eq!(
            world.ask(&root, 6),
            Ipld::Integer(6),
            "the code of the refusal of an answer that is none"
        );
    }
}

#[test]
fn a_throw_is_charged_what_it_burnt() {
    let mut world = World::new(Ways::default());
    let counter = world.root(COUNTER);
    let receipt = world.send(&counter, "no number");
    assert!((600..2_000).contains(&receipt.burnt.0), "{:?}", receipt.burnt);
}

#[test]
fn a_module_gets_what_its_creator_sent() {
    let keeper = r#"(module
        (import "everturn" "input" (func $input (param i32 i32 i32) (result i32)))
        (import "everturn" "answer" (func $answer (param i32 i32) (result i32)))
        (import "everturn" "throw" (func $throw (param i32 i32)))
        (memory (export "memory") 1) (data (i32.const 1000) "nothing to keep")
        (global $len (mut i32) (i32.const 0))
        (func (export "_initialize") (i32.store8 (i32.const 500) (i32.const 1)))
        (func (export "everturn_create") (param i32)
            (if (i32.or (i32.eqz (i32.load8_u (i32.const 500))) (i32.le_u (local.get 0) (i32.const 1)))
                (then (call $throw (i32.const 1000) (i32.const 15))))
            (global.set $len (call $input (i32.const 0) (i32.const 0) (local.get 0))))
        (func (export "everturn_message") (param i32) (drop (call $answer (i32.const 0) (global.get $len)))))"#;
    let mut world = World::new(Ways { restart_always: true, ..Ways::default() });
    let kept = Ipld::List(vec![Ipld::String("kept".into()), Ipld::Integer(1)]);
    let root = world.create("a", creation(module(keeper), kept.clone())).unwrap();
    assert_eq!(world.ask(&root, Ipld::Null), kept);
    let error = world.create("b", Ipld::Bytes(module(keeper))).unwrap_err();
    assert!(
        matches!(&error, HypervisorError::Exception(exception) if exception.text == "nothing to keep"),
        "{error}"
    );
    assert_eq!(world.inspect().len(), 1, "nothing is left of a creation that failed");
}

#[test]
fn a_creation_that_cannot_be_says_why() {
    let mut settings = Settings::default();
    settings.limits.heap_bytes_max = 1 << 20;
    settings.limits.turn_fuel = 1_000_000;
    let world = World::new(Ways { settings, ..Ways::default() });
    let entry = r#"(func (export "everturn_message") (param i32))"#;
    let padded = format!(r#"(module (memory (export "memory") 1) {entry} (data "{}"))"#, "x".repeat(10_000));
    for (init, kind, text) in [
        (Ipld::Null, ExceptionKind::Invalid, "{module: bytes, init: any}"),
        (Ipld::String("(module)".into()), ExceptionKind::Invalid, "{module: bytes, init: any}"),
        (Ipld::Bytes(b"let x = 1".to_vec()), ExceptionKind::Invalid, "not a valid WebAssembly module"),
        (Ipld::Bytes(module(&format!("(module {entry})"))), ExceptionKind::Invalid, "no memory"),
        (Ipld::Bytes(module(&padded)), ExceptionKind::Fuel, "to compile"),
        (
            Ipld::Bytes(module(&format!(r#"(module (memory (export "memory") 17) {entry})"#))),
            ExceptionKind::OutOfMemory,
            "1114112 bytes",
        ),
        (
            Ipld::Bytes(module(&format!(
                r#"(module (memory (export "memory") 1) {entry} (func $f unreachable) (start $f))"#
            ))),
            ExceptionKind::Trap,
            "unreachable",
        ),
    ] {
        let error = world.create("x", init).unwrap_err();
        let HypervisorError::Exception(exception) = &error else { panic!("{error}") };
        assert_eq!(exception.kind, kind, "{exception}");
        assert!(exception.text.contains(text), "{exception}");
        assert_eq!(world.inspect().len(), 0);
    }
}

/// Makes a child of what its creator sent, and sends on to it all that it gets from outside; what the child sends back is
/// its last word.
const PARENT: &str = r#"(module
    (import "everturn" "input" (func $input (param i32 i32 i32) (result i32)))
    (import "everturn" "answer" (func $answer (param i32 i32) (result i32)))
    (import "everturn" "message_from" (func $from (param i32 i32) (result i32)))
    (import "everturn" "port_create" (func $create (param i32 i32 i32 i32) (result i32)))
    (import "everturn" "port_bind" (func $bind (param i32 i32 i32) (result i32)))
    (import "everturn" "port_get" (func $get (param i32 i32) (result i32)))
    (import "everturn" "send" (func $send (param i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2) (data (i32.const 0) "wasmchild")
    (global $word (mut i32) (i32.const 0xf6))
    (func (export "everturn_create") (param $len i32)
        (if (call $bind (i32.const 4) (i32.const 5)
                (call $create (i32.const 0) (i32.const 4) (i32.const 1024)
                    (call $input (i32.const 1024) (i32.const 0) (local.get $len))))
            (then unreachable)))
    (func (export "everturn_message") (param $len i32)
        (drop (call $input (i32.const 1024) (i32.const 0) (local.get $len)))
        (if (i32.eq (call $from (i32.const 16) (i32.const 64)) (i32.const 5))
            (then (global.set $word (i32.load8_u (i32.const 1024))))
            (else
                (if (call $send (call $get (i32.const 4) (i32.const 5)) (i32.const 1024) (local.get $len)
                        (i32.const 0) (i32.const 0) (i32.const 0))
                    (then unreachable))
                (i32.store8 (i32.const 32) (global.get $word))
                (drop (call $answer (i32.const 32) (i32.const 1)))))))"#;

/// Sends its parent one more than it gets, and cannot bear 7.
const CHILD: &str = r#"(module
    (import "everturn" "input" (func $input (param i32 i32 i32) (result i32)))
    (import "everturn" "port_parent" (func $parent (result i32)))
    (import "everturn" "send" (func $send (param i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "everturn_message") (param $len i32)
        (drop (call $input (i32.const 0) (i32.const 0) (i32.const 1)))
        (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
        (if (call $send (call $parent) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))
            (then unreachable))
        (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 8)) (then unreachable))))"#;

#[test]
fn a_parent_and_its_child_talk_and_an_exception_is_told() {
    each_way(|world| {
        let init = creation(module(PARENT), creation(module(CHILD), Ipld::Null));
        let parent = world.create("parent", init).unwrap();
        assert_eq!(world.ask(&parent, 3), Ipld::Null, "nothing came back yet");
        assert_eq!(world.ask(&parent, 7), Ipld::Integer(4));
        assert_eq!(world.ask(&parent, 9), Ipld::Integer(4), "the turn that failed sent nothing");
        assert_eq!(world.ask(&parent, 0), Ipld::Integer(10));
        let lines = world.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("nothing handles") && lines[0].contains("unreachable"), "{lines:?}");
        assert_eq!(world.inspect().len(), 2);
    });
}

/// Answers with four random bytes; told 1, it asks for more than one may and answers with the refusal's code.
const DRAWER: &str = r#"(module
    (import "everturn" "answer" (func $answer (param i32 i32) (result i32)))
    (import "everturn" "entropy" (func $entropy (param i32 i32) (result i32)))
    (import "everturn" "input" (func $input (param i32 i32 i32) (result i32)))
    (memory (export "memory") 3)
    (func (export "everturn_message") (param i32)
        (local $drawn i32)
        (drop (call $input (i32.const 0) (i32.const 0) (i32.const 1)))
        (local.set $drawn (call $entropy (i32.const 10)
            (select (i32.const 65537) (i32.const 4) (i32.load8_u (i32.const 0)))))
        (if (i32.lt_s (local.get $drawn) (i32.const 0))
            (then
                (i32.store8 (i32.const 9) (i32.add (i32.const 0x20) (i32.sub (i32.const -1) (local.get $drawn))))
                (drop (call $answer (i32.const 9) (i32.const 1))))
            (else
                (i32.store8 (i32.const 9) (i32.const 0x44))
                (drop (call $answer (i32.const 9) (i32.const 5)))))))"#;

#[test]
fn a_module_draws_random_bytes_at_their_price() {
    each_way(|world| {
        let drawer = world.root(DRAWER);
        let [four, more] = [0, 0].map(|told| world.ask(&drawer, told));
        assert!(matches!(&four, Ipld::Bytes(bytes) if bytes.len() == 4), "{four:?}");
        assert_ne!(four, more);
        let cheap = world.send(&drawer, 0).burnt.0;
        assert_eq!(world.ask(&drawer, 1), Ipld::Integer(-22));
        assert!(world.send(&drawer, 1).burnt.0 > cheap + 65_000);
    });
}
