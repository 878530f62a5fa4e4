//! What the log of a server tells without being asked: what clients do wrong, and what nobody else hears of.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use crate::web::Site;
use crate::world::{Ran, World};

/// Sends this, then nothing more, and reads what comes to its end.
fn send(site: &Site, text: &str) -> String {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(&site.address).expect("the server lets a client in");
    // The server may have heard enough before all of it is sent, and may have hung up.
    let _ = stream.write_all(text.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

/// As [`send`], but goes on as if more would follow.
fn send_and_wait(site: &Site, text: &str) -> String {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(&site.address).expect("the server lets a client in");
    stream.write_all(text.as_bytes()).expect("the server reads");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("the server ends it");
    heard
}

fn ended(site: Site) -> Ran {
    site.talk.signal("TERM");
    let ran = site.talk.finish();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.err.contains('\x1b'), "this is no terminal: {ran:?}");
    ran
}

/// How many of a kind the log tells of, in lines and in numbers.
fn told(log: &str, kind: &str) -> u64 {
    let of_kind = log.lines().filter_map(|line| line.split_once(&format!("{kind}: ")));
    let count = |(_, what): (&str, &str)| {
        let more = what.split_once(" more").and_then(|(more, _)| more.parse().ok());
        more.unwrap_or(1)
    };
    of_kind.map(count).sum()
}

#[test]
fn what_clients_do_wrong_is_told_and_a_flood_of_it_counted() {
    let world = World::new();
    world.file("app.js", "export default { fetch() { return new Response('') } };");
    let site = world.serve("app.js", &["--client-timeout", "1", "--body-bytes-max", "1000"]);
    for _ in 0..50 {
        assert!(send(&site, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n").starts_with("HTTP/1.1 400"));
    }
    let long = "x".repeat(40_000);
    assert!(send(&site, &format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")).starts_with("HTTP/1.1 431"));
    assert!(
        send(&site, &format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200))).starts_with("HTTP/1.1 431")
    );
    let large = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n";
    assert!(send(&site, large).starts_with("HTTP/1.1 413"));
    send(&site, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    send(&site, "GET / HTTP/1.1\r\nHost:");
    assert!(send_and_wait(&site, "GET / HTTP/1.1\r\nHost:").starts_with("HTTP/1.1 408"));
    assert!(
        send_and_wait(&site, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            .starts_with("HTTP/1.1 408")
    );
    // Who says nothing, and who asks and goes, does nothing wrong.
    assert_eq!(send_and_wait(&site, ""), "");
    send(&site, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let ran = ended(site);
    for (kind, times) in [
        ("malformed HTTP", 50),
        ("a head that is too large", 2),
        ("a body that is too large", 1),
        ("a request that breaks off", 2),
        ("a client that is too slow", 2),
    ] {
        assert_eq!(told(&ran.err, kind), times, "{kind}: {}", ran.err);
    }
    assert!(ran.err.lines().all(|line| line.contains("WARN")), "{}", ran.err);
    assert!(ran.err.contains("from 127.0.0.1:"), "{}", ran.err);
}

#[test]
fn an_exception_that_nobody_hears_is_told_with_its_stack() {
    let world = World::new();
    let program = "function inner(what) { throw new RangeError(what); }
        const child = `export default { message({ data }) { throw new Error(data); } };`;
        ports.bind('child', ports.create('js', child));
        export default {
            websocket() {},
            async fetch(request) {
                const { pathname } = new URL(request.url);
                if (pathname === '/timer') setTimeout(() => inner('of a timer'), 1);
                if (pathname === '/call') await call(ports.get('child'), 'caught').catch(() => {});
                return new Response(pathname);
            },
            message({ data }) { inner(`of a message ${data}`); },
            close() { inner('of a close'); },
        };";
    world.file("app.js", program);
    let mut site = world.serve("app.js", &[]);
    assert_eq!(site.get("/call"), (200, "/call".to_owned()));
    assert_eq!(site.get("/timer"), (200, "/timer".to_owned()));
    let stream = TcpStream::connect(&site.address).expect("the server lets a client in");
    let (mut socket, _) = tungstenite::client(format!("ws://{}/", site.address), stream).expect("it opens");
    socket.send(tungstenite::Message::text("seven")).expect("it is open");
    socket.close(None).expect("it is open");
    while socket.read().is_ok() {}
    // What the socket's end has set going may come after it.
    let mut errors = BufReader::new(site.talk.child.stderr.take().expect("it is a pipe"));
    let mut log = String::new();
    while !(log.contains("of a close") && log.contains("of a timer")) {
        assert!(errors.read_line(&mut log).expect("it is text") > 0, "{log}");
    }
    ended(site);
    errors.read_to_string(&mut log).expect("it is text");
    for what in ["of a timer", "of a message seven", "of a close"] {
        assert_eq!(log.matches(&format!("RangeError: {what}")).count(), 1, "{what}: {}", log);
    }
    assert_eq!(log.matches("nobody else is told").count(), 3, "{}", log);
    assert_eq!(log.matches("at inner").count(), 3, "{}", log);
    for field in ["container=baf", "ticks=", "kind=Throw", "message_id=\"socket:1@"] {
        assert!(log.contains(field), "{field}: {}", log);
    }
    assert!(!log.contains("caught"), "its caller has it: {}", log);
}

#[test]
fn a_shell_tells_of_a_timer_that_throws() {
    let world = World::new();
    let mut shell = world.shell();
    shell.answer();
    shell.type_line(
        "setTimeout(() => { throw new Error('tick') }, 1); setTimeout(() => print('after'), 2); 7",
    );
    // The later timer may be due before the line's value is shown.
    let mut answers = [shell.answer(), shell.answer()];
    answers.sort();
    assert_eq!(answers, ["7", "after"]);
    let ran = shell.end();
    assert_eq!((ran.code, ran.err.matches("Error: tick").count()), (Some(0), 1), "{ran:?}");
    assert!(ran.err.contains("nobody else is told") && !ran.err.contains('\x1b'), "{ran:?}");
}

#[test]
fn what_is_told_of_a_turn_says_whose_it_is() {
    let world = World::new();
    let ran = world.everturn(&["eval", "-v", "--log-format", "json", "throw new Error('here')"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let events = ran.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut discarded = events.filter(|event| {
        event["message"].as_str().is_some_and(|text| text.starts_with("a turn was discarded: Error: here"))
    });
    let event = discarded.next().expect("the turn is told of");
    let span = &event["span"];
    assert_eq!(span["name"], "turn", "{event}");
    for field in ["container", "ticks"] {
        assert!(event[field].as_str().is_some() && event[field] == span[field], "{field}: {event}");
    }
    assert!(span["message"].as_str().is_some_and(|message| message.starts_with("parent@")), "{event}");
    assert_eq!(event["message_id"], span["message"], "{event}");
}

#[test]
fn a_second_signal_is_told_by_its_name() {
    for (signal, name) in [("TERM", "SIGTERM"), ("INT", "SIGINT (Ctrl-C)")] {
        let world = World::new();
        world.file(
            "app.js",
            "export default { fetch() { console.log('asked'); return new Promise(() => {}); } };",
        );
        let mut site = world.serve("app.js", &[]);
        let mut visitor = site.visit();
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(site.talk.answer(), "asked");
        site.talk.signal("TERM");
        while TcpStream::connect(&site.address).is_ok() {}
        site.talk.signal(signal);
        let ran = site.talk.finish();
        assert_eq!(ran.code, Some(130), "{ran:?}");
        assert!(ran.err.contains(&format!("{name} while stopping")), "{ran:?}");
        assert_eq!(world.everturn(&["check"]).code, Some(0));
    }
}
