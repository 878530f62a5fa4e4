//! Real time that nobody can predict: a hundred runs of one story, in which every container sleeps before whatever it does.

use super::stage::{Delays, Stage, Way, create, say, tell};

/// Three children talk to their parent and have children of their own, several of them in each window.
fn tell_it(way: Way) -> (Vec<String>, everturn::Cid) {
    let stage = Stage::open(way);
    let names = ["a", "b", "c"];
    stage.play(names.map(|name| create(name, [create("own", [])])));
    let order = || [tell("own", [tell("^", [tell("^", [say("up")])])]), tell("^", [say("first")])];
    stage.play(names.map(|name| tell(name, order())));
    (stage.trace(), stage.state_root())
}

#[test]
fn a_hundred_random_sleeps_change_nothing() {
    let awake = tell_it(Way::new(1, Delays::None));
    assert_eq!(awake.0.iter().filter(|line| line.ends_with("up")).count(), 3, "{:?}", awake.0);
    for run in 0..100 {
        assert_eq!(tell_it(Way::new(1 + run % 4, Delays::Random)), awake, "run {run}");
    }
}
