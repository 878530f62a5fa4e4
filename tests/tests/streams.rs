//! `ReadableStream` and bodies of responses in pieces, as a program sees them; and pieces as whoever reads them asks for them.

use everturn::{HypervisorError, Ipld, node};

use crate::requests::{request, said};
use crate::world::{Ways, World};

/// What a program makes of a stream, as text.
#[track_caller]
fn shows(source: &str, expected: &str) {
    let mut world = World::new("");
    world.eval(&format!("globalThis.out = 'never'; void ({source})().then((is) => {{ out = String(is); }}, (error) => {{ out = String(error); }})"));
    assert_eq!(world.eval("out"), format!("'{expected}'"), "{source}");
    world.stop();
}

#[test]
fn what_is_enqueued_is_read_in_order() {
    shows(
        "async () => { let read = []; const stream = new ReadableStream({ start(c) { c.enqueue(1); c.enqueue(2); c.close(); } });
           for await (const one of stream) read.push(one); return read + ' ' + stream.locked; }",
        "1,2 false",
    );
    shows(
        "async () => { let n = 0; const reader = new ReadableStream({ async pull(c) { await null; c.enqueue(++n); } }, { highWaterMark: 3 }).getReader();
           const first = [(await reader.read()).value, (await reader.read()).value]; for (let i = 0; i < 50; i++) await null;
           return first + ' ' + n; }",
        "1,2 5",
    );
    shows("async () => await new Response(ReadableStream.from(['a', new Uint8Array([98])])).text()", "ab");
    shows("async () => await new Response((async function* () { yield 'x'; yield 'y'; })()).text()", "xy");
    shows("async () => await new Response([1, 2]).text()", "1,2");
    shows(
        "async () => { const { body } = new Response('whole'); const { value } = await body.getReader().read(); return value.length; }",
        "5",
    );
}

#[test]
fn what_is_over_is_over() {
    shows(
        "async () => { const stream = new ReadableStream({ start(c) { c.enqueue(1); c.error(new Error('no')); } }); return (await stream.getReader().read()).value; }",
        "Error: no",
    );
    shows(
        "async () => { let told; const stream = new ReadableStream({ cancel(why) { told = why; } }); await stream.cancel('enough');
           return told + ' ' + (await stream.getReader().read()).done; }",
        "enough true",
    );
    shows(
        "async () => { const stream = new ReadableStream(); stream.getReader(); return stream.getReader(); }",
        "TypeError: this stream has a reader already",
    );
    shows(
        "async () => { let c; const stream = new ReadableStream({ start(given) { c = given; } }); c.close(); c.enqueue(1); }",
        "TypeError: this stream is over: nothing can be enqueued",
    );
    shows(
        "async () => { let why; const controller = {}; new ReadableStream({ start(c) { controller.c = c; }, cancel(reason) { why = reason; } });
           for (let n = 0; n < 33; n++) controller.c.enqueue(new Uint8Array(262144)); await null; return why; }",
        "RangeError: 8388608 bytes wait in this stream, and nobody takes them",
    );
    shows(
        "async () => { const response = new Response(ReadableStream.from(['a'])); await response.text(); return await response.text(); }",
        "TypeError: this body was read already",
    );
    shows(
        "async () => new Response(ReadableStream.from(['a'])).clone()",
        "TypeError: a body that comes piece by piece cannot be had twice",
    );
    shows(
        "async () => new Request('http://a/', { method: 'POST', body: ReadableStream.from(['a']) })",
        "TypeError: the body of a request is whole: text or bytes, no stream",
    );
}

/// What a driver asks of a stream.
fn asks(wants: &str, number: i128) -> Vec<u8> {
    let fields = [
        ("method", "GET".into()),
        ("url", "http://here/".into()),
        ("headers", Ipld::List(Vec::new())),
        ("body", Ipld::Bytes(Vec::new())),
        ("stream", Ipld::Integer(number)),
        ("wants", wants.into()),
        ("reason", "enough".into()),
    ];
    node::encode(&Ipld::Map(fields.map(|(name, value)| (name.to_owned(), value)).into())).unwrap()
}

impl World {
    fn hears(&self, data: Vec<u8>) -> Result<Ipld, HypervisorError> {
        self.block_on(self.hypervisor().request(&self.root, data))
    }

    /// The next piece, and whether there are more.
    fn piece(&self, number: i128) -> Result<(String, bool), HypervisorError> {
        let Ipld::Map(fields) = self.hears(asks("next", number))? else { panic!("no map") };
        let (Ipld::Bytes(body), Ipld::Bool(more)) = (&fields["body"], &fields["more"]) else {
            panic!("{fields:?}")
        };
        Ok((String::from_utf8(body.clone()).unwrap(), *more))
    }
}

const PROGRAM: &str = r#"
globalThis.log = [];
async function* pieces() {
    try { yield "a"; yield "b"; if (globalThis.bad) throw new Error("bad"); } finally { log.push("over"); }
}
export default { fetch() { return new Response(pieces(), { headers: { "x-own": "1" } }); } };"#;

#[test]
fn a_stream_is_asked_for_piece_by_piece_and_outlives_a_restart() {
    for ways in Ways::to_survive() {
        let mut world = World::with(PROGRAM, ways);
        let Ipld::Map(head) = world.hears(request("GET", "http://here/", "")).unwrap() else {
            panic!("no map")
        };
        assert_eq!((&head["stream"], &head["body"]), (&Ipld::Integer(1), &Ipld::Bytes(Vec::new())));
        assert_eq!(world.eval("ports.names().join()"), "'stream:mark,stream:open'");
        assert_eq!(world.piece(1).unwrap(), ("a".into(), true));
        world.restart();
        assert_eq!(world.piece(1).unwrap(), ("b".into(), true));
        assert_eq!(world.piece(1).unwrap(), (String::new(), false));
        assert_eq!(world.eval("ports.names().length + log.join()"), "'0over'");
        let HypervisorError::Exception(exception) = world.piece(1).unwrap_err() else { panic!("it is over") };
        assert_eq!(exception.text, "Error: this stream is over");
        world.stop();
    }
}

#[test]
fn a_piece_that_throws_takes_its_turn_with_it_and_a_stream_can_be_cancelled() {
    let mut world = World::new(PROGRAM);
    for number in 1..=2 {
        world.hears(request("GET", "http://here/", "")).unwrap();
        assert_eq!(world.piece(number).unwrap().0, "a");
    }
    assert_eq!(world.piece(1).unwrap().0, "b");
    world.eval("globalThis.bad = true");
    for _ in 0..2 {
        let HypervisorError::Exception(exception) = world.piece(1).unwrap_err() else { panic!("it is bad") };
        assert_eq!(exception.text, "Error: bad");
        assert_eq!(world.eval("log.length"), "0", "nothing of that turn is there");
    }
    for (number, over) in [(1, "1"), (2, "2"), (2, "2"), (7, "2")] {
        world.hears(asks("cancel", number)).unwrap();
        assert_eq!(world.eval("log.length"), over);
    }
    assert_eq!(world.eval("ports.names().length"), "0");
    world.stop();
}

#[test]
fn what_another_container_streams_can_be_handed_on() {
    let mut world = World::new(
        r#"globalThis.child = ports.create("js", `
            globalThis.log = [];
            export default { fetch(request) {
                if (request.url.endsWith("/log")) return Response.json(log);
                let n = 0;
                return new Response(new ReadableStream({
                    pull(c) { c.enqueue(String(++n)); if (n === 3) c.close(); },
                    cancel(reason) { log.push(reason.message); },
                }, { highWaterMark: 0 }));
            } };`);
        ports.bind("child", child);
        export default { async fetch(request) {
            const response = await ports.get("child").fetch(request);
            return request.url.endsWith("/whole") ? new Response(await response.text()) : response;
        } };"#,
    );
    let whole = world.hears(request("GET", "http://here/whole", "")).unwrap();
    assert_eq!(said(whole).1, "123");
    world.hears(request("GET", "http://here/", "")).unwrap();
    assert_eq!(world.piece(1).unwrap(), ("1".into(), true));
    world.hears(asks("cancel", 1)).unwrap();
    world.idle();
    let log = world.hears(request("GET", "http://here/log", "")).unwrap();
    assert_eq!(said(log).1, r#"["enough"]"#);
    world.stop();
}
