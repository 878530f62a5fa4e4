//! Each limit of native containers at its bound, and one past it.

use everturn::{Limits, Ticks};

use super::stage::{Delays, Stage, Step, Way, create, refused, say, tell};

fn stage(limits: Limits) -> Stage {
    let mut way = Way::new(1, Delays::None);
    way.settings.limits = limits;
    Stage::open(way)
}

/// What was said, without when and by whom.
fn texts(stage: &Stage) -> Vec<String> {
    stage.trace().iter().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
}

#[test]
fn a_message_has_as_many_bytes_as_it_may() {
    let order = [Step::Keep(vec!["text".into()], "x".repeat(200))];
    let bytes = super::stage::data(&order).len();
    let stage = stage(Limits { message_bytes_max: bytes, ..Limits::default() });
    assert!(stage.play(&order).outcome.is_ok());
    let longer = [Step::Keep(vec!["text".into()], "x".repeat(201))];
    let refused = stage.block_on(stage.tell(&longer)).unwrap_err();
    assert!(refused.to_string().contains(&format!("the limit is {bytes}")), "{refused}");
}

#[test]
fn a_container_has_as_many_ports_as_it_may() {
    let stage = stage(Limits { ports_max: 3, ..Limits::default() });
    stage.play(["a", "b", "c", "d"].map(|name| refused(create(name, []))));
    assert_eq!(texts(&stage), ["not refused", "not refused", "not refused", "refused: TooManyPorts"]);
    assert_eq!(stage.inspect_root().ports.len(), 3);
    stage.play([Step::Delete("b".into()), create("e", [])]);
    assert_eq!(stage.ids().len(), 4, "the one that found no place is gone");
}

#[test]
fn a_tree_is_as_deep_as_it_may_be() {
    let stage = stage(Limits { depth_max: 2, ..Limits::default() });
    let deepest = [refused(create("third", [])), say("at two")];
    stage.play([create("first", [create("second", deepest)])]);
    assert_eq!(texts(&stage), ["refused: TooDeep", "at two"]);
    assert_eq!(stage.ids().len(), 3);
}

#[test]
fn a_turn_asks_for_as_many_effects_as_it_may() {
    let stage = stage(Limits { effects_max: 5, ..Limits::default() });
    stage.play([create("a", [])]);
    stage.play(vec![tell("a", [say("heard")]); 5]);
    assert_eq!(texts(&stage), vec!["heard"; 5]);
    let receipt = stage.play(vec![tell("a", [say("heard")]); 6]);
    assert!(receipt.outcome.unwrap_err().text.contains("as much as a turn may send"));
    assert_eq!(texts(&stage).len(), 5, "nothing of it happened");
}

#[test]
fn a_queue_has_as_many_places_as_it_may() {
    let stage = stage(Limits { queue_places_max: 4, ..Limits::default() });
    stage.play([create("a", [])]);
    let one = || refused(tell("a", [say("heard")]));
    stage.play([one(), one(), one(), one(), one()]);
    let said = texts(&stage);
    assert_eq!(said.iter().filter(|text| *text == "not refused").count(), 4, "{said:?}");
    assert_eq!(said.iter().filter(|text| *text == "refused: QueueFull").count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|text| *text == "heard").count(), 4, "{said:?}");
    stage.play([one()]);
    assert_eq!(texts(&stage).last().unwrap(), "heard", "there is a place again");
    assert!(stage.inspect_root().ticks > Ticks::ZERO);
}
