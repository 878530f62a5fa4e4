//! Same inputs, same pages, same state root: whatever the tracker, the batch and savepoint sizes, the restarts, the
//! unloading, the process, and whatever lies in the dead stack.

use everturn::js::TrackerKind;
use everturn::{Settings, Unloading};

use crate::world::{Ways, World};

/// A program that touches much of the engine: strings, maps, generators, promises, sorting, regular expressions,
/// Math.random, errors that are caught, throws, collections.
const LINES: &[&str] = &[
    "var m = new Map(), list = [], made = 0; class Item { constructor(n) { this.n = n; this.tag = 't' + n; made++; } }",
    "for (let i = 0; i < 300; i++) { const item = new Item(i); m.set('k' + (i * 7919) % 1000, item); list.push(item); }",
    "function* walk() { for (const [k, v] of m) yield k + v.tag; } var g = walk(); g.next().value",
    "list.sort((a, b) => (a.n * 31) % 17 - (b.n * 31) % 17); list[5].n",
    "Math.random() + Math.random()",
    "throw new Error('in the middle')",
    "var re = /(\\w)(\\d+)/g; 'a1 b22 c333'.replace(re, (_, a, b) => b + a)",
    "try { null.x } catch (e) { e.message }",
    "var cycles = []; for (let i = 0; i < 3000; i++) { const a = {}; a.me = a; } 1",
    "function deep(n) { return n ? [deep(n - 1)] : []; } var d = deep(200); JSON.stringify(d).length",
    "var waiting = new Promise(r => setLater = r); var setLater; waiting.then(v => made += v); 0",
    "m.delete('k7'); for (let i = 0; i < 50; i++) m.set({}, i); m.size",
    "function overflow() { return overflow() + 1; } overflow()",
    "g.next().value + g.next().value",
    "var text = ''; for (let i = 0; i < 500; i++) text += String.fromCharCode(65 + i % 26); text.length",
    "new Date().getTime() + structuredClone([1, { a: new Set([1]) }]).length",
    "ports.bind('child', ports.create('js', 'var c = 0; function message(m) { c += m.data; send(self.parent, c); }')); 0",
    "function message(msg) { made += msg.data; } send(ports.get('child'), 5); send(ports.get('child'), 6); 0",
    "made",
    "list.length = 10; m.clear(); text = null; 0",
];

/// What a shell would show, line by line, and the state root at the end.
fn run(ways: Ways) -> (Vec<String>, String) {
    let mut world = World::with("", ways);
    let shown = LINES.iter().map(|line| {
        let shown = world.line(line);
        world.idle();
        shown.unwrap_or_else(|exception| format!("{:?} {exception}", exception.kind))
    });
    let shown = shown.collect();
    (shown, world.state_root().to_string())
}

fn settings(savepoint_turns: Option<u32>, batch_turns: Option<u32>, unloading: Unloading) -> Settings {
    Settings { savepoint_turns, batch_turns, unloading, ..Settings::default() }
}

#[test]
fn every_way_gives_the_same_root() {
    let reference = run(Ways::default());
    let mut ways = vec![
        ("again", Ways::default()),
        ("restart after every turn", Ways { restart_always: true, ..Ways::default() }),
        (
            "unload after every turn",
            Ways { settings: settings(None, None, Unloading::EveryTurn), ..Ways::default() },
        ),
    ];
    ways.push(("noise in the dead stack", Ways { soiled_stack: true, ..Ways::default() }));
    for tracker in TrackerKind::ALL {
        ways.push((tracker.name(), Ways { tracker: Some(tracker), ..Ways::default() }));
    }
    for (savepoints, batches) in [(1, 1), (2, 7), (7, 2), (1_000, 1_000)] {
        let settings = settings(Some(savepoints), Some(batches), Unloading::Never);
        ways.push(("savepoints and batches", Ways { settings, ..Ways::default() }));
    }
    for (what, ways) in ways {
        assert_eq!(run(ways), reference, "{what}");
    }
}

/// The root of this very program, in every process and on every machine with the reference engine. A new engine or
/// prelude gives another one; set EVERTURN_GOLDEN=1 to print it.
#[test]
fn another_process_gives_the_same_root() {
    if std::env::var_os("EVERTURN_ROOT_ONLY").is_some() {
        println!("root={}", run(Ways::default()).1);
        return;
    }
    let here = run(Ways::default()).1;
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "determinism::another_process_gives_the_same_root", "--nocapture"])
        .env("EVERTURN_ROOT_ONLY", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let there = text.split("root=").nth(1).and_then(|rest| rest.split_whitespace().next());
    assert_eq!(there, Some(here.as_str()), "{text}");
}
