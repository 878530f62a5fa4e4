//! Inputs that are kept, and the command that runs them again.

use std::thread;
use std::time::Duration;

use crate::world::World;

const PROGRAM: &str = "let drawn = []; export default { message(msg) {
    drawn.push(crypto.randomUUID(), Date.now(), Math.random());
    if (msg.data === 13) throw new Error('unlucky');
    setTimeout(() => drawn.push('later'), 0);
    return drawn.length; } };";

/// The address after `from` in what a command says of keeping.
fn beginning(said: &str) -> String {
    let from = said.split("inputs are kept from ").nth(1).unwrap_or_else(|| panic!("{said}"));
    from.split_once(' ').map_or(from, |(cid, _)| cid).to_owned()
}

#[test]
fn what_was_kept_is_run_again_by_a_command() {
    let world = World::new();
    world.file("app.js", PROGRAM);
    let begun = world.everturn(&["run", "app.js", "--keep-inputs", "--message", "1"]);
    assert_eq!(begun.code, Some(0), "{begun:?}");
    let from = beginning(&begun.err);
    // A later command goes on keeping without being told.
    let more = world.everturn(&["run", "app.js", "--message", "2", "--message", "13"]);
    assert_eq!(more.code, Some(1), "{more:?}");
    world.everturn(&["eval", "crypto.getRandomValues(new Uint8Array(8)).length"]);
    let root = world.root();
    let inspected = world.everturn(&["inspect"]);
    assert_eq!(beginning(&inspected.out), from);
    for threads in ["1", "4"] {
        let replayed = world.everturn(&["replay", "--from", &from, "--threads", threads]);
        assert_eq!(replayed.code, Some(0), "{replayed:?}");
        assert!(replayed.out.contains(&root), "{replayed:?}");
        assert_eq!(replayed.err, "", "what threw was told when it did");
        assert!(replayed.answers().last().unwrap().contains("state roots are equal"), "{replayed:?}");
    }
    assert_eq!(world.root(), root, "a replay changes nothing");
    let json = world.everturn(&["replay", "--json", "--from", &from]);
    assert!(json.out.contains(r#""event":"replayed""#) && json.out.contains(r#""equal":true"#), "{json:?}");
}

#[test]
fn lives_that_were_killed_are_run_again() {
    let world = World::new();
    let begun = world.lines_with(&["--keep-inputs"], &["var n = 0, log = []"]);
    let from = beginning(&begun.err);
    for life in 0..8 {
        let mut shell = world.shell();
        for _ in 0..20 {
            shell.type_line("log.push(crypto.randomUUID()); n++");
        }
        thread::sleep(Duration::from_millis(150 + 90 * life));
        shell.child.kill().unwrap();
        shell.child.wait().unwrap();
    }
    let replayed = world.everturn(&["replay", "--from", &from]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.out.contains(&world.root()), "{replayed:?}");
}

#[test]
fn what_cannot_be_run_again_is_told_with_what_to_do() {
    let world = World::new();
    let none =
        world.everturn(&["replay", "--from", "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"]);
    assert_eq!(none.code, Some(3), "{none:?}");
    let usage = world.everturn(&["replay"]);
    assert_eq!(usage.code, Some(2), "{usage:?}");
    world.lines(&["1"]);
    let other = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua";
    let nothing = world.everturn(&["replay", "--from", other]);
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
    assert!(
        nothing.err.contains("no inputs are kept") && nothing.err.contains("--keep-inputs"),
        "{nothing:?}"
    );
    let from = beginning(&world.lines_with(&["--keep-inputs"], &["2"]).err);
    let unknown = world.everturn(&["replay", "--from", other]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.err.contains(&format!("everturn replay --from {from}")), "{unknown:?}");
    let forgotten = world.everturn(&["replay", "--forget"]);
    assert_eq!(forgotten.code, Some(0), "{forgotten:?}");
    assert!(forgotten.out.contains("no more are kept"), "{forgotten:?}");
    assert_eq!(world.everturn(&["replay", "--from", &from]).code, Some(2));
}
