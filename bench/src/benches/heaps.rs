//! Containers with heaps as large as one likes.

use everturn::{ContainerId, Limits, Settings};

use super::MIB;
use crate::Failure;
use crate::world::{World, numbers};

/// It holds one large array and counts; a message says what to do with them.
const PROGRAM: &str = r#"
let big = null, count = 0;
export default {
  message(msg) {
    const { make, fill, at, touch, fail, n } = msg.data;
    if (make) { big = new Uint8Array(make); return big.length; }
    if (fill) { for (let page = at; page < at + fill; page += 4096) big.fill(1 + (page >> 12) % 255, page, page + 4096); return 0; }
    if (touch) {
      const apart = Math.floor(big.length / 40960) * 4096;
      for (let page = 0; page < 10; page++) big[(page * apart + touch * 4136) % big.length] = touch;
      return 0;
    }
    count += n;
    if (fail) throw new Error("this one fails");
    return count;
  },
};
"#;

/// How much of an array is filled in one turn, in bytes.
const FILL_BYTES: u64 = 4 * MIB;

/// Room for the largest of them, and fuel for its making.
pub(super) fn settings() -> Settings {
    let limits = Limits { turn_fuel: 1_000_000_000_000, heap_bytes_max: 1 << 30, ..Limits::default() };
    Settings { limits, ..Settings::default() }
}

/// Makes a root container whose heap has about `heap_bytes`, none of them zero in the array that fills it.
pub(super) fn make(world: &World, name: &str, heap_bytes: u64) -> Result<ContainerId, Failure> {
    let id = world.root(name, PROGRAM)?;
    let engine_bytes = world.footprint(&id)?.heap_bytes;
    // What the allocator needs beside it, and a whole number of pages.
    let array_bytes = heap_bytes.saturating_sub(engine_bytes).max(MIB / 4) & !0xffff;
    world.ask(&id, &numbers([("make", array_bytes as i64)])?)?;
    for at in (0..array_bytes).step_by(FILL_BYTES as usize) {
        let fill = FILL_BYTES.min(array_bytes - at);
        world.ask(&id, &numbers([("at", at as i64), ("fill", fill as i64)])?)?;
    }
    Ok(id)
}

/// A heap's size, for people.
pub(super) fn size(world: &World, id: &ContainerId) -> Result<String, Failure> {
    Ok(format!("{:.1} MiB", world.footprint(id)?.heap_bytes as f64 / MIB as f64))
}
