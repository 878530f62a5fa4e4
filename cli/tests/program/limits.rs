//! Bounds that a folder is made with, and keeps.

use crate::world::{Ran, World};

/// Burns some 3 million units.
const LONG: &str = "for (let i = 0; i < 100_000; i++) Math.sqrt(i); 'done'";

fn at(world: &World, data: &str, words: &[&str]) -> Ran {
    world.command_on(data, words).output().expect("everturn starts").into()
}

#[test]
fn a_folder_keeps_the_bounds_that_it_was_made_with() {
    let world = World::new();
    let narrow = ["eval", LONG, "--limit", "turn_fuel=1_000_000", "--limit", "ports_max=7"];
    let ran = world.everturn(&narrow);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("burnt its 1000000 units of fuel"), "{ran:?}");
    for words in [&["eval", LONG][..], &["eval", LONG, "--limit", "turn_fuel=1000000"]] {
        let ran = world.everturn(words);
        assert!(ran.code == Some(1) && ran.err.contains("1000000 units of fuel"), "{words:?}: {ran:?}");
    }
    let ran =
        world.everturn(&["eval", "for (let i = 0; i < 8; i++) ports.bind('p' + i, ports.create('js', '0'))"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("as many ports as it may have"), "{ran:?}");
    assert_eq!(at(&world, "wide", &["eval", LONG]).out, "'done'\n", "unless it is said, there is more");
}

#[test]
fn other_bounds_for_an_old_folder_and_what_is_none_end_with_2() {
    let world = World::new();
    world.lines(&["var kept = 1"]);
    for (given, said) in [
        ("turn_fuel=5", "made with turn_fuel = 2000000000, not 5; say --limit turn_fuel=2000000000"),
        ("turn_fuels=5", "there is no bound \"turn_fuels\"; there are turn_fuel, container_fuel"),
        ("turn_fuel", "BOUND=NUMBER"),
        ("turn_fuel=much", "\"much\" is no whole number"),
        ("turn_fuel=-1", "\"-1\" is no whole number"),
    ] {
        let ran = world.everturn(&["eval", "kept", "--limit", given]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{given}: {ran:?}");
        assert!(ran.err.contains(said), "{given}: {ran:?}");
    }
    assert_eq!(world.everturn(&["eval", "kept"]).out, "1\n");
}

#[test]
fn what_left_a_folder_with_bounds_goes_on_where_they_are_the_same() {
    let world = World::new();
    world.file("app.js", "let n = 0; export default { message(msg) { return n += msg.data; } };");
    let words = ["run", "app.js", "--message", "3", "--keep-inputs", "--limit", "turn_fuel=900000000"];
    let ran = world.everturn(&words);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let from = ran.err.split("inputs are kept from ").nth(1).and_then(|text| text.split(' ').next()).unwrap();
    let replayed = world.everturn(&["replay", "--from", from]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let root = world.root();
    world.everturn(&["export", "--checkpoint", "whole.car"]);
    let refused = at(&world, "elsewhere", &["import", "whole.car"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("--limit turn_fuel=900000000"), "{refused:?}");
    assert!(!world.path("elsewhere").exists());
    let imported = at(&world, "elsewhere", &["import", "whole.car", "--limit", "turn_fuel=900000000"]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_eq!(at(&world, "elsewhere", &["root"]).out.trim_end(), root);
}

#[test]
fn a_folder_that_is_served_takes_no_bounds() {
    let world = World::new();
    world.file("app.js", "export default { fetch() { return new Response('here'); } };");
    let site = world.serve("app.js", &["--limit", "turn_fuel=800000000"]);
    assert_eq!(site.get("/"), (200, "here".to_owned()));
    let ran = world.everturn(&["eval", "1", "--limit", "turn_fuel=800000000"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("being served"), "{ran:?}");
    assert_eq!(world.everturn(&["eval", "1"]).out, "1\n");
}
