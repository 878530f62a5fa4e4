//! The other commands.

use crate::world::World;

const COUNTER: &str = "let count = 0;
export default { message(msg) { count += msg.data.n; console.log('count', count); return count; } };";

#[test]
fn eval_remembers_what_it_declared() {
    let world = World::new();
    let ran = world.everturn(&["eval", "var n = 6 * 7; n"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "42\n"), "{ran:?}");
    let ran = world.everturn(&["eval", "++n"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "43\n"), "{ran:?}");
    let ran = world.everturn(&["eval", "undefined"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
}

#[test]
fn eval_ends_with_1_if_it_threw() {
    let world = World::new();
    world.everturn(&["eval", "var n = 1"]);
    let ran = world.everturn(&["eval", "n = 2; nowhere()"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("Uncaught ReferenceError: ") && ran.err.contains("<eval>"), "{ran:?}");
    assert_eq!(world.everturn(&["eval", "n"]).out, "1\n");
}

#[test]
fn run_begins_a_program_and_wakes_it_later() {
    let world = World::new();
    world.file("app.js", COUNTER);
    let ran = world.everturn(&["run", "app.js", "--message", r#"{"n": 2}"#, "--message", r#"{"n": 3}"#]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.answers()[..4], ["count 2", "2", "count 5", "5"], "{ran:?}");
    assert_eq!(ran.answers()[4..], [world.root()]);
    let ran = world.everturn(&["run", "app.js", "--message", r#"{"n": -1}"#]);
    assert_eq!(ran.answers()[..2], ["count 4", "4"], "{ran:?}");
}

#[test]
fn the_same_messages_give_the_same_root() {
    let (one, other) = (World::new(), World::new());
    for world in [&one, &other] {
        world.file("app.js", COUNTER);
    }
    one.everturn(&["run", "app.js", "--message", r#"{"n": 2}"#, "--message", r#"{"n": 3}"#]);
    for message in [r#"{"n": 2}"#, r#"{"n": 3}"#] {
        other.everturn(&["run", "app.js", "--message", message]);
    }
    assert_eq!(one.root(), other.root());
}

#[test]
fn a_message_whose_turn_throws_ends_with_1_and_the_others_count() {
    let world = World::new();
    world.file("app.js", COUNTER);
    let ran = world.everturn(&[
        "run",
        "app.js",
        "--message",
        r#"{"n": 1}"#,
        "--message",
        "null",
        "--message",
        r#"{"n": 1}"#,
    ]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("Uncaught TypeError: "), "{ran:?}");
    assert_eq!(ran.answers()[..4], ["count 1", "1", "count 2", "2"], "{ran:?}");
}

#[test]
fn a_program_that_throws_at_its_beginning_can_be_mended() {
    let world = World::new();
    world.file("app.js", "throw new Error('not yet');");
    let ran = world.everturn(&["run", "app.js"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("Uncaught Error: not yet"), "{ran:?}");
    assert_eq!(world.everturn(&["root"]).code, Some(3));
    world.file("app.js", "var mended = true;");
    assert_eq!(world.everturn(&["run", "app.js"]).code, Some(0));
    assert_eq!(world.everturn(&["eval", "mended"]).out, "true\n");
}

#[test]
fn an_edited_program_has_to_be_loaded() {
    let world = World::new();
    world.file("app.js", "var n = 1; function step() { return n += 1; }");
    world.everturn(&["run", "app.js"]);
    world.everturn(&["eval", "step()"]);
    world.file("app.js", "function step() { return n += 100; }");
    let ran = world.everturn(&["run", "app.js"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("app.js was edited") && ran.err.contains("--reload"), "{ran:?}");
    assert_eq!(world.everturn(&["run", "app.js", "--reload"]).code, Some(0));
    assert_eq!(world.everturn(&["eval", "step()"]).out, "102\n");
    assert_eq!(world.everturn(&["run", "app.js"]).code, Some(0), "it runs this program now");
}

#[test]
fn another_program_and_a_shells_folder_are_told_apart() {
    let world = World::new();
    world.file("app.js", "");
    world.file("other.js", "1");
    world.everturn(&["eval", "1"]);
    let ran = world.everturn(&["run", "app.js"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("begun without a program file"), "{ran:?}");
    assert_eq!(world.everturn(&["load", "app.js"]).code, Some(0));
    let ran = world.everturn(&["run", "other.js"]);
    assert!(ran.err.contains("runs app.js"), "{ran:?}");
}

#[test]
fn a_file_that_throws_when_loaded_changes_nothing() {
    let world = World::new();
    world.file("app.js", "var n = 1;");
    world.everturn(&["run", "app.js"]);
    let before = world.root();
    world.file("edited.js", "n = 2; throw new Error('no');");
    let ran = world.everturn(&["load", "edited.js"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("Uncaught Error: no") && ran.err.contains("edited.js"), "{ran:?}");
    assert_eq!(world.root(), before);
    assert_eq!(world.everturn(&["run", "app.js"]).code, Some(0), "it still runs the program it ran");
}

#[test]
fn root_is_the_same_until_something_happens() {
    let world = World::new();
    world.everturn(&["eval", "var n = 1"]);
    let before = world.root();
    assert!(before.starts_with("bafy"), "{before}");
    assert_eq!(world.root(), before);
    world.everturn(&["eval", "n = 2"]);
    assert_ne!(world.root(), before);
}

#[test]
fn root_at_a_tick_that_is_past_says_which_can_be_had() {
    let world = World::new();
    world.lines(&["1", "2", "3"]);
    let ran = world.everturn(&["root", "--ticks", "0"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ticks = ran.err.split(|c: char| !c.is_ascii_digit()).find(|number| !number.is_empty()).unwrap();
    let ran = world.everturn(&["root", "--ticks", ticks]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.out.trim_end(), world.root());
}

#[test]
fn version_says_what_the_program_is_made_of() {
    let ran = World::new().everturn(&["version"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with(concat!("everturn ", env!("CARGO_PKG_VERSION"), " (")), "{ran:?}");
    for part in ["engine   bafk", "reference engine", "tracker  ", "store    "] {
        assert!(ran.out.contains(part), "{part} is missing: {ran:?}");
    }
}

#[test]
fn completions_are_a_script() {
    let ran = World::new().everturn(&["completions", "bash"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("_everturn()"), "{ran:?}");
}
