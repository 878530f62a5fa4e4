// Paths: `age`, `employer.name`, and how what they name is read.
import { plainKey, unknownField } from "everturn:data/conditions";
import { NotFoundError } from "everturn:data/errors";
import { ID, isInstance } from "everturn:data/slots";
import { keyOf } from "everturn:data/slots";

// How to read a path of a model's instances: {read, keyOf, field, owner}. `field` is there where the path is one field of the model.
export function readerOf(model, path) {
  let reader = model.readers.get(path);
  if (!reader) model.readers.set(path, reader = makeReader(model, path));
  return reader;
}

function makeReader(model, path) {
  const dot = path.indexOf(".");
  if (dot < 0) return simple(model, path);
  const name = path.slice(0, dot), rest = path.slice(dot + 1), field = model.fields.get(name);
  if (!field) throw unknownField(model, name);
  if (field.kind === "many") throw unknownField(model, `${path} (${name} holds many: join("${name}") gives a row for each)`);
  if (field.kind === "value") return plain(model, path);
  const inner = readerOf(field.resolved().target, rest), { slot } = field;
  const step = (get) => (row) => row[slot] ? get(row[slot]) : null;
  return { read: step(inner.read), keyOf: step(inner.keyOf), field: inner.field && detached(inner.field), owner: inner.owner };
}

// A field of another model: its values are compared like its own, but no index of the query's model is on it.
function detached(field) {
  return { kind: field.kind, spec: field.spec, key: field.key, name: field.name, target: field.target };
}

function simple(model, name) {
  const field = model.fields.get(name);
  if (field) return { read: (row) => row[name], keyOf: field.kind === "many" ? (row) => row[name] : (row) => keyOf(field, row), field, owner: model.name };
  if (name === "id") return { read: (row) => row[ID], keyOf: (row) => row[ID], field: null, owner: model.name };
  if (name in model.prototype && name !== "constructor") return plain(model, name);
  throw unknownField(model, name);
}

function plain(model, path) {
  const read = dig(path);
  return { read, keyOf: (row) => plainKey(read(row)), field: null, owner: model.name };
}

// The same for rows, of which `kind` tells what is known (rows.js).
export function readerOfRows(kind, path) {
  if (kind?.model) return readerOf(kind.model, path);
  checkPath(kind, path);
  const read = dig(path);
  return { read, keyOf: (row) => plainKey(read(row)), field: null, owner: "row" };
}

// That there can be something under a path, as far as that is known.
function checkPath(kind, path) {
  if (kind === null) return;
  const dot = path.indexOf("."), first = dot < 0 ? path : path.slice(0, dot);
  if (kind.model) return checkKin(kind.model, path, first);
  if (kind.names.has(path)) return;
  if (!kind.names.has(first)) throw new NotFoundError("row", path, undefined, `is no column of these rows: there are ${[...kind.names.keys()].join(", ") || "none"}`);
  if (dot >= 0) checkPath(kind.names.get(first), path.slice(dot + 1));
}

// What a model does not have, one that extends it may.
function checkKin(model, path, first) {
  if (first in model.prototype) return;
  const parts = (model) => [...model.parts].flatMap((part) => [part, ...parts(part)]);
  if (!parts(model).some((part) => first in part.prototype)) readerOf(model, path);
}

function dig(path) {
  const names = path.split(".");
  return (row) => {
    if (row !== null && typeof row === "object" && Object.hasOwn(row, path)) return row[path] ?? null;
    for (const name of names) {
      if (row === null || row === undefined) return null;
      row = isInstance(row) && name === "id" && !(name in row) ? row[ID] : row[name];
    }
    return row ?? null;
  };
}
