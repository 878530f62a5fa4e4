// Types of values. A type takes a value from outside and gives what is stored, gives what is stored to whoever reads, and has for
// each stored value a key by which it is compared. What is stored cannot be changed from outside: dates are numbers, bytes are
// copied, lists and maps are frozen. `isOrdered`: each of its keys has a place in an ordered index. `json` and `data` say what stands for it in JSON and in messages.
import { Field, accept } from "everturn:data/field";
import { show } from "everturn:data/errors";

const same = (value) => value;

// A value that does not fit, with the reason; the caller knows where.
export class Mismatch extends Error {}

export function mismatch(expected, value) {
  return new Mismatch(`is to be ${expected}, not ${show(value)}`);
}

function type(name, take, rest = {}) {
  return { name, take, give: same, key: same, json: same, data: same, parse: same, measure: same, isDirect: !rest.give, isOrdered: false, plain: null, ...rest };
}

const length = (value) => value.length;

const ANY = type("any", same, { key: anyKey });
const BOOLEAN = type("boolean", (value) => of(typeof value === "boolean", "true or false", value), { isOrdered: true, plain: "boolean" });
const NUMBER = type("number", (value) => of(typeof value === "number" && value === value, "a number", value) || 0, { isOrdered: true, plain: "number" });
const INTEGER = type("integer", (value) => of(Number.isSafeInteger(value), "an integer of at most 53 bits", value) || 0, { isOrdered: true, plain: "number" });
const BIGINT = type("bigint", (value) => of(typeof value === "bigint", "a BigInt, as 12n is", value), { json: String, parse: BigInt, isOrdered: true });
const STRING = type("string", (value) => of(typeof value === "string", "a text", value), { measure: length, isOrdered: true, plain: "string" });
const DATE = type("date", takeDate, {
  isOrdered: true,
  give: (ms) => new Date(ms), json: dateText, data: dateText, parse: (text) => new Date(text),
});
const BYTES = type("bytes", (value) => of(value instanceof Uint8Array, "bytes (a Uint8Array)", value).slice(), {
  give: (bytes) => bytes.slice(), key: bytesKey, measure: length, isOrdered: true,
  json: (bytes) => btoa(bytesKey(bytes)), parse: (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)),
});

function dateText(ms) {
  return new Date(ms).toISOString();
}

function of(fits, expected, value) {
  if (!fits) throw mismatch(expected, value);
  return value;
}

function takeDate(value) {
  const ms = value instanceof Date ? value.getTime() : NaN;
  if (ms !== ms) throw mismatch("a Date", value);
  return ms;
}

function bytesKey(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 1024) text += String.fromCharCode(...bytes.subarray(at, at + 1024));
  return text;
}

function anyKey(value) {
  return value instanceof Date ? value.getTime() : value instanceof Uint8Array ? bytesKey(value) : value;
}

function enumerationOf(values) {
  if (values.length === 0) throw new TypeError("enumeration(...) needs the values that there are");
  const expected = `one of ${values.map(show).join(", ")}`;
  return type(`enumeration(${values.map(show).join(", ")})`, (value) => of(values.includes(value), expected, value), { values });
}

function listOf(item) {
  item = inner(item, "list");
  return type(`list(${item.signature()})`, (value) => {
    if (!Array.isArray(value)) throw mismatch("a list", value);
    return Object.freeze(value.map((each, at) => located(`[${at}]`, () => accept(item, each))));
  }, {
    give: item.type.isDirect ? same : (list) => Object.freeze(list.map((each) => give(item.type, each))),
    isDirect: item.type.isDirect, measure: length,
    json: (list) => list.map((each) => each === null ? null : item.type.json(each)),
    data: (list) => list.map((each) => each === null ? null : item.type.data(each)),
    parse: (list) => Array.isArray(list) ? list.map((each) => each === null ? null : item.type.parse(each)) : list,
  });
}

function mapOf(item) {
  item = inner(item, "map");
  const each = (map, change) => Object.fromEntries(Object.entries(map).map(([key, value]) => [key, value === null ? null : change(value)]));
  return type(`map(${item.signature()})`, (value) => {
    const entries = value instanceof Map ? [...value] : isPlain(value) ? Object.entries(value) : null;
    if (!entries) throw mismatch("a map (a Map or a plain object)", value);
    return Object.freeze(Object.fromEntries(entries.map(([key, value]) => {
      if (typeof key !== "string") throw mismatch("a map whose keys are texts", key);
      return [key, located(`.${key}`, () => accept(item, value))];
    })));
  }, {
    give: item.type.isDirect ? same : (map) => Object.freeze(each(map, item.type.give)),
    isDirect: item.type.isDirect, measure: (map) => Object.keys(map).length,
    json: (map) => each(map, item.type.json), data: (map) => each(map, item.type.data), parse: (map) => isPlain(map) ? each(map, item.type.parse) : map,
  });
}

export function give(type, stored) {
  return stored === null ? null : type.give(stored);
}

function isPlain(value) {
  if (value === null || typeof value !== "object") return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function inner(item, what) {
  item = fieldOf(item, `${what}(...)`);
  for (const rule of ["unique", "index", "default", "was", "migrate"])
    if (item.rules[rule] !== undefined) throw new TypeError(`${what}(...): what it holds cannot have ${rule}(): that is for the field itself`);
  return item;
}

function located(place, work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof Mismatch) error.message = `at ${place} ${error.message}`;
    throw error;
  }
}

// A type of the user's own: `validate(value)` is true, or says what is wrong, or throws. `convert(value)` may make another of it.
function customOf(definition) {
  const name = definition.name ?? "custom";
  return type(`custom ${name}`, (value) => {
    const fits = definition.validate(value);
    if (fits === false || typeof fits === "string") throw new Mismatch(fits || `is no ${name}, by its validate(): ${show(value)}`);
    return definition.convert ? definition.convert(value) : value;
  }, { key: definition.key ?? anyKey });
}

// A field from whatever stands in a definition for one.
export function fieldOf(given, place) {
  if (given instanceof Field) return given;
  if (given !== null && typeof given === "object" && typeof given.validate === "function") return new Field(customOf(given));
  throw new TypeError(`${place} is to be a type, as string() or integer().min(0) are, or an object with validate(value), not ${show(given)}`);
}

const maker = (type) => (options) => new Field(type).with(options);
export const any = maker(ANY), boolean = maker(BOOLEAN), number = maker(NUMBER), integer = maker(INTEGER), bigint = maker(BIGINT);
export const string = maker(STRING), bytes = maker(BYTES), date = maker(DATE);
export const enumeration = (...values) => new Field(enumerationOf(values));
export const list = (item = any(), options) => new Field(listOf(item)).with(options);
export const map = (item = any(), options) => new Field(mapOf(item)).with(options);
export const custom = (definition, options) => fieldOf(definition, "custom(...)").with(options);
