//! Taking lines back.

use crate::world::World;

#[test]
fn the_last_lines_are_taken_back_one_by_one() {
    let ran =
        World::new().lines(&["var x = 1;", "var x = 2;", "var x = 3;", ".undo", "x", ".undo", ".undo", "x"]);
    let expected =
        ["Initialized session", "took back: var x = 3;", "2", "took back: x", "took back: var x = 2;", "1"];
    assert_eq!(ran.answers(), expected, "{ran:?}");
}

#[test]
fn lines_of_earlier_sessions_are_taken_back_also_after_a_kill() {
    let world = World::new();
    let mut shell = world.shell();
    shell.answer();
    assert_eq!(shell.ask("var x = 1; x"), "1");
    assert_eq!(shell.ask("x = 2"), "2");
    shell.kill();
    let ran = world.lines(&[".undo", "x"]);
    assert_eq!(ran.answers(), ["Restored session", "took back: x = 2", "1"], "{ran:?}");
    let ran = world.lines(&[".undo", ".undo", "typeof x"]);
    let expected = ["Restored session", "took back: x", "took back: var x = 1; x", "'undefined'"];
    assert_eq!(ran.answers(), expected, "{ran:?}");
}

#[test]
fn a_line_that_threw_is_not_there_to_be_taken_back() {
    let ran = World::new().lines(&["var x = 1;", "var x = 2;", "x = 3; throw 0", ".undo", "x"]);
    assert_eq!(ran.answers(), ["Initialized session", "took back: var x = 2;", "1"], "{ran:?}");
}

#[test]
fn the_state_is_exactly_the_one_before() {
    let world = World::new();
    world.lines(&["var list = [1, 2, 3];"]);
    let before = world.root();
    let ran = world.lines(&[
        "list.push(4); list = list.map(x => x * x); ports.bind('p', ports.create('js', ''));",
        ".undo",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.root(), before);
    assert_eq!(world.lines(&["list"]).answers(), ["Restored session", "[ 1, 2, 3 ]"]);
}

#[test]
fn what_was_done_outside_the_shell_is_a_step_of_its_own() {
    let world = World::new();
    world.lines(&["var x = 1;"]);
    world.everturn(&["eval", "x = 7"]);
    let ran = world.lines(&["var x = 8;", ".undo", ".undo", "x"]);
    let expected =
        ["Restored session", "took back: var x = 8;", "took back: (what was done outside the shell)", "1"];
    assert_eq!(ran.answers(), expected, "{ran:?}");
}

#[test]
fn with_nothing_to_take_back_nothing_happens() {
    let world = World::new();
    let ran = world.lines(&[".undo", "1"]);
    assert_eq!(ran.answers(), ["Initialized session", "1"]);
    assert!(ran.err.contains("nothing to take back"), "{ran:?}");
    let ran = world.lines_with(&["--no-undo"], &["var x = 1;", ".undo", "x"]);
    assert_eq!(ran.answers(), ["Restored session", "1"]);
    assert!(ran.err.contains("--no-undo"), "{ran:?}");
}
