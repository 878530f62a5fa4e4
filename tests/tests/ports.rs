//! Calls, channels, reply ports, deletions: what containers do with each other's ports, told as stories.

use everturn::Settings;

use crate::world::{Ways, World};

/// A parent with a child under `c` that answers as `child` says.
fn parent(child: &str) -> String {
    format!(
        "export default {{ exception(e) {{ globalThis.heard = `${{e.kind}} ${{e.message}} ${{e.ports.length}}`; }},
           close(port) {{ globalThis.closed = port.name; }} }};
         globalThis.log = [];
         const child = {child:?};
         globalThis.make = (name, program = child) => ports.bind(name, ports.create('js', program));
         make('c');"
    )
}

fn every_way() -> Vec<Ways> {
    let small = Settings { savepoint_turns: Some(1), batch_turns: Some(1), ..Settings::default() };
    Ways::to_survive().into_iter().chain([Ways { settings: small, ..Ways::default() }]).collect()
}

#[test]
fn a_call_is_answered_by_what_the_handler_returns() {
    for ways in every_way() {
        let mut world = World::with(&parent("export default { message(m) { return m.data * 2; } };"), ways);
        world.eval("call(ports.get('c'), 21).then((answer) => { globalThis.answer = answer; });");
        world.idle();
        assert_eq!(world.eval("answer"), "42");
        assert_eq!(world.eval("ports.names().join()"), "'c'", "the port of the call is gone");
    }
}

#[test]
fn a_call_of_a_handler_that_throws_is_rejected_with_its_error() {
    let mut world =
        World::new(&parent("export default { message(m) { throw new RangeError('no ' + m.data); } };"));
    world.eval("call(ports.get('c'), 7).catch((e) => { globalThis.error = e; });");
    world.idle();
    assert_eq!(world.eval("`${error.kind} ${error.name}: ${error.message}`"), "'throw RangeError: no 7'");
    assert_eq!(world.eval("typeof heard"), "'undefined'", "it was told to the caller alone");
}

#[test]
fn an_answer_may_come_turns_later_and_survives_restarts() {
    let child = "let waiting = [];
        export default { message(m) {
            if (m.data === 'now') { for (const done of waiting) done('at last'); return; }
            return new Promise((resolve) => waiting.push(resolve));
        } };";
    let mut world = World::with(&parent(child), Ways { restart_always: true, ..Ways::default() });
    world.eval("call(ports.get('c'), 'wait').then((answer) => { globalThis.answer = answer; });");
    world.idle();
    world.restart();
    assert_eq!(world.eval("typeof answer"), "'undefined'");
    world.eval("send(ports.get('c'), 'now');");
    world.idle();
    assert_eq!(world.eval("answer"), "'at last'");
}

#[test]
fn a_promise_that_is_rejected_later_rejects_the_call() {
    let child = "let fail;
        export default { message(m) {
            if (m.data === 'now') return fail(new TypeError('changed its mind'));
            return new Promise((_, reject) => { fail = reject; });
        } };";
    let mut world = World::new(&parent(child));
    world.eval("call(ports.get('c'), 'wait').catch((e) => { globalThis.error = e; });");
    world.idle();
    world.eval("send(ports.get('c'), 'now');");
    world.idle();
    assert_eq!(
        world.eval("`${error.kind} ${error.name}: ${error.message}`"),
        "'rejection TypeError: changed its mind'"
    );
}

#[test]
fn a_call_that_nobody_can_answer_is_rejected() {
    let mut world = World::new(&parent("export default { message(m) { return new Promise(() => {}); } };"));
    world.eval("call(ports.get('c'), 1).catch((e) => { globalThis.error = e; });");
    world.idle();
    world.eval("ports.delete('c');");
    world.idle();
    assert_eq!(world.eval("error.kind"), "'closed'");
}

#[test]
fn a_handler_may_call_on_before_it_answers() {
    let child =
        "ports.bind('g', ports.create('js', 'export default { message(m) { return m.data + 1; } };'));
        export default { async message(m) { return 10 * await call(ports.get('g'), m.data); } };";
    for ways in every_way() {
        let mut world = World::with(&parent(child), ways);
        world.eval("call(ports.get('c'), 4).then((answer) => { globalThis.answer = answer; });");
        world.idle();
        assert_eq!(world.eval("answer"), "50");
    }
}

#[test]
fn siblings_talk_over_a_channel() {
    let child = "export default { message(m) {
            if (m.ports.length) { ports.bind('peer', m.ports[0]); return; }
            if (m.data.say) send(ports.get('peer'), m.data.say);
            else send(self.parent, `${m.from.name} ${JSON.stringify(m.data)}`);
        } };";
    for ways in every_way() {
        let mut world = World::with(
            &parent(child).replace("export default {", "export default { message(m) { log.push(m.data); },"),
            ways,
        );
        world.eval("make('d'); const [x, y] = ports.channel(); send(ports.get('c'), 0, {ports: [x]}); send(ports.get('d'), 0, {ports: [y]});");
        world.eval("send(ports.get('c'), {say: {hello: 1}});");
        world.idle();
        assert_eq!(world.eval("log.join()"), r#"'peer {"hello":1}'"#);
        world.eval("ports.delete('c');");
        world.idle();
        world.eval("send(ports.get('d'), {say: 'anyone?'});");
        world.idle();
        assert_eq!(
            world.eval("heard"),
            "'throw Refusal: this port is closed: the other end of the channel, or the container, is gone 0'"
        );
    }
}

#[test]
fn refusals_of_channels_are_errors_that_say_what_to_do() {
    let mut world = World::new(&parent(""));
    world.eval("const [x, y] = ports.channel(); ports.bind('x', x); ports.bind('y', y);");
    let refused = |world: &mut World, line: &str| world.line(line).unwrap_err().text;
    let text = refused(&mut world, "send(ports.get('x'), 0, {ports: [ports.unbind('c')]});");
    assert!(text.contains("cannot be sent over a channel"), "{text}");
    let text = refused(&mut world, "send(ports.get('x'), 0, {ports: [ports.unbind('y')]});");
    assert!(text.contains("cannot be sent through itself"), "{text}");
    assert_eq!(world.eval("ports.names().join()"), "'c,x,y'", "what was refused left nothing behind");
}

#[test]
fn a_message_that_fails_brings_its_ports_back() {
    let mut world = World::new(&parent("export default { message(m) { throw new Error('not mine'); } };"));
    world.eval("make('d', ''); send(ports.get('c'), 0, {ports: [ports.unbind('d')]});");
    world.idle();
    assert_eq!(world.eval("heard"), "'throw not mine 1'");
}

#[test]
fn a_deleted_container_still_takes_what_was_sent_before() {
    let child = "export default { message(m) { print(m.data); } };";
    let mut world = World::new(&parent(child));
    world.eval("send(ports.get('c'), 'one'); send(ports.get('c'), 'two'); ports.delete('c');");
    world.idle();
    assert_eq!(world.lines(), ["one", "two"]);
    let inspections = world.block_on(world.hypervisor().inspect()).unwrap();
    assert_eq!(inspections.len(), 1, "and then it is gone");
}

#[test]
fn deleting_a_port_ends_the_whole_subtree() {
    let child = "ports.bind('g', ports.create('js', `ports.bind('h', ports.create('js', ''))`));";
    let mut world = World::new(&parent(child));
    world.idle();
    assert_eq!(world.block_on(world.hypervisor().inspect()).unwrap().len(), 4);
    world.eval("ports.delete('c');");
    world.idle();
    assert_eq!(world.block_on(world.hypervisor().inspect()).unwrap().len(), 1);
    world.restart();
    assert_eq!(world.block_on(world.hypervisor().inspect()).unwrap().len(), 1);
}

#[test]
fn a_creation_that_fails_tells_its_creator_and_closes_the_port() {
    let mut world = World::new(&parent(""));
    world.eval("make('bad', 'throw new TypeError(\"stillborn\")');");
    world.idle();
    assert_eq!(world.eval("heard"), "'throw stillborn 0'");
    assert_eq!(world.eval("ports.names().join()"), "'c'");
    assert_eq!(world.block_on(world.hypervisor().inspect()).unwrap().len(), 2);
}

#[test]
fn a_moved_child_speaks_to_its_new_parent() {
    let teller = "export default { message(m) { send(self.parent, 'I am ' + m.data); } };";
    let keeper = "export default { message(m) {
            if (m.ports.length) { ports.bind('kept', m.ports[0]); send(ports.get('kept'), 'yours'); }
            else send(self.parent, `${m.from.name}: ${m.data}`);
        } };";
    for ways in every_way() {
        let mut world = World::with(
            &parent(keeper).replace("export default {", "export default { message(m) { log.push(m.data); },"),
            ways,
        );
        world.eval(&format!(
            "make('t', {teller:?}); send(ports.get('c'), 0, {{ports: [ports.unbind('t')]}});"
        ));
        world.idle();
        assert_eq!(world.eval("log.join()"), "'kept: I am yours'");
        let root = world.state_root();
        world.restart();
        assert_eq!(world.state_root(), root);
    }
}

#[test]
fn a_name_that_nothing_is_bound_under_is_undefined() {
    let mut world = World::new(&parent(""));
    assert_eq!(world.eval("`${ports.get('missing')} ${typeof ports.get('c')}`"), "'undefined object'");
    let text = world.line("ports.unbind('missing')").unwrap_err().text;
    assert!(text.contains("no port is bound under this name"), "{text}");
}
