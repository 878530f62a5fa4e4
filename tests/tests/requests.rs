//! Requests of HTTP's kind and calls of a host: answers in the turn, in a later one, by somebody else, or never.

use everturn::native::{Incoming, Native, NativeType};
use everturn::{Exception, Hypervisor, HypervisorError, Ipld, Kind, Message, Ticks, Turn, node};
use serde::{Deserialize, Serialize};

use crate::world::{Ways, World};

/// What a driver hands in.
pub(crate) fn request(method: &str, url: &str, body: &str) -> Vec<u8> {
    let header = |name: &str, value: &str| Ipld::List(vec![name.into(), value.into()]);
    let headers = vec![header("Accept", "*/*"), header("X-Twice", "a"), header("X-Twice", "b")];
    let fields = [
        ("method".to_owned(), method.into()),
        ("url".to_owned(), url.into()),
        ("headers".to_owned(), Ipld::List(headers)),
        ("body".to_owned(), Ipld::Bytes(body.into())),
    ];
    node::encode(&Ipld::Map(fields.into())).unwrap()
}

/// The status and the body of an answer.
pub(crate) fn said(answer: Ipld) -> (i128, String) {
    let Ipld::Map(mut fields) = answer else { panic!("{answer:?} is no response") };
    let (Some(Ipld::Integer(status)), Some(Ipld::Bytes(body))) =
        (fields.remove("status"), fields.remove("body"))
    else {
        panic!("{fields:?} is no response");
    };
    (status, String::from_utf8(body).unwrap())
}

impl World {
    /// What a GET is answered with: the status and the body.
    pub(crate) fn get(&mut self, url: &str) -> Result<(i128, String), HypervisorError> {
        let answer = self.hypervisor().request(&self.root, request("GET", url, ""));
        self.block_on(answer).map(said)
    }

    fn call(&mut self, data: &Ipld) -> Result<Ipld, HypervisorError> {
        let message = Message { data: node::encode(data).unwrap(), ..Message::default() };
        let answer = self.hypervisor().call(&self.root, message);
        self.block_on(answer)
    }
}

fn exception(error: HypervisorError) -> Exception {
    match error {
        HypervisorError::Exception(exception) => exception,
        other => panic!("{other}"),
    }
}

const COUNTER: &str = r#"
let count = 0;
export default {
    fetch(request) {
        if (request.url.endsWith("/boom")) { count += 100; throw new TypeError("no such thing"); }
        if (request.url.endsWith("/odd")) return "text";
        return new Response(`${request.method} ${request.headers.get("x-twice")} ${count++}`, { status: 201 });
    },
};"#;

#[test]
fn a_program_answers_in_the_turn() {
    for ways in Ways::to_survive() {
        let mut world = World::with(COUNTER, ways);
        assert_eq!(world.get("http://here/a").unwrap(), (201, "GET a, b 0".into()));
        let thrown = exception(world.get("http://here/boom").unwrap_err());
        assert_eq!(thrown.text, "TypeError: no such thing");
        assert!(thrown.stack.contains("fetch"), "{}", thrown.stack);
        let odd = exception(world.get("http://here/odd").unwrap_err());
        assert_eq!(odd.text, "TypeError: a request is answered with a Response, not with 'text'");
        world.restart();
        assert_eq!(world.get("http://here/a").unwrap(), (201, "GET a, b 1".into()));
        world.stop();
    }
}

#[test]
fn bodies_headers_and_status_are_what_the_program_made_them() {
    let mut world = World::new(
        r#"export default { async fetch(request) {
            const bytes = await request.bytes();
            const headers = new Headers([["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["X-Length", bytes.length]]);
            return new Response(bytes.reverse(), { status: 418, statusText: "I'm a teapot", headers });
        } };"#,
    );
    let answer = world.hypervisor().request(&world.root, request("POST", "http://here/", "\u{0}abc"));
    let Ipld::Map(fields) = world.block_on(answer).unwrap() else { panic!("no map") };
    let pair = |name: &str, value: &str| Ipld::List(vec![name.into(), value.into()]);
    assert_eq!(fields["status"], Ipld::Integer(418));
    assert_eq!(fields["statusText"], "I'm a teapot".into());
    assert_eq!(fields["body"], Ipld::Bytes(b"cba\0".to_vec()));
    let headers = vec![pair("set-cookie", "a=1"), pair("set-cookie", "b=2"), pair("x-length", "4")];
    assert_eq!(fields["headers"], Ipld::List(headers));
    world.stop();
}

#[test]
fn the_older_form_fills_in_a_response() {
    let mut world = World::new(
        r#"let count = 0;
        function handleRequest(request, response) {
            response.statusCode = 203; response.status = "Fine"; response.headers["X-Uri"] = request.uri;
            response.body = request.method + " " + request.headers["x-twice"] + " " + request.body + " " + count++;
        }"#,
    );
    let answer = world.hypervisor().request(&world.root, request("PUT", "http://here:80/a?b=c", "ö"));
    let Ipld::Map(fields) = world.block_on(answer).unwrap() else { panic!("no map") };
    assert_eq!(fields["status"], Ipld::Integer(203));
    assert_eq!(fields["statusText"], "Fine".into());
    assert_eq!(fields["body"], Ipld::Bytes("PUT a, b ö 0".into()));
    assert!(format!("{:?}", fields["headers"]).contains("/a?b=c"), "{:?}", fields["headers"]);
    world.stop();
}

#[test]
fn in_the_older_form_a_number_is_a_status_and_a_text_what_stands_behind_it() {
    let mut world = World::new(
        r#"function handleRequest(request, response) {
            Object.assign(response, JSON.parse(request.body));
        }"#,
    );
    for (filled_in, status, text) in [
        ("{}", 200, ""),
        (r#"{"status": 203}"#, 203, ""),
        (r#"{"status": "Fine"}"#, 200, "Fine"),
        (r#"{"statusCode": 404, "status": "Nowhere"}"#, 404, "Nowhere"),
        (r#"{"statusCode": 404, "status": 404}"#, 404, ""),
        (r#"{"statusCode": 404, "status": 203}"#, 404, ""),
    ] {
        let answer = world.hypervisor().request(&world.root, request("PUT", "http://here/", filled_in));
        let Ipld::Map(fields) = world.block_on(answer).unwrap() else { panic!("no map") };
        assert_eq!(
            (&fields["status"], &fields["statusText"]),
            (&Ipld::Integer(status), &text.into()),
            "{filled_in}"
        );
    }
    world.stop();
}

#[test]
fn a_program_without_a_handler_answers_404() {
    let mut world = World::new("let a = 1;");
    assert_eq!(world.get("http://here/").unwrap().0, 404);
    world.stop();
}

const ASKS_A_CHILD: &str = r#"
ports.bind("child", ports.create("js", `export default { message(msg) {
    if (msg.data === "boom") throw new Error("child says no");
    return msg.data + "!";
} };`));
export default {
    async fetch(request) {
        const path = new URL(request.url).pathname.slice(1);
        return new Response(await call(ports.get("child"), path));
    },
    async message(msg) { return await call(ports.get("child"), msg.data); },
};"#;

#[test]
fn an_answer_may_wait_for_another_container() {
    for ways in Ways::to_survive() {
        let mut world = World::with(ASKS_A_CHILD, ways);
        assert_eq!(world.get("http://here/one").unwrap(), (200, "one!".into()));
        let thrown = exception(world.get("http://here/boom").unwrap_err());
        assert!(thrown.text.contains("child says no"), "{thrown}");
        assert_eq!(world.call(&"two".into()).unwrap(), "two!".into());
        world.stop();
    }
}

#[test]
fn many_requests_are_under_way_at_once() {
    let mut world = World::new(ASKS_A_CHILD);
    let asked: Vec<_> = (0..200)
        .map(|i| world.hypervisor().request(&world.root, request("GET", &format!("http://here/{i}"), "")))
        .collect();
    for (i, answer) in asked.into_iter().enumerate() {
        assert_eq!(said(world.block_on(answer).unwrap()), (200, format!("{i}!")));
    }
    world.stop();
}

const HOLDS: &str = r#"
let held = [];
export default {
    fetch(request) { return new Promise((resolve) => held.push(resolve)); },
    message(msg) {
        if (msg.data === "drop") { ports.delete(msg.reply); return; }
        if (msg.data === "pass on") { send(ports.get("child"), null, { ports: [msg.reply] }); return; }
        if (msg.data === "by hand") { send(msg.reply, "first"); send(msg.reply, "second"); return "third"; }
        for (const resolve of held) resolve(new Response("late"));
        return held.length;
    },
};
ports.bind("child", ports.create("js", `export default { message(msg) { send(msg.ports[0], "the child's"); } };`));
"#;

#[test]
fn whoever_has_the_way_back_answers() {
    let mut world = World::new(HOLDS);
    assert_eq!(world.call(&"pass on".into()).unwrap(), "the child's".into());
    assert_eq!(world.call(&"by hand".into()).unwrap(), "first".into());
    assert!(matches!(world.call(&"drop".into()), Err(HypervisorError::Unanswered)));
    let late = world.hypervisor().request(&world.root, request("GET", "http://here/", ""));
    assert_eq!(world.call(&"go".into()).unwrap(), Ipld::Integer(1));
    assert_eq!(said(world.block_on(late).unwrap()), (200, "late".into()));
    world.stop();
}

/// An answer that comes when nobody waits any more is no trouble, and whether somebody waited leaves no mark.
#[test]
fn a_state_does_not_show_whether_anybody_waited() {
    let mut roots = Vec::new();
    for (restarts, waits) in [(false, true), (false, false), (true, false)] {
        let mut world = World::new(HOLDS);
        let asked = world.hypervisor().request(&world.root, request("GET", "http://here/", ""));
        let asked = waits.then_some(asked);
        world.idle();
        let pending = world.state_root();
        if restarts {
            world.restart();
        }
        assert_eq!(world.call(&"go".into()).unwrap(), Ipld::Integer(1));
        if let Some(asked) = asked {
            assert_eq!(said(world.block_on(asked).unwrap()).1, "late");
        }
        world.idle();
        roots.push((pending, world.state_root()));
        world.stop();
    }
    assert_eq!(roots[0], roots[1]);
    assert_eq!(roots[0], roots[2]);
}

#[test]
fn a_request_that_waits_when_its_container_goes_is_told() {
    let mut world = World::new(HOLDS);
    let root = world.state_root();
    let asked = world.hypervisor().request(&world.root, request("GET", "http://here/", ""));
    world.idle();
    let restored = world.hypervisor().clone();
    let id = world.root;
    world.block_on(async move { restored.restore(&id, &root).await }).unwrap();
    assert!(matches!(world.block_on(asked), Err(HypervisorError::Unanswered)));
    world.stop();
}

const ROUTES: &str = r#"
const user = `let seen = 0; export default { fetch(request) { return new Response(new URL(request.url).pathname + " " + ++seen); } };`;
export const routes = { "/user/:id": user, "/files/*": { program: user }, "/broken": "throw new Error('not born')" };
export default { fetch(request) { return new Response("the root's own"); } };
"#;

#[test]
fn routes_give_each_path_a_container_of_its_own() {
    let mut world = World::new(ROUTES);
    let ok = |text: &str| (200, text.to_owned());
    assert_eq!(world.get("http://here/user/7").unwrap(), ok("/user/7 1"));
    assert_eq!(world.get("http://here/user/7?x=1").unwrap(), ok("/user/7 2"));
    assert_eq!(world.get("http://here/user/8").unwrap(), ok("/user/8 1"));
    assert_eq!(world.get("http://here/files/a/b").unwrap(), ok("/files/a/b 1"));
    assert_eq!(world.get("http://here/files/c").unwrap(), ok("/files/c 2"));
    for elsewhere in ["", "user", "user/", "user/7/more", "other"] {
        assert_eq!(world.get(&format!("http://here/{elsewhere}")).unwrap(), ok("the root's own"));
    }
    for _ in 0..2 {
        let thrown = exception(world.get("http://here/broken").unwrap_err());
        assert!(thrown.text.contains("not answered"), "{thrown}");
    }
    world.restart();
    assert_eq!(world.get("http://here/user/7").unwrap(), ok("/user/7 3"));
    world.stop();
}

#[test]
fn a_container_asks_another_as_http_does() {
    let mut world = World::new(
        r#"ports.bind("child", ports.create("js", `export default { async fetch(request) {
            return Response.json({ method: request.method, url: request.url, text: await request.text() }, { status: 202 });
        } };`));
        export default { async message(msg) {
            const response = await ports.get("child").fetch("http://child/a", { method: "POST", body: msg.data });
            return [response.status, response.headers.get("content-type"), await response.json()];
        } };"#,
    );
    let answer = format!("{:?}", world.call(&"hello".into()).unwrap());
    for part in ["202", "application/json", "POST", "http://child/a", "hello"] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
    world.stop();
}

/// Answers with what it got; gives no answer to null.
#[derive(Clone, Serialize, Deserialize)]
struct Echo;

impl Native for Echo {
    fn create(_: &mut Turn, _: Ipld) -> Result<Self, Exception> {
        Ok(Echo)
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        assert!(matches!(message.kind, Kind::Message | Kind::Request));
        assert!(turn.reply_port().is_some_and(|port| turn.is_valid_port(port)));
        if *message.bytes != [0xf6] {
            turn.answer(message.bytes).unwrap();
        }
        Ok(())
    }
}

#[test]
fn native_containers_answer_too() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let hypervisor = Hypervisor::builder().build().await.unwrap();
        hypervisor.register_container("echo", NativeType::<Echo>::new());
        let echo = hypervisor.create_instance("echo", "", Ipld::Null).await.unwrap();
        let before = hypervisor.create_state_root(&echo, Ticks::MAX).await.unwrap();
        let data = request("GET", "http://here/", "");
        let answer = hypervisor.request(&echo, data.clone()).await.unwrap();
        assert_eq!(node::encode(&answer).unwrap(), data);
        let nothing = Message { data: vec![0xf6], ..Message::default() };
        assert!(matches!(hypervisor.call(&echo, nothing).await, Err(HypervisorError::Unanswered)));
        // An answer given at once needs no channel: the nonce is as it was.
        assert_eq!(hypervisor.create_state_root(&echo, Ticks::MAX).await.unwrap(), before);
        hypervisor.stop().await.unwrap();
    });
}
