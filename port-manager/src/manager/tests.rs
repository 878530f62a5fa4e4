use super::*;
use crate::{Kind, Message};

fn id(n: u64) -> ContainerId {
    ContainerId::ROOT.child(Nonce(n))
}

fn delivery(at: u64, priority: i32, tag: u8) -> Delivery {
    let message = Message { data: vec![tag], ports: vec![], priority };
    Delivery { kind: Kind::Message, message, from: None, at: Ticks(at), date_ms: 0, receipt: None }
}

fn with_ports(names: &[(&str, u64)]) -> PortManager {
    let mut manager = PortManager::default();
    let changed = names
        .iter()
        .map(|(name, n)| {
            (PortName::new(name).unwrap(), Some(PortRef { id: id(*n), container_type: "t".into() }))
        })
        .collect();
    manager.apply(Bindings { nonce: Nonce(9), changed }, &mut BTreeMap::new(), Ticks::ZERO);
    manager
}

fn drain(manager: &mut PortManager) -> Vec<u8> {
    std::iter::from_fn(|| manager.pop()).map(|(_, delivery)| delivery.message.data[0]).collect()
}

#[test]
fn lower_tick_then_priority_then_parent_then_name_then_fifo() {
    let mut manager = with_ports(&[("b", 1), ("a", 2)]);
    manager.push_child(id(1), delivery(5, 0, 4)).unwrap();
    manager.push_child(id(2), delivery(5, 0, 3)).unwrap();
    manager.push_child(id(2), delivery(5, 0, 30)).unwrap();
    manager.push_entry(delivery(5, 0, 2));
    manager.push_child(id(1), delivery(6, 9, 5)).unwrap();
    let mut high = manager.clone();
    assert_eq!(drain(&mut manager), [2, 3, 30, 4, 5]);
    high.push_entry(delivery(5, 1, 1));
    assert_eq!(drain(&mut high), [2, 1, 3, 30, 4, 5], "within a port it is first in, first out");
}

#[test]
fn a_message_of_an_unknown_child_comes_back() {
    let mut manager = with_ports(&[("a", 1)]);
    assert!(manager.push_child(id(7), delivery(1, 0, 1)).is_err());
    assert_eq!(manager.queued(), 0);
}

#[test]
fn a_queue_moves_with_its_port() {
    let mut manager = with_ports(&[("a", 1)]);
    manager.push_child(id(1), delivery(3, 0, 1)).unwrap();
    let changed = [(PortName::new("a").unwrap(), None)].into();
    let mut loose = BTreeMap::new();
    manager.apply(Bindings { nonce: Nonce(9), changed }, &mut loose, Ticks(7));
    assert!(manager.next().is_none(), "what waits in an unbound port does not count");
    let reference = loose[&id(1)].reference.clone();
    let changed = [(PortName::new("z").unwrap(), Some(reference))].into();
    manager.apply(Bindings { nonce: Nonce(9), changed }, &mut loose, Ticks(7));
    assert!(loose.is_empty());
    assert_eq!(manager.next().unwrap().at, Ticks(7), "a message that waited meanwhile is not in the past");
    assert_eq!(drain(&mut manager), [1]);
}

#[test]
fn a_record_brings_back_order_and_names() {
    let mut manager = with_ports(&[("a", 1), ("b", 2)]);
    manager.push_child(id(2), delivery(3, 0, 1)).unwrap();
    manager.push_entry(delivery(2, 0, 0));
    let bytes = everturn_dag::node::encode(&manager).unwrap();
    let mut back: PortManager = everturn_dag::node::decode(&bytes).unwrap();
    assert_eq!(back, manager);
    assert_eq!(drain(&mut back), [0, 1]);
}

#[test]
fn names_have_bounds() {
    assert!(PortName::new("").is_err());
    assert!(PortName::new(&"x".repeat(257)).is_err());
    assert!(PortName::new(&"x".repeat(256)).is_ok());
}
