// An import: rows of text that become instances, all or none. Pieces of the text are staged and looked at in turns of their own. Few
// rows are taken in by one turn. Many take turns of their own, in which the container goes on by itself, also when it starts again:
//
// 1. Meanwhile the models that rows can touch can be read, and only the import writes to them: `migration` of each is this import.
// 2. What it changes is in its journal, a log as that of a branch. If a row is wrong, the journal is taken back, turn by turn.
// 3. A row waits for those that it must refer to; what it may refer to, and all that is many, comes when all rows are there.
import { NotFoundError, SchemaError, ValidationError, show } from "everturn:data/errors";
import { bagHas } from "everturn:data/bags";
import { registry } from "everturn:data/define";
import { openBranches } from "everturn:data/revisions";
import { RowText } from "everturn:data/rowtext";
import { step } from "everturn:data/schema";
import { MODEL, isInstance } from "everturn:data/slots";
import { atomically, base, now, takeBack } from "everturn:data/store";

// Rows that one turn takes in, of an import that is done by it and of one that takes many; and entries of the journal that one takes back.
const AT_ONCE = 500, ROWS = 200, ENTRIES = 1000;

const rootOf = (model) => model.parent ? rootOf(model.parent) : model;
const partsOf = (model) => [model, ...[...model.parts].flatMap(partsOf)];
const keyOf = (model, id) => `${rootOf(model).name} ${id}`;

export function modelNamed(name) {
  const model = registry.models.get(name);
  if (!model) throw new NotFoundError(String(name), null, name, `is no model: there are ${[...registry.models.keys()].join(", ") || "none"}`);
  return model;
}

function located(number, error) {
  if (!error.message.startsWith("row ")) error.message = `row ${number}: ${error.message}`;
  return error;
}

export class Import {
  done = 0;
  isRunning = false;
  isOver = false;
  #text;
  #rows = new Map();       // by key: the instance that a row with an id became, or the row's number while that is still to come
  #models = new Set();
  #waiting = new Map();    // by key: the rows that must refer to it
  #later = [];
  #journal = [];
  #isWorking = false;
  #error = null;
  #turns = 0;
  #seen = { turns: -1, times: 0 };

  constructor(format, name) { this.#text = new RowText(format, format === "csv" ? modelNamed(name) : null); }

  get total() { return this.#text.count; }
  get progress() { return { done: this.done, total: this.total, changes: ["takes in rows"] }; }
  checkChanging() {
    if (!this.#isWorking) throw new SchemaError(null, null, `rows are being imported (${this.done} of ${this.total}), and until that is over ${[...this.#models].map((model) => model.name).join(", ")} can only be read: await ${[...this.#models][0].name}.ready, then write`);
  }

  stage(text, isLast = false) {
    for (const row of this.#text.take(text, isLast)) this.#enlist(row);
  }

  #enlist({ number, model: name, id }) {
    let model;
    try {
      model = modelNamed(name);
    } catch (error) {
      throw located(number, error);
    }
    this.#models.add(model);
    if (id === null) return;
    const key = keyOf(model, id);
    if (this.#rows.has(key)) throw new SchemaError(null, null, `row ${number} has the id ${id}, as row ${this.#rows.get(key)} has: ids of ${rootOf(model).name} are to differ, for they tie the rows to each other`, [], id);
    this.#rows.set(key, number);
  }

  // Takes in what was staged: at once, or in turns of its own.
  run() {
    this.stage("", true);
    if (this.total <= Math.min(step.instances, AT_ONCE)) {
      this.#isWorking = true;
      atomically(() => { for (const _ of this.#work()); });
      return this.#end();
    }
    const touched = this.#touched(), busy = touched.find((model) => model.migration !== null);
    if (busy) throw new SchemaError(busy.name, null, `is being changed: await ${busy.name}.ready first, then import`);
    if (now.revision !== base || openBranches().length > 0) throw new SchemaError(null, null, `${this.total} rows cannot be imported while branches are open: commit or revert them first (branches() lists them)`);
    this.#models = new Set(touched);
    this.isRunning = true;
    const over = this.#drive();
    for (const model of touched) {
      model.migration = this;
      model.lastChange = over.then(() => model);
    }
  }
  // Whether it is over; throws what was wrong. Between two turns in which this is asked there is one of its own: where there is none, that
  // was discarded, as for its fuel, and all is taken back.
  check() {
    const seen = this.#seen;
    seen.times = seen.turns === this.#turns ? seen.times + 1 : 0;
    seen.turns = this.#turns;
    if (this.isRunning && !this.isOver && seen.times > 2) {
      this.#error ??= { error: new SchemaError(null, null, `behind row ${this.done} a turn was discarded, so that nothing is imported: see why it burns its fuel (checks, defaults, types of your own), or give it more`) };
      this.#undo();
    }
    if (this.isOver && this.#error) throw this.#error.error;
    return this.isOver;
  }

  // The models of rows, and those that relations lead to and from.
  #touched() {
    const found = new Set();
    for (const model of this.#models) for (const part of partsOf(rootOf(model))) {
      found.add(part);
      for (const { target } of part.relations) if (target) for (const other of partsOf(rootOf(target))) found.add(other);
      for (const field of part.incoming()) for (const other of partsOf(rootOf(field.model))) found.add(other);
    }
    return [...found];
  }

  async #drive() {
    const steps = this.#work();
    try {
      do await nextTurn();
      while (!this.#turn(() => steps.next()).done);
    } catch (error) {
      this.#error = { error };
    }
    await this.#undo();
  }
  async #undo() {
    while (this.#error && this.#journal.length > 0) {
      await nextTurn();
      this.#turn(() => takeBack(base, Math.max(this.#journal.length - ENTRIES, 0)));
    }
    for (const model of this.#models) if (model.migration === this) model.migration = null;
    this.#end();
  }
  #end() {
    this.isOver = true;
    this.#isWorking = false;
    this.#rows = this.#waiting = null;
    this.#journal = this.#later = this.#text.pieces = [];
  }

  // What is changed meanwhile goes into the journal.
  #turn(work) {
    this.#isWorking = true;
    this.#turns++;
    base.log = this.#journal;
    base.scopes++;
    try {
      return work();
    } finally {
      this.#isWorking = false;
      base.scopes--;
      base.log = null;
    }
  }

  *#work() {
    const { pieces } = this.#text;
    for (let i = 0; i < pieces.length; i++) {
      const rows = this.#text.rowsOf(pieces[i]);
      for (const row of rows) {
        this.#take(row);
        if (row.number % ROWS === 0) yield;
      }
      pieces[i] = null;
    }
    for (const [key, rows] of this.#waiting) throw located(rows[0].number, new ValidationError(rows[0].model, null, key, `must refer to ${key}, row ${this.#rows.get(key)}, which in turn must refer to it, so that neither can be the first: let one of the relations not be required`));
    let n = 0;
    for (const [number, instance, field, json] of this.#later)
      for (const id of field.kind === "many" ? json : [json]) {
        this.#tie(number, instance, field, id);
        if (++n % ROWS === 0) yield;
      }
  }

  // Makes the instance of a row, and of all that wait for it.
  #take(row) {
    const ready = [row];
    while (ready.length > 0) {
      const next = ready.pop(), key = this.#try(next);
      if (key === null || !this.#waiting.has(key)) continue;
      ready.push(...this.#waiting.get(key));
      this.#waiting.delete(key);
    }
  }

  // The key under which it is known now; null if it has none, or waits.
  #try(row) {
    const model = modelNamed(row.model), later = [], values = {};
    try {
      for (const [name, json] of Object.entries(row.fields)) {
        const field = model.fields.get(name);
        if (!field) throw model.unknown(name, json);
        if (field.kind === "many") later.push([field, this.#members(model, field, json)]);
        else if (field.kind === "value" || json === null) values[name] = json === null ? null : read(field, json);
        else {
          const target = this.#target(model, field, json);
          if (target !== null) values[name] = target;
          else if (field.spec.options.required) return this.#wait(keyOf(field.resolved().target, json), row);
          else later.push([field, json]);
        }
      }
      const instance = model.create(values), key = row.id === null ? null : keyOf(model, row.id);
      this.done++;
      if (key !== null) this.#rows.set(key, instance);
      for (const [field, json] of later) this.#later.push([row.number, instance, field, json]);
      return key;
    } catch (error) {
      throw located(row.number, error);
    }
  }
  #wait(key, row) {
    if (this.#waiting.has(key)) this.#waiting.get(key).push(row);
    else this.#waiting.set(key, [row]);
    return null;
  }

  // What a row refers to: a row's instance, or one that is there; null if that row is still to come.
  #target(model, field, id) {
    const { target } = field.resolved();
    if (!Number.isSafeInteger(id) && typeof id !== "string") throw new ValidationError(model.name, field.name, id, `is to be the id of a ${target.name}, not ${show(id)}`);
    const key = keyOf(target, id);
    const known = this.#rows.get(key);
    if (known !== undefined) return isInstance(known) ? known : null;
    const found = target.get(id);
    if (!found) throw new NotFoundError(model.name, field.name, id, `is ${show(id)}, and there is no ${target.name} of that id, neither among the rows nor here`);
    return found;
  }
  #members(model, field, ids) {
    if (ids === null) return [];
    if (!Array.isArray(ids)) throw new ValidationError(model.name, field.name, ids, `is to be a list of ids, as [1, 2], not ${show(ids)}`);
    return ids;
  }

  #tie(number, instance, field, id) {
    const model = instance[MODEL];
    try {
      if (field.kind === "one") instance[field.name] = this.#target(model, field, id);
      else this.#join(model, instance, field, id);
    } catch (error) {
      throw located(number, error);
    }
  }
  // Where the other side refers to one, its row says it all; what that leaves out is taken from here.
  #join(model, instance, field, id) {
    const { inverse, target } = field.resolved();
    if (inverse.kind !== "one") return instance[field.name].add(this.#target(model, field, id));
    const member = this.#rows.get(keyOf(target, id));
    if (!isInstance(member) || bagHas(instance, field.slot, member)) return;
    if (member[inverse.slot]) throw new ValidationError(model.name, field.name, id, `names ${target.name} ${id}, whose row says another ${inverse.name}: let both say the same`);
    instance[field.name].add(member);
  }
}

// A value as the field takes it; what cannot be read is left to the field, which refuses it.
function read(field, json) {
  try {
    return field.type.parse(json);
  } catch {
    return json;
  }
}
