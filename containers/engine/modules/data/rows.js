// Rows: what comes out of a query, or of other rows. Nothing runs before somebody looks; each method gives new rows.
import { SchemaError } from "everturn:data/errors";
import { all, condition, either, negated, plainKey } from "everturn:data/conditions";
import { compare, isOrdered } from "everturn:data/order";
import { readerOfRows } from "everturn:data/paths";
import { isInstance, ID } from "everturn:data/slots";

const SOURCE = Symbol("source");

export class Rows {
  constructor(source) { if (source !== null) this[SOURCE] = source; }

  *[Symbol.iterator]() { yield* this[SOURCE](); }
  reader(path) { return readerOfRows(path); }

  where(...given) {
    const asked = condition(given, this);
    return this.filter((row) => asked.test(row));
  }
  and(...given) { return this.where(...given); }
  filter(test) { return rowsOf(this, function* (rows) { for (const row of rows) if (test(row)) yield row; }); }
  map(change) { return rowsOf(this, function* (rows) { for (const row of rows) yield change(row); }); }
  flatMap(change) { return rowsOf(this, function* (rows) { for (const row of rows) yield* change(row); }); }
  limit(most) { return rowsOf(this, function* (rows) { if (most <= 0) return; let n = 0; for (const row of rows) { yield row; if (++n >= most) return; } }); }
  offset(skipped) { return rowsOf(this, function* (rows) { let n = 0; for (const row of rows) if (n++ >= skipped) yield row; }); }

  // Fields by name or path, or as an object of names and paths or functions.
  select(...wanted) {
    const columns = columnsOf(wanted, (path) => this.reader(path).read);
    return this.map((row) => {
      const made = {};
      for (const [name, read] of columns) made[name] = read(row) ?? null;
      return made;
    });
  }
  // No two rows that have the same: instances are the same if they are one, plain rows if all their values are.
  distinct() {
    return rowsOf(this, function* (rows) {
      const seen = new Map();
      for (const row of rows) if (isNew(seen, keysOf(row))) yield row;
    });
  }
  orderBy(path, direction) {
    const keys = [...(this.keys ?? []), orderKey(path, direction, (path) => this.reader(path))];
    const from = this.keys ? this.unsorted : this;
    const sorted = rowsOf(from, (rows) => sort([...rows], keys));
    sorted.keys = keys;
    sorted.unsorted = from;
    return sorted;
  }

  // Rows {key columns, and for each aggregate its value}: groupBy("city", { people: "count", oldest: ["max", "age"] }). Without aggregates
  // each has its `members`.
  groupBy(...given) {
    const aggregates = typeof given.at(-1) === "object" ? given.pop() : null;
    const columns = columnsOf(given, (path) => this.reader(path).read);
    const folds = Object.entries(aggregates ?? { members: "members" }).map(([name, how]) => [name, foldOf(how, (path) => this.reader(path).read)]);
    return rowsOf(this, (rows) => group(rows, columns, folds));
  }

  each(work) { for (const row of this) work(row); }
  forEach(work) { this.each(work); }
  reduce(fold, ...initial) {
    let has = initial.length > 0, value = initial[0];
    for (const row of this) {
      value = has ? fold(value, row) : row;
      has = true;
    }
    if (!has) throw new TypeError("reduce of nothing with no initial value: give one");
    return value;
  }
  first() { for (const row of this) return row; return null; }
  toArray() { return [...this]; }
  some(test) { for (const row of this) if (test(row)) return true; return false; }
  every(test) { return !this.some((row) => !test(row)); }
  count() { let n = 0; for (const _ of this) n++; return n; }
  sum(path) { return this.#fold("sum", path); }
  min(path) { return this.#fold("min", path); }
  max(path) { return this.#fold("max", path); }
  average(path) { return this.#fold("average", path); }

  #fold(how, path) {
    const fold = foldOf(path === undefined ? [how] : [how, path], (path) => this.reader(path).read);
    const state = fold.begin();
    for (const row of this) fold.take(state, row);
    return fold.end(state);
  }

  // Each row with what a relation (by its path), or another query where two paths are equal, has for it.
  join(what, ...on) { return joined(this, what, on, "row"); }
}

function rowsOf(rows, change) {
  return new Rows(() => change(rows)[Symbol.iterator]());
}

function columnsOf(wanted, readOf) {
  return wanted.flatMap((each) => typeof each === "string" ? [[each, readOf(each)]]
    : Object.entries(each).map(([name, path]) => [name, typeof path === "function" ? path : readOf(path)]));
}

export function orderKey(path, direction = "asc", reader) {
  if (direction !== "asc" && direction !== "desc") throw new TypeError(`orderBy(...): the direction is "asc" or "desc", not ${String(direction)}`);
  if (typeof path === "function") return { keyOf: (row) => plainKey(path(row)), isDescending: direction === "desc", field: null, text: "a function" };
  const { keyOf, field } = reader(path);
  return { keyOf, field, isDescending: direction === "desc", text: path };
}

// Equal rows stay in their order, or, where the first key goes down, in the opposite one: as an index has them.
export function sort(rows, keys) {
  const entries = rows.map((row, at) => ({ row, at: isInstance(row) ? row[ID] : at, keys: keys.map((key) => key.keyOf(row)) }));
  for (const { keys } of entries) for (const key of keys) if (!isOrdered(key)) throw new SchemaError("orderBy", null, "wants values that have an order: texts, numbers, dates, booleans");
  entries.sort((a, b) => {
    for (let i = 0; i < keys.length; i++) {
      const order = compare(a.keys[i], b.keys[i]);
      if (order !== 0) return keys[i].isDescending ? -order : order;
    }
    return keys[0].isDescending ? b.at - a.at : a.at - b.at;
  });
  return entries.map((entry) => entry.row);
}

function keysOf(row) {
  if (row === null || typeof row !== "object" || isInstance(row)) return [row];
  const values = Object.values(row).map((value) => value instanceof Date ? value.getTime() : value);
  return [values.length, ...values];
}

// A tree of maps, one for each column.
function isNew(seen, keys) {
  for (const key of keys.slice(0, -1)) {
    if (!seen.has(key)) seen.set(key, new Map());
    seen = seen.get(key);
  }
  const last = keys.at(-1);
  if (seen.has(last)) return false;
  seen.set(last, null);
  return true;
}

function* group(rows, columns, folds) {
  const groups = new Map(), made = [];
  for (const row of rows) {
    const keys = columns.map(([, read]) => read(row) ?? null);
    let at = groups;
    for (const key of keys) {
      const by = key instanceof Date ? key.getTime() : key;
      if (!at.has(by)) at.set(by, new Map());
      at = at.get(by);
    }
    if (!at.states) {
      at.states = folds.map(([, fold]) => fold.begin());
      made.push([keys, at.states]);
    }
    folds.forEach(([, fold], i) => fold.take(at.states[i], row));
  }
  for (const [keys, states] of made) {
    const row = {};
    columns.forEach(([name], i) => { row[name] = keys[i]; });
    folds.forEach(([name, fold], i) => { row[name] = fold.end(states[i]); });
    yield row;
  }
}

const FOLDS = {
  count: () => ({ begin: () => ({ n: 0 }), take: (state) => { state.n++; }, end: (state) => state.n }),
  members: () => ({ begin: () => ({ list: [] }), take: (state, row) => { state.list.push(row); }, end: (state) => state.list }),
  sum: (read) => over(read, { value: 0 }, (state, value) => { state.value = typeof value === "bigint" && state.value === 0 ? value : state.value + value; }, (state) => state.value),
  average: (read) => over(read, { value: 0, n: 0 }, (state, value) => { state.value += Number(value); state.n++; }, (state) => state.n === 0 ? null : state.value / state.n),
  min: (read) => over(read, { value: null }, (state, value) => { if (state.value === null || compare(plainKey(value), plainKey(state.value)) < 0) state.value = value; }, (state) => state.value),
  max: (read) => over(read, { value: null }, (state, value) => { if (state.value === null || compare(plainKey(value), plainKey(state.value)) > 0) state.value = value; }, (state) => state.value),
};

// Nothing (null) does not count.
function over(read, initial, take, end) {
  return { begin: () => ({ ...initial }), take: (state, row) => { const value = read(row); if (value !== null && value !== undefined) take(state, value); }, end };
}

function foldOf(how, readOf) {
  if (typeof how === "function") return { begin: () => ({ list: [] }), take: (state, row) => { state.list.push(row); }, end: (state) => how(state.list) };
  const [name, path] = Array.isArray(how) ? how : [how];
  if (!Object.hasOwn(FOLDS, name)) throw new TypeError(`there is no aggregate "${name}": there are ${Object.keys(FOLDS).join(", ")}`);
  return FOLDS[name](path === undefined ? (row) => row : typeof path === "function" ? path : readOf(path));
}

// Rows {left, right}, named. `on`: the paths that are to be equal, then options {as: [left, right], outer: true}.
export function joined(rows, what, on, leftName) {
  const options = typeof on.at(-1) === "object" && on.at(-1) !== null ? on.pop() : {};
  const isRelation = typeof what === "string";
  const [left, right] = options.as ?? [leftName, isRelation ? what.split(".").at(-1) : lower((what.model ?? what).name ?? "other")];
  const pair = (a, b) => leftName === "row" && !options.as ? { ...a, [right]: b } : { [left]: a, [right]: b };
  const matches = isRelation ? related(rows, what) : equal(rows, what, on);
  return rowsOf(rows, function* (source) {
    const find = matches();
    for (const row of source) {
      let has = false;
      for (const other of find(row)) {
        has = true;
        yield pair(row, other);
      }
      if (!has && options.outer) yield pair(row, null);
    }
  });
}

export const lower = (name) => name.charAt(0).toLowerCase() + name.slice(1);

function related(rows, path) {
  const { read } = rows.reader(path);
  return () => (row) => {
    const found = read(row);
    return found === null || found === undefined ? [] : isInstance(found) ? [found] : found;
  };
}

// By an index of the other side if it has one for this, else by a table made once.
function equal(rows, other, [path, otherPath = path]) {
  if (typeof path !== "string") throw new TypeError('join(other, "field", "other field") wants the fields that are to be equal');
  const mine = rows.reader(path), query = typeof other.all === "function" ? other.all() : other, theirs = query.reader(otherPath);
  if (query.isIndexedBy?.(theirs.field)) return () => (row) => {
    const key = mine.keyOf(row) ?? null;
    if (key === null) return [];
    const found = query.having(otherPath, key);
    // An order puts 3 and 3n in one place, and they are not equal.
    return typeof key === "number" || typeof key === "bigint" ? found.filter((row) => theirs.keyOf(row) === key) : found;
  };
  return () => {
    const table = new Map();
    for (const row of query) {
      const key = theirs.keyOf(row);
      if (key === null) continue;
      if (table.has(key)) table.get(key).push(row);
      else table.set(key, [row]);
    }
    return (row) => table.get(mine.keyOf(row)) ?? [];
  };
}

export { all, either, negated };
