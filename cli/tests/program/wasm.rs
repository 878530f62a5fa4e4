//! WebAssembly modules at the command line.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::world::{Ran, World};

fn world() -> World {
    let world = World::new();
    let counter = include_str!("../../../containers/guest/examples/counter.wat");
    world.file("counter.wasm", wat::parse_str(counter).expect("the example is well-formed"));
    world
}

#[test]
fn a_module_runs_and_goes_on() {
    let world = world();
    let ran = world.everturn(&["run", "counter.wasm", "--message", "3", "--message", "4"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.answers()[..], ["3", "7", &world.root()]);
    let ran = world.everturn(&["run", "counter.wasm", "--message", "\"no\"", "--message", "20"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("not a number from 0 to 23"), "{ran:?}");
    assert_eq!(ran.answers()[..], ["27", &world.root()]);
}

#[test]
fn a_module_is_not_loaded_into_a_living_heap() {
    let world = world();
    world.everturn(&["run", "counter.wasm"]);
    let root = world.root();
    world.file("other.wasm", wat::parse_str("(module)").expect("it is well-formed"));
    for words in [&["run", "other.wasm"][..], &["run", "--reload", "other.wasm"], &["load", "other.wasm"]] {
        let ran = world.everturn(words);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("--data DIR"), "{ran:?}");
    }
    assert_eq!(world.root(), root);
}

#[test]
fn a_line_in_a_folder_of_a_module_is_told_what_to_do() {
    let world = world();
    world.everturn(&["run", "counter.wasm", "--message", "3"]);
    let root = world.root();
    for words in [&["eval", "1 + 1"][..], &["shell"]] {
        let ran = world.everturn(words);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("runs a WebAssembly module"), "{ran:?}");
        assert!(ran.err.contains("everturn run FILE --message"), "{ran:?}");
    }
    assert_eq!(world.root(), root);
}

#[test]
fn a_module_s_state_is_exported_and_lives_on_elsewhere() {
    let world = world();
    world.everturn(&["run", "counter.wasm", "--message", "3"]);
    let exported = world.everturn(&["export", "state.car"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let at =
        |data: &str, words: &[&str]| Ran::from(world.command_on(data, words).output().expect("it starts"));
    for (data, words) in
        [("found", &["import", "state.car"][..]), ("said", &["import", "state.car", "--type", "wasm"])]
    {
        let imported = at(data, words);
        assert_eq!(
            (imported.code, imported.out.trim_end()),
            (Some(0), world.root().as_str()),
            "{imported:?}"
        );
        let inspected = at(data, &["inspect"]);
        assert!(inspected.out.contains("wasm"), "{inspected:?}");
    }
    let imported = at("wrong", &["import", "state.car", "--type", "js"]);
    assert_ne!(imported.code, Some(0), "{imported:?}");
    assert!(!world.path("wrong").exists(), "a folder that it made is gone");
}

#[test]
fn a_module_that_cannot_be_a_container_says_why() {
    let world = World::new();
    world.file("counter.wat", "(module)");
    let ran = world.everturn(&["run", "counter.wat"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("wat2wasm"), "{ran:?}");
    world.file("empty.wasm", wat::parse_str("(module)").expect("it is well-formed"));
    let ran = world.everturn(&["run", "empty.wasm"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("no memory") && ran.err.contains("export it as \"memory\""), "{ran:?}");
}

/// Kills in the middle of a long list of messages: each life goes on from at least what it has seen answered. The counter
/// counts to 255 and begins again.
#[test]
fn a_module_goes_on_after_a_kill() {
    let world = world();
    let mut seen = 0;
    for life in 1..=5 {
        let mut command = world.command(&["run", "counter.wasm"]);
        command.args(std::iter::repeat_n(["--message", "1"], 3_000).flatten());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("everturn starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        let answer = |line: std::io::Result<String>| line.ok()?.parse::<u64>().ok();
        let first: Vec<u64> = lines.by_ref().take(7 * life).filter_map(answer).collect();
        assert_eq!(first.len(), 7 * life);
        child.kill().expect("it is still running");
        assert_eq!(child.wait().expect("it ends").code(), None);
        for (place, answer) in first.into_iter().chain(lines.map_while(answer)).enumerate() {
            // One may have been kept without an answer: the message under way when the life before was killed.
            let kept = u64::from(place == 0 && answer == (seen + 2) % 256);
            assert_eq!(answer, (seen + 1 + kept) % 256, "life {life}, answer {place}");
            seen = answer;
        }
    }
    let ran = world.everturn(&["run", "counter.wasm", "--message", "0"]);
    let last: u64 = ran.answers()[0].parse().expect("an answer is a number");
    assert!(last == seen || last == (seen + 1) % 256, "{last} after {seen}");
}
