// What changes instances: five kinds of operations, each of which keeps indexes and the other sides of relations in step and can be
// taken back. Whether a change is allowed is decided before it comes here.
//
// 1. Every change goes through `perform`, which notes it in the log of the current revision, if that keeps one; a set or an insert
//    that nobody keeps a record of goes past it.
// 2. Logs are applied and taken back whole, in order, so that indexes always tell of exactly what the instances hold.
// 3. Whoever is in the middle of a query has seen the rest of it before the first change (`cursors`).
import { bagAdd, bagHas, bagRemove } from "everturn:data/bags";
import { ID, MODEL } from "everturn:data/slots";

// The cursors that have begun and are not at their end.
export const cursors = new Set();

export class Revision {
  constructor(parent) {
    this.parent = parent;
    this.log = parent ? [] : null;
    this.scopes = 0;        // how many are under way that may have to be taken back
    this.children = new Set();
    this.touched = null;    // while it has children: instance -> field -> when
    this.start = now.clock;
  }
}

export const now = { clock: 0, revision: null };
export const base = now.revision = new Revision(null);
export const REMOVED = { name: null };

export function settleCursors() {
  for (const cursor of [...cursors]) cursor.drain();
}

export function set(instance, field, to, indexes = instance[MODEL].indexesOf(field)) {
  if (isRecorded()) return perform({ kind: "set", instance, field, to, from: null });
  now.clock++;
  put(instance, field, to, indexes);
}
export const link = (instance, field, to) => perform(oriented("link", instance, field, to));
export const unlink = (instance, field, to) => perform(oriented("unlink", instance, field, to));
export function insert(instance) {
  if (isRecorded()) return perform({ kind: "insert", instance, field: REMOVED, to: null, from: null });
  now.clock++;
  enter(instance);
}
export const remove = (instance) => perform({ kind: "remove", instance, field: REMOVED, to: null, from: null });

// Whether somebody will want to know of a change: to take it back, to find conflicts, or because of a query that is under way.
function isRecorded() {
  const { revision } = now;
  return revision.log !== null || revision.children.size > 0 || cursors.size > 0;
}

// A link of two is one thing, from whichever side it is made.
function oriented(kind, instance, field, to) {
  const { inverse } = field;
  const isTurned = inverse === field ? to[ID] < instance[ID] : !inverse.isHidden && rankOf(inverse) < rankOf(field);
  return isTurned ? { kind, instance: to, field: inverse, to: instance, from: null } : { kind, instance, field, to, from: null };
}

const rankOf = (field) => `${field.model.name}.${field.name}`;

function perform(operation) {
  const { revision } = now;
  if (cursors.size > 0) settleCursors();
  now.clock++;
  apply(operation);
  if (revision.log) revision.log.push(operation);
  if (revision.children.size > 0) touch(revision, operation);
}

// Notes when a field was changed, for the branches that are open.
export function touch(revision, operation) {
  revision.touched ??= new Map();
  let fields = revision.touched.get(operation.instance);
  if (!fields) revision.touched.set(operation.instance, fields = new Map());
  operation.touched = fields.get(operation.field);
  fields.set(operation.field, now.clock);
}

function untouch(revision, operation) {
  const fields = revision.touched?.get(operation.instance);
  if (!fields) return;
  if (operation.touched === undefined) fields.delete(operation.field);
  else fields.set(operation.field, operation.touched);
}

// Runs `work`; if it throws, what it changed is taken back.
export function atomically(work) {
  const { revision } = now;
  const log = revision.log ??= [], mark = log.length;
  revision.scopes++;
  try {
    return work();
  } catch (error) {
    takeBack(revision, mark);
    throw error;
  } finally {
    if (--revision.scopes === 0 && revision === base) revision.log = null;
  }
}

// Takes back what is in a revision's log from a place on.
export function takeBack(revision, mark) {
  if (cursors.size > 0) settleCursors();
  now.clock++;
  const { log } = revision;
  while (log.length > mark) {
    const operation = log.pop();
    unapply(operation);
    if (revision.children.size > 0) untouch(revision, operation);
  }
}

export function apply(operation) {
  const { instance, field, to } = operation;
  switch (operation.kind) {
    case "set":
      operation.from = instance[field.slot] ?? null;
      return put(instance, field, to);
    case "link":
      operation.from = !bagHas(instance, field.slot, to);
      return operation.from && join(instance, field, to);
    case "unlink":
      operation.from = bagHas(instance, field.slot, to);
      return operation.from && part(instance, field, to);
    case "insert":
      return enter(instance);
    case "remove":
      return leave(instance);
  }
}

export function unapply(operation) {
  const { instance, field, to, from } = operation;
  switch (operation.kind) {
    case "set":
      return put(instance, field, from);
    case "link":
      return from && part(instance, field, to);
    case "unlink":
      return from && join(instance, field, to);
    case "insert":
      return leave(instance);
    case "remove":
      return enter(instance);
  }
}

function put(instance, field, to, indexes = instance[MODEL].indexesOf(field)) {
  const { slot } = field;
  if (indexes.length === 0 && field.bag === null) {
    instance[slot] = to;
    return;
  }
  const id = instance[ID];
  for (let i = 0; i < indexes.length; i++) if (id < indexes[i].built) indexes[i].remove(instance);
  if (field.bag) {
    const from = instance[slot];
    if (from) bagRemove(from, field.bag, instance);
    instance[slot] = to;
    if (to) bagAdd(to, field.bag, instance);
  } else instance[slot] = to;
  for (let i = 0; i < indexes.length; i++) if (id < indexes[i].built) indexes[i].add(instance);
}

function join(instance, field, member) {
  bagAdd(instance, field.slot, member);
  if (instance !== member || field.slot !== field.bag) bagAdd(member, field.bag, instance);
}

function part(instance, field, member) {
  bagRemove(instance, field.slot, member);
  bagRemove(member, field.bag, instance);
}

function enter(instance) {
  const model = instance[MODEL], id = instance[ID];
  model.extent.put(id, instance);
  model.own++;
  for (const field of model.references) if (instance[field.slot]) bagAdd(instance[field.slot], field.bag, instance);
  for (const index of model.indexes) if (id < index.built) index.add(instance);
}

function leave(instance) {
  const model = instance[MODEL], id = instance[ID];
  for (const index of model.indexes) if (id < index.built) index.remove(instance);
  for (const field of model.references) if (instance[field.slot]) bagRemove(instance[field.slot], field.bag, instance);
  model.extent.remove(id);
  model.own--;
}
