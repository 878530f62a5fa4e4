// Conditions: what `where`, `and`, `or` and `not` were given, as trees of {all}, {any}, {not} and leaves {path, op, value, test}.
import { NotFoundError, ValidationError, ownerOf, show } from "everturn:data/errors";
import { compare } from "everturn:data/order";
import { readerOf } from "everturn:data/paths";
import { ID, isInstance } from "everturn:data/slots";

const NAMES = {
  "=": "=", "==": "=", "===": "=", eq: "=", "!=": "!=", "<>": "!=", "!==": "!=", ne: "!=", "<": "<", lt: "<", "<=": "<=", lte: "<=",
  ">": ">", gt: ">", ">=": ">=", gte: ">=", in: "in", between: "between", startsWith: "startsWith", endsWith: "endsWith",
  contains: "contains", matches: "matches",
};
const OPERATORS = [...new Set(Object.values(NAMES))];
const ORDERED = ["<", "<=", ">", ">=", "between"];

// What is asked of one path. `source` has {read, keyOf, field, owner} of it.
class Leaf {
  constructor(path, op, source, value, key, keys) {
    this.path = path;
    this.op = op;
    this.source = source;
    this.field = source.field;
    this.value = value;
    this.key = key;
    this.keys = keys;
  }
  test(row) {
    const found = this.source.keyOf(row), { key } = this;
    switch (this.op) {
      case "=": return found === key;
      case "!=": return found !== key;
      case "in": return this.keys.includes(found);
      case "between": return within(found, this.keys[0], this.keys[1]);
      case "<": return found !== null && key !== null && compare(found, key) < 0;
      case "<=": return found !== null && key !== null && compare(found, key) <= 0;
      case ">": return found !== null && key !== null && compare(found, key) > 0;
      default: return found !== null && key !== null && compare(found, key) >= 0;
    }
  }
}

// That a path has a value, for a query of a model.
export function equality(model, path, value) {
  const source = readerOf(model, path);
  return new Leaf(path, "=", source, value, keyOfValue(source, path, value), null);
}

// The same of a key that was read already.
export function keyed(model, path, key) {
  return new Leaf(path, "=", readerOf(model, path), key, key, null);
}

// `rows.reader(path)` gives {read, keyOf, field, owner} of a path.
export function condition(given, rows) {
  const first = given[0], name = given[1];
  if (typeof first === "function") return { test: first, text: "a predicate" };
  if (first !== null && typeof first === "object" && first.condition !== undefined) return first.condition;
  if (first !== null && typeof first === "object" && !Array.isArray(first))
    return all(Object.entries(first).map(([path, value]) => leaf(path, "=", value, rows)));
  if (typeof first !== "string") throw new ValidationError(ownerOf(rows), null, first, `is asked by where(field, operator, value), where(field, value), an object of fields and values, or a function, not by ${show(first)}`);
  if (given.length === 1) throw new ValidationError(ownerOf(rows), first, undefined, `lacks a value to be compared with: write where(${show(first)}, "=", value)`);
  if (given.length === 2 && typeof name === "function") return valueTest(first, name, rows);
  if (given.length === 2) return leaf(first, "=", name, rows);
  const op = Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
  if (!op) throw new ValidationError(ownerOf(rows), first, name, `cannot be asked for by ${show(name)}, which is no operator: use one of ${OPERATORS.join(", ")}, or give a function that looks at the value`);
  return leaf(first, op, op === "between" && given.length === 4 ? [given[2], given[3]] : given[2], rows);
}

export function all(conditions) {
  const flat = conditions.flatMap((each) => each.all ?? [each]);
  return flat.length === 1 ? flat[0] : { all: flat, test: (row) => flat.every((each) => each.test(row)) };
}

export function either(conditions) {
  const flat = conditions.flatMap((each) => each.any ?? [each]);
  return flat.length === 1 ? flat[0] : { any: flat, test: (row) => flat.some((each) => each.test(row)) };
}

export function negated(condition) {
  return { not: condition, test: (row) => !condition.test(row) };
}

// For people.
export function textOf(condition) {
  if (condition.all) return condition.all.map((each) => each.any ? `(${textOf(each)})` : textOf(each)).join(" and ");
  if (condition.any) return condition.any.map(textOf).join(" or ");
  if (condition.not) return `not (${textOf(condition.not)})`;
  return condition.text ?? textOfLeaf(condition);
}

function textOfLeaf({ path, op, value }) {
  return `${path} ${op} ${op === "in" || op === "between" ? "(...)" : show(value)}`;
}

function valueTest(path, test, rows) {
  const { read } = rows.reader(path);
  return { test: (row) => test(read(row)), text: `${path} by a predicate` };
}

function leaf(path, op, value, rows) {
  const source = rows.reader(path);
  if (op === "=") return new Leaf(path, op, source, value, keyOfValue(source, path, value), null);
  if (op === "contains") return { path, op, value, test: containing(source, value) };
  if (op === "matches") {
    if (!(value instanceof RegExp)) throw wrong(source, path, value, "is matched by a regular expression");
    const expression = new RegExp(value.source, value.flags.replace(/[gy]/g, ""));
    return { path, op, value, test: (row) => { const found = source.read(row); return typeof found === "string" && expression.test(found); } };
  }
  if (op === "startsWith" || op === "endsWith") {
    if (typeof value !== "string") throw wrong(source, path, value, `${op} wants a text`);
    return { path, op, key: value, value, field: source.field, test: (row) => { const found = source.read(row); return typeof found === "string" && found[op](value); } };
  }
  const keyed = (each) => keyOfValue(source, path, each);
  if (op === "in") {
    if (value === null || typeof value !== "object" || typeof value[Symbol.iterator] !== "function") throw wrong(source, path, value, "in wants a list of values");
    const known = new Set([...value].map(keyed)), found = new Leaf(path, op, source, value, null, [...known]);
    if (known.size > 8) found.test = (row) => known.has(source.keyOf(row));
    return found;
  }
  if (op === "between") {
    if (!Array.isArray(value) || value.length !== 2) throw wrong(source, path, value, "between wants two values, [least, most]");
    return new Leaf(path, op, source, value, null, [keyed(value[0]), keyed(value[1])]);
  }
  return new Leaf(path, op, source, value, keyed(value), null);
}

function within(found, least, most) {
  return found !== null && least !== null && most !== null && compare(found, least) >= 0 && compare(found, most) <= 0;
}

function containing({ read, field }, value) {
  return (row) => {
    const found = read(row);
    if (typeof found === "string") return typeof value === "string" && found.includes(value);
    if (Array.isArray(found)) return found.includes(value);
    if (found !== null && typeof found === "object" && typeof found.has === "function") return found.has(value);
    return false;
  };
}

function wrong({ owner }, path, value, reason) {
  return new ValidationError(owner, path, value, `${reason}, not ${show(value)}`);
}

// A value to compare with, in the form in which the field's values are compared.
function keyOfValue(source, path, value) {
  if (value === undefined || value === null) return null;
  const { field } = source;
  if (!field) return plainKey(value);
  // A number that is none (NaN) is left to the type, which refuses it.
  if (field.kind === "value" && typeof value === field.spec.type.plain && (typeof value !== "number" || value === (value | 0))) return value;
  if (field.kind === "many") throw new ValidationError(source.owner, path, value, "is a collection: ask whether it contains an instance");
  if (field.kind === "one") {
    if (!isInstance(value)) throw wrong(source, path, value, `is compared with a ${field.spec.target}`);
    return value[ID];
  }
  try {
    return field.key(field.spec.type.take(value));
  } catch (error) {
    throw new ValidationError(source.owner, path, value, `cannot be compared with ${show(value)}: it ${error.message}`);
  }
}

// The key of a value that no field describes: a getter's, or of a row.
export function plainKey(value) {
  if (value === undefined || value === null) return null;
  if (value instanceof Date) return value.getTime();
  return isInstance(value) ? value[ID] : value;
}

export function unknownField(model, name) {
  return new NotFoundError(model.name, name, undefined, `is no field: there are ${[...model.fields.keys()].join(", ") || "none"}`);
}
