//! States and folders that leave and come back: export, import, backup, check, inspect.

use std::fs;

use serde_json::Value;

use crate::world::{Ran, World};

fn events(ran: &Ran) -> Vec<Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{ran:?}"))).collect()
}

/// A folder with a container and its child.
fn lived_in() -> World {
    let world = World::new();
    let ran = world.lines(&[
        "var n = 0; const count = () => ++n; count(); count();",
        "ports.bind('child', ports.create('js', 'export default { message() {} }')); 0",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    world
}

fn succeed(world: &World, words: &[&str]) -> Ran {
    let ran = world.everturn(words);
    assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
    ran
}

/// A command on another data folder.
fn at(world: &World, data: &str, words: &[&str]) -> Ran {
    world.command_on(data, words).output().expect("everturn starts").into()
}

#[test]
fn a_state_is_exported_and_lives_on_elsewhere() {
    let world = lived_in();
    let root = world.root();
    assert_eq!(succeed(&world, &["export", "state.car"]).out.trim_end(), root);
    let imported = at(&world, "elsewhere", &["import", "state.car"]);
    assert_eq!((imported.code, imported.out.trim_end()), (Some(0), root.as_str()), "{imported:?}");
    assert_eq!(at(&world, "elsewhere", &["root"]).out.trim_end(), root);
    assert_eq!(at(&world, "elsewhere", &["eval", "count()"]).out, "3\n");
    assert_eq!(world.everturn(&["eval", "count()"]).out, "3\n", "the first goes on as well");
    assert_eq!(world.root(), at(&world, "elsewhere", &["root"]).out.trim_end());
    let checked = at(&world, "elsewhere", &["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn a_checkpoint_goes_on_in_a_new_folder_only() {
    let world = lived_in();
    let root = world.root();
    let exported = succeed(&world, &["export", "--checkpoint", "whole.car", "--json"]);
    let event = &events(&exported)[0];
    assert_eq!(event["event"], "exported");
    assert!(event["blocks"].as_u64().is_some_and(|blocks| blocks > 10), "{event}");
    let refused = world.everturn(&["import", "whole.car"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("--data"), "{refused:?}");
    let imported = at(&world, "elsewhere", &["import", "whole.car", "--json"]);
    assert_eq!(events(&imported)[0]["what"], "checkpoint", "{imported:?}");
    assert_eq!(at(&world, "elsewhere", &["root"]).out.trim_end(), root);
    let checked = at(&world, "elsewhere", &["check", "--json"]);
    assert_eq!(events(&checked)[0]["pins"], 0, "{checked:?}");
    assert_eq!(succeed(&world, &["check"]).out.lines().last(), Some("everything is right"));
}

#[test]
fn a_state_that_is_alive_and_a_file_that_is_damaged_are_refused() {
    let world = lived_in();
    succeed(&world, &["export", "state.car"]);
    let root = world.root();
    for (words, why) in [
        (&["import", "state.car"][..], "alive already"),
        (&["import", "state.car", "--name", "copy"], "alive here already"),
        (
            &["export", "x.car", "--root", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"],
            "no root",
        ),
    ] {
        let refused = world.everturn(words);
        assert_eq!(refused.code, Some(2), "{words:?}: {refused:?}");
        assert!(refused.err.contains(why), "{words:?}: {refused:?}");
    }
    assert!(!world.path("x.car").exists() && !world.path("x.car.new").exists());
    let mut car = fs::read(world.path("state.car")).unwrap();
    let middle = car.len() / 2;
    car[middle] ^= 1;
    world.file("flipped.car", &car);
    world.file("short.car", &car[..middle]);
    world.file("empty.car", "");
    for file in ["flipped.car", "short.car", "empty.car", "absent.car"] {
        let refused = at(&world, "elsewhere", &["import", file]);
        assert_eq!(refused.code, Some(3), "{file}: {refused:?}");
        assert!(refused.err.starts_with("everturn: "), "{file}: {refused:?}");
    }
    let large = at(&world, "elsewhere", &["import", "state.car", "--bytes-max", "1000"]);
    assert_eq!(large.code, Some(3), "{large:?}");
    assert!(large.err.contains("raise the limit"), "{large:?}");
    assert_eq!(world.root(), root);
    assert_eq!(succeed(&world, &["check"]).code, Some(0));
}

#[test]
fn a_backup_opens_and_goes_its_own_way() {
    let world = lived_in();
    world.file("app.js", "var n = 0;");
    let mut shell = world.shell();
    assert_eq!(shell.answer(), "Restored session");
    assert_eq!(shell.ask("count()"), "3");
    assert_eq!(shell.ask(".backup living"), "a copy is in living");
    assert_eq!(shell.ask("count()"), "4");
    assert_eq!(shell.end().code, Some(0));
    assert_eq!(at(&world, "living", &["check"]).code, Some(0));
    assert_eq!(at(&world, "living", &["eval", "n"]).out, "3\n");
    succeed(&world, &["backup", "later"]);
    assert_eq!(at(&world, "later", &["eval", "n"]).out, "4\n");
    let refused = world.everturn(&["backup", "later"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("name a new folder"), "{refused:?}");
    assert!(!world.path("later.new").exists());
}

#[test]
fn inspect_shows_the_tree_of_containers() {
    let world = lived_in();
    let ran = succeed(&world, &["inspect"]);
    let lines = ran.answers();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(lines[1].starts_with("  child: bafy") && lines[1].contains("js  ticks "), "{ran:?}");
    let ran = succeed(&world, &["inspect", "--json"]);
    let events = events(&ran);
    assert_eq!(events[0]["parent"], Value::Null);
    assert_eq!(events[1]["parent"], events[0]["id"]);
    assert_eq!(events[1]["name"], "child");
    assert_eq!(events[0]["ports"]["child"], events[1]["id"]);
    for event in &events {
        assert_eq!(
            (&event["event"], &event["type"], &event["queued"]),
            (&"container".into(), &"js".into(), &0.into())
        );
        assert!(event["heap_bytes"].as_u64().is_some_and(|bytes| bytes >= 1 << 20), "{event}");
        assert!(event["ticks"].as_u64().is_some_and(|ticks| ticks > 0), "{event}");
    }
}

#[test]
fn without_a_session_there_is_nothing_to_do() {
    for words in [&["inspect"][..], &["check"], &["backup", "b"], &["export", "a.car"]] {
        let world = World::new();
        let ran = world.everturn(words);
        assert_eq!(ran.code, Some(3), "{words:?}: {ran:?}");
        assert!(ran.err.contains("there is no session in data"), "{words:?}: {ran:?}");
        assert!(!world.path("data").exists() && !world.path("b").exists());
    }
}

#[test]
fn what_undo_can_no_longer_take_back_is_removed() {
    let world = World::new();
    let lines: Vec<String> = (0..230).map(|number| format!("var x{number} = {number};")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let audit = |world: &World| events(&succeed(world, &["check", "--json"])).remove(0);
    world.lines(&lines[..115]);
    let first = audit(&world);
    world.lines(&lines[115..]);
    let second = audit(&world);
    for audit in [&first, &second] {
        assert_eq!((&audit["right"], &audit["pins"]), (&true.into(), &101.into()), "{audit}");
    }
    let blocks = |audit: &Value| audit["blocks"].as_u64().unwrap() - audit["doomed"].as_u64().unwrap();
    assert!(blocks(&second) < blocks(&first) * 3 / 2, "{first} and then {second}");
}

#[test]
fn an_import_that_fails_leaves_a_folder_as_it_was() {
    let world = lived_in();
    succeed(&world, &["export", "state.car"]);
    let mut car = fs::read(world.path("state.car")).unwrap();
    car.truncate(car.len() - 1);
    world.file("short.car", &car);
    let failed = at(&world, "new", &["import", "short.car"]);
    assert_ne!(failed.code, Some(0), "{failed:?}");
    assert!(!world.path("new").exists(), "what was not there is not there");
    fs::create_dir(world.path("empty")).unwrap();
    assert_ne!(at(&world, "empty", &["import", "short.car"]).code, Some(0));
    assert_eq!(fs::read_dir(world.path("empty")).unwrap().count(), 0, "what was empty is empty");
    let root = world.root();
    assert_ne!(world.everturn(&["import", "short.car", "--name", "other"]).code, Some(0));
    assert_eq!(world.root(), root, "what was there stays");
}
