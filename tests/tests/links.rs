//! Two hypervisors that exchange messages: through a bad network, through restarts, and when one of them forgets.

mod network;
mod node;

use std::time::Duration;

use everturn::link::{Resolution, Strangers};

use network::{Faults, Network};
use node::{Node, Place};

/// What came, as the program of [`Node`] notes it.
const GOT: &str = "JSON.stringify(got)";

/// Two that know each other by the addresses at which they listen.
fn pair() -> (Node, Node) {
    let (a, b) = (Node::new(), Node::new());
    a.meets(&b, &b.address);
    b.meets(&a, &a.address);
    (a, b)
}

#[test]
fn a_message_arrives_with_the_address_of_its_sender_and_is_answered_by_it() {
    let (a, b) = pair();
    b.tell("function receive(sender, message) { got.push([sender, message]); send(sender, { back: message.hello + 1 }); }");
    a.tell(&format!("send({:?}, {{ hello: 1 }})", b.address));
    a.until(GOT, &format!("[[{:?},{{\"back\":2}}]]", b.address));
    b.until(GOT, &format!("[[{:?},{{\"hello\":1}}]]", a.address));
}

#[test]
fn all_that_was_sent_arrives_once_and_in_order_through_a_bad_network() {
    let (a, b) = (Node::new(), Node::new());
    let (to_a, to_b) = (Network::before(&a.address), Network::before(&b.address));
    a.meets(&b, &to_b.address());
    b.meets(&a, &to_a.address());
    let faults = Faults { dropped: 30, doubled: 10, delayed: 20, delay_ms_max: 40 };
    [&to_a, &to_b].iter().for_each(|network| network.set(faults));
    let (mut sent, turns) = (0, 30);
    for turn in 0..turns {
        for (from, to) in [(&a, to_b.address()), (&b, to_a.address())] {
            from.tell(&format!("for (let i = 0; i < 20; i++) send({to:?}, {sent} + i)"));
        }
        sent += 20;
        if turn == turns / 2 {
            // A cut, longer than anybody waits for the other.
            [&to_a, &to_b].iter().for_each(|network| network.set(Faults { dropped: 100, ..faults }));
            std::thread::sleep(Duration::from_millis(1_500));
            [&to_a, &to_b].iter().for_each(|network| network.set(faults));
        }
    }
    let expected = format!("[{}]", (0..sent).map(|number| number.to_string()).collect::<Vec<_>>().join(","));
    for node in [&a, &b] {
        node.until("JSON.stringify(got.map(([, message]) => message))", &expected);
    }
    assert!(to_a.counted().dropped > 0 && to_b.counted().doubled > 0);
}

#[test]
fn power_cuts_on_both_sides_of_a_bad_network_lose_nothing_and_repeat_nothing() {
    let (mut a, mut b) = (Node::at(Place::power()), Node::at(Place::power()));
    let (to_a, to_b) = (Network::before(&a.address), Network::before(&b.address));
    a.meets(&b, &to_b.address());
    b.meets(&a, &to_a.address());
    let faults = Faults { dropped: 30, doubled: 10, delayed: 20, delay_ms_max: 40 };
    [&to_a, &to_b].iter().for_each(|network| network.set(faults));
    let (mut dice, mut sent) = (network::Dice::new(11), 0);
    for cut in 0..12 {
        for (from, to) in [(&a, to_b.address()), (&b, to_a.address())] {
            from.tell(&format!("for (let i = 0; i < 10; i++) send({to:?}, {sent} + i)"));
        }
        sent += 10;
        std::thread::sleep(Duration::from_millis(dice.below(120)));
        if cut % 3 != 1 {
            a.cut(dice.below(3) as usize);
        }
        if cut % 3 != 0 {
            b.cut(dice.below(3) as usize);
        }
    }
    let expected = format!("[{}]", (0..sent).map(|number| number.to_string()).collect::<Vec<_>>().join(","));
    for node in [&a, &b] {
        node.until("JSON.stringify(got.map(([, message]) => message))", &expected);
    }
    assert!(to_a.counted().dropped > 0 && to_b.counted().doubled > 0);
}

#[test]
fn what_was_sent_to_one_that_is_away_waits_and_outlives_both() {
    let (mut a, mut b) = pair();
    let to = b.address.clone();
    b.stop();
    a.tell(&format!("for (let i = 0; i < 100; i++) send({to:?}, i)"));
    a.stop();
    a.start();
    a.tell(&format!("send({to:?}, 'last')"));
    b.start();
    b.until(
        "`${got.length} ${got.at(-1)?.[1]} ${got.slice(0, 100).every(([, n], i) => n === i)}`",
        "101 last true",
    );
}

#[test]
fn a_call_is_answered_over_a_link() {
    let (a, b) = pair();
    b.tell(
        "globalThis.message = ({ data, from }) => { got.push([from, data]); if (data.n < 0) throw new RangeError('no'); \
         return new Promise((done) => setTimeout(() => done({ double: data.n * 2 }), 5)); }",
    );
    a.tell(&format!(
        "const ask = (n) => call({:?}, {{ n }}).then((r) => got.push(r.double), (e) => got.push(e.message))",
        b.address
    ));
    a.tell("ask(21)");
    a.until(GOT, "[42]");
    a.tell("ask(-1)");
    a.until("`${got.length} ${got[1]}`", "2 no");
    // Nothing is left of the ports for the answers.
    a.until("ports.names().join()", "link");
}

#[test]
fn what_one_exports_the_other_imports_and_answers_come_back() {
    let (a, b) = pair();
    b.tell(
        "const [mine, theirs] = ports.channel(); ports.bind('desk', mine); link.export('bank', theirs); let sum = 0;
         globalThis.message = (msg) => { if (msg.ports[0]) { ports.bind('customer', msg.ports[0]); send(msg.ports[0], 'welcome'); }
             else return sum += msg.data; }",
    );
    a.tell(&format!("const bank = link.import({:?}, 'bank'); ports.bind('bank', bank)", b.address));
    a.tell("call(bank, 5).then((n) => got.push(n)); call(bank, 6).then((n) => got.push(n))");
    a.until(GOT, "[5,11]");
    // An end of a channel that is sent along stands for this side over there.
    a.tell("const [here, there] = ports.channel(); ports.bind('here', here); send(bank, null, { ports: [there] })");
    a.tell("globalThis.message = (msg) => { got.push(msg.data) }; globalThis.close = (port) => { got.push('closed') }");
    a.until(GOT, "[5,11,\"welcome\"]");
    b.tell("ports.delete('customer')");
    a.until(GOT, "[5,11,\"welcome\",\"closed\"]");
}

#[test]
fn who_calls_what_nobody_exports_gets_an_exception() {
    let (a, b) = pair();
    let import = format!("ports.bind('desk', link.import({:?}, 'desk'))", b.address);
    let ask = "call(ports.get('desk'), 1).then((n) => got.push(n), (e) => got.push(e.message))";
    a.tell(&import);
    a.tell(ask);
    a.until("got[0]", "nothing is exported as \"desk\"");
    // What is exported later is reached, also by who asked before.
    b.tell(
        "const [mine, theirs] = ports.channel(); ports.bind('mine', mine); link.export('desk', theirs);
         globalThis.message = (msg) => msg.data + 1",
    );
    a.tell(ask);
    a.until("got.slice(1).join()", "2");
    // And no more when it is gone.
    b.tell("ports.delete('mine')");
    a.tell(ask);
    a.until("got.length", "3");
    assert!(a.ask("got[2]").contains("desk"), "{}", a.ask("got[2]"));
    // Ports that went along are closed again, and nothing is left of them.
    a.tell("globalThis.close = () => { got.push('closed') }");
    a.tell("const [here, there] = ports.channel(); ports.bind('here', here); send(ports.get('desk'), 1, { ports: [there] })");
    a.until("got[3]", "closed");
}

#[test]
fn an_address_that_nobody_knows_is_refused_with_what_to_do() {
    let (a, _) = pair();
    a.tell("globalThis.exception = (error) => { got.push(error.message) }; send('127.0.0.1:9', 1)");
    a.until("/no peer is known as 127.0.0.1:9; `everturn peers add/.test(got[0])", "true");
}

#[test]
fn strangers_are_refused_unless_they_are_welcome() {
    let (a, b) = (Node::new(), Node::new());
    a.meets(&b, &b.address);
    a.tell(&format!("send({:?}, 1)", b.address));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(b.ask(GOT), "[]", "b does not know a");
    let (c, d) = (Node::open(Strangers::Welcome), Node::open(Strangers::Welcome));
    c.tell(&format!("send({:?}, 1)", d.address));
    d.until(GOT, &format!("[[{:?},1]]", c.address));
    d.tell(&format!("send({:?}, 2)", c.address));
    c.until(GOT, &format!("[[{:?},2]]", d.address));
}

#[test]
fn a_folder_from_an_old_backup_is_found_on_both_sides_and_resolved() {
    let (mut a, mut b) = (Node::at(Place::disk()), Node::new());
    a.meets(&b, &b.address);
    b.meets(&a, &a.address);
    let to = format!("send({:?}, ", b.address);
    a.tell(&format!("{to}1)"));
    b.until("got.length", "1");
    a.until_acknowledged(&b.address, 1);
    let backup = a.backup();
    a.tell(&format!("{to}2)"));
    b.until("got.length", "2");
    a.until_acknowledged(&b.address, 2);
    a.stop();
    // Somebody brings the backup back, and goes on with it.
    let mut a = a.restored(backup);
    a.tell(&format!("{to}'other')"));
    let report = a.until_stopped(&b.address);
    assert!(report.contains("older than what") || report.contains("two copies"), "{report}");
    let report = b.until_stopped(&a.address);
    assert!(report.contains("two copies") || report.contains("older"), "{report}");
    assert_eq!(b.ask("got.length"), "2", "nothing was taken");
    // A person looks at it, on both sides.
    a.resolve(&b.address, Resolution::SendAgain);
    b.resolve(&a.address, Resolution::SendAgain);
    b.until("`${got.length} ${got[2]?.[1]}`", "3 other");
    a.stop();
}

#[test]
fn a_link_is_resolved_while_both_sides_live_and_only_when_it_has_stopped() {
    for b_is_first in [false, true] {
        let (mut a, b) = (Node::at(Place::disk()), Node::new());
        a.meets(&b, &b.address);
        b.meets(&a, &a.address);
        let to = format!("send({:?}, ", b.address);
        a.tell(&format!("{to}1)"));
        a.until_acknowledged(&b.address, 1);
        let refused = a.resolve_alive(&b.address, Resolution::Drop).unwrap_err();
        assert!(refused.contains("has not stopped"), "{refused}");
        let backup = a.backup();
        a.tell(&format!("{to}2)"));
        a.until_acknowledged(&b.address, 2);
        a.stop();
        let mut a = a.restored(backup);
        // Both sides have something to say, so both dial.
        a.tell(&format!("{to}'other')"));
        b.tell(&format!("send({:?}, 'back')", a.address));
        a.until_stopped(&b.address);
        b.until_stopped(&a.address);
        let both = [(&a, &b.address), (&b, &a.address)];
        let order = if b_is_first { [1, 0] } else { [0, 1] };
        for side in order {
            both[side].0.resolve_alive(both[side].1, Resolution::SendAgain).unwrap();
            let refused = both[side].0.resolve_alive(both[side].1, Resolution::SendAgain).unwrap_err();
            assert!(refused.contains("has not stopped"), "{refused}");
            // The other side tries meanwhile, and must not take this one down again.
            std::thread::sleep(Duration::from_millis(300));
        }
        b.until("`${got.length} ${got[2]?.[1]}`", "3 other");
        a.until(GOT, &format!("[[{:?},\"back\"]]", b.address));
        a.tell(&format!("{to}'more')"));
        b.until("got.length", "4");
        a.stop();
    }
}

#[test]
fn random_datagrams_change_nothing() {
    let (a, b) = pair();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut dice = network::Dice::new(7);
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..dice.below(1_400)).map(|_| dice.below(256) as u8).collect();
        socket.send_to(&bytes, &b.address).unwrap();
    }
    a.tell(&format!("send({:?}, 'still there')", b.address));
    b.until(GOT, &format!("[[{:?},\"still there\"]]", a.address));
}
