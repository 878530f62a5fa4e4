//! What goes wrong, what is said, and with which exit code.

use std::fs;

use crate::world::World;

#[test]
fn a_wrong_command_line_ends_with_2() {
    let world = World::new();
    for words in [
        &["shell", "--nonsense"][..],
        &["nonsense"],
        &["eval"],
        &["run"],
        &["root", "--ticks", "many"],
        &["completions", "tcsh-2"],
        &[],
    ] {
        let ran = world.everturn(words);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{words:?}: {ran:?}");
        assert!(!ran.err.is_empty(), "{words:?}");
    }
    assert!(!world.path("data").exists());
}

#[test]
fn a_message_that_is_no_json_ends_with_2_and_says_where() {
    let world = World::new();
    world.file("app.js", "");
    let ran = world.everturn(&["run", "app.js", "--message", "{\"n\": }"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("line 1 column 7"), "{ran:?}");
    assert!(!world.path("data").exists(), "nothing was begun");
}

#[test]
fn commands_that_need_a_session_do_not_begin_one() {
    let world = World::new();
    world.file("app.js", "");
    for words in [&["root"][..], &["load", "app.js"]] {
        let ran = world.everturn(words);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.err.contains("no session in data") && ran.err.contains("everturn shell"), "{ran:?}");
        assert!(!world.path("data").exists());
    }
}

#[test]
fn a_missing_or_unreadable_file_is_named() {
    let world = World::new();
    world.file("binary.js", [0xff, 0xfe]);
    for (file, part) in [("absent.js", "No such file"), ("binary.js", "UTF-8"), (".", "directory")] {
        let ran = world.everturn(&["run", file]);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.err.contains(file) && ran.err.contains(part), "{ran:?}");
        assert!(!world.path("data").exists(), "nothing was begun");
    }
}

#[test]
fn a_data_folder_that_is_a_file_is_refused() {
    let world = World::new();
    world.file("data", "something else");
    for words in [&["shell"][..], &["root"]] {
        let ran = world.everturn(words);
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
        assert!(
            ran.err.contains("data") && ran.err.contains("hint: a data folder has to be a folder"),
            "{ran:?}"
        );
    }
    assert_eq!(fs::read_to_string(world.path("data")).unwrap(), "something else");
}

#[test]
fn a_folder_with_other_things_is_refused_and_left_alone() {
    let world = World::new();
    fs::create_dir(world.path("data")).unwrap();
    world.file("data/letter.txt", "dear");
    let ran = world.everturn(&["eval", "1"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("letter.txt"), "{ran:?}");
    assert_eq!(fs::read_dir(world.path("data")).unwrap().count(), 1);
}

#[test]
fn a_folder_in_use_names_its_holder() {
    let world = World::new();
    let mut shell = world.shell();
    shell.answer();
    let ran = world.everturn(&["eval", "1"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    assert!(
        ran.err.contains(&format!("process {}", shell.child.id())) && ran.err.contains("shell"),
        "{ran:?}"
    );
    assert_eq!(shell.ask("1 + 1"), "2", "whoever has it goes on");
    assert_eq!(shell.end().code, Some(0));
    assert_eq!(world.everturn(&["eval", "1"]).out, "1\n");
}

#[test]
fn a_folder_of_a_newer_format_is_refused_and_left_alone() {
    let world = World::new();
    world.everturn(&["eval", "1"]);
    let format = world.path("data").join("store/FORMAT");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replace("format 3\n", "format 999\n")).unwrap();
    let ran = world.everturn(&["eval", "1"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("999") && ran.err.contains("newer everturn"), "{ran:?}");
    fs::write(&format, text).unwrap();
    assert_eq!(world.everturn(&["eval", "1"]).code, Some(0));
}

#[test]
fn a_damaged_folder_is_refused_with_advice() {
    let world = World::new();
    world.everturn(&["eval", "1"]);
    fs::write(world.path("data").join("store/FORMAT"), "what?").unwrap();
    let ran = world.everturn(&["shell"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    assert!(ran.err.contains("hint: nothing was changed"), "{ran:?}");
}

#[test]
fn a_tracker_that_is_none_is_a_usage_error() {
    let world = World::new();
    let output = world.command(&["version"]).env("EVERTURN_TRACKER", "nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nonsense"));
}

#[test]
fn help_is_no_error_and_shows_the_exit_codes() {
    let world = World::new();
    let ran = world.everturn(&["--help"]);
    assert_eq!(ran.code, Some(0));
    for part in ["Examples:", "Exit codes:", "130", "EVERTURN_CACHE"] {
        assert!(ran.out.contains(part), "{part} is missing");
    }
    for command in ["shell", "eval", "run", "load", "root", "version", "completions"] {
        assert_eq!(world.everturn(&[command, "--help"]).code, Some(0), "{command}");
        assert!(ran.out.contains(command), "{command} is missing");
    }
}
