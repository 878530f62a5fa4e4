//! A budget for memory: the least recently used containers leave it, and come back as they were.

use everturn::{Settings, Unloading};

use crate::world::{Ways, World};

const PARENT: &str = "
    const child = 'let sum = 0; export default { message(m) { sum += m.data; send(self.parent, [m.data, sum]); } };';
    globalThis.heard = [];
    for (let i = 0; i < 12; i++) ports.bind('c' + i, ports.create('js', child));
    export default { message(m) { heard.push(m.data.join(':')); } };";

#[test]
fn the_least_recently_used_leave_memory_and_come_back() {
    let heap_bytes = {
        let mut world = World::new(PARENT);
        world.idle();
        loaded(&world).iter().map(|(_, bytes)| *bytes).max().unwrap()
    };
    let unloading = Unloading::Above { bytes: 4 * heap_bytes };
    let ways = Ways { settings: Settings { unloading, ..Settings::default() }, ..Ways::default() };
    let mut world = World::with(PARENT, ways);
    for round in 1..4 {
        for child in 0..12 {
            world.eval(&format!("send(ports.get('c{child}'), {round});"));
            world.idle();
        }
    }
    let in_memory: u64 = loaded(&world).iter().map(|(_, bytes)| bytes).sum();
    assert!(in_memory <= 5 * heap_bytes, "{in_memory} bytes in memory, one heap has {heap_bytes}");
    assert_eq!(world.eval("heard.length"), "36");
    assert_eq!(world.eval("heard.slice(-12).every((text) => text === '3:6')"), "true");
    let root = world.state_root();
    let mut free = World::new(PARENT);
    for round in 1..4 {
        for child in 0..12 {
            free.eval(&format!("send(ports.get('c{child}'), {round});"));
            free.idle();
        }
    }
    free.eval("heard.length");
    free.eval("heard.slice(-12).every((text) => text === '3:6')");
    assert_eq!(free.state_root(), root, "a budget changes nothing but the time it takes");
}

/// Containers in memory, and what each takes.
fn loaded(world: &World) -> Vec<(String, u64)> {
    let all = world.block_on(world.hypervisor().inspect()).unwrap();
    let taken =
        |container: &everturn::Inspection| Some((container.id.to_string(), container.footprint?.heap_bytes));
    all.iter().filter_map(taken).collect()
}
