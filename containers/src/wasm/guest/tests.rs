use std::sync::Arc;

use everturn_heap::{NothingCommitted, TrackerKind};

use super::*;
use crate::wasm::program::{Role, Runtime};

/// A guest that writes where it is told, grows, traps, runs for ever, and uses stack.
const GUEST: &str = r#"(module
    (memory (export "memory") 2)
    (global $sp (export "__stack_pointer") (mut i32) (i32.const 65536))
    (data (i32.const 70000) "begun")
    (func (export "everturn_message") (param i32))
    (func (export "write") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
    (func (export "trap") (param i32 i32)
        (i32.store (local.get 0) (local.get 1))
        (drop (memory.grow (i32.const 3)))
        (i32.store (i32.const 200000) (i32.const 7))
        unreachable)
    (func (export "for_ever") (loop (br 0)))
    (func (export "stack") (param i32)
        (local $frame i32)
        (local.set $frame (i32.sub (global.get $sp) (i32.const 4096)))
        (global.set $sp (local.get $frame))
        (i32.store (local.get $frame) (local.get 0))
        (global.set $sp (i32.add (local.get $frame) (i32.const 4096))))
)"#;

fn program(wat: &str, tracker: TrackerKind) -> Result<Program, WasmError> {
    let runtime = Arc::new(Runtime::new(None, Some(tracker))?);
    Program::prepare(&runtime, wat::parse_str(wat).unwrap(), user(), &|_| {})
}

fn user() -> Role<'static> {
    Role::User { heap_bytes_max: 1 << 20 }
}

fn memory(guest: &Guest) -> Vec<u8> {
    let mut bytes = vec![0; guest.heap.region().bytes() as usize];
    guest.heap.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_trap_is_undone_memory_size_and_all() {
    for tracker in TrackerKind::ALL {
        let program = program(GUEST, tracker).unwrap();
        let mut guest = Guest::start(&program, program.heap(1 << 20).unwrap()).unwrap();
        let write = guest.function::<(i32, i32), ()>("write").unwrap();
        assert!(matches!(guest.call(&write, (70_000, 1), 1_000).unwrap(), Ended::Returned(())));
        guest.heap.savepoint(&NothingCommitted).unwrap();
        let before = memory(&guest);
        let trap = guest.function::<(i32, i32), ()>("trap").unwrap();
        match guest.call(&trap, (4, 9), 100_000).unwrap() {
            Ended::Trapped(why) => assert!(why.contains("unreachable"), "{why}"),
            _ => panic!("it traps"),
        }
        guest.rollback(&program, &NothingCommitted).unwrap();
        assert!(memory(&guest) == before, "{tracker}: as before, 2 wasm pages long");
        // The instance is a new one, since its memory cannot shrink; it works on the same heap.
        let write = guest.function::<(i32, i32), ()>("write").unwrap();
        assert!(matches!(guest.call(&write, (131_068, 5), 1_000).unwrap(), Ended::Returned(())));
        assert!(matches!(guest.call(&write, (131_072, 5), 1_000).unwrap(), Ended::Trapped(_)));
    }
}

#[test]
fn fuel_ends_what_never_ends_and_a_person_may_too() {
    let program = program(GUEST, TrackerKind::Compare).unwrap();
    let mut guest = Guest::start(&program, program.heap(1 << 20).unwrap()).unwrap();
    let for_ever = guest.function::<(), ()>("for_ever").unwrap();
    assert!(matches!(guest.call(&for_ever, (), 1_000_000).unwrap(), Ended::OutOfFuel));
    let raised = AtomicBool::new(true);
    let ended = guest.call_interruptible(&program, &for_ever, (), u64::MAX / 2, &raised).unwrap();
    assert!(matches!(ended, Ended::Interrupted));
    assert!(!raised.load(Ordering::Relaxed), "the flag is lowered with what it ended");
    let write = guest.function::<(i32, i32), ()>("write").unwrap();
    assert!(matches!(guest.call(&write, (0, 1), 1_000).unwrap(), Ended::Returned(())));
}

/// An engine, which counts its fuel itself and asks whether it is to go on.
const ENGINE: &str = r#"(module
    (import "everturn" "poll" (func $poll))
    (memory (export "memory") 2)
    (func (export "initialise") (result i32) (i32.const 0))
    (func (export "for_ever") (loop (call $poll) (br 0)))
    (func (export "rounds") (param i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 7) (local.get 0)))
    (func $twice (export "twice") (param i32)
        (if (local.get 0) (then
            (call $twice (i32.sub (local.get 0) (i32.const 1)))
            (call $twice (i32.sub (local.get 0) (i32.const 1)))))))"#;

fn engine() -> Program {
    let runtime = Arc::new(Runtime::new(None, Some(TrackerKind::Compare)).unwrap());
    Program::prepare(&runtime, wat::parse_str(ENGINE).unwrap(), Role::Engine("initialise"), &|_| {}).unwrap()
}

#[test]
fn an_engine_pays_for_rounds_calls_and_bytes() {
    let program = engine();
    let mut guest = Guest::start(&program, program.heap(1 << 20).unwrap()).unwrap();
    // Also where there is more than a module can be given.
    for fuel in [1_000_000, u64::MAX] {
        let mut burnt = |name: &str, parameter: i32| {
            let function = guest.function::<i32, ()>(name).unwrap();
            assert!(matches!(guest.call(&function, parameter, fuel).unwrap(), Ended::Returned(())));
            fuel - guest.fuel_left()
        };
        let round = burnt("rounds", 1);
        assert!(round > 0);
        assert_eq!(burnt("rounds", 1_000), 1_000 * round);
        assert_eq!(burnt("fill", 70_000), 70_000);
        // Two calls, each of which pays for itself.
        assert_eq!(burnt("twice", 4), 31 * burnt("twice", 0));
    }
    for (name, parameter) in [("rounds", 1_000), ("fill", 70_000), ("twice", 6)] {
        let function = guest.function::<i32, ()>(name).unwrap();
        assert!(matches!(guest.call(&function, parameter, 1_000_000).unwrap(), Ended::Returned(())));
        let enough = 1_000_000 - guest.fuel_left();
        assert!(matches!(guest.call(&function, parameter, enough).unwrap(), Ended::Returned(())));
        assert_eq!(guest.fuel_left(), 0);
        assert!(matches!(guest.call(&function, parameter, enough - 1).unwrap(), Ended::OutOfFuel), "{name}");
        assert_eq!(guest.fuel_left(), 0);
    }
}

#[test]
fn an_engine_that_asks_is_interrupted() {
    let program = engine();
    let mut guest = Guest::start(&program, program.heap(1 << 20).unwrap()).unwrap();
    let for_ever = guest.function::<(), ()>("for_ever").unwrap();
    let raised = Arc::new(AtomicBool::new(true));
    let ended = guest.call_watched(&for_ever, (), 1_000_000, Some(raised.clone())).unwrap();
    assert!(matches!(ended, Ended::Interrupted));
    assert!(!raised.load(Ordering::Relaxed), "the flag is lowered with what it ended");
    let ended = guest.call_watched(&for_ever, (), 1_000_000, Some(raised.clone())).unwrap();
    assert!(matches!(ended, Ended::OutOfFuel), "nobody has raised it");
    // Whoever comes after it is not watched.
    raised.store(true, Ordering::Relaxed);
    assert!(matches!(guest.call(&for_ever, (), 1_000_000).unwrap(), Ended::OutOfFuel));
}

#[test]
fn the_stack_that_a_turn_used_is_wiped() {
    let program = program(GUEST, TrackerKind::Compare).unwrap();
    let mut guest = Guest::start(&program, program.heap(1 << 20).unwrap()).unwrap();
    let before = memory(&guest);
    let stack = guest.function::<i32, ()>("stack").unwrap();
    guest.call(&stack, 77, 1_000).unwrap();
    assert!(memory(&guest) != before);
    guest.finish_turn().unwrap();
    assert!(memory(&guest) == before);
}

#[test]
fn calls_that_nest_too_deeply_end_at_the_same_depth() {
    let program = program(
        r#"(module (memory (export "memory") 1) (func (export "everturn_message") (param i32))
            (func $down (export "down") (param i32)
                (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
                (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1)))))))"#,
        TrackerKind::Compare,
    );
    let program = program.unwrap();
    let mut guest = Guest::start(&program, program.heap(1 << 20).unwrap()).unwrap();
    let down = guest.function::<u32, ()>("down").unwrap();
    assert!(matches!(guest.call(&down, 1_000, 1_000_000).unwrap(), Ended::Returned(())));
    assert!(matches!(guest.call(&down, 1_000_000, 1_000_000_000).unwrap(), Ended::TooDeep));
    let depth = u32::from_le_bytes(memory(&guest)[..4].try_into().unwrap()) - 1_001;
    // A frame weighs 8, two values for the parameter and at most 3 operands, and its length adds nothing yet.
    assert_eq!(depth, LIMIT_UNITS / (8 + 2 * 4), "golden: a change here changes outcomes");
    guest.rollback(&program, &NothingCommitted).unwrap();
    let down = guest.function::<u32, ()>("down").unwrap();
    assert!(matches!(guest.call(&down, 1_000, 1_000_000).unwrap(), Ended::Returned(())));
}

/// A function of each shape that makes frames large, as text: its locals, and what it does around the call of itself.
fn heavy_frames() -> Vec<(&'static str, String, String)> {
    let kept = |ty: &str, count: u32, load: &str, drop: &str| {
        let set = (0..count).map(|n| format!("(local.set $x{n} ({load} (i32.const {})))", 16 * (n % 4_000)));
        let used = (0..count).map(|n| drop.replace('?', &format!("(local.get $x{n})")));
        let locals = (0..count).map(|n| format!("(local $x{n} {ty})"));
        let body = set.chain(["(call $down)".to_owned()]).chain(used).collect::<String>();
        (locals.collect::<String>(), body)
    };
    let of_64 = "(i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) ?))";
    let of_128 = "(v128.store (i32.const 0) (v128.xor (v128.load (i32.const 0)) ?))";
    let (few, few_body) = kept("i64", 3, "i64.load", of_64);
    let (many, many_body) = kept("i64", 2_000, "i64.load", of_64);
    let (vectors, vectors_body) = kept("v128", 2_000, "v128.load", of_128);
    let (phased, one_phase) = kept("i64", 40, "i64.load", of_64);
    let operands = "(i64.load (i32.const 8))".repeat(900) + "(call $down)" + &"i64.add ".repeat(899) + "drop";
    let loops: String =
        (0..150).map(|n| format!("(local.set $x{n} (i64.add (local.get $x{n}) (i64.const {n})))")).collect();
    let nested =
        "(loop ".repeat(150) + &loops + "(call $down)" + &"(br_if 0 (i32.load (i32.const 4))))".repeat(150);
    let looped = (0..150).map(|n| format!("(local $x{n} i64)")).collect::<String>();
    vec![
        ("few locals", few, few_body),
        ("many locals", many, many_body),
        ("vectors", vectors, vectors_body),
        ("phases, each with values of its own", phased, one_phase.repeat(40)),
        ("operands", String::new(), operands),
        ("nested loops that change every local", looped, nested),
    ]
}

#[test]
fn the_count_of_depth_ends_before_the_native_stack() {
    for (shape, locals, body) in heavy_frames() {
        let wat = format!(
            r#"(module (memory (export "memory") 1) (func (export "everturn_message") (param i32))
                (func $down (export "down") {locals} {body}))"#
        );
        let ended = crate::wasm::config::on_guest_stack(move || {
            let program = program(&wat, TrackerKind::Compare)?;
            let mut guest = Guest::start(&program, program.heap(1 << 20)?)?;
            let down = guest.function::<(), ()>("down")?;
            guest.call(&down, (), 100_000_000_000)
        });
        assert!(
            matches!(ended, Ok(Ended::TooDeep)),
            "{shape}: {}",
            match ended {
                Ok(_) => "it ended in another way".to_owned(),
                Err(error) => error.to_string(),
            }
        );
    }
}
