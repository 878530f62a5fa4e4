// A model: its instances, and what creates, changes and deletes them. Whatever is wrong is found before anything changes.
import { copy } from "everturn:data/entries";
import { NotFoundError, ReferenceError, UniqueError, ValidationError, show } from "everturn:data/errors";
import { accept, defaultOf } from "everturn:data/field";
import { give, Mismatch } from "everturn:data/types";
import { Extent, ID_MAX } from "everturn:data/extent";
import { bagMembers } from "everturn:data/bags";
import { condition, equality } from "everturn:data/conditions";
import { fits } from "everturn:data/indexes";
import { readerOf } from "everturn:data/paths";
import { Query, queryOf } from "everturn:data/query";
import { Rows } from "everturn:data/rows";
import { Many, acceptTarget, setMany, setOne } from "everturn:data/relations";
import { ID, MODEL, isInstance, isLive, keyOf, label } from "everturn:data/slots";
import { atomically, insert, remove, set, unlink } from "everturn:data/store";

// What stands for an object in a message: write_nested.c asks.
const STAND_IN = Symbol.for("everturn.stand-in");

export const RESERVED = ["delete", "update", "toJSON", "constructor", "__proto__"];

export class Model {
  constructor(name, parent, registry) {
    this.name = name;
    this.parent = parent;
    this.registry = registry;
    this.extent = parent ? parent.extent : new Extent();
    this.parts = new Set();      // the models that extend this one
    this.own = 0;                // instances of exactly this model
    this.declared = new Map();   // its own fields
    this.fields = new Map();     // with those that it inherits
    this.ownIndexes = [];
    this.indexes = [];           // with those that it inherits
    this.compounds = [];        // its indexes over several fields, as defined
    this.values = [];            // its fields that are no relations, and those that are
    this.relations = [];
    this.references = [];        // its `one` fields that are kept in a bag of the other side
    this.readers = new Map();    // how paths are read, by path; empty whenever fields change
    this.byField = new Map();
    this.version = 0;
    this.history = [];
    this.migration = null;       // the change of definition that is under way
    this.lastChange = null;         // the promise of the last one that took turns of its own
    this.template = null;
    this.prototype = Object.create(parent ? parent.prototype : GUARDED, { [MODEL]: { value: this } });
    Object.defineProperty(this.prototype, "constructor", { value: this, configurable: true });
  }

  [Symbol.hasInstance](value) { return isInstance(value) && this.holds(value); }
  // Whether an instance is of this model or of one that extends it.
  holds(instance) {
    for (let model = instance[MODEL]; model; model = model.parent) if (model === this) return true;
    return false;
  }

  create(values = {}) {
    this.checkChanging();
    if (values === null || typeof values !== "object") throw new ValidationError(this.name, null, values, `is created from an object of fields and values, not from ${show(values)}`);
    this.#checkNames(values);
    const instance = this.blank();
    let later = null;
    for (const field of this.relations) {
      const value = values[field.name];
      if (field.kind === "many" || field.inverse?.kind === "one") {
        if (field.kind === "one") acceptTarget(field, value);
        if (value !== undefined && value !== null) (later ??= []).push(field);
      } else instance[field.slot] = acceptTarget(field, value);
    }
    for (const field of this.values) {
      const value = values[field.name];
      instance[field.slot] = this.acceptValue(instance, field, value === undefined ? defaultOf(field.spec) : value);
    }
    if (this.extent.next > ID_MAX) throw new NotFoundError(this.name, "id", this.extent.next, `has had ${ID_MAX} instances, and there are no more ids: define a model of another name`);
    instance[ID] = this.extent.next;
    this.#checkUnique(instance, this.indexes, null);
    if (later === null) insert(instance);
    else atomically(() => {
      insert(instance);
      for (const field of later) this.change(instance, field, values[field.name]);
    });
    this.extent.next++;
    return instance;
  }

  // An instance that nobody knows yet, with nothing in its slots.
  blank() {
    this.template ??= Reflect.construct(templateOf([ID, ...this.slots()]), [], makerOf(this.prototype));
    return copy(this.template) ?? Object.create(this.prototype, Object.getOwnPropertyDescriptors(this.template));
  }

  slots() {
    const own = [...this.fields.values()].map((field) => field.slot);
    return new Set([...own, ...this.incoming().map((field) => field.bag).filter((bag) => bag !== null)]);
  }

  // What an assignment does.
  change(instance, field, value) {
    this.checkChanging();
    if (!isLive(instance)) throw this.#gone(instance, field);
    if (field.kind === "many") return setMany(instance, field, value);
    if (field.kind === "one") return this.#refer(instance, field, acceptTarget(field, value));
    const stored = this.acceptValue(instance, field, value);
    if (stored === instance[field.slot]) return;
    const indexes = this.indexesOf(field);
    this.#checkChange(instance, field, stored, indexes);
    set(instance, field, stored, indexes);
  }
  #checkChange(instance, field, stored, indexes) {
    for (let i = 0; i < indexes.length; i++)
      if (indexes[i].isUnique) return this.#checkUnique(instance, indexes, new Map([[field, stored]]));
  }

  #refer(instance, field, target) {
    this.#checkChange(instance, field, target, this.indexesOf(field));
    if (field.inverse?.kind === "one") atomically(() => setOne(instance, field, target));
    else setOne(instance, field, target);
  }

  // Changes several fields at once, or none.
  updateOne(instance, values) {
    this.checkChanging();
    if (!isLive(instance)) throw this.#gone(instance, null);
    if (values === null || typeof values !== "object") throw new ValidationError(this.name, null, values, `is updated from an object of fields and values, not from ${show(values)}`);
    this.#checkNames(values);
    const stored = new Map(), relations = [];
    for (const [name, value] of Object.entries(values)) {
      const field = this.fields.get(name);
      if (field.kind === "value") stored.set(field, this.acceptValue(instance, field, value));
      else relations.push([field, value]);
    }
    const indexes = new Set([...stored.keys()].flatMap((field) => this.indexesOf(field)));
    this.#checkUnique(instance, indexes, stored);
    atomically(() => {
      for (const [field, value] of stored) if (value !== instance[field.slot]) set(instance, field, value);
      for (const [field, value] of relations) this.change(instance, field, value);
    });
  }
  updateAll(instances, values) { atomically(() => instances.forEach((instance) => instance[MODEL].updateOne(instance, values))); }

  // Of a model as a whole neither is asked by mistake.
  delete() { throw this.#whole("delete", "delete()"); }
  update(values) { throw this.#whole("update", "update({ ... })", values); }
  #whole(what, call, value) {
    return new ValidationError(this.name, null, value, `is a model, and ${what} is asked of an instance or of a query: instance.${call}, ${this.name}.where(...).${call}, or ${this.name}.all().${call} for all of them`);
  }
  deleteAll(instances) {
    const doomed = new Set();
    for (const instance of instances) {
      if (!isLive(instance)) throw this.#gone(instance, null);
      doomed.add(instance);
    }
    // A set that is gone over gives what is added meanwhile too.
    for (const instance of doomed) for (const each of followers(instance)) doomed.add(each);
    for (const instance of doomed) instance[MODEL].checkChanging();
    for (const instance of doomed) checkFree(instance, doomed);
    atomically(() => {
      for (const instance of doomed) release(instance, doomed);
      for (const instance of doomed) remove(instance);
    });
  }

  // What is stored for a value, or a ValidationError.
  acceptValue(instance, field, value) {
    const { plain } = field.spec;
    // Adding nothing makes 0 of -0.
    if (plain !== null && typeof value === plain && (plain !== "number" || value === (value | 0))) return plain === "number" ? value + 0 : value;
    let stored;
    try {
      stored = accept(field.spec, value, instance);
    } catch (error) {
      if (error instanceof Mismatch) throw new ValidationError(this.name, field.name, value, error.message);
      throw error;
    }
    if (stored !== null && !field.type.isOrdered) for (const index of this.indexesOf(field))
      if (!fits(index, field.key(stored))) throw new ValidationError(this.name, field.name, value, `has an ordered index, and ${show(value)} has no order: drop the index, or give a text, a number, a date or a boolean`);
    return stored;
  }

  #checkUnique(instance, indexes, changed) {
    for (const index of indexes) {
      if (!index.isUnique) continue;
      if (changed === null && index.kind === "hash") {
        const key = keyOf(index.fields[0], instance);
        if (key === null || !index.entries.has(key)) continue;
      }
      const keys = index.fields.map((field) => {
        const stored = changed?.has(field) ? changed.get(field) : instance[field.slot];
        return stored === null || stored === undefined ? null : field.key(stored);
      });
      const holder = index.holder(keys);
      if (!holder || holder === instance) continue;
      const values = index.fields.map((field) => {
        const stored = changed?.has(field) ? changed.get(field) : instance[field.slot] ?? null;
        return field.kind === "one" ? stored : give(field.type, stored);
      });
      throw new UniqueError(this.name, index.fields.map((field) => field.name), values, holder, label(holder));
    }
  }

  #checkNames(values) {
    const { fields } = this;
    for (const name of Object.keys(values)) if (!fields.has(name)) throw this.unknown(name, values[name]);
  }
  unknown(name, value) {
    return new ValidationError(this.name, name, value, `is no field: there are ${[...this.fields.keys()].join(", ") || "none"}; add it to the model, or keep the value elsewhere`);
  }
  #gone(instance, field) {
    return new NotFoundError(this.name, field?.name ?? null, instance, `cannot be changed: ${label(instance)} was deleted, or made in a branch that is not committed; look it up again, or work in(...) that branch`);
  }
  // A promise of this model that is kept when the last change of its definition is through, and broken if that failed; and how far it has
  // come, or null.
  get ready() { return this.lastChange ?? Promise.resolve(this); }
  get progress() { return this.migration?.progress ?? null; }
  // What a model changes it changes in those of the models that extend it, too.
  checkChanging() {
    for (let model = this; model; model = model.parent) if (model.migration !== null) model.migration.checkChanging();
  }
  indexesOf(field) { return this.byField.get(field) ?? NONE; }
  // The relations of all models that may refer to an instance of this one.
  incoming() { return this.registry.incoming(this); }

  // The instance with an id, or null.
  get(id) {
    const instance = this.extent.at(id);
    // An id may be a text, as one of an address is; what is no id at all is that of nobody.
    return instance !== undefined && instance[ID] === Number(id) && (this.parent === null || this.holds(instance)) ? instance : null;
  }
  all() { return new Query(this); }
  where(path, name, value) {
    const { length } = arguments;
    // What is asked most of the time: one field, one value.
    if (typeof path === "string" && (length === 2 ? typeof name !== "function" : length === 3 && name === "="))
      return queryOf(this, equality(this, path, length === 2 ? name : value));
    return queryOf(this, condition(arguments, this));
  }
  // How a path of its instances is read.
  reader(path) { return readerOf(this, path); }
  // How many there are of this model alone; count() takes those of the models that extend it too.
  get size() { return [...this.parts].reduce((sum, part) => sum + part.size, this.own); }
  count() { return this.size; }
  [Symbol.iterator]() { return this.all()[Symbol.iterator](); }
}

const NONE = Object.freeze([]);

// What can be asked of a query can be asked of a model, and of the `many` side of a relation.
const OF_QUERIES = ["not", "filter", "map", "flatMap", "limit", "offset", "select", "distinct", "orderBy", "groupBy", "join", "each", "forEach",
  "reduce", "first", "toArray", "some", "every", "sum", "min", "max", "average", "explain"];
for (const { prototype } of [Model, Many]) {
  for (const name of [...OF_QUERIES, ...(prototype === Many.prototype ? ["where", "count"] : [])])
    Object.defineProperty(prototype, name, { value(...given) { return this.all()[name](...given); }, configurable: true, writable: true });
}

// Assignments to names that are no fields end here, at the root of all prototypes.
export const GUARDED = Object.create(new Proxy(Object.prototype, {
  set(target, name, value, instance) {
    if (typeof name === "symbol" || !isInstance(instance)) return Reflect.defineProperty(instance, name, { value, writable: true, configurable: true, enumerable: typeof name !== "symbol" });
    throw instance[MODEL].unknown(String(name), value);
  },
}));
const OF_INSTANCES = {
  delete() { this[MODEL].deleteAll([this]); },
  update(values) { this[MODEL].updateOne(this, values); return this; },
  // Its fields, with references as ids.
  toJSON() { return plainOf(this, "json"); },
  // The same in a message, which carries bytes and BigInts as they are.
  [STAND_IN]() { return plainOf(this, "data"); },
};
for (const name of Reflect.ownKeys(OF_INSTANCES)) Object.defineProperty(GUARDED, name, { value: OF_INSTANCES[name], configurable: true, writable: true });

function plainOf(instance, form) {
  const plain = { id: instance[ID] };
  for (const field of instance[MODEL].fields.values()) {
    const stored = instance[field.slot] ?? null;
    plain[field.name] = field.kind === "many" ? bagMembers(instance, field.slot).map((member) => member[ID])
      : stored === null ? null : field.kind === "one" ? stored[ID] : field.type[form](stored);
  }
  return plain;
}

// What is asked in a message goes as the list of its answers.
for (const { prototype } of [Rows, Many]) Object.defineProperty(prototype, STAND_IN, { value() { return this.toArray(); } });
Object.defineProperty(Model.prototype, STAND_IN, {
  value() { throw new TypeError(`the model ${this.name} cannot be sent: send ${this.name}.name, or ${this.name}.toArray() for its instances`); },
});

// A class whose instances have these slots from the beginning, in one shape.
function templateOf(slots) {
  const fields = slots.map((_, at) => `[slots[${at}]] = null;`);
  return new Function("slots", `return class { ${fields.join(" ")} };`)(slots);
}

function makerOf(prototype) {
  function Instance() {}
  Instance.prototype = prototype;
  return Instance;
}

// What goes with an instance that is deleted.
function followers(instance) {
  const found = [];
  for (const field of instance[MODEL].incoming()) {
    if (field.onDelete === "cascade") found.push(...referrers(instance, field));
  }
  return found;
}

function referrers(instance, field) {
  if (field.bag) return bagMembers(instance, field.bag);
  const referrer = instance[field.inverse.slot];
  return referrer ? [referrer] : [];
}

function checkFree(instance, doomed) {
  for (const field of instance[MODEL].incoming()) {
    if (field.onDelete === "cascade") continue;
    const left = referrers(instance, field).filter((each) => !doomed.has(each));
    if (left.length === 0 || (field.onDelete === "null" && !field.spec.options.required)) continue;
    const some = left.slice(0, 3).map(label).join(", ") + (left.length > 3 ? ` and ${left.length - 3} more` : "");
    throw new ReferenceError(instance[MODEL].name, null, instance,
      `${instance[ID]} cannot be deleted: ${some} refer${left.length > 1 ? "" : "s"} to it by ${field.model.name}.${field.name}; change or delete ${left.length > 1 ? "these" : "that"} first, or let the relation say onDelete: "null" or "cascade"`, left.slice(0, 10));
  }
}

// Takes an instance out of all relations.
function release(instance, doomed) {
  for (const field of instance[MODEL].incoming()) {
    for (const referrer of referrers(instance, field)) {
      if (field.kind === "many") unlink(referrer, field, instance);
      else if (!doomed.has(referrer) || !field.bag) set(referrer, field, null);
    }
  }
  for (const field of instance[MODEL].fields.values())
    if (field.kind === "many" && field.inverse?.kind === "many") for (const member of bagMembers(instance, field.slot)) unlink(instance, field, member);
}
