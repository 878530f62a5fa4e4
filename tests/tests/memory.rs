//! Memory: how much of it a small container needs, and a budget for all of it. The least recently used containers leave, and come back
//! as they were.

use std::sync::Arc;

use everturn::{MemoryStore, Settings, Store, Unloading};
use everturn_dag::Space;

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

/// What services of a page of code do: a class, a map, closures, a generator.
const SMALL: &str = "
    const items = new Map(), limits = { items: 1000 };
    let count = 0;
    class Item {
        constructor(name, price) { this.name = name; this.price = price; this.history = []; }
        change(price) { this.history.push({ price: this.price, at: count }); this.price = price; return this; }
    }
    function* cheap(limit) { for (const item of items.values()) if (item.price < limit) yield item; }
    const total = () => [...items.values()].map((item) => item.price).reduce((a, b) => a + b, 0);
    export default { message(m) {
        count += m.data;
        const name = `item ${count % 7}`;
        if (!items.has(name)) items.set(name, new Item(name, count));
        items.get(name).change(count * 2);
        if (items.size > limits.items) throw new Error('there is no room for ' + name);
        return { count, total: total(), cheap: [...cheap(10)].length };
    } };";

#[test]
fn a_small_container_has_few_pages_of_its_own() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut world = World::empty(store.clone());
    let blocks = [("empty", "export default { message() {} };"), ("small", SMALL)].map(|(name, program)| {
        world.create(name, program.into()).unwrap();
        (0..10).for_each(|_| assert!(world.send(1).outcome.is_ok()));
        world.state_root();
        let mut blocks = 0;
        let mut visit = |_: &[u8], _: &[u8]| {
            blocks += 1;
            true
        };
        store.scan(Space::Blocks, &[], &mut visit).unwrap();
        blocks
    });
    // The image's pages are blocks of the first. With QuickJS's own allocation some 75 pages of the second changed.
    let own: u32 = blocks[1] - blocks[0];
    assert!((10..=40).contains(&own), "{own} blocks are the small container's alone");
}
