//! Same messages, same root, however a wasm container is run; and a turn that fails never was. As `determinism` and
//! `rollback` show for JavaScript.

use std::num::NonZeroUsize;

use everturn::wasm::TrackerKind;
use everturn::{Ipld, Settings, Unloading};

use super::world::{World, creation, module};
use crate::dice::Dice;
use crate::world::Ways;

/// Programs in the ordinary run; EVERTURN_PROGRAMS asks for more.
const PROGRAMS: u64 = 60;

/// Plays what a message says: pairs of an operation and a number. Its children are what its creator sent; what they send
/// back is summed up: failed turns burn ticks, so in which order two children are heard may depend on them.
const PLAYER: &str = r#"(module
    (import "everturn" "input" (func $input (param i32 i32 i32) (result i32)))
    (import "everturn" "answer" (func $answer (param i32 i32) (result i32)))
    (import "everturn" "throw" (func $throw (param i32 i32)))
    (import "everturn" "port_create" (func $create (param i32 i32 i32 i32) (result i32)))
    (import "everturn" "port_bind" (func $bind (param i32 i32 i32) (result i32)))
    (import "everturn" "port_get" (func $get (param i32 i32) (result i32)))
    (import "everturn" "port_delete" (func $delete (param i32 i32) (result i32)))
    (import "everturn" "send" (func $send (param i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2) (data (i32.const 64) "wasm  thrown")
    (global $child (mut i32) (i32.const 0)) (global $refusals (mut i32) (i32.const 0)) (global $came (mut i32) (i32.const 0))
    (global $l (mut i64) (i64.const 88172645463325252)) (global $d (mut f64) (f64.const 1)) (global $v (mut v128) (v128.const i64x2 1 2))
    (func $deep (param i32) (result i32) (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
    (func $noted (param i32) (global.set $refusals (i32.add (global.get $refusals) (i32.shr_u (local.get 0) (i32.const 31)))))
    (func $random (result i64)
        (global.set $l (i64.xor (global.get $l) (i64.shl (global.get $l) (i64.const 13))))
        (global.set $l (i64.xor (global.get $l) (i64.shr_u (global.get $l) (i64.const 7))))
        (global.set $l (i64.xor (global.get $l) (i64.shl (global.get $l) (i64.const 17))))
        (global.get $l))
    (func $play (param $op i32) (param $n i32)
        (i32.store8 (i32.const 80) (i32.add (i32.const 97) (i32.rem_u (local.get $n) (i32.const 3))))
        (i32.store8 (i32.const 81) (i32.rem_u (local.get $n) (i32.const 23)))
        (block $10 (block $9 (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
            (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 (local.get $op)))
          (i64.store (i32.add (i32.const 4096) (i32.mul (local.get $n) (i32.const 211))) (call $random)) (return))
         (global.set $d (f64.sqrt (f64.sub (global.get $d) (f64.convert_i32_u (local.get $n)))))
         (global.set $v (i8x16.add (global.get $v) (i8x16.splat (local.get $n)))) (return))
        (drop (memory.grow (i32.and (local.get $n) (i32.const 1)))) (return))
       (memory.fill (i32.add (i32.const 70000) (i32.mul (local.get $n) (i32.const 200))) (local.get $n) (i32.mul (local.get $n) (i32.const 40))) (return))
      (call $noted (call $bind (i32.const 80) (i32.const 1) (call $create (i32.const 64) (i32.const 4) (i32.const 1024) (global.get $child)))) (return))
     (call $noted (call $send (call $get (i32.const 80) (i32.const 1)) (i32.const 81) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))) (return))
    (call $noted (call $delete (i32.const 80) (i32.const 1))) (return))
   (call $throw (i32.const 70) (i32.const 6)) (return))
  unreachable)
 (drop (call $deep (i32.const 0))) (return))
(drop (i64.load (i32.const -8))))
    (func (export "everturn_create") (param $len i32)
        (global.set $child (call $input (i32.const 1024) (i32.const 0) (local.get $len))))
    (func (export "everturn_message") (param $len i32) (local $at i32)
        (drop (call $input (i32.const 0) (i32.const 0) (local.get $len)))
        (if (i32.ne (i32.and (i32.load8_u (i32.const 0)) (i32.const 0xe0)) (i32.const 0x40)) (then
            (global.set $came (i32.add (global.get $came) (i32.load8_u (i32.const 0)))) (return)))
        (local.set $at (i32.const 1))
        (loop $next (if (i32.lt_u (local.get $at) (local.get $len)) (then
            (call $play (i32.load8_u (local.get $at)) (i32.load8_u (i32.add (local.get $at) (i32.const 1))))
            (local.set $at (i32.add (local.get $at) (i32.const 2)))
            (br $next))))
        (i32.store8 (i32.const 96) (i32.const 0x43))
        (i32.store8 (i32.const 97) (global.get $refusals)) (i32.store8 (i32.const 98) (global.get $came))
        (i32.store8 (i32.const 99) (memory.size))
        (drop (call $answer (i32.const 96) (i32.const 4)))))"#;

/// Sends its parent one more than it gets, and cannot bear 7.
const CHILD: &str = super::CHILD;

/// One message, and whether its turn fails.
#[derive(Clone, Debug)]
struct Step {
    play: Vec<u8>,
    fails: bool,
}

fn program(seed: u64) -> Vec<Step> {
    let mut dice = Dice(seed);
    let turns = 8 + dice.roll(12);
    (0..turns)
        .map(|turn| {
            let mut play = Vec::new();
            for _ in 0..1 + dice.roll(8) {
                play.extend([dice.roll(7) as u8, dice.roll(256) as u8]);
            }
            // In every second program one fails for certain, after some that were done.
            let fails = dice.roll(3) == 0 || (seed.is_multiple_of(2) && turn == turns / 2);
            if fails {
                play.extend([7 + dice.roll(4) as u8, 0]);
            }
            Step { play, fails }
        })
        .collect()
}

/// What each message came to, and the state root at the end.
fn run(steps: &[Step], mut ways: Ways) -> (Vec<String>, String) {
    ways.settings.limits.turn_fuel = 20_000_000;
    ways.settings.limits.heap_bytes_max = 12 << 16;
    let mut world = World::new(ways);
    let init = creation(module(PLAYER), creation(module(CHILD), Ipld::Null));
    let root = world.create("player", init).unwrap();
    let ended = steps.iter().map(|step| match world.send(&root, Ipld::Bytes(step.play.clone())).outcome {
        Ok(answer) => format!("{answer:?}"),
        Err(exception) => format!("failed: {:?} {exception}", exception.kind),
    });
    let ended = ended.collect();
    (ended, world.state_root(&root).to_string())
}

fn settings(savepoint_turns: Option<u32>, batch_turns: Option<u32>, unloading: Unloading) -> Settings {
    Settings { savepoint_turns, batch_turns, unloading, ..Settings::default() }
}

#[test]
fn every_way_gives_a_wasm_container_the_same_root() {
    let steps: Vec<Step> = (1..=3).flat_map(program).collect();
    let reference = run(&steps, Ways::default());
    let threads = |threads| Settings { threads: NonZeroUsize::new(threads), ..Settings::default() };
    let mut ways = vec![
        ("again", Ways::default()),
        ("restart after every turn", Ways { restart_always: true, ..Ways::default() }),
        (
            "unload after every turn",
            Ways { settings: settings(None, None, Unloading::EveryTurn), ..Ways::default() },
        ),
        ("one thread", Ways { settings: threads(1), ..Ways::default() }),
        ("four threads", Ways { settings: threads(4), ..Ways::default() }),
    ];
    for tracker in TrackerKind::ALL {
        ways.push((tracker.name(), Ways { tracker: Some(tracker), ..Ways::default() }));
    }
    for (savepoints, batches) in [(1, 1), (2, 7), (7, 2), (1_000, 1_000)] {
        let settings = settings(Some(savepoints), Some(batches), Unloading::Never);
        ways.push(("savepoints and batches", Ways { settings, ..Ways::default() }));
    }
    for (what, ways) in ways {
        assert_eq!(run(&steps, ways), reference, "{what}");
    }
}

#[test]
fn a_turn_of_a_wasm_container_that_fails_never_was() {
    let programs = std::env::var("EVERTURN_PROGRAMS").ok().and_then(|n| n.parse().ok()).unwrap_or(PROGRAMS);
    let mut failures = std::collections::BTreeMap::<String, u32>::new();
    let mut refusals = 0;
    for seed in 0..programs {
        let steps = program(seed);
        let calm: Vec<Step> = steps.iter().filter(|step| !step.fails).cloned().collect();
        let savepoint_turns = [1, 2, 7, 1_000][(seed % 4) as usize];
        let ways =
            Ways { settings: settings(Some(savepoint_turns), None, Unloading::Never), ..Ways::default() };
        let (ended, root) = run(&steps, ways);
        let (calm_ended, calm_root) = run(&calm, Ways::default());
        for (step, ended) in steps.iter().zip(&ended) {
            assert_eq!(step.fails, ended.starts_with("failed"), "seed {seed}: {ended}");
            if let Some(kind) = ended.strip_prefix("failed: ") {
                *failures.entry(kind.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        let done: Vec<&String> = ended.iter().filter(|ended| !ended.starts_with("failed")).collect();
        assert_eq!(done, calm_ended.iter().collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(root, calm_root, "seed {seed}, {steps:#?}");
        refusals += calm_ended.last().is_some_and(|ended| !ended.contains("Bytes([0,")) as u32;
    }
    println!("{programs} programs, {failures:?}, {refusals} with refusals");
    assert!(failures.len() >= 3 && refusals > 0, "{failures:?}, {refusals}");
}
