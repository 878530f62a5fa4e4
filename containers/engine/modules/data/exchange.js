// What the host's tools ask a container for: its models as text, its instances as lines of JSON or CSV, and such lines taken in. They
// find it under Symbol.for("everturn.data") of the global object, where it is once the module was imported.
import { NotFoundError, SchemaError, show } from "everturn:data/errors";
import { registry } from "everturn:data/define";
import { transact } from "everturn:data/revisions";
import { schemaOf } from "everturn:data/show";
import { ID, MODEL } from "everturn:data/slots";

const SHOWN = Symbol.for("everturn.show");
const PAGE = 500;

// A text that the shell shows as it is.
const told = (text) => ({ [SHOWN]: () => text });

function modelNamed(name) {
  const model = registry.models.get(name);
  if (!model) throw new NotFoundError(name, null, name, `is no model: there are ${[...registry.models.keys()].join(", ") || "none"}`);
  return model;
}

const rootOf = (model) => model.parent ? rootOf(model.parent) : model;

function rowOf(instance) {
  const { id, ...fields } = instance.toJSON();
  return { model: instance[MODEL].name, id: instance[ID], fields: { ...fields, ...(instance[MODEL].fields.has("id") ? { id } : {}) } };
}

// One page of instances: on its first line where to go on, or null, then the rows.
function page(format, name, from) {
  const model = modelNamed(name), next = model.extent.walk(from), lines = [];
  let last = null, instance = null;
  while (lines.length < PAGE && (instance = next()) !== null) {
    last = instance[ID];
    if (instance[MODEL] !== model) continue;
    lines.push(format === "csv" ? csvOf(model, instance) : JSON.stringify(rowOf(instance)));
  }
  if (format === "csv" && from === 0) lines.unshift(["id", ...model.fields.keys()].join(","));
  return told([instance === null ? "null" : last + 1, ...lines].join("\n"));
}

function csvOf(model, instance) {
  const { fields } = rowOf(instance);
  return [instance[ID], ...[...model.fields.keys()].map((name) => cell(fields[name]))].join(",");
}

// Nothing is an empty cell, an empty text one of two quotes.
function cell(value) {
  if (value === null) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// The records of a CSV text, as lists of {text, isQuoted}.
function records(text) {
  const found = [];
  let record = [], at = 0;
  const end = () => { if (record.length > 1 || record[0].text !== "" || record[0].isQuoted) found.push(record); record = []; };
  while (at < text.length) {
    let value = "", isQuoted = text[at] === '"';
    if (isQuoted) {
      for (at++; at < text.length && (text[at] !== '"' || text[at + 1] === '"'); at++) {
        if (text[at] === '"') at++;
        value += text[at];
      }
      if (at++ >= text.length) throw new SchemaError("import", null, `row ${found.length}: a quote is not closed`);
    } else for (; at < text.length && !",\r\n".includes(text[at]); at++) value += text[at];
    record.push({ text: value, isQuoted });
    if (text[at] === ",") {
      if (++at === text.length) record.push({ text: "", isQuoted: false });
    } else {
      if (text[at] === "\r") at++;
      at++;
      end();
    }
  }
  if (record.length > 0) end();
  return found;
}

function rowsOfCsv(text, name) {
  const model = modelNamed(name), [head, ...rest] = records(text);
  if (!head) return [];
  const names = head.map((each) => each.text);
  for (const each of names) if (each !== "id" && !model.fields.has(each)) throw model.unknown(each);
  return rest.map((record, at) => {
    if (record.length !== names.length) throw new SchemaError(name, null, `row ${at + 1} has ${record.length} cells, and the first line ${names.length} names`);
    const fields = {};
    let id = null;
    record.forEach(({ text, isQuoted }, column) => {
      if (names[column] === "id") id = Number(text);
      else fields[names[column]] = text === "" && !isQuoted ? null : plainOf(model.fields.get(names[column]), text);
    });
    return { model: name, id, fields };
  });
}

function plainOf(field, text) {
  if (field.kind === "value" && ["string", "date", "bytes", "bigint"].includes(field.type.name)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function rowsOfLines(text) {
  return text.split("\n").filter((line) => line.trim() !== "").map((line, at) => {
    try {
      return JSON.parse(line);
    } catch (error) {
      throw new SchemaError("import", null, `row ${at + 1} is no JSON: ${error.message}`);
    }
  });
}

let staged = [];

// Takes in all rows or none. Ids are those of the rows among each other; what is not among the rows is looked for among what is there.
function takeIn(format, name) {
  const text = staged.join("");
  staged = [];
  const rows = format === "csv" ? rowsOfCsv(text, name) : rowsOfLines(text);
  transact(() => new Intake(rows).run());
  return told(String(rows.length));
}

class Intake {
  #rows;
  #byId = new Map();
  #made = new Map();
  #later = [];

  constructor(rows) {
    this.#rows = rows;
    rows.forEach((row, at) => {
      row.number = at + 1;
      row.of = modelNamed(row.model);
      if (row.id !== null && row.id !== undefined) this.#byId.set(`${rootOf(row.of).name} ${row.id}`, row);
    });
  }

  run() {
    for (const row of this.#rows) this.#make(row);
    for (const work of this.#later) work();
  }

  #make(row) {
    if (this.#made.has(row)) return this.#made.get(row);
    this.#made.set(row, null);
    const values = {};
    for (const [name, json] of Object.entries(row.fields ?? {})) {
      const field = row.of.fields.get(name);
      if (!field) throw this.#located(row, row.of.unknown(name));
      if (field.kind === "one" && json === null) values[name] = null;
      // What may be missing comes when all are there, so that instances may refer to each other.
      else if (field.kind === "one" && !field.spec.options.required) this.#later.push(() => { this.#made.get(row)[name] = this.#refer(row, field, json); });
      else if (field.kind === "one") values[name] = this.#refer(row, field, json);
      else if (field.kind === "many") this.#collect(row, field, json ?? []);
      else values[name] = this.#read(row, field, json);
    }
    try {
      const instance = row.of.create(values);
      this.#made.set(row, instance);
      return instance;
    } catch (error) {
      throw this.#located(row, error);
    }
  }

  #read(row, field, json) {
    if (json === null) return null;
    try {
      return field.type.parse(json);
    } catch {
      return json;
    }
  }

  // What a row refers to, made if it was not yet.
  #refer(row, field, id) {
    const { target } = field.resolved(), other = this.#byId.get(`${rootOf(target).name} ${id}`);
    if (!other) {
      const found = target.get(id);
      if (!found) throw this.#located(row, new NotFoundError(row.of.name, field.name, id, `is ${show(id)}, and there is no ${target.name} of that id, neither among the rows nor here`));
      return found;
    }
    return this.#make(other);
  }
  #collect(row, field, ids) {
    // The other side of one says it all.
    if (field.resolved().inverse.kind === "one") return;
    this.#later.push(() => this.#made.get(row)[field.name].add(...ids.map((id) => this.#refer(row, field, id))));
  }
  #located(row, error) {
    if (!error.message.startsWith("row ")) error.message = `row ${row.number}: ${error.message}`;
    return error;
  }
}

const tools = {
  models() {
    const lines = [...registry.models.values()].map((model) => schemaOf(model).split("\n")[0]);
    return told(lines.join("\n") || "no models");
  },
  schema(name) { return told(schemaOf(modelNamed(name))); },
  names() { return told([...registry.models.keys()].join("\n")); },
  page,
  begin() { staged = []; },
  stage(text) { staged.push(text); },
  takeIn,
};

Object.defineProperty(globalThis, Symbol.for("everturn.data"), { value: tools, configurable: true });
