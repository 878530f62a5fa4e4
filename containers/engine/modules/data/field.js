// What a definition says of a field: its type and its rules. Each rule gives a new field, so that one can be shared.
import { Mismatch, give } from "everturn:data/types";
import { show } from "everturn:data/errors";

const FLAGS = ["required", "unique", "index"];
const RULES = [...FLAGS, "default", "min", "max", "pattern", "check", "was", "migrate"];

// What is wrong with it is kept until a model says where it stands (`faultOf`), so that the error can name the place.
export class Field {
  constructor(type, rules = {}, fault = null) {
    this.type = type;
    this.rules = rules;
    this.fault = fault;
    // Values of this JavaScript type, numbers of 32 bits, are stored as they are, without another look; null if none are.
    this.plain = rules.min === undefined && rules.max === undefined && !rules.pattern && !rules.check ? type.plain : null;
  }

  required(is = true) { return this.#flag("required", is); }
  unique(is = true) { return this.#flag("unique", is); }
  index(is = true) { return this.#flag("index", is); }
  // A value, or a function that gives one for each instance.
  default(value) { return this.#rule("default", value); }
  // Bounds of a number, a date or a BigInt, or of the length of a text, of bytes, of a list or a map.
  min(least) { return this.#rule("min", least); }
  max(most) { return this.#rule("max", most); }
  pattern(expression) {
    if (!(expression instanceof RegExp)) return this.#faulty(expression, `says pattern(${show(expression)}): give it a regular expression, as /^a/ is`);
    return this.#rule("pattern", new RegExp(expression.source, expression.flags.replace(/[gy]/g, "")));
  }
  // `test(value, instance)` is true, or false, or a text that says what is wrong.
  check(test, message) {
    if (typeof test !== "function") return this.#faulty(test, `says check(${show(test)}): give it a function that says true, false, or what is wrong`);
    if (message !== undefined && typeof message !== "string") return this.#faulty(message, `says check(..., ${show(message)}): what is said of a wrong value is to be a text`);
    return this.#rule("check", [...(this.rules.check ?? []), { test, message }]);
  }
  // For a new definition of a model: what the field was called, and how a value becomes one of the new type.
  was(name) { return typeof name === "string" ? this.#rule("was", name) : this.#faulty(name, `says was(${show(name)}): give it the name that the field had`); }
  migrate(change) { return typeof change === "function" ? this.#rule("migrate", change) : this.#faulty(change, `says migrate(${show(change)}): give it a function that makes the new value of the old one`); }

  // Rules as an object: string({ required: true, min: 2 }).
  with(options) {
    if (options === undefined || options === null) return this;
    if (typeof options !== "object" || options instanceof Field) return this.#faulty(options, `is given ${show(options)} where its rules are to stand: write them as { required: true }, or as .required()`);
    let field = this;
    for (const [rule, value] of Object.entries(options)) {
      if (!RULES.includes(rule)) return field.#faulty(value, `says ${rule}, and there is no rule of that name: there are ${RULES.join(", ")}`);
      if (value !== undefined) field = rule === "check" && Array.isArray(value) ? value.reduce((field, test) => field.check(test), field) : field[rule](value);
    }
    return field;
  }

  #flag(name, is) {
    return typeof is === "boolean" ? this.#rule(name, is || undefined) : this.#faulty(is, `says ${name}(${show(is)}): give it true or false, or nothing`);
  }
  #rule(name, value) {
    return new this.constructor(this.type, { ...this.rules, [name]: value }, this.fault);
  }
  // The first fault stays.
  #faulty(value, reason) {
    return new this.constructor(this.type, this.rules, this.fault ?? { value, reason });
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

// What makes no sense in a field's definition: {value, reason}; null if nothing does.
export function faultOf(field) {
  const { type, rules } = field;
  return field.fault ?? type.fault ?? boundsFault(type, rules) ?? keysFault(type, rules) ?? patternFault(type, rules) ?? defaultFault(field);
}

function boundsFault({ name, bound }, rules) {
  for (const rule of ["min", "max"]) {
    const value = rules[rule];
    if (value === undefined) continue;
    const says = `says ${rule}(${show(value)})`;
    if (bound === null) return { value, reason: `${says}, which is for numbers, dates, BigInts, and the length of texts, bytes, lists and maps, not for ${name}: use check(...), or another type` };
    if (!bound.fits(value)) return { value, reason: `${says}: for ${name} give it ${bound.expected}` };
  }
  const { min, max } = rules;
  return min !== undefined && max !== undefined && max < min ? { value: max, reason: `says min(${show(min)}) and max(${show(max)}), which nothing fits: let min be the lesser one` } : null;
}

function keysFault({ name, isCompared }, rules) {
  const rule = ["unique", "index"].find((rule) => rules[rule]);
  return rule && !isCompared ? { value: true, reason: `says ${rule}(), and a ${name} is compared with nothing: give each thing that it holds an instance of a model, or leave ${rule}() out` } : null;
}

function patternFault({ name, matches }, rules) {
  return rules.pattern && !matches ? { value: rules.pattern, reason: `says pattern(${rules.pattern}), which is for texts, not for ${name}: use string(), or check(...)` } : null;
}

// A default value has to fit, as any value. What looks at the instance (check) cannot be asked before there is one.
function defaultFault({ type, rules }) {
  const value = rules.default;
  if (value === undefined || value === null || typeof value === "function") return null;
  try {
    accept({ type, rules: { ...rules, check: undefined } }, value, null);
    return null;
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    return { value, reason: `says default(${show(value)}), which it would not take itself: it ${error.message}` };
  }
}
