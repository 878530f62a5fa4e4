// Queries of a model's instances. A query is a description; each method gives a new one, and whoever looks at the result runs it.
// Without orderBy instances come in the order of the way that was taken, which `explain` tells: that of their ids on a scan.
import { all, condition, either, keyed, negated, textOf } from "everturn:data/conditions";
import { Cursor, ListCursor } from "everturn:data/cursor";
import { checkFunction, checkWhole } from "everturn:data/errors";
import { readerOf } from "everturn:data/paths";
import { copy } from "everturn:data/entries";
import { known, plan } from "everturn:data/planner";
import { Rows, checkDistinct, joined, lower, orderKey, sort } from "everturn:data/rows";
import { MODEL } from "everturn:data/slots";

const NOTHING = { condition: null, order: Object.freeze([]), limit: Infinity, offset: 0, source: null };

const PARTS = Symbol("parts");

export class Query extends Rows {
  // Without private fields, which each instance would have to be given one by one.
  constructor(model, parts = NOTHING) {
    super(null);
    this.model = model;
    this[PARTS] = parts;
  }

  get condition() { return this[PARTS].condition ?? { all: [], test: () => true }; }
  reader(path) { return readerOf(this.model, path); }
  #with(parts) { return new Query(this.model, { ...this[PARTS], ...parts }); }
  // What comes after a limit is about those that it leaves.
  #rows() { return new Rows(() => this[Symbol.iterator]()); }
  get #isCut() { return this[PARTS].limit !== Infinity || this[PARTS].offset > 0; }

  // (field, operator, value), (field, value), an object of fields and values, a predicate, or another query of this model for its
  // conditions. `or` is between all that was said before and this one.
  where(...given) { return this.#narrow(given, bothOf); }
  and(...given) { return this.#narrow(given, bothOf); }
  or(...given) { return this.#narrow(given, eitherOf); }
  not(...given) { return this.#narrow(given, butNot); }
  filter(test) { return this.where(test); }
  #narrow(given, join) {
    const { model } = this, more = condition(given, this);
    if (this[PARTS] === NOTHING) return new Query(model, { condition: join(null, more), order: NOTHING.order, limit: Infinity, offset: 0, source: null });
    if (!this.#isCut) return this.#with({ condition: join(this[PARTS].condition, more) });
    const kept = this.toArray.bind(this);
    const source = { name: `the first of ${this.model.name}`, size: () => this[PARTS].limit, has: () => true, walk: () => { const list = kept(); let at = 0; return () => at < list.length ? list[at++] : null; } };
    return new Query(model, { ...NOTHING, source, condition: join(null, more) });
  }

  // Those that have this key; and whether an index finds them.
  having(path, key) { return this.where({ condition: keyed(this.model, path, key) }); }
  isIndexedBy(field) {
    const isReady = (index) => index !== null && index.isReady;
    return !this.#isCut && field?.model === this.model && (isReady(field.hash) || isReady(field.ordered));
  }

  // Only those of a collection: {name, size(), has(instance), walk()}.
  within(source) { return this.#with({ source }); }
  orderBy(path, direction = "asc") {
    if (this.#isCut) return this.#asRows().orderBy(path, direction);
    return this.#with({ order: [...this[PARTS].order, orderKey(this, path, direction)] });
  }
  limit(most) { return this.#with({ limit: Math.min(this[PARTS].limit, checkWhole(this, "limit", most)) }); }
  offset(skipped) {
    checkWhole(this, "offset", skipped);
    return this.#with({ offset: this[PARTS].offset + skipped, limit: this[PARTS].limit - skipped < 0 ? 0 : this[PARTS].limit - skipped });
  }
  distinct(...given) {
    checkDistinct(this, given);
    return this;
  }
  groupBy(...given) { return this.#asRows().groupBy(...given); }
  select(...wanted) { return this.#asRows().select(...wanted); }
  join(what, ...on) { return joined(this.#asRows(), what, on, lower(this.model.name)); }
  #asRows() {
    return this.#rows().are({ model: this.model });
  }

  [Symbol.iterator]() {
    const parts = this[PARTS], list = known(this.model, parts);
    return list !== null ? new ListCursor(list) : this.#cursor(parts.limit);
  }
  #cursor(limit) {
    const { order, offset } = this[PARTS], way = this.#way(limit);
    const next = this.#matching(way), isSorted = order.length > 0 && !way.ordered;
    if (!isSorted && limit === Infinity && offset === 0) return new Cursor(next);
    return new Cursor(this.#cut(isSorted ? () => this.#sorted(next) : null, next, limit));
  }
  #way(limit = this[PARTS].limit) { return plan(this.model, this[PARTS], limit); }

  // The instances of a way that fit; their model may be a part of the way's.
  #matching(way) {
    const { condition } = this[PARTS], { model } = this;
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
    return sort(rows, this[PARTS].order);
  }
  #cut(list, next, limit) {
    let { offset } = this[PARTS], sorted = null, at = 0;
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
    const parts = this[PARTS], list = known(this.model, parts);
    if (list !== null) return list.length > 0 ? list[0] : null;
    const cursor = this.#cursor(Math.min(parts.limit, 1)), found = cursor.take();
    cursor.close();
    return found;
  }
  // Counted by the index alone, where it serves all conditions.
  count() {
    const way = this.#way(), { condition, source, limit, offset } = this[PARTS];
    const isExact = !condition ? way.kind === "scan" || way.kind === "index" : !restOf(condition, way.served);
    const found = isExact && !source && this.model.parent === null ? way.touches : this.#all().reduceCount();
    return Math.max(0, Math.min(found - offset, limit));
  }
  #all() { return new Query(this.model, { ...this[PARTS], limit: Infinity, offset: 0, order: [] }); }
  reduceCount() {
    const cursor = this[Symbol.iterator]();
    let n = 0;
    while (cursor.take() !== null) n++;
    return n;
  }
  each(work) {
    checkFunction(this, "each", work);
    const cursor = this[Symbol.iterator]();
    try {
      for (let instance; (instance = cursor.take()) !== null;) work(instance);
    } finally {
      cursor.close();
    }
  }
  toArray() {
    const found = known(this.model, this[PARTS]);
    if (found !== null) return found;
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
    const { condition, order, limit, offset } = this[PARTS], way = this.#way();
    const rest = condition && restOf(condition, way.served), isSorted = order.length > 0 && !way.ordered;
    const touches = !rest && !isSorted && limit !== Infinity ? Math.min(way.touches, offset + limit) : way.touches;
    return {
      model: this.model.name, by: way.kind, index: way.index, touches, of: this.model.extent.size,
      filter: rest ? textOf(rest) : null, sort: isSorted ? order.map((key) => key.text + (key.isDescending ? " desc" : "")).join(", ") : null,
    };
  }
}

// A query by one condition: a copy of one that there is, for a constructor and its private methods cost more than the rest.
export function queryOf(model, condition) {
  const query = copy(TEMPLATE) ?? new Query(null);
  query.model = model;
  query[PARTS] = { condition, order: NOTHING.order, limit: Infinity, offset: 0, source: null };
  return query;
}
const TEMPLATE = new Query(null);

const bothOf = (before, more) => before ? all([before, more]) : more;
const eitherOf = (before, more) => before ? either([before, more]) : more;
const butNot = (before, more) => before ? all([before, negated(more)]) : negated(more);

// The conditions that a way leaves to be looked at; null if none.
function restOf(condition, served) {
  if (served.length === 1 && served[0] === condition) return null;
  const left = (condition.all ?? [condition]).filter((each) => !served.includes(each));
  return left.length === 0 ? null : all(left);
}

export { MODEL };
