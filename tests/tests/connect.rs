//! Channels that a host makes between two root containers: made once, kept over restarts, made anew where an end is gone.

use std::sync::Arc;

use everturn::{Cid, ContainerId, HypervisorError, MemoryStore, Settings};

use crate::host::assert_whole;
use crate::world::{Ways, World};

/// Keeps what comes through its ports, and answers.
const PROGRAM: &str = "globalThis.heard = [];
    export default {
        message(m) { heard.push(`${m.from.name} ${JSON.stringify(m.data)}`); return `${m.data}!`; },
        close(port) { heard.push(`${port.name} is closed`); },
    };";

/// Two root containers, "main" and "other"; lines go to "main".
struct Two {
    world: World,
    main: ContainerId,
    other: ContainerId,
}

impl Two {
    fn new(ways: Ways) -> Two {
        let mut world = World::on(Arc::new(MemoryStore::new()), PROGRAM, ways);
        let main = world.root;
        world.create("other", PROGRAM.into()).unwrap();
        let other = std::mem::replace(&mut world.root, main);
        Two { world, main, other }
    }

    fn connect(&self, name: &str, name_there: &str) -> Result<(), HypervisorError> {
        let hypervisor = self.world.hypervisor();
        self.world.block_on(hypervisor.connect(&self.main, name, &self.other, name_there))
    }

    fn in_other(&mut self, line: &str) -> String {
        self.world.root = self.other;
        let shown = self.world.eval(line);
        self.world.root = self.main;
        shown
    }

    /// Where the ports of all lead.
    fn ports(&self) -> Vec<(ContainerId, Vec<(String, ContainerId)>)> {
        self.world.inspect().into_iter().map(|found| (found.id, found.ports)).collect()
    }

    fn whole(&self) {
        assert_whole(&*self.world.store);
    }

    fn restore(&self, id: &ContainerId, root: &Cid) {
        self.world.block_on(self.world.hypervisor().restore(id, root)).unwrap();
    }
}

#[test]
fn both_sides_talk_and_are_answered() {
    let small = Settings { savepoint_turns: Some(1), batch_turns: Some(1), ..Settings::default() };
    for ways in Ways::to_survive().into_iter().chain([Ways { settings: small, ..Ways::default() }]) {
        let mut two = Two::new(ways);
        two.connect("driver", "main").unwrap();
        two.world.eval("call(ports.get('driver'), 'hello').then((answer) => heard.push(answer)); 0");
        two.world.idle();
        assert_eq!(two.world.eval("heard.join()"), "'hello!'");
        two.in_other("send(ports.get('main'), {n: 1})");
        two.world.idle();
        assert_eq!(two.world.eval("heard[1]"), r#"'driver {"n":1}'"#);
        assert_eq!(two.in_other("heard.join()"), r#"'main "hello"'"#);
        two.whole();
    }
}

#[test]
fn a_connection_outlives_restarts_and_is_made_once() {
    let mut two = Two::new(Ways::default());
    two.connect("driver", "main").unwrap();
    let (main, other) = (two.world.state_root(), two.ports());
    for _ in 0..2 {
        two.connect("driver", "main").unwrap();
        assert_eq!(two.world.state_root(), main, "nothing was minted");
        assert_eq!(two.ports(), other);
        two.world.restart();
    }
    two.world.eval("send(ports.get('driver'), 1)");
    two.world.idle();
    assert_eq!(two.in_other("heard.join()"), "'main 1'");
}

/// A connection is answered when it is in the store: what a crash leaves has it.
#[test]
fn a_connection_is_in_the_store_when_it_is_answered() {
    let two = Two::new(Ways::default());
    two.connect("driver", "main").unwrap();
    let copy = crate::host::copy(&*two.world.store);
    let mut after = World::on(Arc::new(copy), PROGRAM, Ways::default());
    assert_eq!(after.eval("ports.names().join()"), "'driver'");
    after.eval("call(ports.get('driver'), 'still there').then((answer) => heard.push(answer)); 0");
    after.idle();
    assert_eq!(after.eval("heard.join()"), "'still there!'");
}

#[test]
fn a_name_that_is_used_otherwise_is_not_touched() {
    let mut two = Two::new(Ways::default());
    two.world.eval("ports.bind('driver', ports.create('js', '0'));");
    two.connect("second", "main").unwrap();
    let before = (two.world.state_root(), two.ports());
    let refused = |name, name_there| two.connect(name, name_there).unwrap_err();
    for (name, there, who, what) in [
        ("driver", "main", two.main, "driver"),
        ("driver", "free", two.main, "driver"),
        ("free", "main", two.other, "main"),
    ] {
        match refused(name, there) {
            HypervisorError::PortInUse { container, port } => {
                assert_eq!((container, port), (who.to_string(), what.to_owned()));
            }
            error => panic!("{error}"),
        }
    }
    let text = refused("driver", "free").to_string();
    assert!(text.contains("another port named \"driver\"; unbind or delete that first"), "{text}");
    assert!(matches!(refused("", "free"), HypervisorError::PortName(_)));
    assert_eq!((two.world.state_root(), two.ports()), before);
    two.whole();
}

#[test]
fn only_root_containers_that_are_alive_are_connected() {
    let mut two = Two::new(Ways::default());
    two.world.eval("ports.bind('child', ports.create('js', '0'));");
    two.world.idle();
    let child = two.world.inspect().into_iter().find(|found| found.parent.is_some()).unwrap().id;
    for id in [child, ContainerId::root("nobody")] {
        let hypervisor = two.world.hypervisor();
        let refused = two.world.block_on(hypervisor.connect(&two.main, "driver", &id, "main"));
        assert!(matches!(refused, Err(HypervisorError::NoSuchContainer(_))), "{refused:?}");
    }
    assert_eq!(two.world.eval("ports.names().join()"), "'child'");
}

#[test]
fn a_container_is_connected_to_itself_under_two_names() {
    let mut two = Two::new(Ways::default());
    two.other = two.main;
    assert!(matches!(two.connect("one", "one"), Err(HypervisorError::PortInUse { .. })));
    two.connect("one", "other").unwrap();
    two.world.eval("send(ports.get('one'), 1)");
    two.world.idle();
    assert_eq!(two.world.eval("heard.join()"), "'other 1'");
    two.whole();
}

/// What a program said before it let its port go is heard, and then the port is made anew.
#[test]
fn an_end_that_is_gone_is_made_anew_after_all_was_heard() {
    let mut two = Two::new(Ways::default());
    two.connect("driver", "main").unwrap();
    two.world.eval("send(ports.get('driver'), 'last'); ports.delete('driver'); 0");
    two.connect("driver", "main").unwrap();
    assert_eq!(two.in_other("heard.join()"), r#"'main "last",main is closed'"#);
    two.world.eval("send(ports.get('driver'), 'first'); 0");
    two.world.idle();
    assert_eq!(two.in_other("heard[2]"), r#"'main "first"'"#);
    two.world.restart();
    two.whole();
}

#[test]
fn a_side_that_went_back_is_connected_again() {
    let mut two = Two::new(Ways::default());
    let before = two.world.state_root();
    two.connect("driver", "main").unwrap();
    let connected = two.world.state_root();
    for root in [before, connected] {
        two.restore(&two.main, &root);
        two.whole();
        two.connect("driver", "main").unwrap();
        two.connect("driver", "main").unwrap();
        two.world.eval("send(ports.get('driver'), 'back'); 0");
        two.world.idle();
        assert_eq!(two.in_other("heard.pop()"), r#"'main "back"'"#);
        two.world.restart();
        two.whole();
    }
}
