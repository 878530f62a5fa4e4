// A new definition of a model that has instances: what is different, whether the instances fit, and the way from one to the other.
//
// 1. Nothing that a program can see changes before all instances have been looked at and fit.
// 2. A large model is gone through in turns of its own; it can be read meanwhile, and, where only indexes come, also written.
// 3. A field whose values change gets a slot of its own, filled beside the old one.
import { SchemaError, show, showAll } from "everturn:data/errors";
import { ModelField, adoptMethods, defineAccessor, findField, indexesOf, registry, unbind } from "everturn:data/define";
import { Mismatch, give } from "everturn:data/types";
import { accept, defaultOf } from "everturn:data/field";
import { bagMembers, bagRemove } from "everturn:data/bags";
import { openBranches } from "everturn:data/revisions";
import { ID, keyOf, label } from "everturn:data/slots";
import { base, now } from "everturn:data/store";

// Instances that are gone through in one turn.
export const step = { instances: 5000 };
const OFFENDERS = 10;

export function redefine(model, definition, methods, options) {
  const plan = compare(model, definition);
  if (options?.dryRun) return dryRun(model, plan);
  if (model.migration) throw new SchemaError(model.name, null, `is being changed (${progressText(model.migration)}): await ${model.name}.ready first`);
  if (plan.changes.length === 0) return adopt(model, plan, methods);
  if (now.revision !== base) throw new SchemaError(model.name, null, "cannot be changed within a branch: do it outside");
  if (plan.values.length + plan.removed.length > 0 && openBranches().length > 0)
    throw new SchemaError(model.name, null, "cannot change its fields while branches are open: commit or revert them first (branches() lists them)");
  const migration = new Migration(model, plan, methods);
  if (migration.total <= step.instances) migration.runAtOnce();
  else migration.runInTurns();
  return model;
}

// What is different, for people (`changes`) and for the migration.
function compare(model, { specs, compounds }) {
  const plan = { changes: [], specs, compounds, renamed: [], added: [], removed: [], values: [], kept: [] };
  const { changes } = plan, left = new Map(model.declared);
  for (const [name, spec] of specs) {
    const was = spec.rules?.was ?? spec.options?.was;
    const before = left.has(name) ? name : was !== undefined && left.has(was) && !specs.has(was) ? was : null;
    if (before === null) {
      plan.added.push([name, spec]);
      changes.push(`adds ${name}`);
      continue;
    }
    const field = left.get(before);
    left.delete(before);
    if (before !== name) {
      plan.renamed.push([field, name]);
      changes.push(`renames ${before} to ${name}`);
    }
    compareField(model, plan, field, name, spec);
  }
  for (const [name, field] of left) {
    checkRemoval(field);
    plan.removed.push(field);
    changes.push(`removes ${name}`);
  }
  for (const [name, spec] of plan.added) checkJoining(model, name, spec);
  for (const [name, spec] of plan.added) if (fills(spec)) plan.values.push({ name, spec, from: null });
  compareIndexes(model, plan);
  return plan;
}

// Whether a new field gives existing instances anything, or asks anything of them.
function fills(spec) {
  return spec.rules ? spec.rules.required || spec.rules.default !== undefined : spec.options.required;
}

function compareField(model, plan, field, name, spec) {
  const before = field.spec.signature(), after = spec.signature();
  plan.kept.push([field, spec]);
  if (before === after) return;
  if (field.kind === "value" && spec.type) {
    plan.changes.push(`changes ${name} from ${before} to ${after}`);
    plan.values.push({ name, spec, from: field });
    plan.kept.pop();
    return;
  }
  if (field.kind !== (spec.kind ?? "value") || field.spec.target !== spec.target)
    throw new SchemaError(model.name, name, `cannot turn from ${before.trim()} into ${after.trim()}: add a field of another name, carry over what is to stay, then remove this one`);
  plan.changes.push(`changes ${name}`);
  if (spec.options.required && !field.spec.options.required) plan.values.push({ name, spec, from: field });
}

// Two that each refer to one: there may be several that refer to the same by now.
function checkJoining(model, name, spec) {
  const other = spec.kind === "one" && spec.options.inverse ? registry.models.get(spec.target)?.fields.get(spec.options.inverse) : null;
  if (other?.kind === "one" && !other.inverse && model.extent.size > 0)
    throw new SchemaError(model.name, name, `cannot become the one other side of ${other.model.name}.${other.name}, to which several may refer: make it many(...), or define both anew`);
}

function checkRemoval(field) {
  const { inverse } = field;
  if (field.kind === "one" && inverse?.kind === "many")
    throw new SchemaError(field.model.name, field.name, `cannot go while ${inverse.model.name}.${inverse.name} is its other side: remove that first`);
}

// The signatures that the new indexes will have, to be compared with those that there are.
function compareIndexes(model, plan) {
  const names = new Map(plan.renamed.map(([field, name]) => [field, name]));
  const nameOf = (field) => names.get(field) ?? field.name;
  const before = new Set(model.ownIndexes.map((index) => `${index.kind} ${index.isUnique} ${index.fields.map(nameOf)}`));
  const after = new Set();
  for (const [name, spec] of plan.specs) {
    if (spec.rules?.unique) after.add(`hash true ${name}`);
    if (spec.rules?.index) after.add(`ordered false ${name}`);
  }
  for (const { names, isUnique } of plan.compounds) after.add(`ordered ${isUnique} ${names}`);
  const word = (text) => text.replace("hash true", "unique").replace("ordered true", "unique over").replace("ordered false", "index over");
  for (const each of after) if (!before.has(each)) plan.changes.push(`adds ${word(each)}`);
  for (const each of before) if (!after.has(each)) plan.changes.push(`drops ${word(each)}`);
}

// The same definition again, as when a program is loaded again: its functions are new.
function adopt(model, plan, methods) {
  for (const [field, spec] of plan.kept) field.spec = spec;
  adoptMethods(model, methods);
  return model;
}

function dryRun(model, plan) {
  const migration = new Migration(model, plan, undefined);
  const report = () => ({ model: model.name, changes: plan.changes, instances: migration.total, violations: migration.violations });
  if (migration.total <= step.instances) {
    for (const _ of migration.check());
    return report();
  }
  return (async () => {
    for (const _ of migration.check()) await pause();
    return report();
  })();
}

function pause() {
  return typeof globalThis.nextTurn === "function" ? globalThis.nextTurn() : Promise.resolve();
}

function progressText(migration) {
  return `${migration.done} of ${migration.total} instances`;
}

function isSame(index, other) {
  return index.kind === other.kind && index.isUnique === other.isUnique && index.fields.length === other.fields.length
    && index.fields.every((field, at) => field === other.fields[at]);
}

class Migration {
  done = 0;
  violations = [];

  constructor(model, plan, methods) {
    this.model = model;
    this.plan = plan;
    this.methods = methods;
    this.total = model.size;
    this.names = new Map(plan.renamed.map(([field, name]) => [field, name]));
    // What the fields will be: those that are kept, and new ones.
    this.fields = new Map();
    const changed = new Map(plan.values.filter(({ spec }) => spec.rules).map((value) => [value.name, value]));
    for (const [name, spec] of plan.specs) {
      const kept = plan.kept.find(([field]) => (this.names.get(field) ?? field.name) === name)?.[0];
      this.fields.set(name, kept && !changed.has(name) ? kept : new ModelField(model, name, spec));
    }
    this.added = [];
    this.indexes = this.#indexes();
  }

  // Those that are there already, and new ones.
  #indexes() {
    const { model, plan } = this;
    const fieldNamed = (name) => this.fields.get(name) ?? (model.parent ? findField(model.parent, name) : null);
    const made = indexesOf(model, [...this.fields].map(([name, field]) => [field, plan.specs.get(name)]), plan.compounds, fieldNamed);
    return made.map((index) => {
      const same = model.ownIndexes.find((other) => isSame(index, other));
      if (same) return same;
      index.built = 0;
      this.added.push(index);
      return index;
    });
  }

  get progress() { return { done: this.done, total: this.total, changes: this.plan.changes }; }
  get #changesValues() { return this.plan.values.length + this.plan.removed.length + this.plan.renamed.length + this.plan.added.length > 0; }
  checkChanging() {
    if (this.#changesValues) throw new SchemaError(this.model.name, null, `is being changed (${progressText(this)}) and can only be read: await ${this.model.name}.ready, then write`);
  }

  runAtOnce() {
    const { model } = this;
    try {
      for (const _ of this.#work());
    } finally {
      model.migration = null;
    }
  }

  runInTurns() {
    const { model } = this, steps = this.#work();
    model.migration = this;
    try {
      // What is wrong with the first instances is known at once.
      steps.next();
    } catch (error) {
      model.migration = null;
      throw error;
    }
    model.lastChange = this.#drive(steps);
    model.lastChange.catch(() => {});
  }
  async #drive(steps) {
    const { model } = this;
    try {
      do await pause();
      while (!steps.next().done);
    } catch (error) {
      console.error(`${error.name}: ${error.message}`);
      throw error;
    } finally {
      // While this one was still tidying up, the next may have begun.
      if (model.migration === this) model.migration = null;
    }
    return model;
  }

  *#work() {
    // Changes that come meanwhile are to reach the new indexes too.
    const isConcurrent = !this.#changesValues;
    if (isConcurrent) this.#attach(true);
    try {
      yield* this.#fill();
      if (this.violations.length > 0) throw this.#violated();
    } catch (error) {
      if (isConcurrent) this.#attach(false);
      this.#clear();
      throw error;
    }
    for (const index of this.added) index.built = Infinity;
    this.#switch();
    yield* this.#sweep();
  }

  #attach(is) {
    const { model } = this;
    model.ownIndexes = is ? [...model.ownIndexes, ...this.added] : model.ownIndexes.filter((index) => !this.added.includes(index));
    registry.refresh();
  }

  // For a dry run: nothing stays of it.
  *check() {
    yield* this.#fill();
    this.#clear();
  }

  // Computes new values and builds new indexes, instance by instance.
  *#fill() {
    const { model, plan } = this, values = plan.values.map((value) => ({ ...value, to: this.fields.get(value.name) }));
    if (values.length + this.added.length === 0) return;
    for (let from = 0, n = 1; ; n++) {
      const next = model.extent.walk(from);
      let instance = null;
      for (let i = 0; i < step.instances && (instance = next()) !== null; i++) {
        from = instance[ID] + 1;
        if (!model.holds(instance)) continue;
        this.done++;
        for (const value of values) this.#value(instance, value);
        for (const index of this.added) this.#enter(index, instance);
        if (this.violations.length >= OFFENDERS) return;
      }
      for (const index of this.added) index.built = from;
      if (instance === null) return;
      yield n;
    }
  }

  #value(instance, { name, spec, from, to }) {
    if (!spec.rules) {
      if (!instance[to.slot]) this.#violate(instance, name, null, `would be required, and has no ${spec.target}`);
      return;
    }
    const old = from ? give(from.type, instance[from.slot] ?? null) : null;
    try {
      const value = from ? (spec.rules.migrate && old !== null ? spec.rules.migrate(old, instance) : old) : undefined;
      const fills = !from || spec.rules.required;
      instance[to.slot] = accept(spec, value ?? (fills ? defaultOf(spec) : null), instance);
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      this.#violate(instance, name, old, error.message);
    }
  }

  #enter(index, instance) {
    const keys = index.fields.map((field) => keyOf(field, instance));
    const holder = index.isUnique ? index.holder(keys) : undefined;
    if (holder && holder !== instance) this.#taken(instance, index, holder);
    else index.add(instance);
  }

  #taken(instance, index, holder) {
    const names = index.fields.map((field) => field.name);
    const values = index.fields.map((field) => field.kind === "one" ? instance[field.slot] ?? null : give(field.type, instance[field.slot] ?? null));
    if (names.length === 1) this.#violate(instance, index.name, values[0], `would be unique, and ${label(holder)} has ${show(values[0])} too`);
    else this.#violate(instance, index.name, values, `would be unique together, and ${label(holder)} has ${showAll(names, values)} too`);
  }

  #violate(instance, field, value, reason) {
    if (this.violations.length < OFFENDERS) this.violations.push({ instance, id: instance[ID], field, value, reason });
  }
  #violated() {
    const lines = this.violations.map(({ instance, field, reason }) => `${label(instance)}: ${field} ${reason}`);
    const more = this.violations.length >= OFFENDERS ? ", and there may be more" : "";
    return new SchemaError(this.model.name, this.violations[0].field,
      `cannot become what was asked, and stays as it was: ${lines.join("; ")}${more}; change these instances, give the field a default or migrate(...), or ask for less`, this.violations);
  }

  // Takes back what nobody has seen.
  #clear() {
    const known = new Set(this.model.declared.values());
    const slots = [...this.fields.values()].filter((field) => field.kind === "value" && !known.has(field)).map((field) => field.slot);
    const next = this.model.extent.walk();
    if (slots.length === 0) return;
    for (let instance; (instance = next()) !== null;) for (const slot of slots) if (instance[slot] !== undefined) instance[slot] = undefined;
  }

  // From one moment to the next all is as the new definition says.
  #switch() {
    const { model, plan } = this;
    for (const field of model.declared.values()) delete model.prototype[field.name];
    for (const [field, name] of plan.renamed) field.name = name;
    for (const [field, spec] of plan.kept) {
      const isSame = field.spec.signature() === spec.signature();
      field.take(spec);
      if (!isSame && field.kind !== "value") rebind(field);
    }
    for (const field of plan.removed) forget(field);
    model.declared = this.fields;
    model.ownIndexes = this.indexes;
    model.compounds = plan.compounds;
    registry.refresh();
    adoptMethods(model, this.methods);
    for (const field of model.declared.values()) defineAccessor(field);
    model.version++;
    model.history.push({ version: model.version, at: Date.now(), changes: plan.changes });
    model.migration = null;
  }

  // Lets go of what the fields that are gone hold.
  *#sweep() {
    const { model, plan } = this;
    const gone = [...plan.removed, ...plan.values.filter(({ spec, from }) => from && spec.rules).map(({ from }) => from)];
    if (gone.length === 0) return;
    for (let from = 0; ;) {
      const next = model.extent.walk(from);
      let instance = null;
      for (let i = 0; i < step.instances && (instance = next()) !== null; i++) {
        from = instance[ID] + 1;
        for (const field of gone) {
          if (instance[field.slot] === undefined) continue;
          if (field.kind === "one" && field.bag && instance[field.slot]) bagRemove(instance[field.slot], field.bag, instance);
          if (field.kind === "many") for (const member of bagMembers(instance, field.slot)) bagRemove(member, field.bag, instance);
          instance[field.slot] = undefined;
        }
      }
      if (instance === null) return;
      yield from;
    }
  }
}

// A relation whose other side may be another now; what it keeps stays where it is.
function rebind(field) {
  if (!field.inverse || field.inverse.isHidden) {
    const { bag } = field;
    unbind(field);
    field.bag = bag;
  }
}

// The other side of a relation that goes keeps what it has.
function forget(field) {
  const { inverse } = field;
  if (!inverse || inverse.isHidden) return;
  if (inverse.kind === "many") inverse.inverse = { kind: "many", slot: inverse.bag, spec: { options: {} }, isHidden: true };
  else {
    inverse.inverse = null;
    inverse.bag ??= field.slot;
  }
  field.slot = Symbol(field.name);
}

