// The indexes of a model: by hash for a field that is unique, ordered for one or several fields.
//
// An index that is being built covers the instances with ids below `built`, and is kept for these; it serves no query before it is
// ready. Nothing (null) is unique as often as one likes.
import { Tree } from "everturn:data/btree";
import { compare, isOrdered } from "everturn:data/order";
import { ID, keyOf } from "everturn:data/slots";

class Index {
  constructor(model, fields, isUnique) {
    this.model = model;
    this.fields = fields;
    this.isUnique = isUnique;
    this.built = Infinity;
  }
  get name() { return this.fields.map((field) => field.name).join(", "); }
  get isReady() { return this.built === Infinity; }
  keys(instance) { return this.fields.map((field) => keyOf(field, instance)); }
}

export class HashIndex extends Index {
  kind = "hash";
  entries = new Map();

  constructor(model, field) { super(model, [field], true); }

  get size() { return this.entries.size; }
  add(instance) {
    const key = keyOf(this.fields[0], instance);
    if (key !== null) this.entries.set(key, instance);
  }
  // Only what is its own: while changes are taken back, two may have one key for a moment.
  remove(instance) {
    const key = keyOf(this.fields[0], instance);
    if (key !== null && this.entries.get(key) === instance) this.entries.delete(key);
  }
  holder([key]) {
    return key === null ? undefined : this.entries.get(key);
  }
}

export class OrderedIndex extends Index {
  kind = "ordered";

  constructor(model, fields, isUnique = false) {
    super(model, fields, isUnique);
    this.tree = new Tree(fields.length);
  }

  get size() { return this.tree.size; }
  add(instance) { this.tree.add(this.#entryOf(instance)); }
  remove(instance) { this.tree.remove(this.#entryOf(instance)); }
  #entryOf(instance) {
    const { fields } = this;
    if (fields.length === 1) return [keyOf(fields[0], instance), instance[ID]];
    const entry = this.keys(instance);
    entry.push(instance[ID]);
    return entry;
  }
  // One that has these keys, if all are there.
  holder(keys) {
    if (keys.includes(null)) return undefined;
    const rank = this.tree.rank(keys);
    if (rank >= this.tree.size) return undefined;
    const entry = this.tree.entry(rank);
    return keys.every((key, at) => compare(key, entry[at]) === 0) ? this.model.extent.at(entry[keys.length]) : undefined;
  }
}

// Whether a key can stand in this index.
export function fits(index, key) {
  return index.kind === "hash" || isOrdered(key);
}
