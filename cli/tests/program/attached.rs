//! Commands on a folder that another process serves: they work on its session, and learn of its end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use crate::web::Site;
use crate::world::World;

/// Counts, and says what it is told to.
const PROGRAM: &str = "globalThis.n ??= 0; globalThis.word ??= 'n is ';
    export default {
        fetch() { return new Response(word + n++); },
        message(msg) { n += msg.data; console.log('told ' + msg.data); return n; },
    };";

fn serving() -> (World, Site) {
    let world = World::new();
    world.file("app.js", PROGRAM);
    let site = world.serve("app.js", &[]);
    (world, site)
}

#[test]
fn what_is_evaluated_changes_what_is_served() {
    let (world, site) = serving();
    assert_eq!(site.get("/"), (200, "n is 0".to_owned()));
    let ran = world.everturn(&["eval", "word = 'now '; n = 40; console.log('hello'); n + 2"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "hello\n42\n", ""), "{ran:?}");
    assert_eq!(site.get("/"), (200, "now 40".to_owned()));
    let ran = world.everturn(&["eval", "null.x"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("TypeError"), "{ran:?}");
    site.talk.kill();
    assert_eq!(world.everturn(&["eval", "n"]).out, "41\n", "it was durable, and the folder is free again");
}

#[test]
fn every_command_that_asks_attaches() {
    let (world, site) = serving();
    let root = world.root();
    assert!(root.starts_with("bafy"), "{root}");
    assert_eq!(world.root(), root, "looking changes nothing");
    let inspected = world.everturn(&["inspect"]);
    assert!(inspected.out.contains("  js  ticks "), "{inspected:?}");
    let ran = world.everturn(&["run", "app.js", "--message", "7"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.answers()[..2], ["told 7", "7"], "{ran:?}");
    assert_eq!(ran.answers()[2], world.root(), "{ran:?}");
    world.file(
        "edited.js",
        "globalThis.word = 'edited '; export default { fetch() { return new Response(word + n); } };",
    );
    assert_eq!(world.everturn(&["load", "edited.js"]).code, Some(0));
    assert_eq!(site.get("/"), (200, "edited 7".to_owned()));
    world.file("wrong.js", "throw new Error('no');");
    let ran = world.everturn(&["load", "wrong.js"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("Error: no"), "{ran:?}");
    assert_eq!(site.get("/"), (200, "edited 7".to_owned()));
    // Files are named from where the command was typed.
    let exported = world.everturn(&["export", "state.car"]);
    assert_eq!((exported.code, exported.out.trim_end()), (Some(0), world.root().as_str()), "{exported:?}");
    assert!(world.path("state.car").exists());
    assert_eq!(world.everturn(&["backup", "copy"]).code, Some(0));
    assert_eq!(world.everturn(&["backup", "copy"]).code, Some(3), "there is something in it now");
    let there = world.command_on("copy", &["eval", "n"]).output().unwrap();
    assert_eq!(there.stdout, b"7\n");
    drop(site);
}

#[test]
fn commands_that_need_the_folder_alone_say_so() {
    let (world, site) = serving();
    for words in [&["check"][..], &["serve", "app.js", "--http", "127.0.0.1:0"], &["import", "app.js"]] {
        let ran = world.everturn(words);
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{words:?}: {ran:?}");
        assert!(ran.err.contains(&format!("process {}", site.talk.child.id())), "{words:?}: {ran:?}");
    }
    let ran = world.everturn(&["check"]);
    assert!(ran.err.contains("everturn backup"), "{ran:?}");
    assert_eq!(site.get("/"), (200, "n is 0".to_owned()), "whoever has it goes on");
}

#[test]
fn two_shells_share_one_session_and_hear_each_other() {
    let (world, site) = serving();
    let (mut one, mut other) = (world.shell(), world.shell());
    for shell in [&mut one, &mut other] {
        assert_eq!(shell.answer(), "Attached to the session that is being served");
    }
    assert_eq!(one.ask("n = 5"), "5");
    assert_eq!(other.ask("n"), "5");
    one.type_line("console.log('to all'); function f() {");
    one.type_line("return n }");
    assert_eq!([one.answer(), other.answer()], ["to all", "to all"]);
    assert_eq!(other.ask("f()"), "5");
    assert_eq!(site.get("/"), (200, "n is 5".to_owned()));
    let undone = {
        one.type_line(".undo");
        one.end()
    };
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert!(undone.err.contains("others change the state, too"), "{undone:?}");
    assert_eq!(other.ask("n"), "6", "the end of one is not that of the other");
    let ran = other.end();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(site.get("/"), (200, "n is 6".to_owned()));
}

#[test]
fn ctrl_c_at_an_attached_shell_discards_the_turn_and_not_the_server() {
    let (world, site) = serving();
    let mut shell = world.shell();
    shell.answer();
    shell.type_line("console.log('it runs')");
    assert_eq!(shell.answer(), "it runs");
    // Whether the turn has begun by then or not, it does not happen.
    shell.type_line("n = 1000; for (;;) {}");
    shell.signal("INT");
    let ran = shell.finish();
    assert_eq!((ran.code, ran.out.as_str()), (Some(130), ""), "{ran:?}");
    assert_eq!(site.get("/"), (200, "n is 0".to_owned()), "nothing of that turn happened");
}

#[test]
fn the_end_of_the_server_is_told() {
    for (signal, why) in [("KILL", "without a word"), ("TERM", "asked to stop")] {
        let (world, site) = serving();
        let mut shell = world.shell();
        shell.answer();
        assert_eq!(shell.ask("n = 3"), "3");
        site.talk.signal(signal);
        let ran = shell.finish();
        assert_eq!(ran.code, Some(3), "{signal}: {ran:?}");
        assert!(ran.err.contains("is gone") && ran.err.contains(why), "{signal}: {ran:?}");
        drop(site);
        assert_eq!(world.everturn(&["eval", "n"]).out, "3\n", "{signal}");
        // What the kill left behind is replaced.
        let site = world.serve("app.js", &[]);
        assert_eq!(world.everturn(&["eval", "++n"]).out, "4\n");
        assert_eq!(site.get("/"), (200, "n is 4".to_owned()));
    }
}

#[test]
fn a_kill_while_a_command_waits_ends_the_command() {
    let (world, site) = serving();
    let mut shell = world.shell();
    shell.answer();
    shell.type_line("console.log('begun')");
    assert_eq!(shell.answer(), "begun");
    shell.type_line("for (;;) {}");
    site.talk.kill();
    let ran = shell.finish();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("is gone"), "{ran:?}");
}

#[test]
fn garbage_on_the_socket_hurts_nobody() {
    let (world, site) = serving();
    let socket = world.path("data").join("control");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let greeting = [b"everturn control\n".as_slice(), &1_u32.to_be_bytes()].concat();
    let long = [greeting.as_slice(), &u32::MAX.to_be_bytes()].concat();
    let no_request = [greeting.as_slice(), &3_u32.to_be_bytes(), b"\xffab"].concat();
    let no_node = [greeting.as_slice(), &1_u32.to_be_bytes(), b"\xf6"].concat();
    let half = [greeting.as_slice(), &100_u32.to_be_bytes(), b"half"].concat();
    let older = [b"everturn control\n".as_slice(), &7_u32.to_be_bytes()].concat();
    for said in [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
        vec![0; 4096],
        long,
        no_request,
        no_node,
        half,
        older,
    ] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(&said).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        // It is greeted or not, and let go.
        let _ = stream.read_to_end(&mut heard);
        assert!(heard.len() <= greeting.len(), "{said:?}: {heard:?}");
    }
    let idle = UnixStream::connect(&socket).unwrap();
    assert_eq!(world.everturn(&["eval", "n"]).out, "0\n", "one who says nothing keeps nobody out");
    drop(idle);
    assert_eq!(site.get("/"), (200, "n is 0".to_owned()));
}

#[test]
fn a_server_of_another_version_is_named() {
    let world = World::new();
    world.everturn(&["eval", "1"]);
    let socket = std::os::unix::net::UnixListener::bind(world.path("data").join("control")).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        stream.write_all(&[b"everturn control\n".as_slice(), &9_u32.to_be_bytes()].concat()).unwrap();
        // Until the other end has heard it.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let ran = world.everturn(&["eval", "1"]);
    other.join().unwrap();
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    assert!(ran.err.contains("version 9") && ran.err.contains("hint: use the everturn"), "{ran:?}");
    assert_eq!(world.everturn(&["eval", "1"]).out, "1\n", "nobody listens any more: the folder is opened");
}

#[test]
fn a_folder_may_lie_deep() {
    let world = World::new();
    world.file("app.js", PROGRAM);
    let deep = format!("{0}/{0}", "d".repeat(100));
    let site = Site::begin(world.command_on(&deep, &["serve", "app.js", "--http", "127.0.0.1:0"]));
    let ran = world.command_on(&deep, &["eval", "n = 9"]).output().unwrap();
    assert_eq!(ran.stdout, b"9\n", "{ran:?}");
    assert_eq!(site.get("/"), (200, "n is 9".to_owned()));
}
