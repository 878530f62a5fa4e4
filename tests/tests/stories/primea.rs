//! What primea's own tests told, and what they meant to: order by ticks, priority and name, and roots of trees.

use everturn::{Ipld, Ticks};

use super::stage::{Stage, Step, create, give, in_every_way, refused, say, tell, tell_with};

/// Three children, none of which has been told anything.
fn three_children() -> Vec<Step> {
    ["a", "b", "c"].map(|name| create(name, [])).into()
}

#[test]
fn one_message_to_a_child() {
    let said = in_every_way(|stage| {
        stage.play([create("first", []), tell("first", [say("hello")])]);
    });
    assert_eq!(said, ["@3 first < ^: hello"]);
}

#[test]
fn the_root_waits_for_a_grandchild_behind_slow_work() {
    let said = in_every_way(|stage| {
        let slow = [Step::Sleep(5), Step::Burn(500), tell("child", [say("at last")])];
        let first = [create("child", [])];
        drop(stage.tell([create("first", first), tell("first", slow)]));
        let run = stage.hypervisor().run_until_idle();
        let wait = stage.hypervisor().wait(&stage.root, Ticks::MAX);
        let root = stage.hypervisor().create_state_root(&stage.root, Ticks::MAX);
        // All three are asked for before anything runs.
        let (root, wait, ran) = stage.block_on(async { tokio::join!(root, wait, run) });
        assert_eq!(ran.unwrap().turns, 5, "root, creation of both, and a message for each");
        wait.unwrap();
        assert_eq!(stage.trace().len(), 1, "the wait was over before the grandchild had spoken");
        assert_eq!(root.unwrap(), stage.state_root());
    });
    assert_eq!(said, ["@504 child < ^: at last"]);
}

#[test]
fn ping_pong_to_a_hundred_ticks() {
    let said = in_every_way(|stage| {
        stage.play([create("other", []), tell("other", [Step::PingPong(100)])]);
    });
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("@100 ") || said[0].contains("@101 "), "{said:?}");
}

#[test]
fn three_children_queue_three_messages() {
    let said = in_every_way(|stage| {
        let mut steps = three_children();
        steps.extend(["c", "a", "b"].map(|name| tell(name, [tell("^", [say("I am here")])])));
        stage.play(steps);
    });
    assert_eq!(said, ["@4 root < a: I am here", "@5 root < b: I am here", "@6 root < c: I am here"]);
}

#[test]
fn a_turn_that_throws_leaves_a_new_container() {
    in_every_way(|stage| {
        let before = stage.state_root();
        let receipt =
            stage.play([create("first", []), tell("first", [say("never")]), Step::Throw("no".into())]);
        assert_eq!(receipt.outcome.unwrap_err().text, "no");
        let root = stage.state_root();
        assert_eq!(root, before);
        let node = stage.node(&root);
        assert_eq!(node["nonce"], Ipld::List(vec![Ipld::Integer(0)]));
        assert_eq!(node["ports"], Ipld::Map([].into()));
        assert_eq!(stage.ids(), [stage.root].into());
        assert_eq!(stage.trace(), [""; 0]);
    });
}

#[test]
fn a_port_that_is_not_valid_is_refused() {
    let said = in_every_way(|stage| {
        stage.play([
            refused(Step::Take("b".into())),
            create("a", []),
            refused(Step::BindNothing("b".into())),
            refused(Step::BindAgain("a".into(), "b".into())),
            refused(create("a", [])),
            refused(tell("nobody", [])),
            refused(Step::Delete("nobody".into())),
            refused(tell("^", [])),
        ]);
        assert_eq!(stage.inspect_root().ports.len(), 1);
    });
    let refusals: Vec<_> = said.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(
        refusals,
        ["InvalidPort", "InvalidPort", "PortBound", "NameInUse", "NotBound", "NotBound", "NoParent"]
    );
}

/// Every order of three.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn messages_come_by_their_ticks_whatever_the_order_of_sending() {
    let work = [("a", 30), ("b", 20), ("c", 10)];
    for order in ORDERS {
        let said = in_every_way(|stage| {
            let mut steps = three_children();
            steps.extend(order.map(|n| {
                let (name, ticks) = work[n];
                tell(name, [Step::Burn(ticks), tell("^", [say("done")])])
            }));
            stage.play(steps);
        });
        assert_eq!(said, ["@14 root < c: done", "@24 root < b: done", "@34 root < a: done"], "{order:?}");
    }
}

#[test]
fn ties_go_by_name_whatever_the_order_of_binding() {
    let names = ["a", "b", "c"];
    for order in ORDERS {
        let said = in_every_way(|stage| {
            let children = order.map(|n| create(names[n], [tell("^", [say("made")])]));
            stage.play(children);
        });
        let from: Vec<_> = said.iter().map(|line| line.split_once("< ").unwrap().1).collect();
        assert_eq!(from, ["a: made", "b: made", "c: made"], "{order:?}");
    }
}

#[test]
fn ties_go_by_priority_both_ways() {
    for (first, second, expected) in [(1, 2, ["b", "a"]), (2, 1, ["a", "b"]), (-1, 0, ["b", "a"])] {
        let said = in_every_way(|stage| {
            stage.play([
                create("a", [tell_with(first, "^", [say("up")])]),
                create("b", [tell_with(second, "^", [say("up")])]),
            ]);
        });
        let from: Vec<_> = said.iter().map(|line| &line.split_once("< ").unwrap().1[..1]).collect();
        assert_eq!(from, expected, "priorities {first} and {second}");
    }
}

#[test]
fn the_parent_comes_before_a_child_at_a_tie() {
    // The middle one is busy until 15; its child's message is for tick 9, its parent's for 5 + what that burns first.
    for (burns, expected) in [(3, ["parent", "child"]), (4, ["parent", "child"]), (5, ["child", "parent"])] {
        let said = in_every_way(|stage| {
            stage.play([create("middle", [create("a", [])])]);
            let leaf = [Step::Burn(2), tell("^", [say("child")])];
            stage.play([
                tell("middle", [tell("a", leaf), Step::Burn(10)]),
                Step::Burn(burns),
                tell("middle", [say("parent")]),
            ]);
        });
        assert!(said[0].starts_with("@15 "), "{said:?}");
        let who: Vec<_> = said.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(who, expected, "the parent burns {burns}");
    }
}

#[test]
fn older_messages_come_first_though_they_arrive_later() {
    let said = in_every_way(|stage| {
        stage.play([
            create("quick", []),
            create("slow", []),
            tell("quick", [Step::Burn(90), tell("^", [say("many ticks, no time")])]),
            tell("slow", [Step::Sleep(20), Step::Burn(9), tell("^", [say("few ticks, much time")])]),
        ]);
    });
    assert_eq!(said, ["@13 root < slow: few ticks, much time", "@94 root < quick: many ticks, no time"]);
}

#[test]
fn a_tree_is_revived_from_its_address_and_goes_on() {
    in_every_way(|stage| {
        let count = [say("one more"), tell("^", [say("heard")])];
        stage.play([create("child", []), tell("child", count.clone())]);
        let root = stage.state_root();
        stage.play([tell("child", count.clone()), create("other", [])]);
        let later = stage.state_root();
        assert_ne!(later, root);
        stage.restart();
        stage.block_on(stage.hypervisor().restore(&stage.root, &root)).unwrap();
        assert_eq!(stage.state_root(), root);
        let lines = stage.trace().len();
        stage.play([tell("child", count.clone())]);
        assert_eq!(stage.trace().len(), lines + 2, "the child is there and answers");
        assert_eq!(stage.inspect_root().ports.len(), 1, "the other child was made later");
    });
}

#[test]
fn only_containers_that_somebody_holds_are_stored() {
    in_every_way(|stage| {
        stage.play([
            create("kept", [create("below", [])]),
            Step::Lose("lost".into(), vec![create("below the lost", [])]),
            create("dropped", [create("below the dropped", [])]),
        ]);
        assert_eq!(stage.ids().len(), 5, "the lost one and what it made are gone");
        stage.play([Step::Delete("dropped".into())]);
        assert_eq!(stage.ids().len(), 3);
        let Ipld::Map(ports) = stage.node(&stage.state_root())["ports"].clone() else { panic!("a map") };
        assert_eq!(ports.keys().collect::<Vec<_>>(), ["kept"]);
        let (rows, ids) = (runtime_records(stage), stage.ids());
        assert_eq!(rows, ids.len(), "nothing of the others is in the store");
    });
}

/// How many containers have a record in the store.
fn runtime_records(stage: &Stage) -> usize {
    let mut records = 0;
    let mut visit = |key: &[u8], _: &[u8]| {
        records += usize::from(key.len() == 32);
        true
    };
    stage.store.scan(everturn_dag::Space::Runtime, &[], &mut visit).unwrap();
    records
}

#[test]
fn a_port_that_moves_takes_its_subtree_along() {
    let said = in_every_way(|stage| {
        let child = [create("below", [])];
        stage.play([create("a", child), create("b", []), give("b", "a", [Step::Take("got".into())])]);
        stage.play([tell("b", [tell("got", [tell("below", [tell("^", [say("still below")])])])])]);
    });
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with("a < below: still below"), "{said:?}");
}
