//! What a JavaScript program makes stays: across turns, commits, restarts and reloads, without a line of its own.

use crate::world::World;

const COUNTER: &str =
    "var create_counter = function() { var counter = 0; return function() { return counter++; }; };";

#[test]
fn a_closure_counts_on_after_a_restart() {
    let mut world = World::new("");
    assert_eq!(world.eval(COUNTER), "");
    assert_eq!(world.eval("var a = create_counter();"), "");
    assert_eq!(world.eval("a();"), "0");
    assert_eq!(world.eval("a();"), "1");
    assert_eq!(world.eval("var b = create_counter(); b();"), "0");
    world.restart();
    assert_eq!(
        world.eval("create_counter"),
        "function() { var counter = 0; return function() { return counter++; }; }"
    );
    assert_eq!(world.eval("a();"), "2");
    assert_eq!(world.eval("b();"), "1");
}
