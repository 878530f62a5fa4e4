// The errors of everturn:data. Each says what is wrong, where, and what to do; the fields are for programs.

import { isInstance, label } from "everturn:data/slots";

function where(model, field) {
  return field ? `${model}.${field}` : model;
}

export function show(value) {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? value.slice(0, 60) + "..." : value);
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "an invalid date" : value.toISOString();
  if (typeof value === "function") return "a function";
  if (typeof value === "symbol") return "a symbol";
  if (Array.isArray(value)) return "a list";
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
    super(`${where(model, field)} ${reason}`, { model, field, value, reason });
  }
}

// A value that must be unique and is not. `holder` is the instance that has it.
export class UniqueError extends DataError {
  constructor(model, field, value, holder, owner) {
    const reason = `is unique, and ${owner} has ${show(value)} already: choose another value, or change that instance first`;
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
    super(model ? `${where(model, field)} ${reason}` : reason, { model, field, value, reason });
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
  constructor(model, field, reason, violations = []) {
    super(`${where(model, field)} ${reason}`, { model, field, reason });
    this.violations = violations;
  }
}
