//! `--json`: one object a line, whatever happens.

use serde_json::{Value, json};

use crate::world::{Ran, World};

fn events(ran: &Ran) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    ran.out.lines().map(parse).collect()
}

/// The fields of `event` that `expected` has are as in `expected`.
fn assert_has(event: &Value, expected: Value) {
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&event[name], value, "{name} of {event}");
    }
}

#[test]
fn a_shell_tells_what_happens() {
    let ran = World::new()
        .lines_with(&["--json"], &["print('hello'); [1]", "undefined", "null.x", ".undo", ".nonsense"]);
    let events = events(&ran);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
    assert_has(&events[0], json!({"event": "session", "state": "initialized"}));
    assert_has(&events[1], json!({"event": "line", "level": "info", "text": "hello"}));
    assert_has(&events[2], json!({"event": "result", "text": "[ 1 ]", "type": "object"}));
    assert_has(&events[3], json!({"event": "result", "text": null, "type": "undefined"}));
    assert_has(&events[4], json!({"event": "exception", "kind": "throw"}));
    assert_has(&events[5], json!({"event": "undone", "line": "undefined"}));
    assert_has(&events[6], json!({"event": "error", "code": 2}));
    assert!(events[2]["burnt"].as_u64().is_some_and(|burnt| burnt > 0), "{}", events[2]);
    assert!(events[4]["text"].as_str().is_some_and(|text| text.starts_with("TypeError: ")), "{}", events[4]);
    assert_eq!(events.len(), 7);
}

#[test]
fn the_other_commands_answer_with_one_object_each() {
    let world = World::new();
    world.file("app.js", "export default { message(msg) { return { twice: 2 * msg.data }; } };");
    let ran = world.everturn(&["run", "app.js", "--json", "--message", "21"]);
    let answers = events(&ran);
    assert_has(&answers[0], json!({"event": "answer", "message": 0, "answer": {"twice": 42}}));
    assert_has(&answers[1], json!({"event": "root", "root": world.root()}));

    let root = events(&world.everturn(&["root", "--json"]));
    assert_eq!(root, [json!({"event": "root", "root": world.root()})]);
    let result = events(&world.everturn(&["eval", "--json", "1n"]));
    assert_has(&result[0], json!({"event": "result", "text": "1n", "type": "bigint"}));
    let version = events(&world.everturn(&["version", "--json"]));
    assert_has(&version[0], json!({"event": "version", "version": env!("CARGO_PKG_VERSION")}));
    for field in ["engine", "reference", "tracker", "store", "target"] {
        assert!(!version[0][field].is_null(), "{field} is missing: {version:?}");
    }
}

#[test]
fn failures_are_objects_too() {
    let world = World::new();
    let failed = events(&world.everturn(&["root", "--json"]));
    assert_has(&failed[0], json!({"event": "error", "code": 3}));
    assert!(failed[0]["advice"].is_string());
    let thrown = events(&world.everturn(&["eval", "--json", "throw new RangeError('far')"]));
    assert_has(&thrown[0], json!({"event": "exception", "text": "RangeError: far"}));
    let deep = events(&world.everturn(&["eval", "--json", "(function f() { f(); })()"]));
    assert_has(&deep[0], json!({"event": "exception", "kind": "stack-overflow"}));
}

#[test]
fn the_log_can_be_json_and_says_in_which_turn_it_was() {
    let world = World::new();
    let ran = world.everturn(&["eval", "1 + 1", "-vv", "--log-format", "json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "2\n"), "{ran:?}");
    let events: Vec<Value> =
        ran.err.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let opened: Vec<&Value> = events.iter().filter(|event| event["message"] == "Opened").collect();
    assert!(!opened.is_empty(), "{}", ran.err);
    for event in opened {
        let turn = &event["span"];
        assert_eq!(
            (&turn["name"], &turn["container"]),
            (&Value::from("turn"), &event["container"]),
            "{event}"
        );
        assert!(
            turn["ticks"].is_string() && turn["message"].as_str().is_some_and(|it| it.starts_with("parent@"))
        );
    }
    let wrong = world.everturn(&["eval", "1", "--log-format", "xml"]);
    assert!(wrong.code == Some(2) && wrong.err.contains("json"), "{wrong:?}");
}
