use std::collections::BTreeMap;

use everturn_port_manager::Nonce;

use super::*;

const NULL: &[u8] = &[0xf6];

fn port(n: u64) -> PortRef {
    PortRef { id: ContainerId::ROOT.child(Nonce(n)), container_type: "t".into() }
}

/// A manager that has bound one port, `a`.
fn bound() -> PortManager {
    let mut manager = PortManager::default();
    let changed = [(PortName::new("a").unwrap(), Some(port(0)))].into();
    manager.apply(Bindings { nonce: Nonce(1), changed }, &mut BTreeMap::new(), Ticks::ZERO);
    manager
}

fn turn_with(came: &[PortRef]) -> Turn {
    let message = Message { data: NULL.to_vec(), ports: came.to_vec(), priority: 0 };
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
    let closed = turn.close();
    assert_eq!(closed.ports, bound(), "the manager is as it was");
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
    assert_eq!(effects, [Effect::Delete(port(8))]);
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
fn run_again_a_turn_gets_the_same_answers_and_does_nothing() {
    let run = |turn: &mut Turn| {
        let child = turn.create("t", NULL).unwrap();
        (turn.bind("a", child), turn.names(), turn.ticks(), turn.port_id(child))
    };
    let mut first = turn();
    let answers = run(&mut first);
    let record = Arc::new(first.close().mode.into_record());
    let mut second = Turn::open(Facts::default(), PortManager::default(), None, again(record.clone()));
    assert_eq!(run(&mut second), answers);
    let closed = second.close();
    assert!(closed.effects.is_empty());
    assert_eq!(closed.mode.divergence(), None);

    let mut other = Turn::open(Facts::default(), PortManager::default(), None, again(record.clone()));
    let _ = other.create("another type", NULL);
    assert!(other.close().mode.divergence().is_some(), "another argument is seen");
    let short = Turn::open(Facts::default(), PortManager::default(), None, again(record));
    assert!(short.close().mode.divergence().is_some(), "a turn that asks less is seen");
}
