// How the shell shows instances, models and what queries find.
import { ModelField } from "everturn:data/define";
import { Field } from "everturn:data/field";
import { GUARDED, Model } from "everturn:data/model";
import { bagSize } from "everturn:data/bags";
import { Many, Relation } from "everturn:data/relations";
import { Query } from "everturn:data/query";
import { Branch } from "everturn:data/revisions";
import { Rows } from "everturn:data/rows";
import { ID, MODEL, isInstance, label } from "everturn:data/slots";

const SHOWN = Symbol.for("everturn.show");
const ROWS = 20, WIDTH = 40;

// What this module's parts need of each other is not completed at the prompt (prelude/names.js).
const HIDDEN = Symbol.for("everturn.hidden");
const INTERNAL = [
  [Model, "registry extent parts own declared ownIndexes indexes compounds values relations references readers byField migration lastChange template prototype methods " +
    "blank slots change checkChanging indexesOf incoming acceptValue reader unknown holds delete deleteAll update updateOne updateAll"],
  [Rows, "model condition reader having isIndexedBy within reduceCount keys unsorted are isKnown"],
  [Field, "type rules fault plain signature"],
  [Relation, "kind target options signature"],
  [Branch, "inAndCommit"],
];
for (const [{ prototype }, names] of INTERNAL) Object.defineProperty(prototype, HIDDEN, { value: names, configurable: true });

function define(target, show) {
  Object.defineProperty(target, SHOWN, { value: show, configurable: true });
}

// An instance on its own with its fields, within something else by its name.
define(GUARDED, function (depth, show) {
  if (this[ID] === undefined) return undefined;
  if (depth > 0) return label(this);
  return `${label(this)} ${show(summary(this))}`;
});

function summary(instance) {
  const fields = {};
  for (const field of instance[MODEL].fields.values())
    fields[field.name] = field.kind === "many" ? collection(bagSize(instance, field.slot), field.spec.target) : instance[field.name];
  return fields;
}

function collection(size, target) {
  return { [SHOWN]: () => `<${size} ${target}>` };
}

define(Model.prototype, function (depth) { return depth > 0 ? `model ${this.name}` : schemaOf(this); });
define(Query.prototype, function (depth) { return depth > 0 ? `a query of ${this.model.name}` : tableOf(this.limit(ROWS + 1).toArray()); });
define(Many.prototype, function (depth) { return depth > 0 ? `<${this.size}>` : tableOf(this.limit(ROWS + 1).toArray()); });
define(ModelField.prototype, function () { return `${this.model.name}.${this.name} ${wordsOf(this.model, this).join(" ")}`.trimEnd(); });
define(Field.prototype, function () { return [this.type.name, wordsOfRules(this)].join(" ").trimEnd(); });
define(Relation.prototype, function () { 
  const words = Object.entries(this.options).map(([name, value]) => value === true ? name : `${name} ${text(value)}`);
  return [`${this.kind}(${this.target})`, words.join(", ")].join(" ").trimEnd();
});
define(Branch.prototype, function () {
  const { length } = this.changes();
  return `a branch, ${this.state}, with ${length} change${length === 1 ? "" : "s"}`;
});
define(Rows.prototype, function (depth) { return depth > 0 ? "rows" : tableOf(this.limit(ROWS + 1).toArray()); });

// A model's fields, one a line.
export function schemaOf(model) {
  const lines = [...model.fields.values()].map((field) => [field.name, ...wordsOf(model, field)]);
  const head = `model ${model.name}${model.parent ? ` extends ${model.parent.name}` : ""}, version ${model.version}, ${model.size} instance${model.size === 1 ? "" : "s"}`;
  const compounds = model.compounds.map(({ names, isUnique }) => `  ${isUnique ? "unique" : "index"} (${names.join(", ")})`);
  return [head, ...align(lines).map((line) => `  ${line}`), ...compounds].join("\n");
}

function wordsOf(model, field) {
  if (field.kind !== "value") {
    const { options, target } = field.spec;
    const words = [options.required ? "required" : "", field.kind === "one" ? `onDelete ${field.onDelete}` : "", field.inverse && !field.inverse.isHidden ? `inverse ${target}.${field.inverse.name}` : ""];
    return [`${field.kind}(${target})`, words.filter((word) => word).join(", ")];
  }
  return [field.spec.type.name, wordsOfRules(field.spec)];
}

function wordsOfRules({ rules }) {
  const words = Object.keys(rules).filter((rule) => rules[rule] !== undefined && rule !== "was" && rule !== "migrate");
  return words.map((rule) => ["min", "max", "default", "pattern"].includes(rule) && typeof rules[rule] !== "function" ? `${rule} ${text(rules[rule])}` : rule).join(", ");
}

export function tableOf(rows) {
  if (rows.length === 0) return "nothing";
  const shown = rows.slice(0, ROWS).map(cells), names = [...new Set(shown.flatMap((row) => Object.keys(row)))];
  const lines = align([names, ...shown.map((row) => names.map((name) => name in row ? row[name] : ""))]);
  if (rows.length > ROWS) lines.push(`... and more: limit(...) and offset(...) show others, count() says how many`);
  return lines.join("\n");
}

function cells(row) {
  if (!isInstance(row)) return row !== null && typeof row === "object" ? each(row) : { value: text(row) };
  return { id: text(row[ID]), ...each(summary(row)) };
}

function each(object) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, text(value)]));
}

function text(value) {
  if (value === null || value === undefined) return "";
  if (isInstance(value)) return label(value);
  if (value instanceof Date) return value.toISOString();
  if (typeof value === "object" && SHOWN in value) return value[SHOWN](1);
  const whole = Array.isArray(value) && value.some(isInstance) ? `[${value.slice(0, WIDTH).map(text).join(", ")}]` : typeof value === "object" && !(value instanceof RegExp) ? JSON.stringify(value, (_, each) => typeof each === "bigint" ? String(each) : each) : String(value);
  const line = whole.replace(/[\r\n\t]+/g, " ");
  return line.length > WIDTH ? line.slice(0, WIDTH - 3) + "..." : line;
}

function align(rows) {
  const widths = [];
  for (const row of rows) row.forEach((cell, at) => { widths[at] = Math.max(widths[at] ?? 0, cell.length); });
  return rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at])).join("  ").trimEnd());
}
