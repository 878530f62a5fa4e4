//! WebSockets: ports of the program that lead to clients, what ends them, and what a kill leaves of them.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::web::{Site, Visitor};
use crate::world::World;

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end of a socket.
struct Client(WebSocket<TcpStream>);

impl Client {
    fn open(site: &Site, path: &str) -> Client {
        Client::try_open(site, path).unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// Opens a socket; or the status and the body of the answer that came instead.
    fn try_open(site: &Site, path: &str) -> Result<Client, (u16, String)> {
        let stream = TcpStream::connect(&site.address).expect("the server lets a client in");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is no zero");
        match tungstenite::client(format!("ws://{}{path}", site.address), stream) {
            Ok((socket, _)) => Ok(Client(socket)),
            Err(HandshakeError::Failure(Error::Http(answer))) => {
                let body = answer.body().clone().unwrap_or_default();
                Err((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("the socket is open");
    }

    fn next(&mut self) -> Message {
        loop {
            match self.0.read().expect("the socket is open") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    fn hear(&mut self) -> String {
        match self.next() {
            Message::Text(text) => text.as_str().to_owned(),
            message => panic!("{message:?}"),
        }
    }

    /// The code with which the server says good-bye.
    fn ends(&mut self) -> CloseCode {
        match self.next() {
            Message::Close(Some(CloseFrame { code, .. })) => code,
            message => panic!("{message:?}"),
        }
    }
}

/// Answers each message, tells what it knows at `/`, and closes who asks for it.
const ECHO: &str = "const open = new Set(), closed = []; let heard = 0;
    export default {
        fetch() { return Response.json({ open: [...open], closed, heard, ports: ports.names().filter((name) => name.startsWith('socket:')) }); },
        websocket(socket, request) {
            const { pathname } = new URL(request.url);
            if (pathname === '/no') return new Response('not here', { status: 403 });
            if (pathname === '/throw') throw new Error('hunter2');
            open.add(socket.name);
            if (pathname === '/hello') send(socket, 'hello');
        },
        message({ from, data }) {
            heard++;
            if (data === 'close') { open.delete(from.name); return from.close(); }
            if (data === 'throw') throw new Error('no');
            if (data === 'flood') for (let n = 0; n < 2000; n++) send(from, `${n}`);
            send(from, data);
        },
        close(socket) { open.delete(socket.name); closed.push(socket.name); },
    };";

fn echo() -> (World, Site) {
    let world = World::new();
    world.file("app.js", ECHO);
    let site = world.serve("app.js", &[]);
    (world, site)
}

fn told(site: &Site) -> serde_json::Value {
    serde_json::from_str(&site.get("/").1).expect("it is JSON")
}

/// Asks until it is as wanted.
fn until(site: &Site, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    loop {
        let told = told(site);
        if is_so(&told) {
            return told;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn messages_go_both_ways_in_their_order() {
    let (_world, site) = echo();
    let mut client = Client::open(&site, "/hello");
    assert_eq!(client.hear(), "hello", "it was sent in the turn that opened it");
    for n in 0..200 {
        client.say(&format!("é{n}"));
    }
    for n in 0..200 {
        assert_eq!(client.hear(), format!("é{n}"));
    }
    let bytes = vec![0, 255, 10];
    client.0.send(Message::binary(bytes.clone())).unwrap();
    assert_eq!(client.next(), Message::binary(bytes));
    let mut other = Client::open(&site, "/");
    other.say("mine");
    assert_eq!(other.hear(), "mine");
    assert_eq!(told(&site)["open"].as_array().map(Vec::len), Some(2));
}

#[test]
fn either_side_closes_and_the_program_is_told_of_the_other() {
    let (_world, site) = echo();
    let (mut first, mut second) = (Client::open(&site, "/"), Client::open(&site, "/"));
    first.say("close");
    assert_eq!(first.ends(), CloseCode::Normal);
    second.0.close(None).unwrap();
    let told = until(&site, |told| told["closed"].as_array().is_some_and(|closed| !closed.is_empty()));
    assert_eq!(
        (told["closed"].clone(), told["open"].clone()),
        (serde_json::json!(["socket:2"]), serde_json::json!([]))
    );
    assert_eq!(told["ports"], serde_json::json!([]), "no port is left of either");
    // One that goes without a word.
    drop(Client::open(&site, "/"));
    until(&site, |told| told["closed"].as_array().is_some_and(|closed| closed.len() == 2));
}

#[test]
fn a_program_may_refuse_and_a_request_may_be_no_opening() {
    let (world, site) = echo();
    let refused = |path| Client::try_open(&site, path).err();
    assert_eq!(refused("/no"), Some((403, "not here".to_owned())));
    assert_eq!(refused("/throw").map(|(status, _)| status), Some(500));
    assert_eq!(told(&site)["ports"], serde_json::json!([]));
    let ask = |lines: &str| {
        let mut visitor = Visitor::connect(&site.address).unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{lines}\r\n"
        );
        visitor.send(head.as_bytes()).unwrap();
        visitor.hear().unwrap().0
    };
    assert_eq!(ask("Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 426);
    assert_eq!(ask("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n"), 400);
    world.file("plain.js", "export default { fetch() { return new Response('') } };");
    let site = Site::begin(world.command_on("other", &["serve", "plain.js", "--http", "127.0.0.1:0"]));
    assert_eq!(Client::try_open(&site, "/").err().map(|(status, _)| status), Some(404));
}

#[test]
fn what_is_no_message_ends_the_socket_and_nothing_else() {
    let (_world, site) = echo();
    let mut client = Client::open(&site, "/");
    client.say("throw");
    client.say("on");
    assert_eq!(client.hear(), "on", "a turn that throws is one message lost");
    // No frame at all.
    let mut client = Client::open(&site, "/");
    std::io::Write::write_all(client.0.get_mut(), &[0xff; 64]).unwrap();
    let mut rest = Vec::new();
    client.0.get_mut().read_to_end(&mut rest).expect("the server ends it");
    until(&site, |told| told["closed"].as_array().is_some_and(|closed| closed.len() == 1));
}

#[test]
fn a_client_for_whom_too_much_waits_is_told_so_and_nobody_else_notices() {
    let (_world, site) = echo();
    let (mut flooded, mut other) = (Client::open(&site, "/"), Client::open(&site, "/"));
    flooded.say("flood");
    let mut heard = 0;
    let code = loop {
        match flooded.next() {
            Message::Text(text) => assert_eq!(text.as_str(), heard.to_string(), "nothing is left out before"),
            Message::Close(Some(CloseFrame { code, .. })) => break code,
            message => panic!("{message:?}"),
        }
        heard += 1;
    };
    assert_eq!(code, CloseCode::Again, "after {heard} messages");
    assert!((1_024..2_000).contains(&heard), "{heard}");
    other.say("on");
    assert_eq!(other.hear(), "on");
    until(&site, |told| told["closed"].as_array().is_some_and(|closed| closed.len() == 1));
    site.talk.signal("TERM");
    let ran = site.talk.finish();
    assert!(ran.err.contains("a WebSocket for which too much waits"), "{ran:?}");
}

#[test]
fn a_signal_says_good_bye() {
    let (_world, site) = echo();
    let mut client = Client::open(&site, "/");
    site.talk.signal("TERM");
    assert_eq!(client.ends(), CloseCode::Away);
    drop(client);
    assert_eq!(site.talk.finish().code, Some(0));
}

#[test]
fn after_a_kill_the_program_is_told_that_its_sockets_closed() {
    let (world, mut site) = echo();
    let (mut seen, mut answered) = (0, 0);
    for life in 1..=5 {
        let mut clients: Vec<Client> = (0..3).map(|_| Client::open(&site, "/hello")).collect();
        for client in &mut clients {
            assert_eq!(client.hear(), "hello");
        }
        for n in 0..20 {
            clients[n % 3].say("count");
        }
        for n in 0..life * 3 {
            assert_eq!(clients[n % 3].hear(), "count");
        }
        answered += life * 3;
        seen += 3;
        site.talk.kill();
        site = world.serve("app.js", &[]);
        let told = until(&site, |told| told["closed"].as_array().is_some_and(|closed| closed.len() >= seen));
        assert_eq!(told["closed"].as_array().map(Vec::len), Some(seen), "each once");
        assert_eq!(
            (told["open"].clone(), told["ports"].clone()),
            (serde_json::json!([]), serde_json::json!([]))
        );
        assert!(told["heard"].as_u64() >= Some(answered as u64), "what was answered stays heard: {told}");
    }
    site.talk.signal("TERM");
    assert_eq!(site.talk.finish().code, Some(0));
    assert_eq!(world.everturn(&["check"]).code, Some(0));
}

#[test]
fn the_chat_of_the_examples_goes_on_after_a_kill() {
    let world = World::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/chat.js");
    world.file("chat.js", fs::read(example).expect("the example is there"));
    let line = |from: Option<&str>, text: &str| serde_json::json!({ "from": from, "text": text });
    let heard = |client: &mut Client| serde_json::from_str::<serde_json::Value>(&client.hear()).unwrap();
    let site = world.serve("chat.js", &[]);
    let (status, page) = site.get("/");
    assert!(status == 200 && page.contains("new WebSocket("), "{page}");
    assert_eq!(Client::try_open(&site, "/").err().map(|(status, _)| status), Some(400));
    let mut ann = Client::open(&site, "/?name=Ann");
    assert_eq!(heard(&mut ann), line(None, "Ann is here"));
    let mut bob = Client::open(&site, "/?name=Bob");
    assert_eq!(heard(&mut bob), line(None, "Ann is here"), "who comes later learns what was said");
    for client in [&mut ann, &mut bob] {
        assert_eq!(heard(client), line(None, "Bob is here"));
    }
    ann.say("hello <Bob>");
    for client in [&mut ann, &mut bob] {
        assert_eq!(heard(client), line(Some("Ann"), "hello <Bob>"));
    }
    site.talk.kill();
    let site = world.serve("chat.js", &[]);
    let mut ann = Client::open(&site, "/?name=Ann");
    let lines: Vec<_> = (0..6).map(|_| heard(&mut ann)).collect();
    assert_eq!(
        lines[..3],
        [line(None, "Ann is here"), line(None, "Bob is here"), line(Some("Ann"), "hello <Bob>")]
    );
    assert_eq!(lines[5], line(None, "Ann is here"));
    let gone: Vec<_> = lines[3..5].iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert!(gone.contains(&"Ann has gone") && gone.contains(&"Bob has gone"), "{gone:?}");
}
