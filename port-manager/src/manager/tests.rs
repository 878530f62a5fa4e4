use super::*;
use crate::{End, Message};

fn id(n: u64) -> ContainerId {
    ContainerId::ROOT.child(Nonce(n))
}

fn port(n: u64) -> PortId {
    PortId::container(id(n))
}

fn delivery(at: u64, priority: i32, tag: u8) -> Delivery {
    let message = Message { data: vec![tag], priority, ..Message::default() };
    Delivery { kind: Kind::Message, message, from: None, at: Ticks(at), date_ms: 0, receipt: None }
}

fn name(name: &str) -> PortName {
    PortName::new(name).unwrap()
}

fn with_ports(names: &[(&str, u64)]) -> PortManager {
    let mut manager = PortManager::default();
    let bind = |(of, n): &(&str, u64)| (name(of), Some(PortRef::container(id(*n), "t")));
    let changed = names.iter().map(bind).collect();
    manager.apply(Bindings { nonce: Nonce(9), changed }, &mut Loose::default(), Ticks::ZERO);
    manager
}

fn drain(manager: &mut PortManager) -> Vec<u8> {
    std::iter::from_fn(|| manager.pop(Ticks(1))).map(|(_, delivery)| delivery.message.data[0]).collect()
}

#[test]
fn lower_tick_then_priority_then_parent_then_name_then_fifo() {
    let mut manager = with_ports(&[("b", 1), ("a", 2)]);
    manager.push_port(port(1), delivery(5, 0, 4)).unwrap();
    manager.push_port(port(2), delivery(5, 0, 3)).unwrap();
    manager.push_port(port(2), delivery(5, 0, 30)).unwrap();
    manager.push_entry(delivery(5, 0, 2));
    manager.push_port(port(1), delivery(6, 9, 5)).unwrap();
    let mut high = manager.clone();
    assert_eq!(manager.peek().unwrap().message.data, [2]);
    assert_eq!(drain(&mut manager), [2, 3, 30, 4, 5]);
    high.push_entry(delivery(5, 1, 1));
    assert_eq!(drain(&mut high), [2, 1, 3, 30, 4, 5], "within a port it is first in, first out");
}

#[test]
fn notices_come_after_the_parent_and_by_child_whatever_the_order_of_arrival() {
    let mut manager = with_ports(&[("a", 1)]);
    let (low, high) = if id(2) < id(3) { (2, 3) } else { (3, 2) };
    manager.push_port(port(1), delivery(5, 0, 4)).unwrap();
    manager.push_notice(id(high), delivery(5, 0, 3));
    manager.push_notice(id(low), delivery(5, 0, 2));
    manager.push_entry(delivery(5, 0, 1));
    assert_eq!(drain(&mut manager), [1, 2, 3, 4]);
}

#[test]
fn a_message_of_an_unknown_port_comes_back() {
    let mut manager = with_ports(&[("a", 1)]);
    assert!(manager.push_port(port(7), delivery(1, 0, 1)).is_err());
    let end = PortId { of: id(1), end: Some(End::First) };
    assert!(manager.push_port(end, delivery(1, 0, 1)).is_err(), "a channel's end is another port");
    assert_eq!(manager.queued(), 0);
}

#[test]
fn a_queue_moves_with_its_port() {
    let mut manager = with_ports(&[("a", 1)]);
    manager.push_port(port(1), delivery(3, 0, 1)).unwrap();
    let changed = [(name("a"), None)].into();
    let mut hand = Loose::default();
    manager.apply(Bindings { nonce: Nonce(9), changed }, &mut hand, Ticks(7));
    assert!(manager.next().is_none(), "what waits in an unbound port does not count");
    let reference = hand.get(port(1)).unwrap().reference.clone();
    let changed = [(name("z"), Some(reference))].into();
    manager.apply(Bindings { nonce: Nonce(9), changed }, &mut hand, Ticks(7));
    assert!(hand.get(port(1)).is_none());
    assert_eq!(manager.next().unwrap().at, Ticks(7), "a message that waited meanwhile is not in the past");
    assert_eq!(drain(&mut manager), [1]);
}

#[test]
fn binding_and_sending_commute() {
    let bind = |manager: &mut PortManager, hand: &mut Loose| {
        let changed = [(name("a"), Some(PortRef::container(id(1), "t")))].into();
        manager.apply(Bindings { nonce: Nonce(1), changed }, hand, Ticks(9));
    };
    let loose = || Loose::from_iter([Port::new(PortRef::container(id(1), "t"))]);
    let (mut sent_first, mut hand) = (PortManager::default(), loose());
    hand.queue_mut(port(1)).unwrap().push(delivery(4, 0, 1));
    bind(&mut sent_first, &mut hand);
    let (mut bound_first, mut hand) = (PortManager::default(), loose());
    bind(&mut bound_first, &mut hand);
    bound_first.push_port(port(1), delivery(4, 0, 1)).unwrap();
    assert_eq!(sent_first, bound_first);
    assert_eq!(bound_first.next().unwrap().at, Ticks(9));
}

#[test]
fn delivery_ticks_of_one_port_never_fall() {
    let mut manager = with_ports(&[("a", 1)]);
    manager.push_port(port(1), delivery(8, 0, 1)).unwrap();
    manager.push_port(port(1), delivery(3, 0, 2)).unwrap();
    manager.pop(Ticks(1));
    assert_eq!(manager.next().unwrap().at, Ticks(8), "a queue never goes back in time");
}

#[test]
fn the_last_message_closes_its_port() {
    let mut manager = with_ports(&[("a", 1)]);
    manager.push_port(port(1), Delivery { kind: Kind::Close, ..delivery(3, 0, 1) }).unwrap();
    assert_eq!(manager.get(&name("a")).unwrap().life, Life::Open);
    manager.pop(Ticks(1));
    assert_eq!(manager.get(&name("a")).unwrap().life, Life::Closed);
}

#[test]
fn a_record_and_its_ports_bring_back_order_and_names() {
    let mut manager = with_ports(&[("a", 1), ("b", 2)]);
    manager.push_port(port(2), delivery(3, 0, 1)).unwrap();
    manager.push_notice(id(5), delivery(9, 0, 2));
    manager.push_entry(delivery(2, 0, 0));
    let names = manager.take_touched();
    let bytes = everturn_dag::node::encode(&manager).unwrap();
    let mut back: PortManager = everturn_dag::node::decode(&bytes).unwrap();
    for name in names {
        let port = everturn_dag::node::encode(manager.get(&name).unwrap()).unwrap();
        back.put(name, everturn_dag::node::decode(&port).unwrap());
    }
    back.take_touched();
    assert_eq!(back, manager);
    assert_eq!(drain(&mut back), [0, 1, 2]);
}

#[test]
fn a_host_s_waiting_inputs_are_not_durable_but_a_creation_is() {
    let mut manager = PortManager::default();
    let receipt = Some(crate::ReceiptId(1));
    manager.push_entry(Delivery { kind: Kind::Create, receipt, ..delivery(1, 0, 1) });
    manager.push_entry(Delivery { receipt, ..delivery(2, 0, 2) });
    let bytes = everturn_dag::node::encode(&manager).unwrap();
    let mut back: PortManager = everturn_dag::node::decode(&bytes).unwrap();
    assert_eq!(drain(&mut back), [1]);
}

#[test]
fn names_have_bounds() {
    assert!(PortName::new("").is_err());
    assert!(PortName::new(&"x".repeat(257)).is_err());
    assert!(PortName::new(&"x".repeat(256)).is_ok());
}
