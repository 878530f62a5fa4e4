// Queries of a model's instances. A query is a description; each method gives a new one, and whoever looks at the result runs it.
// Without orderBy instances come in the order of the way that was taken, which `explain` tells: that of their ids on a scan.
import { all, condition, either, negated, textOf } from "everturn:data/conditions";
import { Cursor } from "everturn:data/cursor";
import { readerOf } from "everturn:data/paths";
import { plan } from "everturn:data/planner";
import { Rows, joined, lower, orderKey, sort } from "everturn:data/rows";
import { MODEL } from "everturn:data/slots";

const NOTHING = { condition: null, order: Object.freeze([]), limit: Infinity, offset: 0, source: null };

export class Query extends Rows {
  #plan;

  constructor(model, parts = NOTHING) {
    super();
    this.model = model;
    this.#plan = parts;
  }

  get condition() { return this.#plan.condition ?? { all: [], test: () => true }; }
  reader(path) { return readerOf(this.model, path); }
  #with(parts) { return new Query(this.model, { ...this.#plan, ...parts }); }
  // What comes after a limit is about those that it leaves.
  #rows() { return new Rows(() => this[Symbol.iterator]()); }
  get #isCut() { return this.#plan.limit !== Infinity || this.#plan.offset > 0; }

  // (field, operator, value), (field, value), an object of fields and values, a predicate, or another query of this model for its
  // conditions. `or` is between all that was said before and this one.
  where(...given) { return this.#narrow(given, bothOf); }
  and(...given) { return this.#narrow(given, bothOf); }
  or(...given) { return this.#narrow(given, eitherOf); }
  not(...given) { return this.#narrow(given, butNot); }
  filter(test) { return this.where(test); }
  #narrow(given, join) {
    const { model } = this, more = condition(given, this);
    if (this.#plan === NOTHING) return new Query(model, { condition: join(null, more), order: NOTHING.order, limit: Infinity, offset: 0, source: null });
    if (!this.#isCut) return this.#with({ condition: join(this.#plan.condition, more) });
    const kept = this.toArray.bind(this);
    const known = { name: `the first of ${this.model.name}`, size: () => this.#plan.limit, has: () => true, walk: () => { const list = kept(); let at = 0; return () => at < list.length ? list[at++] : null; } };
    return new Query(model, { ...NOTHING, source: known, condition: join(null, more) });
  }

  // Only those of a collection: {name, size(), has(instance), walk()}.
  within(source) { return this.#with({ source }); }
  orderBy(path, direction = "asc") {
    if (this.#isCut) return this.#rows().orderBy(path, direction);
    return this.#with({ order: [...this.#plan.order, orderKey(path, direction, (path) => this.reader(path))] });
  }
  limit(most) { return this.#with({ limit: Math.min(this.#plan.limit, natural("limit", most)) }); }
  offset(skipped) {
    natural("offset", skipped);
    return this.#with({ offset: this.#plan.offset + skipped, limit: this.#plan.limit - skipped < 0 ? 0 : this.#plan.limit - skipped });
  }
  distinct() { return this; }
  groupBy(...given) { return this.#asRows().groupBy(...given); }
  select(...wanted) { return this.#asRows().select(...wanted); }
  join(what, ...on) { return joined(this.#asRows(), what, on, lower(this.model.name)); }
  #asRows() {
    const rows = this.#rows();
    rows.reader = (path) => this.reader(path);
    return rows;
  }

  [Symbol.iterator]() { return this.#cursor(this.#plan.limit); }
  #cursor(limit) {
    const { order, offset } = this.#plan, way = this.#way(limit);
    const next = this.#matching(way), isSorted = order.length > 0 && !way.ordered;
    if (!isSorted && limit === Infinity && offset === 0) return new Cursor(next);
    return new Cursor(this.#cut(isSorted ? () => this.#sorted(next) : null, next, limit));
  }
  #way(limit = this.#plan.limit) { return plan(this.model, this.#plan, limit); }

  // The instances of a way that fit; their model may be a part of the way's.
  #matching(way) {
    const { condition } = this.#plan, { model } = this;
    const rest = condition && restOf(condition, way.served), isPart = model.parent !== null;
    let walk = null;
    return () => {
      walk ??= way.walk();
      for (let instance; (instance = walk()) !== null;)
        if ((!isPart || model.holds(instance)) && (!rest || rest.test(instance))) return instance;
      return null;
    };
  }
  #sorted(next) {
    const rows = [];
    for (let row; (row = next()) !== null;) rows.push(row);
    return sort(rows, this.#plan.order);
  }
  #cut(list, next, limit) {
    let { offset } = this.#plan, sorted = null, at = 0;
    const take = !list ? next : () => {
      sorted ??= list();
      return at < sorted.length ? sorted[at++] : null;
    };
    return () => {
      for (; offset > 0; offset--) if (take() === null) return null;
      return limit-- > 0 ? take() : null;
    };
  }

  first() {
    const way = this.#way(1), { condition, limit, offset } = this.#plan;
    if (way.found && limit > 0 && offset === 0 && this.model.parent === null && !restOf(condition, way.served)) return way.found[0] ?? null;
    const cursor = this.#cursor(Math.min(this.#plan.limit, 1)), found = cursor.take();
    cursor.close();
    return found;
  }
  // Counted by the index alone, where it serves all conditions.
  count() {
    const way = this.#way(), { condition, source, limit, offset } = this.#plan;
    const isExact = !condition ? way.kind === "scan" || way.kind === "index" : !restOf(condition, way.served);
    const found = isExact && !source && this.model.parent === null ? way.touches : this.#all().reduceCount();
    return Math.max(0, Math.min(found - offset, limit));
  }
  #all() { return new Query(this.model, { ...this.#plan, limit: Infinity, offset: 0, order: [] }); }
  reduceCount() {
    const cursor = this[Symbol.iterator]();
    let n = 0;
    while (cursor.take() !== null) n++;
    return n;
  }
  each(work) {
    const cursor = this[Symbol.iterator]();
    try {
      for (let instance; (instance = cursor.take()) !== null;) work(instance);
    } finally {
      cursor.close();
    }
  }
  toArray() {
    const cursor = this[Symbol.iterator](), list = [];
    for (let instance; (instance = cursor.take()) !== null;) list.push(instance);
    return list;
  }
  // Deletes all of them, or none.
  delete() {
    const list = this.toArray();
    this.model.deleteAll(list);
    return list.length;
  }
  update(values) {
    const list = this.toArray();
    this.model.updateAll(list, values);
    return list.length;
  }

  // How it will get at its instances, and how many it will touch.
  explain() {
    const { condition, order, limit, offset } = this.#plan, way = this.#way();
    const rest = condition && restOf(condition, way.served), isSorted = order.length > 0 && !way.ordered;
    const touches = !rest && !isSorted && limit !== Infinity ? Math.min(way.touches, offset + limit) : way.touches;
    return {
      model: this.model.name, by: way.kind, index: way.index, touches, of: this.model.extent.size,
      filter: rest ? textOf(rest) : null, sort: isSorted ? order.map((key) => key.text + (key.isDescending ? " desc" : "")).join(", ") : null,
    };
  }
}

const bothOf = (before, more) => before ? all([before, more]) : more;
const eitherOf = (before, more) => before ? either([before, more]) : more;
const butNot = (before, more) => before ? all([before, negated(more)]) : negated(more);

// The conditions that a way leaves to be looked at; null if none.
function restOf(condition, served) {
  if (served.length === 1 && served[0] === condition) return null;
  const left = (condition.all ?? [condition]).filter((each) => !served.includes(each));
  return left.length === 0 ? null : all(left);
}

function natural(what, value) {
  if (!Number.isInteger(value) || value < 0) throw new TypeError(`${what}(...) wants a natural number, not ${String(value)}`);
  return value;
}

export { MODEL };
