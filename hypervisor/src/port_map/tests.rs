use std::cell::RefCell;
use std::collections::BTreeSet;

use everturn_dag::address::node_cid;
use everturn_port_manager::{End, Nonce, PortRef};
use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct World(RefCell<BTreeMap<Cid, Vec<u8>>>);

impl World {
    fn with<T>(&self, run: impl FnOnce(&mut Blocks<'_>) -> T) -> T {
        let kept = self.0.borrow().clone();
        let load = |cid: &Cid| Ok(kept[cid].clone());
        let mut blocks = Blocks { load: &load, crew: None, made: Vec::new() };
        let done = run(&mut blocks);
        self.0.borrow_mut().extend(blocks.made.into_iter().map(|made| (made.cid, made.block)));
        done
    }

    fn composed(&self, ports: &BTreeMap<PortName, PortEntry>) -> Vec<u8> {
        self.with(|blocks| compose(ports, blocks)).unwrap()
    }

    fn read(&self, ports: &[u8]) -> Result<BTreeMap<PortName, PortEntry>, String> {
        let (of, mut found) = (node_cid(b"node"), BTreeMap::new());
        let ports: Ipld = node::decode(ports).unwrap();
        read::<StoreError>(&of, &ports, &mut |cid| Ok(self.0.borrow()[cid].clone()), &mut |name, entry| {
            found.insert(name, entry);
            Ok(())
        })
        .map_err(|error| error.to_string())?;
        Ok(found)
    }
}

fn name(number: u64) -> PortName {
    PortName::new(&format!("port {number}")).unwrap()
}

fn child(number: u64) -> ContainerId {
    ContainerId::ROOT.child(Nonce(number))
}

fn bound(number: u64) -> PortEntry {
    match number % 5 {
        0 => PortEntry::new(&PortRef::channel(child(number), End::Second), None),
        1 => PortEntry::new(&PortRef::container(child(number), "gone"), None),
        _ => PortEntry::new(&PortRef::container(child(number), "some type"), Some(node_cid(b"state"))),
    }
}

fn ports(number: u64) -> BTreeMap<PortName, PortEntry> {
    (0..number).map(|number| (name(number), bound(number))).collect()
}

#[test]
fn few_ports_are_in_the_node_and_more_are_not() {
    let world = World::default();
    for (number, is_inline) in [(0, true), (1, true), (64, true), (65, false), (3_000, false)] {
        let ports = ports(number);
        let field = world.composed(&ports);
        assert_eq!(node::entries(&field).is_ok(), is_inline, "{number}");
        assert_eq!(world.read(&field).unwrap(), ports, "{number}");
    }
}

#[test]
fn a_port_in_a_node_is_as_it_was_before_maps() {
    let (id, state) = (child(3), node_cid(b"state"));
    let expected = |second: (&str, Ipld), name: &str| {
        Ipld::Map(BTreeMap::from([
            ("id".to_owned(), Ipld::Link(id.cid().unwrap())),
            (second.0.to_owned(), second.1),
            ("messages".to_owned(), Ipld::List(vec![])),
            ("type".to_owned(), Ipld::String(name.to_owned())),
        ]))
    };
    let container = PortEntry::new(&PortRef::container(id, "js"), Some(state));
    assert_eq!(container.encode(None), node::encode(&expected(("link", Ipld::Link(state)), "js")).unwrap());
    let gone = PortEntry::new(&PortRef::container(id, "js"), None);
    assert_eq!(gone.encode(None), node::encode(&expected(("link", Ipld::Null), "js")).unwrap());
    let end = PortEntry::new(&PortRef::channel(id, End::Second), None);
    assert_eq!(end.encode(None), node::encode(&expected(("end", Ipld::Integer(1)), "channel")).unwrap());
}

#[test]
fn a_port_that_is_not_of_this_form_is_refused() {
    let good = bound(2).encode(None);
    let Ipld::Map(fields) = node::decode(&good).unwrap() else { panic!("a map") };
    let with = |name: &str, value: Option<Ipld>| {
        let mut fields = fields.clone();
        match value {
            Some(value) => drop(fields.insert(name.to_owned(), value)),
            None => drop(fields.remove(name)),
        }
        PortEntry::decode(&node::encode(&Ipld::Map(fields)).unwrap()).map(|_| ())
    };
    assert!(with("type", Some(Ipld::String("another".into()))).is_ok());
    for (name, value) in [
        ("id", None),
        ("link", None),
        ("messages", None),
        ("messages", Some(Ipld::List(vec![Ipld::Null]))),
        ("end", Some(Ipld::Integer(0))),
        ("link", Some(Ipld::Integer(0))),
        ("more", Some(Ipld::Null)),
        ("type", Some(Ipld::Null)),
    ] {
        assert!(with(name, value.clone()).is_err(), "{name}: {value:?}");
    }
}

#[test]
fn a_child_that_is_not_where_the_mark_says_is_damage() {
    let world = World::default();
    for number in [10, 100] {
        let field = world.composed(&ports(number));
        for (at, of) in [(2, 3), (2_000, 2)] {
            let changes = Vec::from([(name(at).into(), Change::Leads(child(of), None))]);
            let error = world.with(|blocks| update(&field, &changes, blocks)).unwrap_err().to_string();
            assert!(error.contains("does not lead to container"), "{error}");
        }
    }
}

#[test]
fn too_many_or_too_few_for_their_place_are_refused() {
    let world = World::default();
    let many: Vec<(String, Vec<u8>)> =
        (0..65).map(|number| (name(number).to_string(), bound(number).encode(None))).collect();
    let field = inline(&many.iter().map(|(name, port)| (name.as_str(), port.clone())).collect::<Vec<_>>());
    let error = world.read(&field).unwrap_err();
    assert!(error.contains("holds 65 ports itself"), "{error}");
    let mut few: Vec<Entry> = (0..40)
        .map(|number| (key(name(number).as_str()), bound(number).encode(Some(name(number).as_str()))))
        .collect();
    few.sort_by_key(|(key, _)| *key);
    let root = world.with(|blocks| shards::write(&few, &mut |block| blocks.put(block, None))).unwrap();
    let error = world.read(&link(&root)).unwrap_err();
    assert!(error.contains("belong into the state node"), "{error}");
}

#[test]
fn one_port_of_very_many_costs_a_path() {
    let world = World::default();
    let mut all = ports(20_000);
    let field = world.composed(&all);
    let before = world.0.borrow().len();
    let changes = Vec::from([(name(12_002).into(), Change::Leads(child(12_002), Some(node_cid(b"new"))))]);
    let field = world.with(|blocks| update(&field, &changes, blocks)).unwrap();
    let new = world.0.borrow().len() - before;
    assert!((3..=5).contains(&new), "{new} new blocks");
    all.get_mut(&name(12_002)).unwrap().leads = Leads::To(Some(node_cid(b"new")));
    assert_eq!(field, world.composed(&all));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Around the number where the form changes, in steps of any size.
    #[test]
    fn the_form_is_that_of_the_ports_whatever_came_before(
        steps in prop::collection::vec((prop::collection::vec(0..90u64, 0..60), 0..4u8), 1..12)
    ) {
        let world = World::default();
        let mut there: BTreeMap<PortName, PortEntry> = BTreeMap::new();
        let mut field = world.composed(&there);
        for (numbers, kind) in steps {
            let mut changes = Vec::new();
            for number in numbers.into_iter().collect::<BTreeSet<_>>() {
                let leads_to = |port: &PortEntry| matches!(port.leads, Leads::To(_));
                let change = match kind {
                    0 => Change::Unbound,
                    1 if there.get(&name(number)).is_some_and(leads_to) => {
                        Change::Leads(child(number), Some(node_cid(&number.to_be_bytes())))
                    }
                    _ => Change::Bound(Box::new(bound(number))),
                };
                match &change {
                    Change::Unbound => drop(there.remove(&name(number))),
                    Change::Bound(port) => drop(there.insert(name(number), (**port).clone())),
                    Change::Leads(_, to) => {
                        there.get_mut(&name(number)).unwrap().leads = Leads::To(*to);
                    }
                }
                changes.push((name(number).into(), change));
            }
            field = world.with(|blocks| update(&field, &changes, blocks)).unwrap();
            prop_assert_eq!(&field, &world.composed(&there));
            prop_assert_eq!(world.read(&field).unwrap(), there.clone());
        }
    }
}
