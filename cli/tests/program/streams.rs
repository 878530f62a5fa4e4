//! Answers that come piece by piece: whole ones, broken ones, clients that go, and what a kill leaves of them.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::web::Site;
use crate::world::World;

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);
const PIECE_BYTES: usize = 1 << 18;

const PROGRAM: &str = r#"
const log = [];
let pulled = 0;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
async function* counting(to) {
    try {
        for (let n = 1; n <= to; n++) { await sleep(1); yield `${n}\n`; }
    } finally { log.push("counted"); }
}
const streams = {
    "/count": () => counting(5),
    "/forever": () => counting(Infinity),
    "/list": () => ["a", "b", new Uint8Array([99])].values(),
    "/pull": () => new ReadableStream({
        pull(controller) { controller.enqueue(new Uint8Array(262144).fill(pulled++)); },
        cancel(reason) { log.push(`pull: ${reason.message}`); },
    }),
    "/large": () => new ReadableStream({ start(controller) {
        const whole = new Uint8Array(700000).map((_, at) => at % 251);
        controller.enqueue(whole.subarray(0, 1));
        controller.enqueue(whole.subarray(1));
        controller.close();
    } }),
    "/quiet": () => new ReadableStream({
        start(controller) { controller.enqueue("begun"); },
        cancel(reason) { log.push(`quiet: ${reason.message}`); },
    }),
    "/breaks": async function* () {
        try { yield "one"; await sleep(1); throw new Error("no more"); } finally { log.push("broke"); }
    },
    "/odd": async function* () { try { yield "one"; yield 7; } finally { log.push("odd"); } },
    "/flood": () => new ReadableStream({
        start(controller) { try { for (;;) controller.enqueue(new Uint8Array(262144)); } catch { log.push("too much"); } },
        cancel(reason) { log.push(`flood: ${reason.message}`); },
    }),
};
export const routes = { "/child/*": `
    const log = [];
    export default { fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/child/log") return Response.json(log);
        return new Response(new ReadableStream({
            start(controller) { controller.enqueue("of a child"); if (pathname !== "/child/open") controller.close(); },
            cancel(reason) { log.push(reason.message); },
        }));
    } };` };
export default { async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/log") return Response.json({ log, pulled, ports: ports.names() });
    const stream = streams[pathname];
    return stream ? new Response(stream()) : new Response("nothing", { status: 404 });
} };"#;

fn served() -> (World, Site) {
    let world = World::new();
    world.file("app.js", PROGRAM);
    let site = world.serve("app.js", &[]);
    (world, site)
}

/// A client that reads an answer in chunks.
struct Reader(BufReader<TcpStream>);

impl Reader {
    fn ask(site: &Site, path: &str) -> Reader {
        Reader::ask_with(site, path, "")
    }

    fn ask_with(site: &Site, path: &str, headers: &str) -> Reader {
        let mut stream = TcpStream::connect(&site.address).expect("the server lets a client in");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is no zero");
        let method = if headers.is_empty() { "GET" } else { "POST" };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: here\r\n{headers}Content-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut reader = Reader(BufReader::new(stream));
        let head = reader.head();
        assert!(head.starts_with("http/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
        reader
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        loop {
            let line = self.line().expect("there is an answer");
            if line.is_empty() {
                return head;
            }
            head.push_str(&line.to_lowercase());
            head.push('\n');
        }
    }

    /// The next chunk; an empty one is the end.
    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk)?;
        assert_eq!(self.line()?, "");
        Ok(chunk)
    }

    /// All that comes, and how it ended.
    fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut whole = Vec::new();
        loop {
            match self.chunk() {
                Ok(chunk) if chunk.is_empty() => return (whole, Ok(())),
                Ok(chunk) => whole.extend(chunk),
                Err(error) => return (whole, Err(error)),
            }
        }
    }
}

fn whole(site: &Site, path: &str) -> Vec<u8> {
    let (whole, ended) = Reader::ask(site, path).rest();
    ended.unwrap_or_else(|error| panic!("{path}: {error}"));
    whole
}

/// What the program tells of itself, once it tells this.
fn until(site: &Site, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = serde_json::from_str(&site.get("/log").1).expect("it is JSON");
        if is_so(&told) {
            return told;
        }
        assert!(Instant::now() < deadline, "it is still {told}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn has(told: &serde_json::Value, line: &str) -> bool {
    told["log"].as_array().is_some_and(|log| log.iter().any(|known| known == line))
}

#[test]
fn a_body_comes_piece_by_piece_and_whole() {
    let (_world, site) = served();
    assert_eq!(whole(&site, "/count"), b"1\n2\n3\n4\n5\n");
    assert_eq!(whole(&site, "/list"), b"abc");
    let large = whole(&site, "/large");
    assert!(
        large.len() == 700_000 && large.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251)
    );
    assert_eq!(whole(&site, "/child/whole"), b"of a child");
    let told = until(&site, |told| has(told, "counted"));
    let marks =
        told["ports"].as_array().expect("a list").iter().filter(|name| name.as_str() >= Some("stream:"));
    assert_eq!(marks.count(), 0, "no stream is open any more: {told}");
}

#[test]
fn pieces_come_before_the_end() {
    let (_world, site) = served();
    let mut forever = Reader::ask(&site, "/forever");
    for number in 1..=20 {
        assert_eq!(forever.chunk().expect("there is more"), format!("{number}\n").as_bytes());
    }
    // Others are served meanwhile.
    assert_eq!(whole(&site, "/count"), b"1\n2\n3\n4\n5\n");
}

#[test]
fn what_fails_later_has_no_clean_end() {
    let (_world, site) = served();
    for (path, told) in [("/breaks", "broke"), ("/odd", "odd")] {
        let (begun, ended) = Reader::ask(&site, path).rest();
        assert_eq!(begun, b"one", "{path}");
        assert!(ended.is_err(), "{path} looks whole");
        until(&site, |log| has(log, told));
    }
    let (_, ended) = Reader::ask(&site, "/flood").rest();
    assert!(ended.is_err(), "more than may wait was lost without a word");
    until(&site, |told| told["log"].to_string().contains("flood: 8388608 bytes wait"));
}

#[test]
fn who_goes_is_told_of_and_who_is_slow_is_waited_for() {
    let (_world, site) = served();
    let mut slow = Reader::ask(&site, "/pull");
    assert_eq!(slow.chunk().expect("there is a piece")[0], 0);
    let quiet = Reader::ask(&site, "/quiet");
    for _ in 0..50 {
        assert_eq!(whole(&site, "/count"), b"1\n2\n3\n4\n5\n");
    }
    let pulled = until(&site, |_| true)["pulled"].as_u64().expect("a number");
    // What the system keeps for both sides of a connection is far less.
    assert!(pulled * PIECE_BYTES as u64 <= 64 << 20, "{pulled} pieces for one that took one");
    drop((slow, quiet));
    until(&site, |told| has(told, "pull: the client has gone") && has(told, "quiet: the client has gone"));
    drop(Reader::ask(&site, "/child/open"));
    let deadline = Instant::now() + PATIENCE;
    while site.get("/child/log").1 == "[]" {
        assert!(Instant::now() < deadline, "the child is not told");
    }
}

#[test]
fn where_no_body_may_be_the_stream_is_cancelled() {
    let (_world, site) = served();
    let (status, _) = site.visit().ask("HEAD", "/quiet", b"").expect("it is answered");
    assert_eq!(status, 200);
    until(&site, |told| has(told, "quiet: this answer has no body"));
}

#[test]
fn a_reply_that_was_a_stream_is_not_given_again_and_not_made_again() {
    let (_world, site) = served();
    let mut first = Reader::ask_with(&site, "/list", "Idempotency-Key: a\r\n");
    assert_eq!(first.rest().0, b"abc");
    let again =
        site.visit().ask_with("Idempotency-Key: a\r\n", "POST", "/list", b"").expect("it is answered");
    assert_eq!(again.0, 409, "{}", again.1);
}

#[test]
fn after_a_kill_the_program_is_told_once() {
    let (world, mut site) = served();
    for life in 1..=3 {
        let mut quiet = Reader::ask(&site, "/quiet");
        assert_eq!(quiet.chunk().expect("there is a piece"), b"begun");
        let mut forever = Reader::ask(&site, "/forever");
        forever.chunk().expect("there is a piece");
        let mut child = Reader::ask(&site, "/child/open");
        child.chunk().expect("there is a piece");
        site.talk.kill();
        assert!(quiet.rest().1.is_err() && forever.rest().1.is_err(), "a kill looks like an end");
        site = world.serve("app.js", &[]);
        let told = until(&site, |told| {
            let log = told["log"].as_array().map(|log| log.iter().filter(|line| *line == "counted").count());
            log == Some(life)
        });
        let log = told["log"].as_array().expect("a list");
        let times = |wanted: &str| log.iter().filter(|line| *line == wanted).count();
        assert_eq!(times("quiet: the server was started anew"), life, "{told}");
        let of_child: Vec<String> = serde_json::from_str(&site.get("/child/log").1).expect("a list");
        assert_eq!(of_child, vec!["the server was started anew"; life]);
        assert!(!told["ports"].to_string().contains("stream:"), "{told}");
    }
    site.talk.signal("TERM");
    assert_eq!(site.talk.finish().code, Some(0));
    assert_eq!(world.everturn(&["check"]).code, Some(0));
}

#[test]
fn a_signal_ends_streams_and_tells_the_program() {
    let (world, site) = served();
    let mut quiet = Reader::ask(&site, "/quiet");
    assert_eq!(quiet.chunk().expect("there is a piece"), b"begun");
    site.talk.signal("TERM");
    assert!(quiet.rest().1.is_err(), "it looks whole");
    let ran = site.talk.finish();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let site = world.serve("app.js", &[]);
    let told = until(&site, |_| true);
    assert_eq!(told["log"], serde_json::json!(["quiet: the server is stopping"]));
}
