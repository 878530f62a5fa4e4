//! A thousand containers in one process: what each keeps resident.

use everturn::Settings;

use crate::Failure;
use crate::durations::figure;
use crate::process::{Memory, descriptors_outside};
use crate::table::{Row, Table, Target};
use crate::world::{Bed, World, numbers};

const CONTAINERS: u64 = 1000;
const MESSAGES: usize = 10;

/// A program of 1 KB: with functions, a class and state, as a small service has them.
const PROGRAM: &str = r#"
const settings = { name: "inventory", version: 3, limits: { items: 1000, text: 256 }, tags: ["a", "b", "c"] };
const items = new Map();
let count = 0;

class Item {
  constructor(name, price) { this.name = name; this.price = price; this.history = []; }
  change(price) { this.history.push({ price: this.price, at: count }); this.price = price; return this; }
  get average() { return this.history.reduce((sum, entry) => sum + entry.price, this.price) / (this.history.length + 1); }
}

function* cheap(limit) { for (const item of items.values()) if (item.price < limit) yield item; }

const total = () => [...items.values()].map(item => item.price).reduce((a, b) => a + b, 0);

export default {
  message(msg) {
    count += msg.data.n;
    const name = "item " + count % 7;
    if (!items.has(name)) items.set(name, new Item(name, count));
    items.get(name).change(count * 2 + settings.version);
    if (items.size > settings.limits.items) throw new Error("there is no room for " + name);
    return { count, total: total(), cheap: [...cheap(10)].length };
  },
};
"#;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let disk = bed.store()?;
    let world = World::on(disk.store.clone(), &bed.js, Settings::default())?;
    let message = numbers([("n", 1)])?;
    // Whatever is made once in a process is there before.
    let first = world.root("first", PROGRAM)?;
    world.load(&first, &message, 1000, 100)?.expect(1000, 0)?;
    let (before, open_before) = (Memory::now()?, descriptors_outside(disk.folder())?);
    let mut all = Vec::new();
    for number in 0..CONTAINERS {
        all.push(world.root(&format!("c{number}"), PROGRAM)?);
    }
    for id in &all {
        world.load(id, &message, MESSAGES, MESSAGES)?.expect(MESSAGES, 0)?;
    }
    // The core has heard of the last commit when it has answered once more.
    world.ask(&first, &message)?;
    let footprints = all.iter().take(1).map(|id| world.footprint(id)).collect::<Result<Vec<_>, _>>()?;
    let (after, open_after) = (Memory::now()?, descriptors_outside(disk.folder())?);
    let each = |after: u64, before: u64| (after.saturating_sub(before)) as f64 * 1.024 / CONTAINERS as f64;
    let (resident, views) = (each(after.resident, before.resident), each(after.views, before.views));
    let proportional = each(after.proportional, before.proportional);
    let tables = each(after.page_tables, before.page_tables);
    let bookkeeping = footprints.first().map_or(0, |footprint| footprint.bookkeeping_bytes);
    let note = format!(
        "all that the process grew by, the store's buffers too; {} KB of it are views of the one engine image; a page that \
         is mapped often counted once (Pss), {} KB; beside it {} KB of page tables; by its own account a container keeps \
         {} KB of books",
        figure(views),
        figure(proportional),
        figure(tables),
        figure(bookkeeping as f64 / 1000.0)
    );
    let what = format!("resident per JS container, {CONTAINERS} of them");
    table.add(Row::new(what, Target::AtMost(300.0), resident, "KB").note(note));
    let grown = open_after as f64 - open_before as f64;
    let note = format!("{open_before} before, {open_after} after; the store's files not counted");
    table.add(Row::new("descriptors more for these", Target::AtMost(0.0), grown, "").note(note));
    world.stop()
}
