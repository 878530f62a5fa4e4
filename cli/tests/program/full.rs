//! A disk that is full, as far as a user may fill one: files may grow no further than a bound that the shell sets, and standard output
//! has no room. Each ends with a message and exit code 3, and what was answered is there afterwards.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::web::Site;
use crate::world::{Ran, World};

/// Each request adds what no store makes small.
const GROWS: &str = "let n = 0; const kept = [];
    export default { fetch() {
        const bytes = new Uint8Array(200_000);
        for (let at = 0; at < bytes.length; at += 32) bytes[at] = Math.random() * 256;
        kept.push(bytes);
        return new Response(`${++n}`);
    } };";

/// A command whose files may have so many blocks. A write past that is an error, since the signal that goes with it is ignored.
fn bounded(world: &World, blocks: u32, words: &[&str]) -> Command {
    let whole = world.command(words);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"")).arg("sh");
    command.arg(whole.get_program()).args(whole.get_args()).current_dir(world.path(""));
    for (name, value) in whole.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn a_server_that_cannot_write_any_more_says_so_and_loses_nothing() {
    let world = World::new();
    world.file("app.js", GROWS);
    let site = world.serve("app.js", &[]);
    assert_eq!(site.get("/"), (200, "1".to_owned()));
    site.talk.signal("TERM");
    assert_eq!(site.talk.finish().code, Some(0));
    let site = Site::begin(bounded(&world, 20_000, &["serve", "app.js", "--http", "127.0.0.1:0"]));
    let mut last = 1;
    let ended = loop {
        match site.visit().get("/") {
            Ok((200, number)) => last = number.parse::<u32>().expect("it counts"),
            other => break other,
        }
    };
    assert!(!matches!(&ended, Ok((status, _)) if *status != 503), "{ended:?}");
    let ran = site.talk.finish();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for part in ["everturn: the hypervisor has stopped: the store at data failed: ", "hint: ", "is lost"] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    assert!(!ran.err.contains("is gone"), "it says why: {ran:?}");
    assert_eq!(world.everturn(&["check"]).code, Some(0));
    let next = world.serve("app.js", &[]).get("/");
    // The turn that was under way may be durable though nobody heard of it.
    assert!(
        next == (200, format!("{}", last + 1)) || next == (200, format!("{}", last + 2)),
        "{last}: {next:?}"
    );
}

#[test]
fn a_folder_for_which_there_is_no_room_is_told() {
    let world = World::new();
    world.file("app.js", GROWS);
    for words in [&["eval", "1"][..], &["serve", "app.js", "--http", "127.0.0.1:0"]] {
        let ran = Ran::from(bounded(&world, 8, words).stdin(Stdio::null()).output().expect("sh starts"));
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{words:?}: {ran:?}");
        assert!(
            ran.err.contains("everturn: the store at data") && ran.err.contains("ulimit -f"),
            "{words:?}: {ran:?}"
        );
    }
    assert_eq!(world.everturn(&["eval", "1 + 1"]).out, "2\n", "with room it can be used");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_has_no_room_is_told() {
    let world = World::new();
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = world.command(&["eval", "globalThis.n = 7"]).stdout(full).output().expect("everturn starts");
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("standard output: No space left"), "{ran:?}");
    assert_eq!(world.everturn(&["eval", "n"]).out, "7\n", "the turn was done");
}
