// What a typical program does, for placement.c to watch: the input of a creation, then those of messages. It is no test and no
// promise; what is not in it works as well, on more pages.
(() => {
  const program = `
import { scale } from "parts";

const settings = { name: "rehearsal", version: 1, limits: { items: 100, text: 64 }, tags: ["a", "b"] };
const items = new Map(), seen = new Set();
let count = 0, waiting = null;

class Item {
  #secret = 1;
  static made = 0;
  constructor(name, price) { this.name = name; this.price = price; this.history = []; Item.made++; }
  change(price) { this.history.push({ price, at: count }); this.price = price; return this; }
  get average() { return this.history.reduce((sum, entry) => sum + entry.price, this.#secret) / (this.history.length + 1); }
}
class Special extends Item { get average() { return super.average * 2; } }

function* cheap(limit) { for (const item of items.values()) if (item.price < limit) yield item; }
async function later(value) { await null; return new Promise((resolve) => { waiting = resolve; resolve(value); }); }
const total = () => [...items.values()].map((item) => item.price).reduce((a, b) => a + b, 0);
function counter() { let n = 0; return () => ++n; }
const next = counter();

function plain(msg) {
  count += msg.data.n;
  const name = "item " + count % 3, { limits: { items: most }, ...rest } = settings;
  if (!items.has(name)) items.set(name, count % 2 ? new Special(name, count) : new Item(name, count));
  items.get(name).change(scale(count * 2 + settings.version));
  seen.add(name);
  if (items.size > most) throw new Error("there is no room for " + name);
  const text = JSON.stringify({ name, rest, list: [1, 2.5, null, true], average: items.get(name).average });
  const again = JSON.parse(text), sorted = Object.keys(again).sort(), found = /it(e)m (\\d+)/.exec(text);
  for (const [key, value] of Object.entries(again)) if (typeof value === "function") delete again[key];
  try { if (count % 2) null.x; } catch (error) { again.error = error.message; }
  return { count, total: total(), cheap: [...cheap(10)].length, next: next(), found: found?.[2] ?? "", sorted, part: text.slice(0, 9) };
}

export default {
  message(msg) { return msg.data.later ? later({ text: \`after \${count}\`.toUpperCase().padEnd(12), at: new Date(0).toISOString() }) : plain(msg); },
  fetch(request) { return new Response("Counter: " + count++, { headers: { "content-type": "text/plain" } }); },
};
`;
  const creation = { name: "rehearsal", seed: new Uint8Array(32), program, modules: { parts: "export const scale = (n) => Math.round(n * 1.5);" } };
  const messages = [1, 1, 1, 2, 5].map((n) => [null, 0, false, { n, text: "some text", list: [1, "two", { three: 3 }] }]);
  return [creation, ...messages, [null, 0, false, { later: true }]];
})();
