//! Links between two programs, as people use them: keys, a game over many kills, and a folder that comes back from a backup.

use std::net::UdpSocket;

use crate::world::{Ran, Talk, World};

const EXAMPLE: &str = include_str!("../../../examples/pingpong.js");
/// Kills in the ordinary run.
const KILLS: usize = 12;

/// Two data folders, `a` and `b`, that know each other.
struct Pair {
    world: World,
    addresses: [String; 2],
}

const NAMES: [&str; 2] = ["a", "b"];

impl Pair {
    fn new() -> Pair {
        let world = World::new();
        world.file("pingpong.js", EXAMPLE);
        // Ports that were free a moment ago: both have to be known before either listens.
        let sockets = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port is free"));
        let addresses = sockets.map(|socket| socket.local_addr().expect("it is bound").to_string());
        let pair = Pair { world, addresses };
        for (of, other) in [(0, 1), (1, 0)] {
            let key = pair.on(other, &["id"]).out.trim_end().to_owned();
            let added = pair.on(of, &["peers", "add", &pair.addresses[other], &key]);
            assert_eq!(added.code, Some(0), "{added:?}");
        }
        pair
    }

    fn on(&self, side: usize, words: &[&str]) -> Ran {
        self.world.command_on(NAMES[side], words).output().expect("everturn starts").into()
    }

    /// A shell with links.
    fn shell(&self, side: usize) -> Talk {
        let words = ["shell", "--no-undo", "--listen", &self.addresses[side]];
        let mut talk = Talk::begin(self.world.command_on(NAMES[side], &words));
        let said = talk.answer();
        assert!(said.ends_with("session"), "{said}");
        let said = talk.answer();
        assert!(said.starts_with(&format!("links on {}, key ", self.addresses[side])), "{said}");
        talk
    }
}

/// Asks until the answer is as wanted.
fn until(talk: &mut Talk, line: &str, wanted: &str) {
    for _ in 0..6_000 {
        let answer = talk.ask(line);
        if answer.contains(wanted) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{line} never came to {wanted}");
}

#[test]
fn a_key_is_shown_and_stays() {
    let world = World::new();
    let first = world.everturn(&["id"]);
    assert_eq!((first.code, first.out.trim_end().len()), (Some(0), 64), "{first:?}");
    assert_eq!(world.everturn(&["id"]).out, first.out);
    let listed = world.everturn(&["peers", "list"]);
    assert_eq!((listed.code, listed.out.as_str()), (Some(0), ""), "{listed:?}");
    let key = first.out.trim_end();
    assert_eq!(world.everturn(&["peers", "add", "127.0.0.1:7", key]).code, Some(0));
    let listed = world.everturn(&["peers", "list"]);
    assert_eq!(listed.out, format!("127.0.0.1:7 {key}: sent 0, acknowledged 0, received 0\n"));
    for wrong in [&["peers", "add", "nowhere", key][..], &["peers", "remove", "127.0.0.1:8"]] {
        let refused = world.everturn(wrong);
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
    assert_eq!(world.everturn(&["peers", "add", "127.0.0.1:9", "short"]).code, Some(2));
    assert_eq!(world.everturn(&["peers", "remove", "127.0.0.1:7"]).code, Some(0));
}

#[test]
fn a_peer_is_added_while_the_links_are_kept() {
    let world = World::new();
    let key = world.command_on("other", &["id"]).output().map(Ran::from).expect("everturn starts").out;
    let mut talk = Talk::begin(world.command(&["shell", "--listen", "127.0.0.1:0"]));
    assert!(talk.answer().ends_with("session"));
    assert!(talk.answer().starts_with("links on "));
    let refused = world.everturn(&["peers", "add", "nowhere", key.trim_end()]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let added = world.everturn(&["peers", "add", "127.0.0.1:7", key.trim_end()]);
    assert_eq!((added.code, added.err.as_str()), (Some(0), ""), "{added:?}");
    let listed = world.everturn(&["peers", "list"]);
    assert!(listed.out.starts_with("127.0.0.1:7 ") && listed.out.contains("received 0"), "{listed:?}");
    assert_eq!(talk.ask("send('127.0.0.1:7', 'for later'); 'sent'"), "'sent'");
    assert_eq!(world.everturn(&["peers", "remove", "127.0.0.1:7"]).code, Some(0));
    assert_eq!(world.everturn(&["peers", "list"]).out, "");
    assert_eq!(talk.end().code, Some(0));
}

#[test]
fn an_address_without_links_says_what_makes_them() {
    let world = World::new();
    let ran = world.everturn(&["eval", "send('127.0.0.1:1', 1)"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("--listen HOST:PORT"), "{ran:?}");
}

#[test]
fn a_port_in_use_is_said_before_anything_else() {
    let world = World::new();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it is bound").to_string();
    let ran = world.lines_with(&["--listen", &address], &["1"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("cannot listen for links") && ran.err.contains("another program"), "{ran:?}");
    world.file("program.js", "");
    let nowhere = [("run", "nowhere"), ("shell", "127.0.0.1:99999")];
    for (command, listen) in [("run", address.as_str()), ("serve", &address)].into_iter().chain(nowhere) {
        let mut words = vec![command, "--listen", listen];
        match command {
            "run" => words.push("program.js"),
            "serve" => words.extend(["program.js", "--http", "127.0.0.1:0"]),
            _ => {}
        }
        let ran = world.everturn(&words);
        let (code, said) = match listen == address {
            true => (3, "cannot listen for links"),
            false => (2, "no address to listen on"),
        };
        assert!(ran.code == Some(code) && ran.err.contains(said), "{ran:?}");
    }
    let left =
        std::fs::read_dir(world.path(".")).expect("it is a folder").flatten().map(|entry| entry.file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["program.js"], "nothing is begun for who cannot listen");
}

#[test]
fn datagrams_that_are_no_link_are_told_and_counted() {
    let pair = Pair::new();
    let (mut first, mut second) = (pair.shell(0), pair.shell(1));
    let from = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    // Of a second, so that they are two lines however slow the machine is; none has the mark of a packet.
    for length in 0..300_usize {
        let noise: Vec<u8> = (0..length).map(|at| (at * 31 + length) as u8 & 0x3f).collect();
        from.send_to(&noise, &pair.addresses[0]).expect("it goes out");
    }
    second.type_line("var heard = 0; function receive() { heard++ }");
    first.type_line(&format!("send('{}', 1)", pair.addresses[1]));
    until(&mut second, "heard", "1");
    let (ran, _) = (first.end(), second.end());
    let told: Vec<_> = ran.err.lines().filter(|line| line.contains("no QUIC")).collect();
    assert!(told[0].contains("WARN") && told[0].contains(&from.local_addr().unwrap().to_string()), "{ran:?}");
    let more: usize =
        told[1..].iter().map(|line| line.rsplit(' ').nth(1).unwrap().parse::<usize>().unwrap()).sum();
    assert!((200..300).contains(&more) && told.len() < 30, "{ran:?}");
}

#[test]
fn a_link_that_goes_on_is_not_resolved() {
    let world = World::new();
    let key = world.command_on("other", &["id"]).output().expect("it runs").stdout;
    let key = String::from_utf8(key).expect("it is text");
    assert_eq!(world.everturn(&["peers", "add", "127.0.0.1:7", key.trim()]).code, Some(0));
    let ran = world.everturn(&["peers", "resolve", "127.0.0.1:7"]);
    assert!(ran.code == Some(2) && ran.err.contains("has not stopped"), "{ran:?}");
    let mut talk = Talk::begin(world.command(&["shell", "--listen", "127.0.0.1:0"]));
    talk.answer();
    talk.answer();
    let ran = world.everturn(&["peers", "resolve", "--drop", "127.0.0.1:7"]);
    assert!(ran.code == Some(2) && ran.err.contains("has not stopped"), "attached: {ran:?}");
    assert_eq!(talk.end().code, Some(0));
}

#[test]
fn a_ball_goes_back_and_forth_over_kills_of_both_sides() {
    let pair = Pair::new();
    let load = format!(".load {}", pair.world.path("pingpong.js").display());
    let mut players = [0, 1].map(|side| Some(pair.shell(side)));
    for player in players.iter_mut().flatten() {
        player.type_line(&load);
        until(player, "score()", "0 balls");
    }
    let first = players[0].as_mut().expect("it plays");
    // `begin` hits in all, so that the game goes on while they are killed.
    let ends = 400;
    first.type_line(&format!("send('{}', {{ begin: {ends} }})", pair.addresses[1]));
    for kill in 0..KILLS {
        let sides: &[usize] = match kill % 3 {
            0 => &[0],
            1 => &[1],
            _ => &[0, 1],
        };
        std::thread::sleep(std::time::Duration::from_millis(30 + 17 * (kill as u64 % 5)));
        for side in sides {
            players[*side].take().expect("it plays").kill();
        }
        for side in sides {
            players[*side] = Some(pair.shell(*side));
        }
    }
    // Ball 400 is the last: of it and all before it, each came once, half of them on each side, and the first message beside.
    let [a, b] = &mut players;
    until(a.as_mut().expect("it plays"), "score()", "200 balls came here, the last was number 399");
    until(b.as_mut().expect("it plays"), "score()", "201 balls came here, the last was number 400");
    for (side, player) in players.into_iter().enumerate() {
        let ran = player.expect("it plays").end();
        assert!(!ran.err.contains("came after"), "{side}: {ran:?}");
    }
}

#[test]
fn a_backup_that_is_brought_back_stops_the_link_on_both_sides() {
    let pair = Pair::new();
    let to_b = |text: &str| format!("send('{}', '{text}')", pair.addresses[1]);
    let receive = "var got = []; function receive(sender, message) { got.push(message) }";
    let mut b = pair.shell(1);
    b.type_line(receive);
    let mut a = pair.shell(0);
    a.type_line(&to_b("one"));
    until(&mut b, "got.join()", "one");
    a.end();
    assert_eq!(pair.on(0, &["backup", "a-before"]).code, Some(0));
    let mut a = pair.shell(0);
    a.type_line(&to_b("two"));
    until(&mut b, "got.join()", "one,two");
    a.end();
    std::fs::remove_dir_all(pair.world.path("a")).expect("it is there");
    std::fs::rename(pair.world.path("a-before"), pair.world.path("a")).expect("the backup is there");
    let mut a = pair.shell(0);
    a.type_line(&to_b("another"));
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let (a, b) = (a.end(), b.end());
    for ran in [&a, &b] {
        assert!(ran.err.contains("has stopped") && ran.err.contains("peers resolve"), "{ran:?}");
    }
    for (of, other) in [(0, 1), (1, 0)] {
        let listed = pair.on(of, &["peers", "list"]);
        assert!(listed.out.contains("stopped: "), "{listed:?}");
        assert_eq!(pair.on(of, &["peers", "resolve", &pair.addresses[other]]).code, Some(0));
    }
    let mut b = pair.shell(1);
    let a = pair.shell(0);
    until(&mut b, "got.join()", "one,two,another");
    a.end();
    b.end();
}
