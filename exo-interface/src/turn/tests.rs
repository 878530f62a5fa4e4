use everturn_port_manager::{Loose, Nonce, Reply};

use super::*;

const NULL: &[u8] = &[0xf6];

fn port(n: u64) -> PortRef {
    PortRef::container(ContainerId::ROOT.child(Nonce(n)), "t")
}

/// A manager that has bound one port, `a`.
fn bound() -> Arc<PortManager> {
    let mut manager = PortManager::default();
    let changed = [(PortName::new("a").unwrap(), Some(port(0)))].into();
    manager.apply(Bindings { nonce: Nonce(1), changed }, &mut Loose::default(), Ticks::ZERO);
    Arc::new(manager)
}

fn turn_with(came: &[PortRef]) -> Turn {
    let message = Message { data: NULL.to_vec(), ports: came.to_vec(), ..Message::default() };
    let parent = Some(ContainerId::root("parent"));
    Turn::open(Facts { parent, ..Facts::default() }, bound(), Some(&message), live())
}

fn turn() -> Turn {
    turn_with(&[])
}

#[test]
fn nothing_is_done_before_the_turn_is() {
    let mut turn = turn();
    let child = turn.create("t", NULL).unwrap();
    turn.bind("b", child).unwrap();
    turn.send(child, NULL, &[], 3).unwrap();
    turn.delete("a").unwrap();
    assert_eq!(turn.names(), ["b"]);
    assert_eq!(turn.ports, bound(), "the manager is as it was");
    let closed = turn.close();
    assert_eq!(closed.bindings.nonce, Nonce(2));
    assert_eq!(closed.effects.len(), 3);
}

#[test]
fn each_misuse_has_its_refusal() {
    let mut turn = turn();
    let a = turn.get("a").unwrap();
    let loose = turn.create("t", NULL).unwrap();
    assert_eq!(turn.bind("b", a), Err(Refusal::PortBound));
    assert_eq!(turn.bind("a", loose), Err(Refusal::NameInUse));
    assert_eq!(turn.bind("", loose), Err(Refusal::InvalidName));
    assert_eq!(turn.bind("b", Handle(99)), Err(Refusal::InvalidPort));
    assert_eq!(turn.get("missing"), Err(Refusal::NotBound));
    assert_eq!(turn.unbind("missing"), Err(Refusal::NotBound));
    assert_eq!(turn.delete("missing"), Err(Refusal::NotBound));
    assert_eq!(turn.send(a, &[0xff], &[], 0), Err(Refusal::InvalidData));
    assert_eq!(turn.send(loose, NULL, &[a], 0), Err(Refusal::PortBound));
    assert_eq!(turn.send(loose, NULL, &[loose], 0), Err(Refusal::ThroughItself));
    turn.delete("a").unwrap();
    assert_eq!(turn.send(a, NULL, &[], 0), Err(Refusal::InvalidPort));
    assert!(!turn.is_valid_port(a));
    assert_eq!(Turn::default().parent(), Err(Refusal::NoParent));
}

#[test]
fn limits_refuse_at_the_bound_and_not_before() {
    let limits = Limits { ports_max: 2, message_bytes_max: 4, effects_max: 3, ..Limits::default() };
    let mut turn = Turn::open(Facts { limits, ..Facts::default() }, bound(), None, live());
    let first = turn.create("t", NULL).unwrap();
    let second = turn.create("t", NULL).unwrap();
    turn.bind("b", first).unwrap();
    assert_eq!(turn.bind("c", second), Err(Refusal::TooManyPorts));
    turn.send(first, &[0x63, b'a', b'b', b'c'], &[], 0).unwrap();
    assert_eq!(turn.send(first, NULL, &[], 0), Err(Refusal::TooManyEffects));
    assert_eq!(turn.send(first, &[0x64, b'a', b'b', b'c', b'd'], &[], 0), Err(Refusal::MessageTooLarge));
}

#[test]
fn a_loose_port_left_over_is_deleted() {
    let mut turn = turn_with(&[port(7), port(8)]);
    assert_eq!(turn.message_ports(), 2);
    turn.bind("kept", Handle(0)).unwrap();
    let closed = turn.close();
    let effects: Vec<Effect> = closed.effects.iter().cloned().collect();
    assert_eq!(effects, [Effect::Delete { port: port(8), at: Ticks::ZERO }]);
}

#[test]
fn a_port_that_was_unbound_can_be_bound_again_or_sent() {
    let mut turn = turn();
    let a = turn.unbind("a").unwrap();
    turn.bind("z", a).unwrap();
    let z = turn.unbind("z").unwrap();
    let parent = turn.parent().unwrap();
    turn.send(parent, NULL, &[z], 0).unwrap();
    assert!(!turn.is_valid_port(z));
    let closed = turn.close();
    assert!(closed.effects.iter().all(|effect| matches!(effect, Effect::Send(_))));
}

#[test]
fn a_channel_has_two_ends_and_carries_ends_only() {
    let mut turn = turn();
    let (first, second) = turn.channel().unwrap();
    let (other, _) = turn.channel().unwrap();
    let a = turn.unbind("a").unwrap();
    assert_eq!(turn.send(first, NULL, &[a], 0), Err(Refusal::NotOverChannel));
    assert_eq!(turn.send(first, NULL, &[second], 0), Err(Refusal::ThroughItself), "nobody could take it out");
    turn.send(first, NULL, &[other], 0).unwrap();
    turn.send(a, NULL, &[second], 0).unwrap();
    assert_eq!(
        turn.call_port(a, NULL, &[], 0),
        Err(Refusal::InvalidPort),
        "a call needs a port for the answer"
    );
    turn.call_port(a, NULL, &[first], 0).unwrap();
    assert_eq!(turn.port_id(first), Err(Refusal::InvalidPort), "it was moved");
    assert_eq!(turn.drop_port(first), Err(Refusal::InvalidPort));
    turn.drop_port(a).unwrap();
    assert!(!turn.is_valid_port(a));
}

#[test]
fn an_answer_goes_through_the_reply_port_unless_the_turn_used_it() {
    let message = || {
        let end = PortRef::channel(ContainerId::ROOT.child(Nonce(5)), End::Second);
        Message { data: NULL.to_vec(), ports: vec![end], reply: Reply::LastPort, ..Message::default() }
    };
    let mut turn = Turn::open(Facts::default(), bound(), Some(&message()), live());
    assert_eq!(turn.reply_port(), Some(Handle(0)));
    turn.answer(NULL).unwrap();
    let effects: Vec<Effect> = turn.close().effects.iter().cloned().collect();
    assert!(matches!(&effects[..], [Effect::Send(_), Effect::Delete { .. }]), "{effects:?}");
    let mut kept = Turn::open(Facts::default(), bound(), Some(&message()), live());
    kept.bind("later", Handle(0)).unwrap();
    kept.answer(NULL).unwrap();
    assert!(kept.close().effects.is_empty());
}

#[test]
fn a_closed_port_takes_nothing_more() {
    let mut ports = bound();
    let manager = Arc::make_mut(&mut ports);
    let close = everturn_port_manager::Delivery {
        kind: everturn_port_manager::Kind::Close,
        message: Message::default(),
        from: None,
        at: Ticks::ZERO,
        date_ms: 0,
        receipt: None,
    };
    manager.push_port(port(0).port_id(), close).unwrap();
    manager.pop(Ticks(1));
    let mut turn = Turn::open(Facts::default(), ports, None, live());
    let a = turn.get("a").unwrap();
    assert_eq!(turn.send(a, NULL, &[], 0), Err(Refusal::Closed));
    turn.delete("a").unwrap();
}

#[test]
fn a_queue_that_is_full_refuses_until_the_next_window() {
    let limits = Limits { queue_places_max: 2, ..Limits::default() };
    let facts = Facts { limits, window_end: Ticks(10), ..Facts::default() };
    let mut turn = Turn::open(facts, bound(), None, live());
    let a = turn.get("a").unwrap();
    turn.send(a, NULL, &[], 0).unwrap();
    turn.send(a, NULL, &[], 0).unwrap();
    assert_eq!(turn.send(a, NULL, &[], 0), Err(Refusal::QueueFull));
    let child = turn.create("t", NULL).unwrap();
    turn.send(child, NULL, &[], 0).unwrap();
    let manager = bound();
    let gauge = manager.get(&PortName::new("a").unwrap()).unwrap().outgoing.clone();
    gauge.sent();
    gauge.sent();
    gauge.taken(Ticks(10));
    let mut same = Turn::open(facts, manager.clone(), None, live());
    let a = same.get("a").unwrap();
    assert_eq!(
        same.send(a, NULL, &[], 0),
        Err(Refusal::QueueFull),
        "whoever ran first, the place is not free yet"
    );
    let mut next = Turn::open(Facts { window_end: Ticks(20), ..facts }, manager, None, live());
    let a = next.get("a").unwrap();
    next.send(a, NULL, &[], 0).unwrap();
    assert_eq!(next.send(a, NULL, &[], 0), Err(Refusal::QueueFull));
}

#[test]
fn a_container_at_the_deepest_place_makes_no_children() {
    let facts = Facts { depth: 3, limits: Limits { depth_max: 3, ..Limits::default() }, ..Facts::default() };
    let mut turn = Turn::open(facts, bound(), None, live());
    assert_eq!(turn.create("t", NULL), Err(Refusal::TooDeep));
    let mut turn = Turn::open(Facts { depth: 2, ..facts }, bound(), None, live());
    assert!(turn.create("t", NULL).is_ok());
}

#[test]
fn run_again_a_turn_gets_the_same_answers_and_does_nothing() {
    let run = |turn: &mut Turn| {
        let child = turn.create("t", NULL).unwrap();
        (turn.bind("a", child), turn.names(), turn.ticks(), turn.port_id(child))
    };
    let mut first = turn();
    let answers = run(&mut first);
    let record = first.close().mode.into_record();
    let mut second = Turn::open(Facts::default(), Arc::default(), None, again(record.clone()));
    assert_eq!(run(&mut second), answers);
    let closed = second.close();
    assert!(closed.effects.is_empty());
    assert_eq!(closed.mode.read().1, None);

    let mut other = Turn::open(Facts::default(), Arc::default(), None, again(record.clone()));
    let _ = other.create("another type", NULL);
    assert!(other.close().mode.read().1.is_some(), "another argument is seen");
    let short = Turn::open(Facts::default(), Arc::default(), None, again(record));
    assert!(short.close().mode.read().1.is_some(), "a turn that asks less is seen");
}
