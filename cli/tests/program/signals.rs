//! Signals, and readers that go away.

use std::process::Stdio;

use crate::world::World;

#[test]
fn ctrl_c_discards_the_running_turn_and_leaves() {
    let world = World::new();
    let mut shell = world.shell();
    assert_eq!(shell.answer(), "Initialized session");
    assert_eq!(shell.ask("var n = 1; n"), "1");
    shell.type_line("n = 2; for (;;) {}");
    shell.signal("INT");
    let ran = shell.finish();
    assert_eq!((ran.code, ran.out.as_str()), (Some(130), ""), "{ran:?}");
    assert_eq!(world.lines(&["n"]).answers(), ["Restored session", "1"]);
}

#[test]
fn asked_to_stop_the_shell_ends_in_order() {
    let world = World::new();
    let mut shell = world.shell();
    shell.answer();
    assert_eq!(shell.ask("var n = 1; n"), "1");
    shell.signal("TERM");
    let ran = shell.finish();
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(world.lines(&["n"]).answers(), ["Restored session", "1"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    let mut child = world
        .command(&["shell"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut typed = child.stdin.take().unwrap();
    // It may be gone before the last line is written.
    let _ = std::io::Write::write_all(&mut typed, b"1\n2\n3\n");
    drop(typed);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
