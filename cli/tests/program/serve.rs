//! `everturn serve`: what clients get, what outlives the server, how it ends, and what keeps it from beginning.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::web::{Site, Visitor};
use crate::world::World;

/// The example that people are shown.
fn counter(world: &World) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/counter.js");
    world.file("counter.js", fs::read(example).expect("the example is there"));
}

fn said(number: u32) -> (u16, String) {
    (200, format!("Counter: {number}\n"))
}

#[test]
fn a_counter_survives_kill_9_and_counts_on() {
    let world = World::new();
    counter(&world);
    for life in 0..3 {
        let site = world.serve("counter.js", &[]);
        let mut visitor = site.visit();
        assert_eq!(visitor.get("/").unwrap(), (200, format!("The next one is {}\n", life * 2)));
        assert_eq!(visitor.get("/counter").unwrap(), said(life * 2));
        assert_eq!(visitor.get("/counter").unwrap(), said(life * 2 + 1));
        assert_eq!(visitor.get("/elsewhere").unwrap().0, 404);
        site.talk.kill();
    }
}

#[test]
fn a_signal_ends_it_in_order() {
    let world = World::new();
    counter(&world);
    for (number, signal) in ["TERM", "INT"].into_iter().enumerate() {
        let site = world.serve("counter.js", &[]);
        let mut visitor = site.visit();
        assert_eq!(visitor.get("/counter").unwrap(), said(number as u32));
        site.talk.signal(signal);
        let ran = site.talk.finish();
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""), "{signal}: {ran:?}");
        assert!(visitor.get("/counter").is_err(), "the connection is at its end");
    }
    assert_eq!(world.everturn(&["check"]).code, Some(0));
}

#[test]
fn v8_kens_server_runs_as_it_was_written() {
    let world = World::new();
    let program = "var counter = 0;
        function handleRequest(request, response) {
            if (request.method === 'DELETE') counter = 0;
            response.headers['X-Uri'] = request.uri;
            response.body = request.body + counter++;
        }";
    world.file("ken.js", program);
    let site = world.serve("ken.js", &[]);
    assert_eq!(site.get("/a"), (200, "0".to_owned()));
    assert_eq!(site.visit().ask("POST", "/a?b", b"body ").unwrap(), (200, "body 1".to_owned()));
    assert_eq!(site.visit().ask("DELETE", "/a", b"").unwrap(), (200, "0".to_owned()));
}

#[test]
fn a_route_gives_each_path_a_container_that_outlives_the_server() {
    let world = World::new();
    let program =
        "const user = `let seen = 0; export default { fetch() { return new Response(String(++seen)); } };`;
        export const routes = { '/user/:id': user };
        export default { async fetch(request) {
            const answer = await ports.get('route:/user/7').fetch(request.url);
            return new Response('7 says ' + await answer.text());
        } };";
    world.file("app.js", program);
    let site = world.serve("app.js", &[]);
    let mut visitor = site.visit();
    for (path, body) in
        [("/user/7", "1"), ("/user/7", "2"), ("/user/8", "1"), ("/", "7 says 3"), ("/user/7?again", "4")]
    {
        assert_eq!(visitor.get(path).unwrap(), (200, body.to_owned()), "{path}");
    }
    site.talk.kill();
    let site = world.serve("app.js", &[]);
    assert_eq!(site.get("/user/7"), (200, "5".to_owned()));
    assert_eq!(site.get("/user/8"), (200, "2".to_owned()));
}

#[test]
fn an_exception_is_500_and_is_in_the_log_with_its_stack() {
    let world = World::new();
    let program = "let n = 0;
        function inner() { throw new Error('hunter2'); }
        export default { fetch(request) { n++; if (request.url.endsWith('/throw')) inner(); return new Response(`${n}`); } };";
    world.file("app.js", program);
    let site = world.serve("app.js", &[]);
    let mut visitor = site.visit();
    assert_eq!(visitor.get("/").unwrap(), (200, "1".to_owned()));
    assert_eq!(visitor.get("/throw").unwrap(), (500, "Internal Server Error\n".to_owned()));
    assert_eq!(visitor.get("/").unwrap(), (200, "2".to_owned()), "nothing of that turn happened");
    site.talk.signal("TERM");
    let ran = site.talk.finish();
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.contains("Error: hunter2") && ran.err.contains("at inner"), "{ran:?}");
}

#[test]
fn lines_of_the_program_leave_as_in_run() {
    let world = World::new();
    world.file(
        "app.js",
        "console.log('begun'); export default { fetch() { console.log('asked'); return new Response('') } };",
    );
    let mut command = world.command(&["serve", "app.js", "--http", "127.0.0.1:0", "--json"]);
    command.env_remove("RUST_LOG");
    let mut talk = crate::world::Talk::begin(command);
    let lines = [talk.answer(), talk.answer()];
    let told = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
    let (line, listening) = (told(&lines[0]), told(&lines[1]));
    assert_eq!((line["event"].as_str(), line["text"].as_str()), (Some("line"), Some("begun")));
    assert_eq!((listening["event"].as_str(), listening["admin"].as_str()), (Some("listening"), None));
    let url = listening["url"].as_str().expect("it says where");
    let address = url.strip_prefix("http://").expect("it is HTTP in the clear");
    assert_eq!(Visitor::connect(address).unwrap().get("/").unwrap().0, 200);
    assert_eq!(told(&talk.answer())["text"], "asked");
}

#[test]
fn an_edited_program_is_taken_up_when_asked_for() {
    let world = World::new();
    let program = |word: &str| {
        format!(
            "globalThis.n ??= 0; export default {{ fetch() {{ return new Response('{word}' + globalThis.n++); }} }};"
        )
    };
    world.file("app.js", program("one "));
    let site = world.serve("app.js", &[]);
    assert_eq!(site.get("/"), (200, "one 0".to_owned()));
    site.talk.kill();
    world.file("app.js", program("two "));
    let refused = world.everturn(&["serve", "app.js", "--http", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.err.contains("was edited") && refused.err.contains("everturn serve --reload"),
        "{refused:?}"
    );
    let site = world.serve("app.js", &["--reload"]);
    assert_eq!(site.get("/"), (200, "two 1".to_owned()));
}

#[test]
fn a_program_that_cannot_begin_serves_nobody() {
    let world = World::new();
    world.file("app.js", "throw new Error('no');");
    let ran = world.everturn(&["serve", "app.js", "--http", "127.0.0.1:0"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("Error: no"), "{ran:?}");
}

#[test]
fn an_address_that_cannot_be_had_is_told_before_anything_is_begun() {
    let world = World::new();
    counter(&world);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases = [
        ("--http", taken.as_str(), 3, "another program listens there"),
        ("--admin", taken.as_str(), 3, "another program listens there"),
        ("--http", "203.0.113.1:80", 3, "this machine has no such address"),
        ("--http", "8080", 2, "HOST:PORT"),
        ("--http", "127.0.0.1:http", 2, "HOST:PORT"),
    ];
    for (option, address, code, part) in cases {
        let http: &[&str] = if option == "--admin" { &["--http", "127.0.0.1:0"] } else { &[] };
        let ran = world.everturn(&[&["serve", "counter.js", option, address], http].concat());
        // The socket lives on until here.
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{address}: {ran:?}");
        assert!(ran.err.contains(address) && ran.err.contains(part), "{address}: {ran:?}");
        assert!(!world.path("data").exists());
    }
}

#[test]
fn files_that_cannot_be_used_are_told_before_anything_is_begun() {
    let world = World::new();
    counter(&world);
    world.file("text.pem", "no certificate");
    for (words, code, part) in [
        (&["absent.js"][..], 3, "absent.js"),
        (&["counter.js", "--tls-cert", "absent.pem", "--tls-key", "text.pem"], 3, "absent.pem"),
        (&["counter.js", "--tls-cert", "text.pem", "--tls-key", "text.pem"], 3, "PEM"),
        (&["counter.js", "--tls-cert", "text.pem"], 2, "--tls-key"),
        (&["counter.js", "--connections-max", "999999"], 2, "ulimit -n"),
    ] {
        let mut command = std::process::Command::new("sh");
        // Few open files, whatever this machine grants.
        let everturn = env!("CARGO_BIN_EXE_everturn");
        command.current_dir(world.path("")).args([
            "-c",
            "ulimit -n 2000; exec \"$@\"",
            "sh",
            everturn,
            "serve",
        ]);
        let ran = command.args(words).args(["--http", "127.0.0.1:0", "--data", "data"]).output().unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{words:?}: {err}");
        assert!(err.contains(part), "{words:?}: {err}");
        assert!(!world.path("data").exists());
    }
}

#[test]
fn with_a_certificate_it_speaks_tls_and_nothing_else() {
    let world = World::new();
    counter(&world);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    world.file("cert.pem", made.cert.pem());
    world.file("key.pem", made.signing_key.serialize_pem());
    let mut command = world.command(&["serve", "counter.js", "--http", "127.0.0.1:0"]);
    command.args(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let site = Site::begin(command);
    assert!(site.visit().get("/counter").is_err(), "this is no TLS");
    site.talk.signal("TERM");
    assert_eq!(site.talk.finish().code, Some(0));
}

#[test]
fn health_and_metrics_are_told_elsewhere() {
    let world = World::new();
    counter(&world);
    let mut talk = crate::world::Talk::begin(world.command(&[
        "serve",
        "counter.js",
        "--http",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]));
    let told = talk.answer();
    let mut addresses = told.split("http://").skip(1).map(|rest| {
        let end = rest.find([',', '/']).unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    let (address, admin) = (addresses.next().unwrap(), addresses.next().unwrap());
    for number in 0..3 {
        assert_eq!(Visitor::connect(&address).unwrap().get("/counter").unwrap(), said(number));
    }
    let mut admin = Visitor::connect(&admin).unwrap();
    assert_eq!(admin.get("/-/health").unwrap(), (200, "OK\n".to_owned()));
    let (status, text) = admin.get("/-/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(text.contains("\neverturn_http_answers_total{status=\"200\"} 3\n"), "{text}");
    assert!(text.contains("\neverturn_container_ticks "), "{text}");
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
    };
    assert!(value("everturn_turns_total") == 4.0 && value("everturn_exceptions_total") == 0.0, "{text}");
    for name in ["batches", "commit_seconds", "sync_seconds", "dirty_pages", "fuel"] {
        assert!(value(&format!("everturn_{name}_total")) > 0.0, "{name} in {text}");
    }
    assert!(value("everturn_heap_bytes") > 0.0 && value("everturn_inputs_waiting") == 0.0, "{text}");
    talk.signal("TERM");
    assert_eq!(talk.finish().code, Some(0));
}
