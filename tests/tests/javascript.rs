//! What a JavaScript program finds there: docs/javascript.md, example by example, and that it stays across restarts.

use everturn::js::Completeness;
use everturn::{Ipld, Settings, Unloading};

use crate::world::{Ways, World, js};

const PAGE: &str = include_str!("../../docs/javascript.md");

/// An example of the page.
enum Example {
    /// A program, and what it is asked.
    Program(String, Vec<Asked>),
    /// Lines for a shell, and what it shows of the last of each.
    Lines(Vec<(String, Option<String>)>),
}

enum Asked {
    /// A message with its answer, both in JSON.
    Message(Ipld, Ipld),
    /// An address, and the text that a GET of it is answered with.
    Get(String, String),
}

fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for block in PAGE.split("```js\n").skip(1) {
        let block = block.split("```").next().unwrap();
        examples.push(match block.strip_prefix("// a program\n") {
            Some(program) => Example::Program(program.to_owned(), messages(program)),
            None => Example::Lines(lines(block)),
        });
    }
    examples
}

fn messages(program: &str) -> Vec<Asked> {
    let pairs = program.lines().filter_map(|line| line.strip_prefix("// ")?.split_once(" -> "));
    let value = |text: &str| value_of(&serde_json::from_str(text).unwrap());
    let asked = |(data, answer): (&str, &str)| match data.strip_prefix("GET ") {
        Some(url) => Asked::Get(url.to_owned(), answer.to_owned()),
        None => Asked::Message(value(data), value(answer)),
    };
    pairs.map(asked).collect()
}

fn value_of(json: &serde_json::Value) -> Ipld {
    match json {
        serde_json::Value::Number(number) => Ipld::Integer(number.as_i64().unwrap().into()),
        serde_json::Value::Object(fields) => {
            Ipld::Map(fields.iter().map(|(name, value)| (name.clone(), value_of(value))).collect())
        }
        other => panic!("the page has no use for {other} yet"),
    }
}

/// A line without a result is one with the next that has.
pub(crate) fn lines(block: &str) -> Vec<(String, Option<String>)> {
    let mut lines = Vec::new();
    let mut pending = String::new();
    for line in block.lines() {
        match line.split_once(" // = ") {
            Some((source, shown)) => {
                if !pending.is_empty() {
                    lines.push((std::mem::take(&mut pending), None));
                }
                lines.push((source.to_owned(), Some(shown.to_owned())));
            }
            None => pending = pending + line + "\n",
        }
    }
    assert!(pending.is_empty(), "a block ends with a result: {block}");
    lines
}

/// In memory, and with a restart after each line.
pub(crate) fn each_way(story: impl Fn(Ways)) {
    for restart_always in [false, true] {
        story(Ways { restart_always, ..Ways::default() });
    }
}

#[test]
fn every_example_of_the_page_is_true() {
    let (mut programs, mut results) = (0, 0);
    for example in examples() {
        match &example {
            Example::Program(..) => programs += 1,
            Example::Lines(lines) => results += lines.iter().filter(|(_, shown)| shown.is_some()).count(),
        }
        each_way(|ways| run(&example, ways));
    }
    assert!(programs >= 2 && results >= 25, "{programs} programs and {results} results were found");
}

fn run(example: &Example, ways: Ways) {
    match example {
        Example::Program(program, messages) => {
            let mut world = World::with(program, ways);
            for asked in messages {
                match asked {
                    Asked::Message(data, answer) => {
                        let outcome = world.send(data.clone()).outcome;
                        assert_eq!(outcome.as_ref(), Ok(&Some(answer.clone())), "{program}");
                    }
                    Asked::Get(url, text) => {
                        assert_eq!(world.get(url).unwrap(), (200, text.clone()), "{program}");
                    }
                }
            }
        }
        Example::Lines(lines) => {
            let mut world = World::with("", ways);
            for (source, shown) in lines {
                let text = world.eval(source);
                if let Some(shown) = shown {
                    assert_eq!(text, *shown, "{source}");
                }
            }
        }
    }
}

#[test]
fn objects_of_the_prelude_stay() {
    each_way(|ways| {
        let mut world = World::with("", ways);
        world.eval("var url = new URL('http://example.com/a?b=1'), params = url.searchParams;");
        world.eval(
            "var response = new Response('body', { headers: { a: 1 } }), reading = response.clone().text();",
        );
        world.eval("var decoder = new TextDecoder(); var half = decoder.decode(new Uint8Array([0xe2, 0x82]), { stream: true });");
        world.eval("params.set('b', '2'); url.hash = 'x';");
        assert_eq!(world.eval("url.href"), "'http://example.com/a?b=2#x'");
        assert_eq!(
            world.eval("await reading + response.headers.get('a') + response.bodyUsed"),
            "'body1false'"
        );
        assert_eq!(world.eval("half + decoder.decode(new Uint8Array([0xac]))"), "'€'");
        assert_eq!(world.eval("url instanceof URL && response instanceof Response"), "true");
    });
}

/// An address without a base is looked at for its usual form first; with one it never is.
#[test]
fn an_address_of_the_usual_form_is_parsed_as_any_other() {
    let source = r##"{
        const hosts = ["a.b", "127.0.0.1", "1.2.3", "0x7f.1", "256.1.1.1", "a.0x", "a..b", "08.1"];
        const ports = ["", ":80", ":443", ":8080"], tails = ["", "?a='b'&c", "#x"];
        const paths = ["", "/", "/a//b", "/a/../b", "/%2e", "/a;b=[c]|", "/a\\b", "/a b", "/é"];
        const href = (...parts) => { try { return new URL(...parts).href; } catch (error) { return error.name; } };
        const wrong = [];
        let refused = 0, tried = 0;
        for (const scheme of ["http:", "https:"]) for (const host of hosts) for (const port of ports)
            for (const path of paths) for (const tail of tails) {
                const text = `${scheme}//${host}${port}${path}${tail}`, seen = href(text);
                if (seen !== href(text, "about:blank")) wrong.push(text);
                refused += seen === "TypeError";
                tried++;
            }
        `${wrong.slice(0, 3)} ${tried > refused && refused > 0}`
    }"##;
    assert_eq!(World::with("", Ways::default()).eval(source), "' true'");
}

/// As above, at the edges of what is usual: one part differs at a time.
#[test]
fn an_address_at_the_edge_of_the_usual_form_is_parsed_as_any_other() {
    let source = r##"{
        const hosts = [".a", "a.", "3com.de", "A.b", "a_b", "é.b", "u@a", "[::1]", "1.2.3.04", "1.2.3.4.", "1.2.3.4.5", "a.255"];
        const ports = [":", ":0", ":08", ":080", ":40123", ":65535", ":65536", ":99999", ":123456", ":8x"];
        const paths = ["/.a/b.c", "/a/.", "/a/..", "/a/.%2e", "/a.%2e/b", "/%41%zz", "/~a'b!$&()*+,;=:@", "/^`{}", "/a\tb", "//"];
        const tails = ["?", "?\\^`{|}", "?a b", "?é", "?%27", "?a?b", "#", "?#"];
        const texts = ["http:", "http:/", "http://", "HTTP://a/", " http://a/", "http:a", "ftp://a/b", "http://a/\u0000", "http://a:80"];
        for (const host of hosts) texts.push(`http://${host}/`, `https://${host}:40123/a?b`);
        for (const port of ports) texts.push(`http://a.b${port}/`, `https://1.2.3.4${port}/a`, `http://a${port}`);
        for (const path of paths) texts.push(`http://a.b${path}`, `https://a.b:443${path}/c?d`);
        for (const tail of tails) texts.push(`http://a.b/${tail}`, `https://a.b:40123/c${tail}`);
        const parts = (...input) => {
            try {
                const { href, host, port, pathname, search, hash, origin, username } = new URL(...input);
                return [href, host, port, pathname, search, hash, origin, username].join(" ");
            } catch (error) { return error.name; }
        };
        const wrong = texts.filter((text) => parts(text) !== parts(text, "about:blank"));
        const changed = new URL("http://a.b:40123/c/d?e");
        changed.pathname += "/../f"; changed.port = "80"; changed.searchParams.append("g", "1");
        `${wrong} ${changed} ${texts.some((text) => !URL.canParse(text))}`
    }"##;
    assert_eq!(World::with("", Ways::default()).eval(source), "' http://a.b/c/f?e=&g=1 true'");
}

#[test]
fn headers_and_bodies_that_nobody_asked_for_are_those_that_one_asked_for_has() {
    let source = r##"{
        const threw = (make) => { try { return make(); } catch (error) { return error.name; } };
        const name = (text) => threw(() => [...new Headers([[text, "1"]]).keys()][0]);
        const value = (text) => threw(() => new Headers([["a", text]]).get("a"));
        const names = ["Set-COOKIE", "a b", "", "é", "x_1~!"].map(name).join();
        const values = [" a  b\t", "\u00ff", "\u0100", "a\nb", "\0", "", "\r\n"].map(value).map((text) => JSON.stringify(text)).join();
        const type = (body, init) => new Response(body, init).headers.get("content-type");
        const given = { headers: { "Content-Type": "a/b" } };
        const types = [type("t"), type("t", given), type(new Uint8Array(1)), type(), type(7), type(new URLSearchParams("a=1"))].join();
        const response = new Response("t"), [before, after] = [response.bodyUsed, (response.text(), response.bodyUsed)];
        const twice = [threw(() => response.clone()), new Response().bodyUsed, response.status, response.url, response.redirected];
        [names, values, types, before, after, ...twice].join(" | ")
    }"##;
    let expected = r#"'set-cookie,TypeError,TypeError,TypeError,x_1~! | "a  b","ÿ","TypeError","TypeError","TypeError","","" | "#;
    let types = "text/plain;charset=UTF-8,a/b,,,text/plain;charset=UTF-8,application/x-www-form-urlencoded;charset=UTF-8";
    let shown = World::with("", Ways::default()).eval(source);
    assert_eq!(shown, format!("{expected}{types} | false | true | TypeError | false | 200 |  | false'"));
}

/// `{main, modules}` as a host gives it.
fn modules(main: &str, modules: &[(&str, &str)]) -> Ipld {
    let text = |text: &str| Ipld::String(text.to_owned());
    let modules = modules.iter().map(|(name, source)| ((*name).to_owned(), text(source)));
    Ipld::Map([("main".to_owned(), text(main)), ("modules".to_owned(), Ipld::Map(modules.collect()))].into())
}

const COUNTING: &[(&str, &str)] = &[
    (
        "main.js",
        "import { next } from './lib/count.js'; import step from 'step';
        export default { async message(msg) {
            if (msg.data === 'later') return (await import('./lib/later.js')).default;
            if (msg.data === 'never') return (await import('nowhere')).default;
            return next(step);
        } };",
    ),
    (
        "lib/count.js",
        "import { first } from '../first.js'; let n = first; export const next = (step) => n += step;",
    ),
    ("lib/later.js", "export default 'imported later';"),
    ("first.js", "export const first = 40;"),
    ("step", "export default 1;"),
];

#[test]
fn modules_import_each_other_by_name() {
    each_way(|ways| {
        let mut world = World::with("", ways);
        world.create("counting", modules("main.js", COUNTING)).unwrap();
        let answer = |world: &mut World, data: Ipld| world.send(data).outcome.unwrap().unwrap();
        assert_eq!(answer(&mut world, Ipld::Null), Ipld::Integer(41));
        assert_eq!(answer(&mut world, Ipld::Null), Ipld::Integer(42));
        for _ in 0..2 {
            let later = answer(&mut world, Ipld::String("later".into()));
            assert_eq!(later, Ipld::String("imported later".into()));
        }
        let error = world.send("never").outcome.unwrap_err().to_string();
        assert!(error.contains("this container was made without a module of that name"), "{error}");
        assert_eq!(answer(&mut world, Ipld::Null), Ipld::Integer(43));
    });
}

#[test]
fn modules_that_do_not_fit_together_are_errors() {
    let mut world = World::new("");
    let cases = [
        (
            modules("app.js", &[("main.js", "")]),
            "\"app.js\" is to be the main module, and is none of the modules",
        ),
        (
            modules("a", &[("a", "import 'b';")]),
            "cannot import 'b': this container was made without a module of that name",
        ),
        (modules("a", &[("a", "import { x } from 'b';"), ("b", "")]), "x"),
        (modules("a", &[("a", "import 'b';"), ("b", "let = ;")]), "SyntaxError"),
        (Ipld::Map([("modules".to_owned(), Ipld::Null)].into()), "{main: a name, modules: {name: text}}"),
    ];
    for (number, (init, expected)) in cases.into_iter().enumerate() {
        let error = world.create(&format!("wrong {number}"), init).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

/// What stands at the beginning of a line is as in a module; its names live on.
#[test]
fn a_line_may_begin_with_imports() {
    let lines = [
        (
            "import { model, string as text } from 'everturn:data'; typeof model + typeof text",
            "'functionfunction'",
        ),
        (
            "import nodb, * as all from \"everturn:nodb\" // one of each\n;[all.default === nodb, typeof nodb.create]",
            "[ true, 'function' ]",
        ),
        ("import {} from 'everturn:data'\nimport 'everturn:data'\n1 + 1", "2"),
        ("import { default as again, } from 'everturn:nodb'; again === nodb", "true"),
        ("import { \"model\" as model } from 'everturn:data'; model.name", "'model'"),
        ("typeof text + typeof all.default", "'functionobject'"),
        ("import('everturn:data').then((data) => data.model === model)", "Promise { true }"),
        ("var important = 3; important", "3"),
        ("let text = 4; text", "4"),
    ];
    let wrong = [
        ("import { nothing } from 'everturn:data'", "there is no export 'nothing' there: there are "),
        ("import { model } from 'nowhere'", "this container was made without a module of that name"),
        ("import model 'everturn:data'", "'from' and the name of a module are expected after import"),
        ("import { 1 } from 'everturn:data'", "names are expected between the braces after import"),
        ("import { model as 1 } from 'everturn:data'", "a name is expected after import"),
        ("import * from 'everturn:data'", "'as' and a name are expected after import *"),
        ("import { model } from everturn", "the name of a module is expected, in quotes"),
        ("import { default } from 'everturn:nodb'", "SyntaxError"),
        ("import 'everturn:data' 3", "SyntaxError"),
    ];
    each_way(|ways| {
        let mut world = World::with("", ways);
        for (line, shown) in lines {
            assert_eq!(world.eval(line), shown, "{line}");
        }
        for (line, expected) in wrong {
            let error = world.line(line).unwrap_err();
            assert!(error.text.contains(expected), "{line}: {}", error.text);
        }
        assert_eq!(world.eval("typeof model"), "'function'");
    });
}

#[test]
fn imports_at_a_prompt_go_on_over_lines() {
    let js = js(&Ways::default());
    for line in
        ["import", "import {", "import { model,", "import { model }", "import { model } from", "import * as"]
    {
        assert_eq!(js.complete(line).unwrap(), Completeness::Incomplete, "{line}");
    }
    for line in [
        "import 'a'",
        "import { model }\nfrom 'everturn:data'",
        "import a, { b } from 'c'; b()",
        "import.meta",
        "import('a')",
    ] {
        assert_ne!(js.complete(line).unwrap(), Completeness::Incomplete, "{line}");
    }
    for line in ["import { model } from 'everturn:data'; f(", "import 'a'; `"] {
        assert_eq!(js.complete(line).unwrap(), Completeness::Incomplete, "{line}");
    }
    assert_eq!(js.complete("import { 1").unwrap(), Completeness::SyntaxError);
}

#[test]
fn names_are_completed_from_the_living_heap_and_leave_nothing_behind() {
    let lines = [
        "let creature = { legs: 4, get name() { throw new Error('no code runs'); }, lines: [] };",
        "class Cretan { speak() {} } var critic = new Cretan(); critic.crowd = 1;",
        "0",
    ];
    let story = |asking: bool| {
        let mut world = World::new("");
        let mut answers = Vec::new();
        for line in lines {
            world.eval(line);
            if asking {
                for text in
                    ["cr", "f(creature.l", "critic.", "creature.name.", "nobody.", "1 +", "if (", "é.", ""]
                {
                    answers.push((text, world.complete(text)));
                }
            }
        }
        (world.state_root(), world.ticks(), answers)
    };
    let (root, ticks, answers) = story(true);
    let last = |text: &str| answers.iter().rev().find(|(asked, _)| *asked == text).unwrap().1.clone();
    assert_eq!(last("cr"), ["creature", "critic", "crypto"]);
    assert_eq!(last("f(creature.l"), ["legs", "lines"]);
    assert!(last("critic.").contains(&"crowd".to_owned()) && last("critic.").contains(&"speak".to_owned()));
    assert_eq!(last("creature.name."), [""; 0]);
    assert_eq!(last("nobody."), [""; 0]);
    let unasked = story(false);
    assert_eq!((root, ticks), (unasked.0, unasked.1));
}

#[test]
fn a_question_about_names_keeps_no_container_in_memory() {
    let settings = Settings { unloading: Unloading::EveryTurn, ..Settings::default() };
    let mut world = World::with("", Ways { settings, ..Ways::default() });
    world.eval("var sleeper = 1;");
    // Settled and unloaded.
    world.state_root();
    assert_eq!(world.complete("sleep"), ["sleeper"]);
    assert!(!world.is_loaded());
    assert_eq!(world.eval("sleeper"), "1");
}
