// Definitions: from what a program says to models with fields, indexes and relations, and to new ones in place of old.
import { SchemaError, show } from "everturn:data/errors";
import { faultOf } from "everturn:data/field";
import { fieldOf } from "everturn:data/types";
import { HashIndex, OrderedIndex } from "everturn:data/indexes";
import { Model, RESERVED } from "everturn:data/model";
import { Many, Relation, relationFault } from "everturn:data/relations";
import { ID, MODEL } from "everturn:data/slots";
import { redefine } from "everturn:data/schema";

const OPTIONS = ["index", "unique", "dryRun"];

// All models of this container, by name.
class Registry {
  models = new Map();
  #incoming = new Map();

  incoming(model) {
    let found = this.#incoming.get(model);
    if (!found) this.#incoming.set(model, found = this.#findIncoming(model));
    return found;
  }
  #findIncoming(model) {
    const found = [];
    for (const other of this.models.values()) for (const field of other.declared.values()) {
      if (field.kind === "value" || !field.target || (field.kind === "many" && field.inverse?.kind !== "many")) continue;
      for (let part = model; part; part = part.parent) if (part === field.target) found.push(field);
    }
    return found;
  }

  // After any definition: relations find their other sides, and all that is derived is derived again.
  refresh() {
    this.#incoming.clear();
    for (const model of this.models.values()) for (const field of model.declared.values()) if (field.kind !== "value" && !field.target) this.#bind(field);
    this.#incoming.clear();
    for (const model of this.models.values()) if (!model.parent) this.#derive(model);
  }

  #derive(model) {
    const { parent } = model;
    model.fields = new Map([...parent?.fields ?? [], ...model.declared]);
    model.indexes = [...parent?.indexes ?? [], ...model.ownIndexes];
    model.references = [...model.fields.values()].filter((field) => field.kind === "one" && field.bag);
    model.values = [...model.fields.values()].filter((field) => field.kind === "value");
    model.relations = [...model.fields.values()].filter((field) => field.kind !== "value");
    model.byField = new Map();
    for (const index of model.indexes) for (const field of index.fields) model.byField.set(field, [...model.byField.get(field) ?? [], index]);
    for (const field of model.declared.values()) field.serve(model.indexes);
    model.template = null;
    model.readers = new Map();
    for (const part of model.parts) this.#derive(part);
  }

  #bind(field) {
    const target = this.models.get(field.spec.target);
    if (!target) return;
    const inverse = otherSide(field, target);
    field.target = target;
    if (!inverse) {
      field.bag ??= Symbol(`those whose ${field.name} it is`);
      field.inverse = field.kind === "many" ? { kind: "many", slot: field.bag, spec: { options: {} }, isHidden: true } : null;
    } else pair(field, inverse);
  }
}

export const registry = new Registry();

// The field of the target that is the other side of a relation; null if it has none.
function otherSide(field, target) {
  const { name, model, spec } = field, named = spec.options.inverse;
  const points = (other) => other.kind !== "value" && isKin(model, other.spec.target);
  if (named === undefined) {
    const fields = [...target.declared.values()].filter((other) => other !== field && points(other) && other.spec.options.inverse === name);
    return fields[0] ?? null;
  }
  const other = findField(target, named);
  const place = `${target.name}.${named}`;
  if (!other) throw new SchemaError(model.name, name, `names ${place} as its inverse, which there is not: add it there, or leave the inverse out`);
  if (!points(other)) throw new SchemaError(model.name, name, `names ${place} as its inverse, which is no relation to ${model.name}: make it one(...) or many(...) of that`);
  const back = other.spec.options.inverse;
  if (back !== undefined && back !== name) throw new SchemaError(model.name, name, `names ${place} as its inverse, whose own inverse is ${show(back)}: let them name each other`);
  return other;
}

function findField(model, name) {
  for (; model; model = model.parent) if (model.declared.has(name)) return model.declared.get(name);
  return null;
}

function isKin(model, name) {
  for (; model; model = model.parent) if (model.name === name) return true;
  return false;
}

// Two fields become the sides of one relation. What a side that was alone has kept for the other is the other's now.
function pair(field, inverse) {
  inverse.target ??= registry.models.get(inverse.spec.target);
  field.inverse = inverse;
  inverse.inverse = field;
  if (field.kind === "one" && inverse.kind === "one") {
    field.bag = inverse.bag = null;
  } else if (field.kind === "many" && inverse.kind === "many") {
    if (inverse.bag) field.slot = inverse.bag;
    field.bag = inverse.slot;
    inverse.bag = field.slot;
  } else {
    const [one, many] = field.kind === "one" ? [field, inverse] : [inverse, field];
    if (many.spec.options.onDelete !== undefined)
      throw new SchemaError(many.model.name, many.name, `says onDelete, which is for the side that refers: say it at ${one.model.name}.${one.name}`);
    if (one.bag) many.slot = one.bag;
    one.bag = many.slot;
    many.bag = null;
  }
}

// A field of a model: its spec, where instances keep it, and for a relation its other side.
export class ModelField {
  constructor(model, name, spec) {
    this.model = model;
    this.name = name;
    this.slot = Symbol(name);
    this.target = null;
    this.inverse = null;
    this.bag = null;
    this.hash = null;      // the indexes that the planner would take where it is all that is asked for
    this.ordered = null;
    this.take(spec);
  }
  serve(indexes) {
    const first = indexes.find((index) => index.kind === "ordered" && index.fields[0] === this);
    this.hash = indexes.find((index) => index.kind === "hash" && index.fields[0] === this) ?? null;
    this.ordered = first?.fields.length === 1 ? first : null;
  }
  take(spec) {
    this.spec = spec;
    this.kind = spec.kind ?? "value";
    this.type = spec.type ?? null;
    this.isKey = this.kind === "value" && spec.type.plain !== null;   // a value is its own key
    if (this.kind === "value") this.key = spec.type.key;
    else {
      const { onDelete, required } = spec.options;
      this.onDelete = onDelete ?? (required ? "restrict" : "null");
      this.key = (target) => target[ID];
    }
  }
  // With its target known.
  resolved() {
    if (this.target) return this;
    throw new SchemaError(this.model.name, this.name, `refers to ${this.spec.target}, which is not defined yet: call model(${show(this.spec.target)}, ...) first`);
  }
}

// What a definition says, checked: {fields: name -> spec, compounds: [{names, isUnique}]}.
export function read(name, fields, options = {}, parent = null) {
  if (typeof name !== "string" || !/^[A-Za-z_$][\w$]*$/.test(name)) throw new SchemaError(null, null, `model(name, ...): a name is to be like Person, not ${show(name)}`, [], name);
  if (!isPlainObject(fields)) throw new SchemaError(name, null, `is defined by an object of names and fields, not by ${show(fields)}`, [], fields);
  checkOptions(name, options);
  const specs = new Map(), before = new Map();
  for (const [field, given] of Object.entries(fields)) {
    checkFieldName(name, field, parent);
    const spec = given instanceof Relation ? given : fieldOf(given), fault = spec.kind ? relationFault(spec) : faultOf(spec);
    if (fault) throw new SchemaError(name, field, fault.reason, [], fault.value);
    const was = spec.kind ? spec.options.was : spec.rules.was;
    if (was !== undefined && before.has(was)) throw new SchemaError(name, field, `says that it was ${was}, as ${before.get(was)} does: one field becomes one field`, [], was);
    before.set(was, field);
    specs.set(field, spec);
  }
  const compounds = [...compoundsOf(name, options, "index"), ...compoundsOf(name, options, "unique")];
  for (const { names } of compounds) checkColumns(name, names, specs, parent);
  return { specs, compounds };
}

function isPlainObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function checkOptions(model, options) {
  if (!isPlainObject(options)) throw new SchemaError(model, null, `takes as options an object such as { index: [["city", "age"]] }, not ${show(options)}`, [], options);
  for (const option of Object.keys(options)) if (!OPTIONS.includes(option)) throw new SchemaError(model, null, `knows no option ${show(option)}: there are ${OPTIONS.join(", ")}`, [], options[option]);
  if (options.dryRun !== undefined && typeof options.dryRun !== "boolean") throw new SchemaError(model, null, `says dryRun: ${show(options.dryRun)}: give it true or false`, [], options.dryRun);
}

function checkFieldName(model, field, parent) {
  if (RESERVED.includes(field)) throw new SchemaError(model, field, "is a name that every instance has already: choose another", [], field);
  if (field === "" || field.includes(".")) throw new SchemaError(model, null, `has a field of the name ${show(field)}: a name has at least one letter and no point, which parts the names of a path`, [], field);
  if (parent?.fields.has(field)) throw new SchemaError(model, field, `is a field of ${parent.name} already: choose another name`, [], field);
  for (const part of partsOf(registry.models.get(model)))
    if (part.declared.has(field) || part.methods?.includes(field)) throw new SchemaError(model, field, `is a ${part.declared.has(field) ? "field" : "method"} of ${part.name}, which extends ${model}: choose another name, or change ${part.name} first`, [], field);
}

// The models that extend this one, and those that extend them.
function partsOf(model) {
  return model ? [...model.parts].flatMap((part) => [part, ...partsOf(part)]) : [];
}

const SHAPE = 'wants indexes over several fields as lists of their names: index: [["city", "age"]]';

function compoundsOf(model, options, option) {
  const given = options[option];
  if (given === undefined) return [];
  const fail = () => { throw new SchemaError(model, null, SHAPE.replace("index:", `${option}:`), [], given); };
  if (!Array.isArray(given)) fail();
  const lists = given.length > 0 && given.every((each) => typeof each === "string") ? [given] : given, seen = new Set();
  return lists.map((names) => {
    if (!Array.isArray(names) || names.length === 0 || !names.every((name) => typeof name === "string")) fail();
    if (new Set(names).size < names.length) throw new SchemaError(model, null, `names a field twice in ${option}: ${JSON.stringify(names)}: name each once`, [], names);
    if (seen.has(names.join("\n"))) throw new SchemaError(model, null, `asks twice for ${option}: ${JSON.stringify(names)}: once is enough`, [], names);
    seen.add(names.join("\n"));
    return { names, isUnique: option === "unique" };
  });
}

function checkColumns(model, names, specs, parent) {
  for (const name of names) {
    const spec = specs.get(name) ?? parent?.fields.get(name)?.spec;
    if (!spec) throw new SchemaError(model, name, `is to be in an index, and is no field: there are ${[...parent?.fields.keys() ?? [], ...specs.keys()].join(", ") || "none"}`, [], names);
    if (spec.kind === "many") throw new SchemaError(model, name, "holds many, which no index can be over: leave it out of the index", [], names);
    if (!spec.kind && !spec.type.isCompared) throw new SchemaError(model, name, `is to be in an index, and a ${spec.type.name} has no order: leave it out of the index`, [], names);
  }
}

// Whether the methods can be those of a model with these fields; before anything changes.
function checkMethods(model, methods, specs, parent) {
  if (methods === undefined || methods === null) return;
  if (!isPlainObject(methods)) throw new SchemaError(model, null, `takes as methods an object of functions and getters, not ${show(methods)}`, [], methods);
  for (const name of Reflect.ownKeys(methods)) {
    const { value } = Object.getOwnPropertyDescriptor(methods, name);
    if (specs.has(name) || parent?.fields.has(name)) throw new SchemaError(model, String(name), "is a field and a method: choose another name for one of them", [], value);
    if (name === "constructor" || name === "__proto__") throw new SchemaError(model, name, "is a name that every instance has already: choose another", [], value);
    if (OPTIONS.includes(name) && typeof value !== "function" && value !== undefined)
      throw new SchemaError(model, null, `is given ${show(name)} among its methods: options come behind them, as model(name, fields, methods, options)`, [], value);
  }
}

// Whether the relations find their other sides, as they will when these fields are the model's; before anything changes.
function checkRelations(name, specs, parent) {
  const declaredOf = (model) => model.name === name ? specs : new Map([...model.declared].map(([field, { spec }]) => [field, spec]));
  const self = { name, parent, declared: specs }, modelNamed = (each) => each === name ? self : registry.models.get(each);
  const kinOf = (model) => model ? [model, ...kinOf(model.parent)] : [];
  const find = (model, field) => kinOf(model).map((each) => declaredOf(each).get(field)).find((spec) => spec !== undefined) ?? null;
  // Those of other models that wait for this one are bound now too.
  const isWaiting = (model, field) => model !== self && model.declared.get(field).target === null;
  for (const model of [self, ...[...registry.models.values()].filter((each) => each.name !== name)]) {
    const named = new Map();
    for (const [field, spec] of declaredOf(model)) {
      const target = spec.kind ? modelNamed(spec.target) : null, { inverse } = spec.options ?? {};
      if (!target || inverse === undefined || !(model === self || isWaiting(model, field))) continue;
      const fail = (reason) => { throw new SchemaError(model.name, field, reason, [], inverse); };
      const other = find(target, inverse), place = `${target.name}.${inverse}`;
      if (!other) fail(`names ${place} as its inverse, which there is not: add it there, or leave the inverse out`);
      if (!other.kind || !kinOf(model).some((each) => each.name === other.target)) fail(`names ${place} as its inverse, which is no relation to ${model.name}: make it one(...) or many(...) of that`);
      const back = other.options.inverse;
      if (back !== undefined && back !== field && back !== spec.options.was) fail(`names ${place} as its inverse, whose own inverse is ${show(back)}: let them name each other`);
      if (named.has(place)) fail(`names ${place} as its inverse, as ${model.name}.${named.get(place)} does: a field is the other side of one relation`);
      named.set(place, field);
      const [many, one] = spec.kind === "many" ? [spec, other] : [other, spec];
      if (many.kind === "many" && one.kind === "one" && many.options.onDelete !== undefined) {
        const [there, here] = spec === many ? [`${model.name}.${field}`, place] : [place, `${model.name}.${field}`];
        throw new SchemaError(...there.split("."), `says onDelete, which is for the side that refers: say it at ${here}`, [], many.options.onDelete);
      }
    }
  }
}

// The indexes that a definition asks for, by fields with their specs; `fieldNamed` finds fields, also those inherited.
export function indexesOf(model, fields, compounds, fieldNamed) {
  const made = [];
  for (const [field, { rules }] of fields) {
    if (rules?.unique) made.push(new HashIndex(model, field));
    if (rules?.index) made.push(new OrderedIndex(model, [field]));
  }
  for (const { names, isUnique } of compounds) {
    const columns = names.map((name) => {
      const field = fieldNamed(name);
      return field;
    });
    made.push(new OrderedIndex(model, columns, isUnique));
  }
  return made;
}

export function defineAccessor(field) {
  const { kind, type } = field;
  const get = kind === "many" ? function () { return new Many(this, field); }
    : kind === "one" || type.isDirect ? function () { return this[field.slot] ?? null; }
    : function () { const stored = this[field.slot]; return stored === null || stored === undefined ? null : type.give(stored); };
  const set = function (value) { this[MODEL].change(this, field, value); };
  Object.defineProperty(field.model.prototype, field.name, { get, set, enumerable: true, configurable: true });
}

export function adoptMethods(model, methods = {}) {
  for (const name of model.methods ?? []) delete model.prototype[name];
  model.methods = Reflect.ownKeys(methods);
  for (const name of model.methods) {
    Object.defineProperty(model.prototype, name, { ...Object.getOwnPropertyDescriptor(methods, name), enumerable: false, configurable: true });
  }
}

// Defines a model; if there is one of that name, it becomes this, and its instances with it, or nothing changes.
export function define(name, fields = {}, methods, options, parent = null) {
  const known = registry.models.get(name);
  const definition = read(name, fields, options, parent);
  checkMethods(name, methods, definition.specs, parent);
  if (known) {
    if (known.parent !== parent) throw new SchemaError(name, null, `${known.parent ? `extends ${known.parent.name}` : "extends no other model"}, which cannot change: define a model of another name`, [], parent);
    checkRelations(name, definition.specs, parent);
    return redefine(known, definition, methods, options);
  }
  checkRelations(name, definition.specs, parent);
  if (options?.dryRun) return { model: name, changes: ["would be new"], instances: 0, violations: [] };
  const model = new Model(name, parent, registry);
  model.compounds = definition.compounds;
  for (const [field, spec] of definition.specs) model.declared.set(field, new ModelField(model, field, spec));
  model.ownIndexes = indexesOf(model, [...model.declared.values()].map((field) => [field, field.spec]), definition.compounds, (field) => findField(model, field));
  registry.models.set(name, model);
  parent?.parts.add(model);
  try {
    registry.refresh();
    adoptMethods(model, methods);
  } catch (error) {
    registry.models.delete(name);
    parent?.parts.delete(model);
    for (const other of registry.models.values()) for (const field of other.declared.values()) if (field.target === model) unbind(field);
    registry.refresh();
    throw error;
  }
  for (const field of model.declared.values()) defineAccessor(field);
  model.version = 1;
  model.history.push({ version: 1, at: Date.now(), changes: ["defined"] });
  return model;
}

// A relation whose other model has not come to be.
export function unbind(field) {
  field.target = field.inverse = field.bag = null;
}

export { findField };
