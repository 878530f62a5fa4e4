// Rows of instances as text, lines of JSON or CSV: how one is written, and how pieces of such a text become rows again.
import { SchemaError, show } from "everturn:data/errors";
import { ID, MODEL } from "everturn:data/slots";

// A record may be this long, in characters: what is longer has a quote that nobody closes.
const RECORD_MAX = 4 * 1024 * 1024;
const PLAIN = ["string", "date", "bytes", "bigint"];

export function jsonOf(instance) {
  return JSON.stringify(rowOf(instance));
}

function rowOf(instance) {
  const { id, ...fields } = instance.toJSON();
  return { model: instance[MODEL].name, id: instance[ID], fields: { ...fields, ...(instance[MODEL].fields.has("id") ? { id } : {}) } };
}

export function csvHead(model) {
  if (model.fields.has("id")) throw new SchemaError(model.name, "id", "has the name of the column of ids, so that CSV cannot hold both: export as JSON");
  return ["id", ...model.fields.keys()].map(quoted).join(",");
}

export function csvOf(model, instance) {
  const { fields } = rowOf(instance);
  return [instance[ID], ...[...model.fields].map(([name, field]) => cell(field, fields[name]))].join(",");
}

// Nothing is an empty cell, an empty text one of two quotes; a text that would be read as something else is JSON.
function cell(field, value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return quoted(JSON.stringify(value));
  return quoted(typeof value === "string" && plainOf(field, value) !== value ? JSON.stringify(value) : String(value));
}

function quoted(text) {
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function plainOf(field, text) {
  if (field.kind === "value" && PLAIN.includes(field.type.name)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// Takes a text in pieces and keeps it as pieces of whole records, each of which can be read again by `rowsOf`.
export class RowText {
  constructor(format, model) {
    this.format = format;
    this.model = model;      // of CSV
    this.names = null;       // of its columns, from its first line
    this.pieces = [];        // {text, first: the number of its first row}
    this.count = 0;
    this.rest = "";
    this.isBegun = false;
  }

  // The rows that are whole by now.
  take(text, isLast = false) {
    if (!this.isBegun && text.startsWith("\ufeff")) text = text.slice(1);
    this.isBegun ||= text !== "";
    const whole = this.rest + text, { found, rest } = this.#split(whole, isLast, this.count + 1);
    if (this.format === "csv" && rest.length > RECORD_MAX) throw unclosed(this.count + found.length + 1);
    this.rest = rest;
    if (found.length === 0) return [];
    const hasHead = this.format === "csv" && this.names === null, head = hasHead ? found.shift() : null;
    if (hasHead) this.names = namesOf(this.model, head);
    const first = this.count + 1, kept = hasHead ? whole.slice(head.end) : whole;
    const rows = found.map((each, at) => this.#row(each, first + at));
    if (rows.length > 0) this.pieces.push({ text: kept.slice(0, kept.length - rest.length), first });
    this.count += rows.length;
    return rows;
  }

  rowsOf({ text, first }) {
    return this.#split(text, true, first).found.map((each, at) => this.#row(each, first + at));
  }

  #split(text, isLast, first) {
    return this.format === "csv" ? records(text, isLast, first - (this.names === null ? 1 : 0)) : lines(text, isLast);
  }
  #row(found, number) {
    return this.format === "csv" ? rowOfRecord(this.model, this.names, found, number) : rowOfLine(found, number);
  }
}

function wrong(number, reason, value) {
  return new SchemaError(null, null, `row ${number}${reason}`, [], value);
}

function unclosed(number) {
  return wrong(number, ": a quote is not closed: end the cell with one, and write each within it twice");
}

function lines(text, isLast) {
  const found = text.split("\n"), rest = isLast ? "" : found.pop();
  return { found: found.filter((line) => line.trim() !== ""), rest };
}

function rowOfLine(line, number) {
  let row;
  try {
    row = JSON.parse(line);
  } catch (error) {
    throw wrong(number, ` is no JSON: ${error.message}`, line);
  }
  if (row === null || typeof row !== "object" || Array.isArray(row)) throw wrong(number, ` is ${show(row)}: it is to be an object, as {"model": "Person", "id": 1, "fields": {...}}`, row);
  const { model, id = null, fields = {}, ...more } = row, [unknown] = Object.keys(more);
  if (unknown !== undefined) throw wrong(number, ` has ${show(unknown)}, which rows do not have: there are model, id, fields`, row);
  if (fields === null || typeof fields !== "object" || Array.isArray(fields)) throw wrong(number, ` has as its fields ${show(fields)}: they are to be an object of names and values`, fields);
  if (id !== null && !Number.isSafeInteger(id) && typeof id !== "string") throw wrong(number, ` has the id ${show(id)}: it is to be a whole number or a text`, id);
  return { number, model, id, fields };
}

// The records of a CSV text, each a list of {text, isQuoted} with its `end` in the text, and what is not whole yet.
function records(text, isLast, first) {
  const found = [];
  let record = [], at = 0, start = 0;
  while (at < text.length) {
    const next = cellAt(text, at, first + found.length);
    if (next === null && isLast) throw unclosed(first + found.length);
    if (next === null) break;
    record.push(next);
    at = next.end;
    if (text[at] === ",") {
      if (++at === text.length && isLast) record.push({ text: "", isQuoted: false });
      if (at < text.length || !isLast) continue;
    }
    if (!isLast && (at >= text.length || (text[at] === "\r" && at + 1 === text.length))) break;
    if (text[at] === "\r" && text[at + 1] === "\n") at++;
    record.end = start = ++at;
    if (record.length > 1 || record[0].text !== "" || record[0].isQuoted) found.push(record);
    record = [];
  }
  return { found, rest: text.slice(start) };
}

// The cell that begins at a place; null if the text ends within its quotes.
function cellAt(text, at, number) {
  if (text[at] !== '"') {
    let end = at;
    while (end < text.length && !",\r\n".includes(text[end])) end++;
    const value = text.slice(at, end);
    if (value.includes('"')) throw wrong(number, `: ${show(value)} has a quote within a cell that does not begin with one: put quotes around the whole cell, and write each within it twice`, value);
    return { text: value, isQuoted: false, end };
  }
  let value = "", from = at + 1;
  for (;;) {
    const quote = text.indexOf('"', from);
    if (quote < 0) return null;
    value += text.slice(from, quote);
    if (text[quote + 1] !== '"') {
      if (quote + 1 < text.length && !",\r\n".includes(text[quote + 1])) throw wrong(number, `: behind the closing quote of ${show(value)} comes ${show(text[quote + 1])}: write each quote within a cell twice, or end the cell there`, value);
      return { text: value, isQuoted: true, end: quote + 1 };
    }
    value += '"';
    from = quote + 2;
  }
}

function namesOf(model, head) {
  const names = head.map((each) => each.text), twice = names.find((name, at) => names.indexOf(name) !== at);
  if (names.includes("")) throw new SchemaError(model.name, null, `the first line names no column ${names.indexOf("") + 1}: it is to have the names of all columns, id and fields`);
  if (twice !== undefined) throw new SchemaError(model.name, null, `the first line names ${show(twice)} twice: a field can have one value`);
  for (const name of names) if (name !== "id" && !model.fields.has(name)) throw model.unknown(name);
  return names;
}

const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

function rowOfRecord(model, names, record, number) {
  if (record.length !== names.length) throw new SchemaError(model.name, null, `row ${number} has ${count(record.length, "cell")}, and the first line ${count(names.length, "name")}: give each name a cell, an empty one for nothing`);
  const fields = {};
  let id = null;
  record.forEach(({ text, isQuoted }, column) => {
    const name = names[column];
    if (name !== "id" || model.fields.has("id")) fields[name] = text === "" && !isQuoted ? null : plainOf(model.fields.get(name), text);
    else if (text !== "" && !/^\d{1,15}$/.test(text)) throw wrong(number, ` has the id ${show(text)}: it is to be a whole number`, text);
    else id = text === "" ? null : Number(text);
  });
  return { number, model: model.name, id, fields };
}
