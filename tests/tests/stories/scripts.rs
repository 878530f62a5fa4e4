//! Stories in JavaScript: what only a program with its own memory can show.

use crate::world::World;

/// Waits for the next one in the ring before it answers, and never asks twice.
const RING: &str = "let waiting;
    export default { message(m) {
        if (m.ports.length && m.data === 'next') { ports.bind('next', m.ports[0]); return; }
        if (m.ports.length && m.data === 'previous') { ports.bind('previous', m.ports[0]); return; }
        return waiting ??= call(ports.get('next'), 'after you');
    } };";

#[test]
fn a_ring_of_pending_calls_stops_nobody_else_and_is_reported() {
    let mut world = World::new(&format!(
        "globalThis.heard = [];
         for (const name of ['a', 'b', 'c']) ports.bind(name, ports.create('js', {RING:?}));
         for (const [one, other] of [['a', 'b'], ['b', 'c'], ['c', 'a']]) {{
             const [here, there] = ports.channel();
             send(ports.get(one), 'next', {{ports: [here]}});
             send(ports.get(other), 'previous', {{ports: [there]}});
         }}
         ports.bind('free', ports.create('js', 'export default {{ message(m) {{ return m.data + 1; }} }};'));"
    ));
    world.idle();
    world.eval("call(ports.get('a'), 'begin').then((answer) => heard.push('ring ' + answer)); 0");
    world.idle();
    for n in [1, 2] {
        world.eval(&format!("call(ports.get('free'), {n}).then((answer) => heard.push(answer)); 0"));
        world.idle();
        // They wait over a restart as well.
        world.restart();
    }
    assert_eq!(world.eval("heard.join()"), "'2,3'");
    let containers = world.block_on(world.hypervisor().inspect()).unwrap();
    let waits = |prefix: &str| {
        let ports = containers.iter().map(|container| &container.ports);
        ports.filter(|ports| ports.iter().any(|(name, _)| name.starts_with(prefix))).count()
    };
    assert_eq!(waits("call:"), 4, "the root waits for a, and each of the ring for the next");
    assert_eq!(waits("reply:"), 3, "each of the ring owes an answer");
    assert!(containers.iter().all(|container| container.queued == 0));
}

#[test]
fn a_megabyte_of_code_is_a_program() {
    let filler = "/* a line of code that says nothing at all, only long */\n".repeat(20_000);
    let program = format!("let count = 0;\n{filler}export default {{ message() {{ return ++count; }} }};");
    assert!(program.len() > 1 << 20);
    let mut world = World::new(&program);
    let one = everturn::Ipld::Integer(1);
    assert_eq!(world.send(one.clone()).outcome, Ok(Some(one)));
    world.restart();
    assert_eq!(world.send(0).outcome, Ok(Some(everturn::Ipld::Integer(2))));
}
