//! `fetch`: what a program gets from other hosts, what it may not reach, and what a kill leaves of a request.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::world::{Ran, World};

/// A request as it came: its first line without the version, its key, its body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Came {
    line: String,
    key: String,
    head: String,
    body: String,
}

/// A host that answers a path with what follows the path's first part: `/say/hello` with `hello`.
struct Host {
    address: String,
    came: Arc<(Mutex<Vec<Came>>, Condvar)>,
    /// Requests of `/held/...` are answered from when this is open.
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Host {
    fn new() -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let host = Host { address, came: Arc::default(), gate: Arc::default() };
        let (came, gate) = (host.came.clone(), host.gate.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (came, gate) = (came.clone(), gate.clone());
                // A client may go away at any time.
                thread::spawn(move || answer(&stream, &came, &gate));
            }
        });
        host
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn came(&self) -> Vec<Came> {
        self.came.0.lock().expect("nobody failed").clone()
    }

    /// Waits until so many requests came.
    fn wait(&self, number: usize) -> Vec<Came> {
        let came = self.came.0.lock().expect("nobody failed");
        self.came.1.wait_while(came, |came| came.len() < number).expect("nobody failed").clone()
    }

    fn open(&self) {
        *self.gate.0.lock().expect("nobody failed") = true;
        self.gate.1.notify_all();
    }
}

fn answer(
    mut stream: &TcpStream,
    came: &(Mutex<Vec<Came>>, Condvar),
    gate: &(Mutex<bool>, Condvar),
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut head) = (String::new(), String::new());
    reader.read_line(&mut line).ok()?;
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head == "\r\n" {
            break;
        }
    }
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let length = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (key, body) = (field("idempotency-key").unwrap_or_default(), String::from_utf8(body).ok()?);
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    came.0.lock().expect("nobody failed").push(Came { line, key, head: head.clone(), body });
    came.1.notify_all();
    let (kind, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    if kind == "held" {
        let open = gate.0.lock().expect("nobody failed");
        drop(gate.1.wait_while(open, |open| !*open).expect("nobody failed"));
    }
    let answer = match kind {
        "to" => format!("HTTP/1.1 302 Found\r\nLocation: {rest}\r\nContent-Length: 0\r\n\r\n"),
        "keeping" => format!("HTTP/1.1 307 On\r\nLocation: /say/{rest}\r\nContent-Length: 0\r\n\r\n"),
        "large" => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40),
        "broken" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbrok".to_owned(),
        "noise" => "what?\r\n\r\n".to_owned(),
        _ => format!("HTTP/1.1 200 Fine\r\nX-Kind: {kind}\r\nContent-Length: {}\r\n\r\n{rest}", rest.len()),
    };
    stream.write_all(answer.as_bytes()).ok()
}

/// Evaluates a body of an async function and gives what it returns, or the error's text.
fn eval(world: &World, options: &[&str], body: &str) -> Ran {
    let line = format!(
        "(async () => {{ {body} }})().then(print, (e) => print(`${{e.name}}: ${{e.message}}`, e instanceof TypeError)); 0"
    );
    world.everturn(&[&["eval"], options, &[line.as_str()]].concat())
}

/// The first line that it printed.
fn said(ran: &Ran) -> &str {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out.lines().find(|line| *line != "0").unwrap_or_else(|| panic!("{ran:?}"))
}

#[test]
fn a_program_fetches_from_hosts_that_are_allowed() {
    let (world, host) = (World::new(), Host::new());
    let net = ["--allow-net", &host.address];
    let url = host.url("/say/hello");
    let ran = eval(
        &world,
        &net,
        &format!(
            "const r = await fetch({url:?}, {{method: 'post', body: 'sent', headers: {{'X-A': 'b'}}}});
             return [r.status, r.statusText, r.headers.get('x-kind'), r.redirected, r.url === {url:?}, await r.text()].join();"
        ),
    );
    assert_eq!(said(&ran), "200,Fine,say,false,true,hello");
    let came = host.came();
    assert_eq!((came[0].line.as_str(), came[0].body.as_str(), came.len()), ("POST /say/hello", "sent", 1));
    assert!(came[0].head.to_lowercase().contains("x-a: b"), "{came:?}");
    assert!(came[0].key.len() > 20, "{came:?}");
    let own =
        format!("await fetch({url:?}, {{headers: {{'Idempotency-Key': 'mine'}}}}); await fetch({url:?});");
    eval(&world, &net, &own);
    let came = host.came();
    assert_eq!((came.len(), came[1].key.as_str()), (3, "mine"));
    assert!(came[2].key.len() > 20 && came[2].key != came[0].key, "{came:?}");
}

#[test]
fn no_other_host_is_reached() {
    let (world, host, other) = (World::new(), Host::new(), Host::new());
    let url = host.url("/say/hello");
    let ran = eval(&world, &[], &format!("await fetch({url:?});"));
    assert!(said(&ran).starts_with("TypeError: fetch: this program may not reach other hosts"), "{ran:?}");
    assert!(said(&ran).ends_with("--allow-net HOST, from its second turn on true"), "{ran:?}");
    let net = ["--allow-net", other.address.as_str()];
    let ran = eval(&world, &net, &format!("await fetch({url:?});"));
    let refused = format!(
        "TypeError: fetch: {0} is not allowed; whoever starts this program allows it with --allow-net {0} true",
        host.address
    );
    assert_eq!(said(&ran), refused);
    let there = other.url(&format!("/to/{url}"));
    let ran = eval(&world, &net, &format!("await fetch({there:?});"));
    assert_eq!(said(&ran), refused, "also when it was sent there");
    assert_eq!((host.came().len(), other.came().len()), (0, 1));
    // A start without the option takes it away again, also from who has the port.
    let ran = eval(&world, &[], &format!("await fetch({there:?});"));
    assert!(said(&ran).contains("is not allowed"), "{ran:?}");
    let ran = world.everturn(&["eval", "--allow-net", "http://here/", "0"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("HOST or HOST:PORT"), "{ran:?}");
}

#[test]
fn redirects_are_followed_as_far_as_is_wanted() {
    let (world, host) = (World::new(), Host::new());
    let net = ["--allow-net", "127.0.0.1"];
    let (to, keeping) = (host.url("/to//say/there"), host.url("/keeping/on"));
    let ran = eval(
        &world,
        &net,
        &format!(
            "const r = await fetch({to:?}, {{method: 'POST', body: 'b'}}); const k = await fetch({keeping:?}, {{method: 'PUT', body: 'b'}});
             const m = await fetch({to:?}, {{redirect: 'manual'}});
             return [r.redirected, r.url.endsWith('/say/there'), await r.text(), await k.text(), m.status, m.headers.get('location')].join();"
        ),
    );
    assert_eq!(said(&ran), "true,true,there,on,302,/say/there");
    let lines: Vec<(String, String)> = host.came().into_iter().map(|came| (came.line, came.body)).collect();
    let line = |line: &str, body: &str| (line.to_owned(), body.to_owned());
    assert_eq!(
        lines,
        [
            line("POST /to//say/there", "b"),
            line("GET /say/there", ""),
            line("PUT /keeping/on", "b"),
            line("PUT /say/on", "b"),
            line("GET /to//say/there", ""),
        ]
    );
    let ran = eval(&world, &net, &format!("await fetch({to:?}, {{redirect: 'error'}});"));
    assert!(said(&ran).contains("redirects, which is an error here"), "{ran:?}");
}

#[test]
fn what_cannot_be_had_is_a_type_error_that_says_why() {
    let (world, host) = (World::new(), Host::new());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap().to_string();
    drop(closed);
    for (url, part) in [
        (host.url("/large/"), "has more than 8388608 bytes"),
        (host.url("/broken/"), "broke off"),
        (host.url("/noise/"), "gave no answer"),
        (format!("http://{nobody}/"), "cannot be reached: Connection refused"),
        ("ftp://127.0.0.1/".to_owned(), "is no URL of http or https"),
        ("http://me:secret@127.0.0.1/".to_owned(), "say them in a header"),
    ] {
        let ran = eval(&world, &["--allow-net", "127.0.0.1"], &format!("await fetch({url:?});"));
        let said = said(&ran);
        assert!(said.starts_with("TypeError: fetch: ") && said.contains(part), "{url}: {ran:?}");
        assert!(said.ends_with(" true"), "{url}: {ran:?}");
    }
}

#[test]
fn tls_trusts_whom_the_system_trusts() {
    let world = World::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    world.file("cert.pem", made.cert.pem());
    world.file("key.pem", made.signing_key.serialize_pem());
    world.file("app.js", "export default { fetch() { return new Response('secret') } };");
    let site = world.serve("app.js", &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let port = site.address.rsplit(':').next().expect("it has a port");
    let url = format!("https://localhost:{port}/");
    let line = format!("fetch({url:?}).then((r) => r.text()).then(print, (e) => print(e.message)); 0");
    for (trusted, part) in [(true, "secret"), (false, "invalid peer certificate")] {
        let mut command = world.command_on("other", &["eval", "--allow-net", "localhost", &line]);
        command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
        if trusted {
            command.env("SSL_CERT_FILE", world.path("cert.pem"));
        }
        let ran = Ran::from(command.output().expect("everturn starts"));
        assert!(ran.out.contains(part), "{ran:?}");
    }
}

/// What the tests of kills serve: fetches go through the program's own list, and its page tells what came of them. Its handler is a
/// global with the name of ours.
const FETCHER: &str = "const answers = [], get = fetch;
    async function run(host, number) {
        for (let n = 0; n < number; n++) answers.push(await (await get(`${host}/say/${n}`)).text());
    }
    globalThis.fetch = function (request) {
        const url = new URL(request.url);
        if (url.pathname === '/run') run(url.searchParams.get('host'), Number(url.searchParams.get('number')));
        if (url.pathname === '/held') get(url.searchParams.get('host') + '/held/late').then(async (r) => answers.push(await r.text()));
        return new Response(answers.join());
    };";

#[test]
fn an_answer_comes_after_a_kill_and_under_the_same_key() {
    let (world, host) = (World::new(), Host::new());
    world.file("app.js", FETCHER);
    let net = ["--allow-net", host.address.as_str()];
    let site = world.serve("app.js", &net);
    assert_eq!(site.get(&format!("/held?host={}", host.url(""))), (200, String::new()));
    assert_eq!(host.wait(1).len(), 1);
    assert_eq!(site.get("/"), (200, String::new()));
    site.talk.kill();
    let site = world.serve("app.js", &net);
    let came = host.wait(2);
    assert!(came[0].key.len() > 20 && came[0] == came[1], "{came:?}");
    host.open();
    let mut visitor = site.visit();
    while visitor.get("/").unwrap().1 != "late" {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(host.came().len(), 2);
}

#[test]
fn each_request_has_one_key_whatever_is_killed() {
    const REQUESTS: usize = 120;
    let (world, host) = (World::new(), Host::new());
    world.file("app.js", FETCHER);
    let net = ["--allow-net", host.address.as_str()];
    let site = world.serve("app.js", &net);
    site.get(&format!("/run?host={}&number={REQUESTS}", host.url("")));
    let mut site = Some(site);
    for kill in 1..=8 {
        host.wait(host.came().len().max(kill * REQUESTS / 10));
        site.take().expect("it runs").talk.kill();
        site = Some(world.serve("app.js", &net));
    }
    let site = site.expect("it runs");
    let expected: Vec<String> = (0..REQUESTS).map(|n| n.to_string()).collect();
    let mut visitor = site.visit();
    while visitor.get("/").unwrap().1.split(',').count() < REQUESTS {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(visitor.get("/").unwrap().1, expected.join(","), "each answer once, in order");
    let came = host.came();
    let (lines, keys): (BTreeSet<_>, BTreeSet<_>) =
        came.iter().map(|came| (came.line.clone(), came.key.clone())).unzip();
    assert_eq!((lines.len(), keys.len()), (REQUESTS, REQUESTS), "one key for each request");
    assert!(came.len() <= REQUESTS + 8, "at most one was sent again after each kill: {}", came.len());
}
