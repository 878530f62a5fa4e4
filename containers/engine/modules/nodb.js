// everturn:nodb: the surface of nodb.js, the framework of v8-ken's thesis, over everturn:data. A model has `properties` with types as
// nodb wrote them, instances are made by `Model.create`, and `where(key, cmp, value).and(...)` gives what the iterators go over.
import * as data from "everturn:data";

const TYPES = {
  any: data.any, boolean: data.boolean, number: data.number, integer: data.integer, bigint: data.bigint, string: data.string,
  bytes: data.bytes, date: data.date,
};
const BY_CONSTRUCTOR = new Map([[Boolean, data.boolean], [Number, data.number], [String, data.string], [Date, data.date], [BigInt, data.bigint], [Uint8Array, data.bytes], [Object, data.any]]);
const COMPARISONS = ["eq", "gt", "gte", "lt", "lte", "startsWith", "endsWith"];

// The models' wrappings, by the models.
const wrapped = new Map();

function fieldOf(name, given) {
  if (given === null || given === undefined) return data.any();
  if (given.relation) return given.relation;
  if (BY_CONSTRUCTOR.has(given)) return BY_CONSTRUCTOR.get(given)();
  if (typeof given === "string" && Object.hasOwn(TYPES, given)) return TYPES[given]();
  if (typeof given === "string") throw new TypeError(`nodb: property "${name}" is of type "${given}": there are ${Object.keys(TYPES).join(", ")}`);
  if (typeof given === "function") throw new TypeError(`nodb: property "${name}" is to be a type, not a function`);
  if (typeof given === "object" && "type" in given && !(typeof given.validate === "function")) {
    const { type, ...rules } = given;
    return fieldOf(name, type).with(rules);
  }
  return given;
}

function fieldsOf(properties = {}) {
  return Object.fromEntries(Object.entries(properties).map(([name, given]) => [name, fieldOf(name, given)]));
}

// What `where` gives, and all that a model has.
class Selection {
  #query;
  constructor(query) { this.#query = query; }

  where(key, cmp, value) { return new Selection(narrowed(this.#query, key, cmp, value)); }
  and(key, cmp, value) { return this.where(key, cmp, value); }
  explain() { return this.#query.explain(); }
  [Symbol.iterator]() { return this.#query[Symbol.iterator](); }

  collect() { return [...this]; }
  concat(...others) { return this.collect().concat(...others.map((other) => [...other])); }
  each(work) { for (const instance of this) work(instance); return this; }
  filter(test) { return new Selection(this.#query.filter(test)); }
  select(test) { return this.filter(test); }
  fold(initial, fold) { return typeof initial === "function" ? this.#query.reduce(initial, fold) : this.#query.reduce(fold, initial); }
  reduce(fold, ...initial) { return this.#query.reduce(fold, ...initial); }
  map(change) { return this.#query.map(change).toArray(); }
  max(key) { return this.#query.max(key); }
  min(key) { return this.#query.min(key); }
  sum(key) { return this.#query.sum(key); }
  sort(by) {
    return typeof by === "function" && by.length >= 2 ? this.collect().sort(by) : this.#query.orderBy(by).toArray();
  }
  get length() { return this.#query.count(); }
}

function narrowed(query, key, cmp, value) {
  if (typeof key === "function" && cmp === undefined) return query.where(key);
  if (!COMPARISONS.includes(cmp)) throw new TypeError(`nodb: there is no comparison ${JSON.stringify(cmp)}: there are ${COMPARISONS.join(", ")}`);
  return query.where(key, cmp, value);
}

class Model extends Selection {
  #model;
  constructor(model) {
    super(model.all());
    this.#model = model;
    wrapped.set(model, this);
  }

  get name() { return this.#model.name; }
  get model() { return this.#model; }
  create(values) { return this.#model.create(values); }
  extend({ name, properties, proto }) { return wrap(this.#model.extend(name, fieldsOf(properties), proto)); }
  // Whether this is the model, or one above the model, of an instance or of another model.
  isModelOf(other) {
    if (!(other instanceof Model)) return data.modelOf(other) !== null && this.#model.holds(other);
    for (let model = other.model; model; model = model.parent) if (model === this.#model) return true;
    return false;
  }
  isInstanceOf(instance) { return this.isModelOf(instance); }

  one(options) { return Model.one(this, options); }
  many(options) { return Model.many(this, options); }
  static one(target, options) { return { relation: data.one(target instanceof Model ? target.model : target, options) }; }
  static many(target, options) { return { relation: data.many(target instanceof Model ? target.model : target, options) }; }
  [Symbol.hasInstance](instance) { return this.isModelOf(instance); }
}

function wrap(model) {
  return wrapped.get(model) ?? new Model(model);
}

function create({ name, properties, proto }) {
  return wrap(data.model(name, fieldsOf(properties), proto));
}

const revision = {
  branch: () => data.branch(),
  in: (branch, work) => branch.in(work),
  commit: (branch) => branch.commit(),
  revert: (branch) => branch.revert(),
};

const isModelOf = (model, instance) => model.isModelOf(instance);
const isInstanceOf = (instance, model) => model.isModelOf(instance);
const nodb = { create, isModelOf, isInstanceOf, Model, revision, transact: data.transact };

export { create, isModelOf, isInstanceOf, Model, revision };
export const transact = data.transact;
export default nodb;
