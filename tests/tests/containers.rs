//! Containers that make containers: the order of their messages, and the addresses of their states.

use everturn::native::{Incoming, Native, NativeType};
use everturn::{Exception, Hypervisor, Ipld, Kind, Message, Ticks, Turn};
use serde::{Deserialize, Serialize};

use crate::world::World;

/// What primea's own test did: the root makes a child of type "test", binds it as "first", sends it one message.
#[derive(Clone, Serialize, Deserialize)]
struct Test;

impl Native for Test {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Self, Exception> {
        if init == Ipld::Bool(true) {
            let null = everturn::node::encode(&Ipld::Null).unwrap();
            let child = turn.create("test", &null).unwrap();
            turn.bind("first", child).unwrap();
            turn.send(child, &null, &[], 0).unwrap();
        }
        Ok(Test)
    }

    fn run(&mut self, _: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        assert_eq!(message.kind, Kind::Message);
        Ok(())
    }
}

fn vector(what: &str) -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/primea.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: {path} is not there");
        return None;
    };
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    let found = vectors.iter().find(|vector| vector["what"].as_str().unwrap().starts_with(what)).unwrap();
    Some(found["cid"].as_str().unwrap().to_owned())
}

fn base58(cid: everturn::Cid) -> String {
    cid.to_string_of_base(everturn::Base::Base58Btc).unwrap()
}

#[test]
fn primeas_addresses_come_out() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let hypervisor = Hypervisor::builder().build().await.unwrap();
        hypervisor.register_container("test", NativeType::<Test>::new());
        let root = hypervisor.create_instance("test", "", Ipld::Bool(true)).await.unwrap();
        let state = hypervisor.create_state_root(&root, Ticks::MAX).await.unwrap();
        let containers = hypervisor.inspect().await.unwrap();
        let child = containers.iter().find(|container| container.parent.is_some()).unwrap();
        if let Some(expected) = vector("root after it created a child") {
            assert_eq!(base58(state), expected);
            assert_eq!(base58(child.id.cid().unwrap()), vector("id of the root's first child").unwrap());
        }
        let fresh = hypervisor.create_instance("test", "fresh", Ipld::Null).await.unwrap();
        let fresh = hypervisor.create_state_root(&fresh, Ticks::MAX).await.unwrap();
        if let Some(expected) = vector("fresh container state") {
            assert_eq!(base58(fresh), expected);
        }
    });
}

const PARENT: &str = r#"
const child = ports.create("js", `export default { message(msg) {
    if (msg.data === "boom") throw new Error("child says no");
    console.log("child got " + msg.data);
    send(self.parent, msg.data + 1);
} };`);
ports.bind("child", child);
let got = [];
export default {
    message(msg) {
        if (msg.from) { got.push(msg.data); return; }
        if (msg.data === "report") return got;
        send(ports.get("child"), msg.data);
    },
    exception(notice) { got.push(notice.kind + ": " + notice.name + ": " + notice.message); },
};
"#;

#[test]
fn a_parent_and_its_child_talk() {
    let mut world = World::new(PARENT);
    for n in [1, 2, 3] {
        assert!(world.send(Ipld::Integer(n)).outcome.is_ok());
    }
    world.idle();
    let got = world.send("report").outcome.unwrap().unwrap();
    assert_eq!(got, Ipld::List(vec![Ipld::Integer(2), Ipld::Integer(3), Ipld::Integer(4)]));
    assert_eq!(world.lines(), ["child got 1", "child got 2", "child got 3"]);
    world.restart();
    world.send(Ipld::Integer(10));
    world.idle();
    let Ipld::List(got) = world.send("report").outcome.unwrap().unwrap() else { panic!("a list") };
    assert_eq!(got.last(), Some(&Ipld::Integer(11)));
}

#[test]
fn an_exception_reaches_who_sent_the_message() {
    let mut world = World::new(PARENT);
    assert!(world.send("boom").outcome.is_ok());
    world.idle();
    let Ipld::List(got) = world.send("report").outcome.unwrap().unwrap() else { panic!("a list") };
    assert_eq!(got, [Ipld::String("throw: Error: child says no".into())]);
}

#[test]
fn refusals_are_errors_that_a_program_can_catch() {
    let mut world = World::new("var child = ports.create('js', ''); ports.bind('a', child);");
    let refusal = |world: &mut World, line: &str| {
        world.eval(&format!("try {{ {line}; 'done' }} catch (e) {{ e.name + ': ' + e.message }}"))
    };
    assert!(refusal(&mut world, "ports.bind('a', ports.create('js', ''))").contains("in use"));
    assert!(refusal(&mut world, "ports.unbind('missing')").contains("no port"));
    assert!(refusal(&mut world, "ports.bind('b', ports.get('a'))").contains("bound"));
    assert!(refusal(&mut world, "ports.bind('', ports.create('js', ''))").contains("256"));
    assert_ne!(refusal(&mut world, "send(self.parent, 1)"), "'done'", "a root has no parent");
    assert_eq!(world.eval("ports.names().join()"), "'a'");
    assert_eq!(world.eval("ports.delete('a'); ports.names().length"), "0");
}

#[test]
fn a_container_that_nobody_holds_is_not_stored() {
    let mut world =
        World::new("ports.create('js', 'var lost = 1'); ports.bind('kept', ports.create('js', ''));");
    world.idle();
    let hypervisor = world.hypervisor().clone();
    assert_eq!(world.block_on(hypervisor.inspect()).unwrap().len(), 2);
    world.eval("ports.delete('kept')");
    world.restart();
    let hypervisor = world.hypervisor().clone();
    assert_eq!(world.block_on(hypervisor.inspect()).unwrap().len(), 1);
}

#[test]
fn a_child_that_throws_while_it_loads_is_gone_and_its_creator_knows() {
    let mut world = World::new(
        "var told = []; var exception = notice => told.push(notice.message); ports.bind('bad', ports.create('js', 'throw new Error(\"never\")'));",
    );
    world.idle();
    assert_eq!(world.eval("told.join()"), "'never'");
    assert_eq!(world.eval("ports.names().length"), "0");
}

#[test]
fn a_state_root_is_the_way_back() {
    let mut world = World::new(PARENT);
    world.send(Ipld::Integer(1));
    world.idle();
    let root = world.state_root();
    world.send(Ipld::Integer(5));
    world.idle();
    assert_ne!(world.state_root(), root);
    let hypervisor = world.hypervisor().clone();
    world.block_on(hypervisor.restore(&world.root, &root)).unwrap();
    assert_eq!(world.state_root(), root);
    let got = world.send("report").outcome.unwrap().unwrap();
    assert_eq!(got, Ipld::List(vec![Ipld::Integer(2)]));
    let nonsense = everturn::address::node_cid(b"\xa0");
    assert!(world.block_on(hypervisor.restore(&world.root, &nonsense)).is_err());
    assert_eq!(world.send("report").outcome.unwrap().unwrap(), Ipld::List(vec![Ipld::Integer(2)]));
}

#[test]
fn a_cut_that_is_past_is_refused() {
    let mut world = World::new("");
    world.eval("1");
    world.eval("2");
    let hypervisor = world.hypervisor().clone();
    let error = world.block_on(hypervisor.create_state_root(&world.root, Ticks(0))).unwrap_err();
    assert!(matches!(error, everturn::HypervisorError::CutPassed { .. }), "{error}");
}

#[test]
fn unawaited_sends_are_handled_in_order() {
    let mut world = World::new("var got = []; function message(msg) { got.push(msg.data); }");
    let hypervisor = world.hypervisor().clone();
    let sends: Vec<_> = (0..500)
        .map(|n| {
            let data = everturn::node::encode(&Ipld::Integer(n)).unwrap();
            hypervisor.send(&world.root, Message { data, ..Message::default() })
        })
        .collect();
    world.block_on(async {
        for send in sends {
            send.await.unwrap();
        }
    });
    assert_eq!(world.eval("got.every((n, i) => n === i) && got.length"), "500");
}

#[test]
fn messages_of_a_type_that_is_not_registered_yet_wait_for_it() {
    let store: std::sync::Arc<dyn everturn::Store> = std::sync::Arc::new(everturn::MemoryStore::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let first = Hypervisor::builder().shared_store(store.clone()).build().await.unwrap();
        first.register_container("ping", NativeType::<Ping>::new());
        let root = first.create_instance("ping", "", Ipld::Null).await.unwrap();
        // Stopped while the two still play: their messages are in the store.
        first.stop().await.unwrap();
        let second = Hypervisor::builder().shared_store(store.clone()).build().await.unwrap();
        let unknown = second.wait(&root, Ticks::MAX).await.unwrap_err();
        assert!(unknown.to_string().contains("\"ping\""), "{unknown}");
        second.register_container("ping", NativeType::<Ping>::new());
        assert!(second.wait(&root, Ticks::MAX).await.unwrap() >= Ticks(PINGS));
    });
}

/// Plays ping pong with a child of its own kind.
#[derive(Clone, Serialize, Deserialize)]
struct Ping {
    left: u64,
}

/// How often the ball goes to and fro.
const PINGS: u64 = 100_000;

impl Native for Ping {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Self, Exception> {
        if init == Ipld::Null {
            let child = turn.create("ping", &everturn::node::encode(&Ipld::Bool(true)).unwrap()).unwrap();
            turn.bind("child", child).unwrap();
            turn.send(child, &[0xf6], &[], 0).unwrap();
        }
        Ok(Ping { left: PINGS })
    }

    fn run(&mut self, turn: &mut Turn, _: &Incoming<'_>) -> Result<(), Exception> {
        if self.left > 0 {
            self.left -= 1;
            let other = turn.get("child").or_else(|_| turn.parent()).unwrap();
            turn.send(other, &[0xf6], &[], 0).unwrap();
        }
        Ok(())
    }
}
