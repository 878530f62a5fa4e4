// everturn:nodb: the surface of nodb.js, the framework of v8-ken's thesis, over everturn:data. A model has `properties` with types as
// nodb wrote them, instances are made by `Model.create`, and models, what `where` gives, and what a property holds many in are
// collections, with the iterators of the thesis: lazy, each gives a new one.
import * as data from "everturn:data";
import { SchemaError, ValidationError, show } from "everturn:data/errors";
import { Query } from "everturn:data/query";
import { Many } from "everturn:data/relations";
import { Rows } from "everturn:data/rows";

const TYPES = {
  any: data.any, boolean: data.boolean, number: data.number, integer: data.integer, bigint: data.bigint, string: data.string,
  bytes: data.bytes, date: data.date,
};
const BY_CONSTRUCTOR = new Map([[Boolean, data.boolean], [Number, data.number], [String, data.string], [Date, data.date], [BigInt, data.bigint], [Uint8Array, data.bytes], [Object, data.any]]);
const MAKERS = new Set(Object.values(TYPES));
const COMPARISONS = ["eq", "gt", "gte", "lt", "lte", "startsWith", "endsWith"];

// The prototype of types of one's own, which have validate(instance, key, value).
const Type = Object.freeze({ validate() { return true; } });

// The models' wrappings, by the models.
const wrapped = new Map();

function fieldOf(model, name, given) {
  if (given === null || given === undefined) return data.any();
  if (given.relation) return given.relation;
  if (MAKERS.has(given)) return given();
  if (BY_CONSTRUCTOR.has(given)) return BY_CONSTRUCTOR.get(given)();
  if (typeof given === "string" && Object.hasOwn(TYPES, given)) return TYPES[given]();
  if (typeof given !== "object") throw new SchemaError(model, name, `is to be a type, not ${show(given)}: there are ${Object.keys(TYPES).map((type) => `nodb.${type}`).join(", ")}, the one and many of a model, and objects with nodb.Type as their prototype`, [], given);
  if (Object.prototype.isPrototypeOf.call(Type, given)) return data.any().check((value, instance) => given.validate(instance, name, value) !== false, `is refused by the validate() of its type`);
  if ("type" in given && typeof given.validate !== "function" && !("rules" in given)) {
    const { type, ...rules } = given, field = fieldOf(model, name, type);
    return typeof field.with === "function" ? field.with(rules) : field;
  }
  return given;
}

function definitionOf(given, what) {
  if (given === null || typeof given !== "object") throw new SchemaError(null, null, `${what}(...) is to be given { name, properties, proto }, not ${show(given)}`, [], given);
  const { name, properties = {}, proto = {}, ...rest } = given, [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new SchemaError(typeof name === "string" ? name : null, null, `knows nothing of ${show(unknown)} in ${what}(...): there are name, properties, proto`, [], rest[unknown]);
  if (properties === null || typeof properties !== "object" || Array.isArray(properties)) throw new SchemaError(name, null, `is defined by properties, an object of names and types, not by ${show(properties)}`, [], properties);
  const fields = Object.fromEntries(Object.entries(properties).map(([property, type]) => [property, fieldOf(name, property, type)]));
  return [name, fields, proto];
}

// The iterators that everturn:data does not have under these names, for whatever it gives out.
const ITERATORS = {
  iterator() { return collectionOf(this); },
  collect() { return [...this]; },
  concat(...others) { return collectionOf(new Rows(function* () { for (const each of [this, ...others]) yield* each; }.bind(this))); },
  fold(initial, combine) { return typeof initial === "function" ? rowsOf(this).reduce(initial, combine) : rowsOf(this).reduce(combine, initial); },
  sort(by) { return collectionOf(sorted(rowsOf(this), by)); },
};
for (const { prototype } of [Rows, Many])
  for (const [name, value] of Object.entries(ITERATORS)) Object.defineProperty(prototype, name, { value, configurable: true, writable: true });

const rowsOf = (collection) => collection instanceof Many ? collection.all() : collection;
const collectionOf = (rows) => new Collection(rowsOf(rows));

// By a comparator, by a field or a function that gives a key, or by what the elements are.
function sorted(rows, by) {
  if (typeof by !== "function" || by.length < 2) return rows.orderBy(by ?? ((each) => each));
  return new Rows(() => [...rows].sort(by)[Symbol.iterator]());
}

// What a model, and every iterator that gives one, can be asked.
class Collection {
  #rows;
  constructor(rows) { this.#rows = rows; }

  where(key, cmp, value) {
    if (typeof key === "function" && cmp === undefined) return this.filter(key);
    if (!COMPARISONS.includes(cmp)) throw new ValidationError(this.#rows.model?.name ?? null, typeof key === "string" ? key : null, cmp, `cannot be asked for by ${show(cmp)}, which is no comparison: there are ${COMPARISONS.join(", ")}`);
    return new Collection(this.#rows.where(key, cmp, value));
  }
  and(key, cmp, value) { return this.where(key, cmp, value); }
  explain() {
    if (this.#rows instanceof Query) return this.#rows.explain();
    throw new ValidationError(null, null, undefined, "what was mapped, joined to others or sorted by a comparator has no way through indexes to explain: ask what it was made of");
  }
  iterator() { return this; }
  [Symbol.iterator]() { return this.#rows[Symbol.iterator](); }

  collect() { return [...this]; }
  concat(...others) { return this.#rows.concat(...others); }
  each(work) {
    this.#rows.each(work);
    return this;
  }
  filter(test) { return new Collection(this.#rows.filter(test)); }
  select(test) { return this.filter(test); }
  fold(initial, combine) { return this.#rows.fold(initial, combine); }
  reduce(combine, ...initial) { return this.#rows.reduce(combine, ...initial); }
  map(change) { return new Collection(this.#rows.map(change)); }
  max(by) { return this.#most("max", by, 1); }
  min(by) { return this.#most("min", by, -1); }
  sum(key) { return this.#rows.sum(key); }
  sort(by) { return this.#rows.sort(by); }
  get length() { return this.#rows.count(); }

  // With a comparator the element, with a field its value.
  #most(name, by, sign) {
    if (typeof by !== "function" || by.length < 2) return this.#rows[name](by);
    const all = this.collect();
    return all.length === 0 ? null : all.reduce((most, each) => by(each, most) * sign > 0 ? each : most);
  }

  toJSON() { return this.collect(); }
  [Symbol.for("everturn.stand-in")]() { return this.collect(); }
  [Symbol.for("everturn.show")](depth, show) { return this.#rows[Symbol.for("everturn.show")](depth, show); }
}

class Model extends Collection {
  #model;
  constructor(model) {
    super(model.all());
    this.#model = model;
    wrapped.set(model, this);
  }

  get name() { return this.#model.name; }
  get model() { return this.#model; }
  create(values) { return this.#model.create(values); }
  extend(definition) { return wrap(this.#model.extend(...definitionOf(definition, "extend"))); }
  // Whether this is the model, or one above the model, of an instance or of another model.
  isModelOf(other) {
    if (!(other instanceof Model)) return data.modelOf(other) !== null && this.#model.holds(other);
    for (let model = other.model; model; model = model.parent) if (model === this.#model) return true;
    return false;
  }
  isInstanceOf(instance) { return this.isModelOf(instance); }

  // A type of properties, as it stands or with options: Item.one, Item.many({ inverse: "cart" }).
  get one() { return relation(data.one, this); }
  get many() { return relation(data.many, this); }
  static one(target, options) { return relation(data.one, target)(options); }
  static many(target, options) { return relation(data.many, target)(options); }
  [Symbol.hasInstance](instance) { return this.isModelOf(instance); }
  [Symbol.for("everturn.show")](depth, show) { return this.#model[Symbol.for("everturn.show")](depth, show); }
  [Symbol.for("everturn.stand-in")]() { return this.#model[Symbol.for("everturn.stand-in")](); }
}

function relation(kind, target) {
  const made = (options) => ({ relation: kind(target instanceof Model ? target.model : target, options) });
  return Object.assign(made, made());
}

function wrap(model) {
  return wrapped.get(model) ?? new Model(model);
}

function create(definition) {
  return wrap(data.model(...definitionOf(definition, "create")));
}

const revision = {
  branch: () => data.branch(),
  in: (branch, work) => branch.in(work),
  commit: (branch) => branch.commit(),
  revert: (branch) => branch.revert(),
};

function checkModel(model, what) {
  if (!(model instanceof Model)) throw new ValidationError(null, null, model, `${what} is to be given a model, as nodb.create(...) gives it, not ${show(model)}`);
}

function isModelOf(model, instance) {
  checkModel(model, "isModelOf(model, instance)");
  return model.isModelOf(instance);
}
const isInstanceOf = (instance, model) => isModelOf(model, instance);
const transact = data.transact;

const nodb = { ...TYPES, Type, create, isModelOf, isInstanceOf, Model, revision, transact };

export { Type, create, isModelOf, isInstanceOf, Model, revision, transact };
export const { any, boolean, number, integer, bigint, string, bytes, date } = TYPES;
export default nodb;
