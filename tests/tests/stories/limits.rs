//! Each limit at its bound, and one past it: of all containers, of a type, of one.

use std::sync::Arc;

use everturn::{Exception, ExceptionKind, HypervisorError, Limit, Limits, Ticks};

use crate::counting::Counting;

use super::stage::{Delays, Stage, Step, Way, create, data, named, refused, say, tell};

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

/// What came of an order, told to a container of which one limit has a value.
fn told_with(limit: Limit, most: u64, order: &[Step]) -> Result<Vec<String>, Exception> {
    let stage = stage(Limits::default().with(limit, most));
    stage.play(order).outcome.map(|_| texts(&stage))
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
fn lines_count_as_effects() {
    let lines = |count: usize| vec![Step::Line("a line: so long".into()); count];
    assert_eq!(told_with(Limit::EffectsMax, 3, &lines(3)).unwrap().len(), 3);
    let exception = told_with(Limit::EffectsMax, 3, &lines(4)).unwrap_err();
    assert!(exception.text.contains("as much as a turn may send"), "{exception}");
}

#[test]
fn a_turn_lets_out_as_many_bytes_as_it_may() {
    let line = || Step::Line(format!("a line: {}", "x".repeat(92)));
    let order = [create("a", []), tell("a", [say("heard")]), line()];
    let bytes =
        everturn::node::encode(&("a", Vec::<Step>::new())).unwrap().len() + data(&[say("heard")]).len() + 100;
    let said = told_with(Limit::OutboxBytesMax, bytes as u64, &order).unwrap();
    assert_eq!(said.len(), 2, "{said:?}");
    let refused = told_with(Limit::OutboxBytesMax, bytes as u64 - 1, &order).unwrap_err();
    assert!(refused.text.contains("as many bytes as a turn may let out"), "{refused}");
    for step in order {
        assert!(told_with(Limit::OutboxBytesMax, 0, &[step]).is_err(), "each of them counts");
    }
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

#[test]
fn a_turn_burns_as_much_as_it_may() {
    let stage = stage(Limits { turn_fuel: 1_000, ..Limits::default() });
    let receipt = stage.play([Step::Burn(1_000), say("done")]);
    assert_eq!((receipt.outcome, receipt.burnt), (Ok(None), Ticks(1_000)));
    let receipt = stage.play([say("never"), Step::Burn(1_001)]);
    assert_eq!(receipt.outcome.unwrap_err().kind, ExceptionKind::Fuel);
    assert_eq!(receipt.burnt, Ticks(1_000), "it is charged what it had");
    let receipt = stage.play([Step::Burn(u64::MAX), Step::Burn(u64::MAX)]);
    assert_eq!((receipt.outcome.unwrap_err().kind, receipt.burnt), (ExceptionKind::Fuel, Ticks(1_000)));
    assert_eq!(texts(&stage), ["done"]);
}

#[test]
fn a_container_burns_as_much_as_it_may_in_its_life() {
    // Its creation took one tick.
    let stage = stage(Limits { container_fuel: 101, ..Limits::default() });
    assert!(stage.play([Step::Burn(60), say("done")]).outcome.is_ok());
    let receipt = stage.play([Step::Burn(41)]);
    assert_eq!(receipt.outcome.unwrap_err().kind, ExceptionKind::Fuel, "one more than it had left");
    let receipt = stage.play([Step::Burn(1)]);
    assert!(
        receipt.outcome.unwrap_err().text.contains("in its life"),
        "a turn that fails costs all the same"
    );
    assert_eq!(texts(&stage), ["done"]);
    let stage = self::stage(Limits { container_fuel: 101, ..Limits::default() });
    assert!(stage.play([Step::Burn(60)]).outcome.is_ok());
    assert!(stage.play([Step::Burn(40)]).outcome.is_ok(), "exactly what it had left");
}

#[test]
fn a_state_has_as_many_bytes_as_it_may() {
    let keep = |bytes: usize| [Step::Keep(vec!["text".into()], "x".repeat(bytes))];
    let state = |bytes: usize| {
        let stage = stage(Limits::default());
        stage.play(keep(bytes));
        stage.inspect_root().heap_bytes.unwrap()
    };
    let bytes_max = state(500);
    assert_eq!(bytes_max + 1, state(501));
    assert!(told_with(Limit::HeapBytesMax, bytes_max, &keep(500)).is_ok());
    let exception = told_with(Limit::HeapBytesMax, bytes_max, &keep(501)).unwrap_err();
    assert_eq!(exception.kind, ExceptionKind::OutOfMemory);
}

/// Three containers beside each other ask for two children each, at the same tick, where there is room for four.
#[test]
fn there_are_as_many_containers_as_may_be_whoever_asks_first() {
    let mut first: Option<(Vec<String>, everturn::Cid)> = None;
    for mut way in Way::all() {
        way.settings.limits.containers_max = 7;
        let stage = Stage::open(way);
        stage.play(["a", "b", "c"].map(|name| create(name, [])));
        let more = || [create("one", [say("alive")]), create("two", [say("alive")])];
        stage.play(["a", "b", "c"].map(|name| tell(name, more())));
        assert_eq!(stage.ids().len(), 8, "those that containers made, and the root");
        let said = texts(&stage);
        assert_eq!(said.iter().filter(|text| *text == "alive").count(), 4, "{said:?}");
        let told: Vec<_> =
            said.iter().filter(|text| text.contains("7 containers, as many as it may")).collect();
        assert_eq!(told.len(), 2, "{said:?}");
        stage.play([Step::Delete("a".into())]);
        assert_eq!(stage.ids().len(), 5, "one went with the two that it had made");
        stage.play(["d", "e", "f", "g"].map(|name| create(name, [say("alive")])));
        assert_eq!(stage.ids().len(), 8, "and there is room for three");
        stage.add_root("more", "more");
        assert_eq!(stage.ids().len(), 9, "roots do not count");
        let outcome = (stage.trace(), stage.state_root());
        assert_eq!(*first.get_or_insert_with(|| outcome.clone()), outcome, "{way:?}");
    }
}

/// What is restored counts as what is made.
#[test]
fn a_state_with_too_many_containers_is_not_brought_to_life() {
    let stage = stage(Limits { containers_max: 3, ..Limits::default() });
    stage.play([create("a", []), create("b", [])]);
    let root = stage.state_root();
    let restored = stage.block_on(stage.hypervisor().restore(&stage.root, &root));
    let Err(HypervisorError::TooManyContainers { owned: 2, alive: 2, containers_max: 3 }) = restored else {
        panic!("{restored:?}");
    };
    assert_eq!(stage.ids().len(), 3, "nothing has changed");
    stage.play([Step::Delete("a".into())]);
    let root = stage.state_root();
    stage.block_on(stage.hypervisor().restore(&stage.root, &root)).unwrap();
    stage.play([create("c", []), create("d", []), create("e", [])]);
    assert_eq!(stage.ids().len(), 4);
}

#[test]
fn a_batch_has_as_many_bytes_as_it_may() {
    // Turns that throw leave nothing behind but what they took.
    let order = [Step::Throw("x".repeat(1_000))];
    let bytes = data(&order).len() as u64;
    let batches = |batch_bytes: u64| {
        let store = Arc::new(Counting::default());
        let mut way = Way::new(1, Delays::None);
        way.settings.batch_bytes = batch_bytes;
        let stage = Stage::on(store.clone(), way);
        let told: Vec<_> = (0..12).map(|_| stage.tell(order.clone())).collect();
        // All of them wait, and what that changed is written.
        stage.block_on(stage.hypervisor().pinned_roots()).unwrap();
        store.take();
        stage.run();
        told.into_iter().for_each(|told| assert!(stage.block_on(told).unwrap().outcome.is_err()));
        store.take().batches
    };
    assert_eq!(batches(u64::MAX), 1);
    assert_eq!(batches(3 * bytes), 4, "three turns are enough");
    assert_eq!(batches(3 * bytes + 1), 3, "a fourth has to come");
    assert_eq!(batches(0), 12);
}

/// What each limit refuses, of an order that keeps to it with one more.
fn orders() -> [(Limit, u64, Vec<Step>); 9] {
    let message = data(&[say("0123456789")]).len() as u64;
    let [a, b] = ["a", "b"].map(|name| create(name, []));
    [
        (Limit::TurnFuel, 49, vec![Step::Burn(50)]),
        (Limit::ContainerFuel, 49, vec![Step::Burn(50)]),
        (Limit::HeapBytesMax, 300, vec![Step::Keep(vec!["text".into()], "x".repeat(300))]),
        (Limit::MessageBytesMax, message - 1, vec![a.clone(), tell("a", [say("0123456789")])]),
        (Limit::PortsMax, 1, vec![a.clone(), b.clone()]),
        (Limit::EffectsMax, 1, vec![a.clone(), b.clone()]),
        (Limit::OutboxBytesMax, 7, vec![Step::Line("a line: 0123456789".into())]),
        (Limit::QueuePlacesMax, 1, vec![a.clone(), tell("a", []), tell("a", [])]),
        (Limit::DepthMax, 0, vec![a]),
    ]
}

/// Whether a host's order is carried out; one that is too long is not even sent.
fn goes_through(stage: &Stage, order: &[Step]) -> bool {
    let told = stage.tell(order);
    stage.finish(told).is_ok_and(|receipt| receipt.outcome.is_ok())
}

#[test]
fn a_type_may_have_limits_of_its_own() {
    for (limit, most, order) in orders() {
        let mut way = Way::new(1, Delays::None);
        way.of_type = Some((limit, most));
        assert!(!goes_through(&Stage::open(way), &order), "{limit} of the type counts");
        way.settings.limits = Limits::default().with(limit, most);
        way.of_type = Some((limit, most + 1_000));
        assert!(goes_through(&Stage::open(way), &order), "{limit} of the type may be higher");
    }
}

#[test]
fn limits_of_a_type_are_part_of_the_configuration() {
    let mut way = Way::new(1, Delays::None);
    way.of_type = Some((Limit::PortsMax, 1));
    let mut stage = Stage::open(way);
    stage.restart();
    assert!(stage.play([create("a", []), create("b", [])]).outcome.is_err(), "they are those of before");
    for other in [None, Some((Limit::PortsMax, 2)), Some((Limit::EffectsMax, 1))] {
        way.of_type = other;
        let refused = stage.reopen(way).unwrap_err().to_string();
        assert!(refused.contains("limits of types = {actor: {ports_max: 1}}"), "{refused}");
    }
}

/// Whether an order fails that a container gets which is made so, and is at the end of this path.
fn fails(made: Step, path: &[&str], order: &[Step]) -> bool {
    let stage = stage(Limits::default());
    stage.play([made]);
    let told = path.iter().rev().fold(order.to_vec(), |told, name| vec![tell(name, told)]);
    assert!(stage.play(told).outcome.is_ok(), "it is not the root that fails");
    let said = texts(&stage);
    said.iter().any(|text| text.starts_with("exception"))
}

fn limited(name: &str, limits: &[(Limit, u64)], steps: impl Into<Vec<Step>>) -> Step {
    let limits = limits.iter().map(|(limit, most)| (limit.code(), *most)).collect();
    Step::CreateLimited(name.into(), limits, steps.into())
}

#[test]
fn a_creator_may_lower_limits_of_its_child() {
    for (limit, most, order) in orders() {
        let fails = |made: Step| fails(made, &["child"], &order);
        assert!(!fails(create("child", [])), "{limit} as it is");
        assert!(fails(limited("child", &[(limit, most)], [])), "{limit} lowered");
        assert!(
            fails(limited("child", &[(limit, most), (limit, most + 1_000)], [])),
            "{limit} stays lowered"
        );
        assert!(!fails(limited("child", &[(limit, most + 1_000)], [])), "{limit} lowered, but not below");
    }
}

#[test]
fn no_creator_can_raise_a_limit() {
    let ports = [create("a", []), create("b", [])];
    for (limit, most, order) in [(Limit::PortsMax, 1, &ports[..]), (Limit::TurnFuel, 49, &[Step::Burn(50)])] {
        let stage = stage(Limits::default().with(limit, most));
        stage.play([limited("child", &[(limit, u64::MAX)], [])]);
        stage.play([tell("child", order)]);
        assert!(texts(&stage).iter().any(|text| text.starts_with("exception")), "{limit}");
    }
}

/// Who is bounded cannot get round it by making children.
#[test]
fn what_is_lowered_holds_for_all_that_comes_of_it() {
    let ports = [create("a", []), create("b", [])];
    let burn = [Step::Burn(50)];
    for (limit, most, order) in [(Limit::PortsMax, 1, &ports[..]), (Limit::TurnFuel, 49, &burn[..])] {
        let (bound, high) = ([(limit, most)], [(limit, u64::MAX)]);
        let fails = |made: Step| fails(made, &["child", "grandchild"], order);
        assert!(!fails(create("child", [create("grandchild", [])])), "{limit} as it is");
        assert!(fails(limited("child", &bound, [create("grandchild", [])])), "{limit} of its creator");
        assert!(fails(limited("child", &bound, [limited("grandchild", &high, [])])), "{limit} not raised");
        assert!(fails(create("child", [limited("grandchild", &bound, [])])), "{limit} of its own");
    }
}

#[test]
fn lowered_limits_stay_after_a_restart_and_in_what_is_restored() {
    let mut stage = stage(Limits::default());
    let bound = [(Limit::PortsMax, 1)];
    let create_limited = stage.hypervisor().create_limited_instance("actor", "low", named("low"), bound);
    let low = stage.finish(create_limited).unwrap();
    let two = [create("a", []), create("b", [])];
    let refused = |stage: &Stage| {
        let told = stage.send(&low, &two);
        let outcome = stage.finish(told).unwrap().outcome;
        outcome.unwrap_err().text.contains("as many ports as it may")
    };
    assert!(refused(&stage));
    stage.restart();
    assert!(refused(&stage), "after a restart");
    let root = stage.finish(stage.hypervisor().create_state_root(&low, Ticks::MAX)).unwrap();
    stage.block_on(stage.hypervisor().restore(&low, &root)).unwrap();
    assert!(refused(&stage), "after it was restored in its place");
    let checkpoint = stage.block_on(stage.hypervisor().checkpoint()).unwrap();
    let resumed = stage.resumed(&checkpoint);
    assert!(refused(&resumed), "in what goes on from a checkpoint");
    let again = resumed.block_on(resumed.hypervisor().checkpoint()).unwrap();
    assert_ne!(again, checkpoint, "a turn has run since");
}
