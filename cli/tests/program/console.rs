//! Lines that a program prints: in a file each is once and in order, whenever the program is killed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::world::World;

const KILLS: u64 = 60;
/// Lines that one life is given.
const LINES: usize = 40;
/// Two lines a turn, and no result.
const STEP: &str = "print('line ' + ++n); print('line ' + ++n); void 0\n";

/// A life whose standard output goes to a file that others have written to.
fn live(world: &World, words: &[&str], lifetime: Option<Duration>) {
    let out =
        OpenOptions::new().create(true).append(true).open(world.path("out")).expect("a file can be opened");
    let mut command = world.command(&[&["shell"], words].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(out).stderr(Stdio::null()).spawn().expect("everturn starts");
    let mut typed = child.stdin.take().expect("its input is a pipe");
    // It fits the pipe, so this does not wait for the program.
    typed.write_all(STEP.repeat(LINES).as_bytes()).expect("everturn reads its input");
    drop(typed);
    if let Some(lifetime) = lifetime {
        thread::sleep(lifetime);
        let _ = child.kill();
    }
    child.wait().expect("it ends");
}

fn printed(world: &World) -> Vec<u64> {
    let out = fs::read_to_string(world.path("out")).unwrap_or_default();
    out.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect()
}

#[test]
fn each_line_is_in_the_file_once_whatever_is_killed() {
    let world = World::new();
    assert_eq!(world.lines(&["var n = 0; n"]).code, Some(0));
    let mut cut_short = 0;
    for kill in 0..KILLS {
        let before = printed(&world).len();
        live(&world, &[], Some(Duration::from_micros(20_000 + kill * 1_379 % 60_000)));
        cut_short += u64::from(printed(&world).len() - before < 2 * LINES);
    }
    live(&world, &[], None);
    let printed = printed(&world);
    let all = world.lines(&["n"]);
    assert_eq!(all.answers().last(), Some(&printed.len().to_string().as_str()), "{all:?}");
    assert!(printed.iter().copied().eq(1..=printed.len() as u64), "{printed:?}");
    println!("{KILLS} kills, {cut_short} of them in the middle, {} lines, each once", printed.len());
    assert!(cut_short > 0, "no life was cut short");
}

#[test]
fn for_programs_each_line_has_its_number() {
    let world = World::new();
    for (life, first) in [(1, 1), (2, 3)] {
        let ran = world.lines_with(&["--json"], &["print('a'); print('b')"]);
        let events = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
        let numbers: Vec<Value> =
            events.filter(|event| event["event"] == "line").map(|event| event["number"].clone()).collect();
        assert_eq!(numbers, [Value::from(first), Value::from(first + 1)], "life {life}: {}", ran.out);
    }
}

#[test]
fn a_console_file_that_is_damaged_loses_no_line() {
    let world = World::new();
    assert_eq!(world.lines(&["print('one')"]).code, Some(0));
    fs::write(world.path("data/console"), b"this is no mark").expect("it can be written");
    let ran = world.lines(&["print('two')"]);
    assert_eq!((ran.code, ran.answers().contains(&"two")), (Some(0), true), "{ran:?}");
    fs::remove_file(world.path("data/console")).expect("it was made again");
    fs::create_dir(world.path("data/console")).expect("a folder can be made");
    let ran = world.lines(&["print('three')"]);
    assert_eq!((ran.code, ran.answers().contains(&"three")), (Some(0), true), "{ran:?}");
}
