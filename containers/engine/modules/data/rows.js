// Rows: what comes out of a query, or of other rows. Nothing runs before somebody looks; each method gives new rows.
import { checkFunction, checkWhole, misused, show } from "everturn:data/errors";
import { all, condition, either, negated, plainKey } from "everturn:data/conditions";
import { compare, isOrdered } from "everturn:data/order";
import { readerOfRows } from "everturn:data/paths";
import { ID, KIND, isInstance } from "everturn:data/slots";

const SOURCE = Symbol("source");

export class Rows {
  constructor(source) { if (source !== null) this[SOURCE] = source; }

  *[Symbol.iterator]() { yield* this[SOURCE](); }
  // What is known of each row: it is an instance of a {model}, or has {names} with what is known of the values under them; null: nothing.
  are(kind) {
    this[KIND] = kind;
    return this;
  }
  get isKnown() { return (this[KIND] ?? this.model ?? null) !== null; }
  reader(path) { return readerOfRows(this[KIND] ?? null, path); }

  where(...given) {
    const asked = condition(given, this);
    return this.filter((row) => asked.test(row));
  }
  and(...given) { return this.where(...given); }
  filter(test) {
    checkFunction(this, "filter", test);
    return this.#same(function* (rows) { for (const row of rows) if (test(row)) yield row; });
  }
  map(change) {
    checkFunction(this, "map", change);
    return rowsOf(this, function* (rows) { for (const row of rows) yield change(row); });
  }
  flatMap(change) {
    checkFunction(this, "flatMap", change);
    return rowsOf(this, function* (rows) { for (const row of rows) yield* change(row); });
  }
  limit(most) {
    checkWhole(this, "limit", most);
    return this.#same(function* (rows) { if (most <= 0) return; let n = 0; for (const row of rows) { yield row; if (++n >= most) return; } });
  }
  offset(skipped) {
    checkWhole(this, "offset", skipped);
    return this.#same(function* (rows) { let n = 0; for (const row of rows) if (n++ >= skipped) yield row; });
  }
  #same(change) { return rowsOf(this, change).are(this[KIND]); }

  // Fields by name or path, or as an object of names and paths or functions.
  select(...wanted) {
    if (wanted.length === 0) throw misused(this, null, undefined, 'cannot be asked for select(): name the fields, as select("name", "age"), or give an object of names and paths or functions');
    const columns = columnsOf(this, "select", wanted);
    return this.map((row) => {
      const made = {};
      for (const { name, read } of columns) made[name] = read(row) ?? null;
      return made;
    }).are({ names: kindsOf(columns) });
  }
  // No two rows that have the same: instances are the same if they are one, plain rows if all their values are.
  distinct(...given) {
    checkDistinct(this, given);
    return this.#same(function* (rows) {
      const seen = new Map();
      for (const row of rows) if (isNew(seen, keysOf(row))) yield row;
    });
  }
  orderBy(path, direction) {
    const keys = [...(this.keys ?? []), orderKey(this, path, direction)];
    const from = this.keys ? this.unsorted : this;
    const sorted = from.#same((rows) => sort([...rows], keys));
    sorted.keys = keys;
    sorted.unsorted = from;
    return sorted;
  }

  // Rows {key columns, and for each aggregate its value}: groupBy("city", { people: "count", oldest: ["max", "age"] }). Without aggregates
  // each has its `members`.
  groupBy(...given) {
    const last = given.at(-1), aggregates = typeof last === "object" && last !== null ? given.pop() : null;
    const columns = columnsOf(this, "groupBy", given);
    const folds = Object.entries(aggregates ?? { members: "members" }).map(([name, how]) => [name, foldOf(this, how)]);
    const names = new Map([...kindsOf(columns), ...folds.map(([name]) => [name, null])]);
    return rowsOf(this, (rows) => group(rows, columns, folds)).are({ names });
  }

  each(work) {
    checkFunction(this, "each", work);
    for (const row of this) work(row);
  }
  forEach(work) { this.each(work); }
  reduce(fold, ...initial) {
    checkFunction(this, "reduce", fold);
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
  some(test) { checkFunction(this, "some", test); for (const row of this) if (test(row)) return true; return false; }
  every(test) { checkFunction(this, "every", test); return !this.some((row) => !test(row)); }
  count() { let n = 0; for (const _ of this) n++; return n; }
  sum(path) { return this.#fold("sum", path); }
  min(path) { return this.#fold("min", path); }
  max(path) { return this.#fold("max", path); }
  average(path) { return this.#fold("average", path); }

  #fold(how, path) {
    const fold = foldOf(this, [how, path]);
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

export function checkDistinct(rows, given) {
  if (given.length > 0) throw misused(rows, null, given[0], `cannot be asked for distinct(${show(given[0])}): say of which fields by select(...) before, as select("city").distinct()`);
}

// Columns {name, read, kind} of what select or groupBy were given.
function columnsOf(rows, what, wanted) {
  const column = (name, path) => {
    if (typeof path === "function") return { name, read: path, kind: null };
    if (typeof path !== "string") throw misused(rows, null, path, `cannot be asked for ${what}(...) of ${show(path)}: give it the names of fields, paths, or functions`);
    const { read, field } = rows.reader(path);
    return { name, read, kind: field?.kind === "one" && field.target ? { model: field.target } : null };
  };
  return wanted.flatMap((each) => {
    if (each === null || typeof each !== "object" || Array.isArray(each)) return [typeof each === "function" ? column("", null) : column(each, each)];
    return Object.entries(each).map(([name, path]) => column(name, path));
  });
}

const kindsOf = (columns) => new Map(columns.map(({ name, kind }) => [name, kind]));

export function orderKey(rows, path, direction = "asc") {
  if (direction !== "asc" && direction !== "desc") throw misused(rows, typeof path === "string" ? path : null, direction, `cannot be ordered by ${show(direction)}: the direction is "asc" or "desc"`);
  if (typeof path === "function") return { keyOf: (row) => plainKey(path(row)), isDescending: direction === "desc", field: null, text: "a function", rows };
  if (typeof path !== "string") throw misused(rows, null, path, `cannot be ordered by ${show(path)}: give orderBy the name of a field, a path, or a function`);
  const { keyOf, field } = rows.reader(path);
  if (field && (field.kind === "many" || !(field.spec.type?.isCompared ?? true))) throw misused(rows, path, undefined, "has no order: order by a text, a number, a date, true or false, or by a function that gives one");
  return { keyOf, field, isDescending: direction === "desc", text: path, rows };
}

// Equal rows stay in their order, or, where the first key goes down, in the opposite one: as an index has them.
export function sort(rows, keys) {
  const entries = rows.map((row, at) => ({ row, at: isInstance(row) ? row[ID] : at, keys: keys.map((key) => key.keyOf(row)) }));
  for (const entry of entries) entry.keys.forEach((key, i) => {
    if (!isOrdered(key)) throw misused(keys[i].rows, keys[i].field?.name ?? null, key, `cannot be ordered by ${keys[i].text}, which is ${show(key)} for one: order by texts, numbers, dates, true and false`);
  });
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
    const keys = columns.map(({ read }) => read(row) ?? null);
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
    columns.forEach(({ name }, i) => { row[name] = keys[i]; });
    folds.forEach(([name, fold], i) => { row[name] = fold.end(states[i]); });
    yield row;
  }
}

const FOLDS = {
  count: () => ({ begin: () => ({ n: 0 }), take: (state) => { state.n++; }, end: (state) => state.n }),
  members: () => ({ begin: () => ({ list: [] }), take: (state, row) => { state.list.push(row); }, end: (state) => state.list }),
  sum: (read, fail) => over(read, { value: 0 }, (state, value) => {
    if (!isNumber(value) || (state.n > 0 && typeof value !== typeof state.value)) fail(value);
    state.value = state.n > 0 ? state.value + value : value;
    state.n = 1;
  }, (state) => state.value),
  average: (read, fail) => over(read, { value: 0, n: 0 }, (state, value) => {
    if (!isNumber(value)) fail(value);
    state.value += Number(value);
    state.n++;
  }, (state) => state.n === 0 ? null : state.value / state.n),
  min: (read, fail) => over(read, { value: null }, (state, value) => { if (isBefore(value, state.value, fail)) state.value = value; }, (state) => state.value),
  max: (read, fail) => over(read, { value: null }, (state, value) => { if (state.value === null ? isBefore(value, null, fail) : isBefore(state.value, value, fail)) state.value = value; }, (state) => state.value),
};

const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

function isBefore(value, other, fail) {
  const key = plainKey(value), than = plainKey(other);
  if (!isOrdered(key)) fail(value);
  if (!isOrdered(than)) fail(other);
  return than === null || compare(key, than) < 0;
}

// Nothing (null) does not count.
function over(read, initial, take, end) {
  return { begin: () => ({ ...initial }), take: (state, row) => { const value = read(row); if (value !== null && value !== undefined) take(state, value); }, end };
}

// What an aggregate does: a name, [name, path or function], or a function of a group's members.
function foldOf(rows, how) {
  if (typeof how === "function") return { begin: () => ({ list: [] }), take: (state, row) => { state.list.push(row); }, end: (state) => how(state.list) };
  const [name, path] = Array.isArray(how) ? how : [how];
  if (typeof name !== "string" || !Object.hasOwn(FOLDS, name)) throw misused(rows, null, name, `has no aggregate ${show(name)}: there are ${Object.keys(FOLDS).join(", ")}`);
  const fail = (value) => { throw misused(rows, typeof path === "string" ? path : null, value, `${typeof path === "string" ? "is" : "gives"} ${show(value)} for one, and ${WANTED[name]}: leave such rows out by where(...), or give ${name} a function that makes one of it`); };
  if (name === "count" || name === "members") return FOLDS[name]();
  if (path === undefined && rows.isKnown) throw misused(rows, null, undefined, `cannot be asked for ${name} of nothing: say of which field, as ${name}("age") or, in groupBy, ["${name}", "age"]`);
  if (path === undefined || typeof path === "function") return FOLDS[name](path ?? ((row) => row), fail);
  if (typeof path !== "string") throw misused(rows, null, path, `cannot be asked for ${name} of ${show(path)}: give it the name of a field, a path, or a function`);
  const { read, field } = rows.reader(path);
  if (field && !serves(field, name)) throw misused(rows, path, undefined, `is ${field.kind === "value" ? `of type ${field.spec.type.name}` : `${field.kind}(${field.spec.target})`}, and ${WANTED[name]}: ask another field, or give ${name} a function that makes one of it`);
  return FOLDS[name](read, fail);
}

const WANTED = {
  sum: "sum adds numbers, all of one type", average: "average wants numbers",
  min: "min wants what has an order: texts, numbers, dates, true and false", max: "max wants what has an order: texts, numbers, dates, true and false",
};

// Whether an aggregate can make something of a field at all; of what can be anything its values tell.
function serves({ kind, spec }, name) {
  if (kind !== "value") return false;
  const { type } = spec;
  if (name === "min" || name === "max") return type.isCompared;
  return ["number", "integer", "bigint", "any"].includes(type.name) || type.isCustom || type.values !== undefined;
}

// Rows {left, right}, named. `on`: the paths that are to be equal, then options {as: [left, right], outer: true}.
export function joined(rows, what, on, leftName) {
  const last = on.at(-1), options = typeof last === "object" && last !== null ? on.pop() : {};
  const isRelation = typeof what === "string";
  checkJoin(rows, what, on, options);
  const [left, right] = options.as ?? [leftName, isRelation ? what.split(".").at(-1) : lower((what.model ?? what).name ?? "other")];
  const isSpread = leftName === "row" && !options.as;
  const pair = (a, b) => isSpread ? { ...a, [right]: b } : { [left]: a, [right]: b };
  const { matches, kind } = isRelation ? related(rows, what) : equal(rows, what, on);
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
  }).are(!isSpread ? { names: new Map([[left, rows[KIND] ?? null], [right, kind]]) } : rows[KIND]?.names ? { names: new Map([...rows[KIND].names, [right, kind]]) } : null);
}

function checkJoin(rows, what, on, options) {
  const isRows = what !== null && typeof what === "object" && (typeof what.all === "function" || what instanceof Rows);
  if (typeof what !== "string" && !isRows) throw misused(rows, null, what, `cannot be joined with ${show(what)}: give join the name of a relation, or a model or query and the fields that are to be equal, as join(Order, "name", "who")`);
  if (isRows ? on.length < 1 || on.length > 2 || !on.every((path) => typeof path === "string") : on.length > 0)
    throw misused(rows, null, on[0], isRows ? 'can be joined on fields that are to be equal: name them, as join(other, "field", "other field")' : `cannot be joined by ${show(what)} and ${show(on[0])}: a relation needs no more than its name; another model is given itself, not by its name`);
  const unknown = Object.keys(options).find((name) => name !== "as" && name !== "outer");
  if (unknown !== undefined) throw misused(rows, null, options[unknown], `knows no option ${show(unknown)} of join(...): there are as, outer`);
  const { as } = options;
  if (as !== undefined && (!Array.isArray(as) || as.length !== 2 || !as.every((name) => typeof name === "string") || as[0] === as[1]))
    throw misused(rows, null, as, 'cannot be joined under these names: as is to be two names, as { as: ["person", "order"] }');
}

export const lower = (name) => name.charAt(0).toLowerCase() + name.slice(1);

function related(rows, path) {
  const { read, field } = rows.reader(path);
  if (field?.kind === "value") throw misused(rows, path, undefined, 'is no relation, along which join(...) goes: name one(...) or many(...), or say which fields are to be equal, as join(Other, "field", "other field")');
  const find = (row) => {
    const found = read(row);
    if (found === null || found === undefined) return [];
    if (isInstance(found)) return [found];
    if (typeof found === "string" || typeof found[Symbol.iterator] !== "function") throw misused(rows, path, found, `is ${show(found)} for one, along which join(...) cannot go: name a relation, or what gives a list`);
    return found;
  };
  return { matches: () => find, kind: field?.target ? { model: field.target } : null };
}

// By an index of the other side if it has one for this, else by a table made once.
function equal(rows, other, [path, otherPath = path]) {
  const mine = rows.reader(path), query = typeof other.all === "function" ? other.all() : other, theirs = query.reader(otherPath);
  const kind = query[KIND] ?? (query.model ? { model: query.model } : null);
  if (query.isIndexedBy?.(theirs.field)) return { kind, matches: () => (row) => {
    const key = mine.keyOf(row) ?? null;
    if (key === null) return [];
    const found = query.having(otherPath, key);
    // An order puts 3 and 3n in one place, and they are not equal.
    return typeof key === "number" || typeof key === "bigint" ? found.filter((row) => theirs.keyOf(row) === key) : found;
  } };
  return { kind, matches: () => {
    const table = new Map();
    for (const row of query) {
      const key = theirs.keyOf(row);
      if (key === null) continue;
      if (table.has(key)) table.get(key).push(row);
      else table.set(key, [row]);
    }
    return (row) => table.get(mine.keyOf(row)) ?? [];
  } };
}

export { all, either, negated };
