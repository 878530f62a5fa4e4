// The errors of everturn:data. Each says what is wrong, where, and what to do; the fields are for programs.

import { KIND, isInstance, label } from "everturn:data/slots";

function where(model, field) {
  return field ? `${model}.${field}` : model;
}

// What a message begins with; without a model it is the reason alone.
function told(model, field, reason) {
  return model ? `${where(model, field)} ${reason}` : reason;
}

export function show(value) {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? value.slice(0, 60) + "..." : value);
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "an invalid date" : value.toISOString();
  if (typeof value === "function") return "a function";
  if (typeof value === "symbol") return "a symbol";
  if (Array.isArray(value)) return "a list";
  if (value instanceof RegExp) return String(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (isInstance(value)) return label(value);
  if (value !== null && typeof value === "object") return "an object";
  return String(value);
}

class DataError extends Error {
  constructor(message, { model = null, field = null, value, reason } = {}) {
    super(message);
    this.model = model;
    this.field = field;
    this.value = value;
    this.reason = reason ?? message;
  }
  get name() { return this.constructor.name; }
}

// A value that a field does not take.
export class ValidationError extends DataError {
  constructor(model, field, value, reason) {
    super(told(model, field, reason), { model, field, value, reason });
  }
}

// The values of several fields, for people: row 1 and place 5.
export function showAll(names, values) {
  const each = names.map((name, at) => `${name} ${show(values[at])}`);
  return each.length < 2 ? each.join() : `${each.slice(0, -1).join(", ")} and ${each.at(-1)}`;
}

// A value, or several together, that must be unique and are not. `holder` is the instance that has them.
export class UniqueError extends DataError {
  constructor(model, names, values, holder, owner) {
    const isOne = names.length === 1, field = names.join(", "), value = isOne ? values[0] : values;
    const reason = isOne
      ? `is unique, and ${owner} has ${show(value)} already: choose another value, or change that instance first`
      : `are unique together, and ${owner} has ${showAll(names, values)} already: choose another value for one of them, or change that instance first`;
    super(`${where(model, field)} ${reason}`, { model, field, value, reason });
    this.holder = holder;
  }
}

// A deletion that references forbid. `referrers` are the first of the instances that refer to it.
class DataReferenceError extends DataError {
  constructor(model, field, value, reason, referrers = []) {
    super(`${where(model, field)} ${reason}`, { model, field, value, reason });
    this.referrers = referrers;
  }
}
Object.defineProperty(DataReferenceError, "name", { value: "ReferenceError" });
export { DataReferenceError as ReferenceError };

// A field, a model, an instance or a branch that is not there, or not any more.
export class NotFoundError extends DataError {
  constructor(model, field, value, reason) {
    super(told(model, field, reason), { model, field, value, reason });
  }
}

// Two revisions changed the same. `conflicts` is a list of {model, id, instance, field, mine, theirs, reason}.
export class ConflictError extends DataError {
  constructor(conflicts) {
    const first = conflicts[0];
    const named = conflicts.slice(0, 5).map((conflict) => `${where(conflict.model, null)} ${conflict.id}${conflict.field ? `, field ${conflict.field}` : ""}: ${conflict.reason}`);
    if (conflicts.length > 5) named.push(`and ${conflicts.length - 5} more`);
    super(`this branch cannot go on from what changed since it began (${named.join("; ")}): revert it and do its work again in a new one`,
      { model: first.model, field: first.field, value: first.mine, reason: first.reason });
    this.conflicts = conflicts;
  }
}

// A definition that makes no sense, or that the instances there are do not fit. `violations` are the first offenders.
export class SchemaError extends DataError {
  constructor(model, field, reason, violations = [], value) {
    super(told(model, field, reason), { model, field, value, reason });
    this.violations = violations;
  }
}

// What a query or rows are asked in a way that makes no sense. `rows` are those that are asked.
export function misused(rows, field, value, reason) {
  return new ValidationError(ownerOf(rows), field, value, reason);
}

// Whom an error names: the model that is asked, or rows of any kind.
export const ownerOf = (rows) => (rows[KIND]?.model ?? rows.model ?? rows).name ?? "row";

export function checkWhole(rows, what, value) {
  if (!Number.isSafeInteger(value) || value < 0) throw misused(rows, null, value, `cannot be asked for ${what}(${show(value)}): give it a whole number, 0 or more`);
  return value;
}

export function checkFunction(rows, what, value) {
  if (typeof value !== "function") throw misused(rows, null, value, `cannot be asked for ${what}(${value === undefined ? "" : show(value)}): give it a function`);
  return value;
}
