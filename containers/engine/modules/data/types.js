// Types of values. A type takes a value from outside and gives what is stored, gives what is stored to whoever reads, and has for
// each stored value a key by which it is compared. What is stored cannot be changed from outside: dates are numbers, bytes are
// copied, lists and maps are frozen. `isOrdered`: each of its keys has a place in an ordered index. `json` and `data` say what stands
// for it in JSON and in messages. What may be said of a field of it: `bound` tells of min and max, `isCompared` of unique and index,
// `matches` of pattern; `fault` is what is wrong with the type itself.
import { Field, accept, faultOf } from "everturn:data/field";
import { show } from "everturn:data/errors";

const same = (value) => value;

// A value that does not fit, with the reason; the caller knows where.
export class Mismatch extends Error {}

export function mismatch(expected, value) {
  return new Mismatch(`is to be ${expected}, not ${show(value)}`);
}

function type(name, take, rest = {}) {
  return { name, take, give: same, key: same, json: same, data: same, parse: same, measure: same, isDirect: !rest.give, isOrdered: false, plain: null, bound: null, isCompared: true, matches: false, isCustom: false, fault: null, ...rest };
}

const length = (value) => value.length;
const bound = (expected, fits) => ({ expected, fits });
const OF_NUMBERS = bound("a number", (value) => typeof value === "number" && value === value);
const OF_LENGTHS = bound("a length, as 3 is", (value) => value === Infinity || (Number.isSafeInteger(value) && value >= 0));
const OF_ANY = bound("a number, a BigInt or a Date", (value) => OF_NUMBERS.fits(value) || typeof value === "bigint" || isDate(value));
const isDate = (value) => value instanceof Date && !Number.isNaN(value.getTime());

const ANY = type("any", same, { key: anyKey });
const BOOLEAN = type("boolean", (value) => of(typeof value === "boolean", "true or false", value), { isOrdered: true, plain: "boolean" });
const NUMBER = type("number", (value) => of(typeof value === "number" && value === value, "a number", value) || 0, { bound: OF_NUMBERS, isOrdered: true, plain: "number" });
const INTEGER = type("integer", (value) => of(Number.isSafeInteger(value), "an integer of at most 53 bits", value) || 0, { bound: OF_NUMBERS, isOrdered: true, plain: "number" });
const BIGINT = type("bigint", (value) => of(typeof value === "bigint", "a BigInt, as 12n is", value), {
  bound: bound("a BigInt, as 12n is", (value) => typeof value === "bigint"), json: String, parse: (text) => typeof text === "string" && /^-?\d+$/.test(text) ? BigInt(text) : text, isOrdered: true,
});
const STRING = type("string", (value) => of(typeof value === "string", "a text", value), { measure: length, bound: OF_LENGTHS, matches: true, isOrdered: true, plain: "string" });
const DATE = type("date", takeDate, {
  bound: bound("a Date", isDate), isOrdered: true,
  give: (ms) => new Date(ms), json: dateText, data: dateText, parse: readDate,
});
const BYTES = type("bytes", (value) => of(value instanceof Uint8Array, "bytes (a Uint8Array)", value).slice(), {
  give: (bytes) => bytes.slice(), key: bytesKey, measure: length, bound: OF_LENGTHS, isOrdered: true,
  json: (bytes) => btoa(bytesKey(bytes)), parse: (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)),
});

function dateText(ms) {
  return new Date(ms).toISOString();
}

// Only what says its year first: anything else is another day elsewhere.
function readDate(text) {
  const date = typeof text === "string" && /^(\d{4}|[+-]\d{6})(-|$)/.test(text) ? new Date(text) : text;
  return isDate(date) ? date : text;
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
  const expected = `one of ${values.map(show).join(", ")}`;
  return type(`enumeration(${values.map(show).join(", ")})`, (value) => of(values.includes(value), expected, value), { values, fault: enumerationFault(values) });
}

function enumerationFault(values) {
  if (values.length === 0) return { value: undefined, reason: 'says enumeration() without values: name those that there are, as enumeration("red", "green") does' };
  const wrong = values.find((value) => !["string", "number", "boolean", "bigint"].includes(typeof value) || value !== value);
  if (wrong !== undefined || values.includes(undefined))
    return { value: wrong, reason: `says enumeration(${values.map(show).join(", ")}): its values are to be texts, numbers, BigInts, true or false, one after the other${Array.isArray(wrong) ? ", not in a list: write enumeration(...values)" : ""}` };
  const twice = values.find((value, at) => values.indexOf(value) !== at);
  return twice === undefined ? null : { value: twice, reason: `says ${show(twice)} twice in enumeration(...): name each value once` };
}

function listOf(given) {
  const { item, fault } = inner(given, "list");
  return type(`list(${item.signature()})`, (value) => {
    if (!Array.isArray(value)) throw mismatch("a list", value);
    return Object.freeze(value.map((each, at) => located(`[${at}]`, () => accept(item, each))));
  }, {
    give: item.type.isDirect ? same : (list) => Object.freeze(list.map((each) => give(item.type, each))),
    isDirect: item.type.isDirect, measure: length, bound: OF_LENGTHS, isCompared: false, fault,
    json: (list) => list.map((each) => each === null ? null : item.type.json(each)),
    data: (list) => list.map((each) => each === null ? null : item.type.data(each)),
    parse: (list) => Array.isArray(list) ? list.map((each) => each === null ? null : item.type.parse(each)) : list,
  });
}

function mapOf(given) {
  const { item, fault } = inner(given, "map");
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
    isDirect: item.type.isDirect, measure: (map) => Object.keys(map).length, bound: OF_LENGTHS, isCompared: false, fault,
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

// What a list or a map holds, as a field, and what is wrong with it.
function inner(given, what) {
  if (given === undefined) return { item: any(), fault: { value: given, reason: `says ${what}() without a type: say of what, as ${what}(string()) does; ${what}(any()) takes everything` } };
  const item = fieldOf(given);
  const rule = ["unique", "index", "default", "was", "migrate"].find((rule) => item.rules[rule] !== undefined);
  const inside = faultOf(item);
  if (inside) return { item, fault: { value: inside.value, reason: `holds in its ${what}(...) what ${inside.reason}` } };
  return { item, fault: rule ? { value: item.rules[rule], reason: `says ${rule} of what its ${what}(...) holds: that is for the field itself, as ${what}(...).${rule}(...)` } : null };
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
  const name = typeof definition.name === "string" ? definition.name : "custom";
  return type(`custom ${name}`, (value) => {
    const fits = definition.validate(value);
    if (fits === false || typeof fits === "string") throw new Mismatch(fits || `is no ${name}, by its validate(): ${show(value)}`);
    return definition.convert ? definition.convert(value) : value;
  }, { key: definition.key ?? anyKey, bound: OF_ANY, matches: true, isCustom: true, fault: customFault(definition) });
}

function customFault(definition) {
  const wrong = ["convert", "key"].find((name) => definition[name] !== undefined && typeof definition[name] !== "function");
  return wrong ? { value: definition[wrong], reason: `has ${wrong}, which is to be a function, not ${show(definition[wrong])}` } : null;
}

// A field from whatever stands in a definition for one.
export function fieldOf(given) {
  if (given instanceof Field) return given;
  if (given !== null && typeof given === "object" && typeof given.validate === "function") return new Field(customOf(given));
  return new Field(ANY, {}, { value: given, reason: `is to be a type, as string() or integer().min(0) are, or an object with validate(value), not ${show(given)}${typeof given === "function" ? ": call it, as string() does" : ""}` });
}

const maker = (type) => (options) => new Field(type).with(options);
export const any = maker(ANY), boolean = maker(BOOLEAN), number = maker(NUMBER), integer = maker(INTEGER), bigint = maker(BIGINT);
export const string = maker(STRING), bytes = maker(BYTES), date = maker(DATE);
export const enumeration = (...values) => new Field(enumerationOf(values));
export const list = (item, options) => new Field(listOf(item)).with(options);
export const map = (item, options) => new Field(mapOf(item)).with(options);
export const custom = (definition, options) => fieldOf(definition).with(options);
