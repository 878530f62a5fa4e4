// What a definition says of a field: its type and its rules. Each rule gives a new field, so that one can be shared.
import { Mismatch, give } from "everturn:data/types";
import { show } from "everturn:data/errors";

const FLAGS = ["required", "unique", "index"];
const RULES = [...FLAGS, "default", "min", "max", "pattern", "check", "was", "migrate"];

export class Field {
  constructor(type, rules = {}) {
    this.type = type;
    this.rules = rules;
    // Values of this JavaScript type, numbers of 32 bits, are stored as they are, without another look; null if none are.
    this.plain = rules.min === undefined && rules.max === undefined && !rules.pattern && !rules.check ? type.plain : null;
  }

  required(is = true) { return this.#rule("required", is || undefined); }
  unique(is = true) { return this.#rule("unique", is || undefined); }
  index(is = true) { return this.#rule("index", is || undefined); }
  // A value, or a function that gives one for each instance.
  default(value) { return this.#rule("default", value); }
  // Bounds of a number, a date or a BigInt, or of the length of a text, of bytes, of a list or a map.
  min(least) { return this.#rule("min", least); }
  max(most) { return this.#rule("max", most); }
  pattern(expression) {
    if (!(expression instanceof RegExp)) throw new TypeError(`pattern(...) is to be a regular expression, not ${show(expression)}`);
    return this.#rule("pattern", new RegExp(expression.source, expression.flags.replace(/[gy]/g, "")));
  }
  // `test(value, instance)` is true, or false, or a text that says what is wrong.
  check(test, message) {
    if (typeof test !== "function") throw new TypeError(`check(...) is to be a function, not ${show(test)}`);
    return this.#rule("check", [...(this.rules.check ?? []), { test, message }]);
  }
  // For a new definition of a model: what the field was called, and how a value becomes one of the new type.
  was(name) { return this.#rule("was", name); }
  migrate(change) { return this.#rule("migrate", change); }

  // Rules as an object: string({ required: true, min: 2 }).
  with(options) {
    let field = this;
    for (const [rule, value] of Object.entries(options ?? {})) {
      if (!RULES.includes(rule)) throw new TypeError(`there is no rule "${rule}" for a field: there are ${RULES.join(", ")}`);
      field = field[rule](value);
    }
    return field;
  }

  #rule(name, value) {
    return new this.constructor(this.type, { ...this.rules, [name]: value });
  }

  // What two definitions of a field are compared by; functions by their source.
  signature() {
    const { was, migrate, unique, index, ...rest } = this.rules;
    const rules = Object.keys(rest).filter((name) => rest[name] !== undefined).sort().map((name) => ` ${name} ${text(rest[name])}`);
    return this.type.name + rules.join("");
  }
}

function text(value) {
  if (typeof value === "function") return `${value}`;
  if (Array.isArray(value)) return value.map(text).join(" ");
  if (value !== null && typeof value === "object" && "test" in value && typeof value.test === "function" && !(value instanceof RegExp)) return `${value.test} ${value.message ?? ""}`;
  return value instanceof RegExp ? `${value}` : show(value);
}

// What is stored of a value, if it fits; else throws a Mismatch with the reason.
export function accept(field, value, instance) {
  const { type, rules } = field;
  if (value === undefined || value === null) {
    if (rules.required) throw new Mismatch("is required: give it a value");
    return null;
  }
  const stored = type.take(value);
  if (rules.min !== undefined || rules.max !== undefined) bound(type, rules, stored, value);
  if (rules.pattern && !rules.pattern.test(value)) throw new Mismatch(`is to match ${rules.pattern}, which ${show(value)} does not`);
  for (const { test, message } of rules.check ?? []) {
    const fits = test(give(type, stored), instance);
    if (fits === true || (fits && typeof fits !== "string")) continue;
    throw new Mismatch(message ?? (fits || `does not pass its check: ${show(value)}`));
  }
  return stored;
}

function bound(type, rules, stored, value) {
  const size = type.measure(stored);
  const isLength = size !== stored;
  const limit = (bound) => bound instanceof Date ? bound.getTime() : bound;
  if (size < limit(rules.min)) throw new Mismatch(`is to be ${isLength ? "of length " : ""}${show(rules.min)} at least, not ${isLength ? size : show(value)}`);
  if (size > limit(rules.max)) throw new Mismatch(`is to be ${isLength ? "of length " : ""}${show(rules.max)} at most, not ${isLength ? size : show(value)}`);
}

// What an instance begins with where no value was given.
export function defaultOf(field) {
  const value = field.rules.default;
  return typeof value === "function" ? value() : value;
}
