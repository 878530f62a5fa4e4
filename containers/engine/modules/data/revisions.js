// Branches: revisions that see what the one they began from sees, and their own changes, until these are committed or reverted.
//
// A branch is its log. `in` puts the log on top of what is there now, runs, and takes it off again, so that queries and indexes need
// not know of branches at all.
import { ConflictError, NotFoundError, ValidationError, show } from "everturn:data/errors";
import { REMOVED, Revision, apply, atomically, base, cursors, now, settleCursors, takeBack, touch, unapply } from "everturn:data/store";
import { bagMembers } from "everturn:data/bags";
import { ID, MODEL, isLive, label } from "everturn:data/slots";

const open = new Set();

export class Branch {
  #revision;
  #state = "open";

  constructor(parent) {
    this.#revision = new Revision(parent);
    parent.children.add(this.#revision);
    open.add(this);
  }

  get state() { return this.#state; }

  // A branch of this branch.
  branch() {
    this.#check();
    return new Branch(this.#revision);
  }

  // Runs `work` with this branch as what everybody sees. If it throws, what it changed is taken back.
  in(work) {
    this.#check();
    checkWork("in", work);
    const before = now.revision;
    try {
      travel(this.#revision);
      const result = atomically(work);
      compact(this.#revision);
      return result;
    } finally {
      travel(before);
    }
  }

  // As `in` and then `commit`, at once: nothing can have come between.
  inAndCommit(work, isLater) {
    this.#check();
    const revision = this.#revision, { parent } = revision;
    let result;
    travel(revision);
    try {
      result = atomically(work);
    } catch (error) {
      travel(parent);
      throw error;
    }
    if (this.#state !== "open" || isLater(result)) {
      compact(revision);
      travel(parent);
      return result;
    }
    now.revision = parent;
    hand(revision, parent);
    this.#end("committed");
    return result;
  }

  // What this branch changed and its parent has changed since too. Empty: it can be committed.
  conflicts() {
    this.#check();
    const before = now.revision;
    try {
      travel(this.#revision.parent);
      return conflictsOf(this.#revision);
    } finally {
      travel(before);
    }
  }

  commit() {
    this.#check();
    const revision = this.#revision, { parent } = revision, before = now.revision;
    if (!isWithin(parent, before)) throw new NotFoundError(null, null, this, "a branch is committed where it was begun, not within itself or another: call commit() after in(...)");
    try {
      travel(parent);
      const conflicts = conflictsOf(revision);
      if (conflicts.length > 0) throw new ConflictError(conflicts);
      if (cursors.size > 0) settleCursors();
      for (const operation of revision.log) apply(operation);
      hand(revision, parent);
    } finally {
      travel(before);
    }
    this.#end("committed");
  }

  // Forgets its changes.
  revert() {
    this.#check();
    if (isWithin(now.revision, this.#revision)) throw new NotFoundError(null, null, this, "a branch cannot be reverted from within: throw instead, or call revert() after in(...)");
    this.#end("reverted");
  }

  // What it would change, in order: {kind, model, id, instance, field, value}.
  changes() {
    return this.#revision.log.map(({ kind, instance, field, to }) => ({
      kind, model: instance[MODEL].name, id: instance[ID], instance, field: field.name, value: field === REMOVED ? undefined : to,
    }));
  }

  #check() {
    if (this.#state === "open") return;
    throw new NotFoundError(null, null, this, `this branch was ${this.#state}: make a new one with branch()`);
  }

  #end(state) {
    const { children, parent } = this.#revision;
    for (const branch of [...open]) if (children.has(branch.#revision)) branch.#end("reverted");
    this.#state = state;
    open.delete(this);
    parent.children.delete(this.#revision);
    if (parent.children.size === 0) parent.touched = null;
  }
}

export function branch() {
  return new Branch(now.revision);
}

export function openBranches() {
  return [...open];
}

// What a revision's log did is its parent's now, where it has been applied.
function hand(revision, parent) {
  now.clock++;
  for (const operation of revision.log) {
    if (parent.log) parent.log.push(operation);
    // This branch is about to end; what it did is news to the others only.
    if (parent.children.size > 1) touch(parent, operation);
  }
  if (parent !== base) compact(parent);
}

// Makes a log, which is applied, one of net changes: what a field was in between is forgotten, and what was made and deleted again, and
// what is as it would be without. So a log that is put on something else later never shows a value there that it does not end with,
// and indexes can follow it.
function compact(revision) {
  if (revision.scopes > 0) return;
  const made = new Set(), gone = new Set(), nets = new Map();
  for (const operation of revision.log) {
    const { kind, instance } = operation;
    if (kind === "insert") made.add(instance);
    else if (kind === "remove") gone.add(instance);
    else note(nets, operation);
  }
  const isVoid = (instance) => made.has(instance) && gone.has(instance);
  revision.log = revision.log.filter((operation) => {
    const { kind, instance, field, to } = operation;
    if (isVoid(instance) || (kind !== "set" && to !== null && isVoid(to))) return false;
    if (kind === "insert" || kind === "remove") return true;
    const { from, last } = netOf(nets, operation);
    if (kind === "set") {
      // What was made is put in with what it came to be; what is gone will come back as it was.
      if (made.has(instance)) return false;
      if (gone.has(instance)) return instance[field.slot] = from, false;
      operation.from = from;
      return operation === last && from !== to;
    }
    operation.from = true;
    return operation === last && from !== (kind === "link");
  });
}

// What a field was, or whether two were linked, before the first change of it, and the last one.
function note(nets, operation) {
  const { kind, instance, field, to, from } = operation;
  if (!nets.has(instance)) nets.set(instance, new Map());
  const fields = nets.get(instance);
  if (kind === "set") {
    const known = fields.get(field);
    fields.set(field, { from: known ? known.from : from, last: operation });
    return;
  }
  if (!fields.has(field)) fields.set(field, new Map());
  const known = fields.get(field).get(to);
  fields.get(field).set(to, { from: known ? known.from : from === (kind === "unlink"), last: operation });
}

function netOf(nets, { kind, instance, field, to }) {
  const net = nets.get(instance).get(field);
  return kind === "set" ? net : net.get(to);
}

function isWithin(revision, outer) {
  for (; revision; revision = revision.parent) if (revision === outer) return true;
  return false;
}

// Makes a revision the current one: logs come off down to where the two part, and others go on from there.
function travel(to) {
  if (now.revision === to) return;
  if (cursors.size > 0) settleCursors();
  now.clock++;
  while (!isWithin(to, now.revision)) {
    const { log } = now.revision;
    for (let i = log.length - 1; i >= 0; i--) unapply(log[i]);
    now.revision = now.revision.parent;
  }
  const path = [];
  for (let revision = to; revision !== now.revision; revision = revision.parent) path.push(revision);
  while (path.length > 0) {
    const next = path.pop(), hindrances = hindrancesOf(next);
    if (hindrances.length > 0) throw new ConflictError(hindrances);
    for (const operation of next.log) apply(operation);
    now.revision = next;
  }
}

const conflict = (instance, field, mine, theirs, reason) =>
  ({ model: instance[MODEL].name, id: instance[ID], instance, field: field?.name ?? null, mine, theirs, reason });

// The parent of the revision is current.
function conflictsOf(revision) {
  const conflicts = hindrancesOf(revision), seen = new Map();
  const touched = revision.parent.touched;
  if (!touched) return conflicts;
  for (const { kind, instance, field, to } of revision.log) {
    const changes = touched.get(instance);
    if (!changes || !isLive(instance) || kind === "link" || kind === "unlink") continue;
    for (const [other, when] of changes) {
      if (when <= revision.start || other === REMOVED || (kind === "set" && other !== field)) continue;
      const fields = seen.get(instance) ?? new Set();
      if (fields.has(other)) continue;
      seen.set(instance, fields.add(other));
      const theirs = instance[other.slot], mine = kind === "set" ? to : undefined;
      conflicts.push(conflict(instance, other, mine, theirs, kind === "set" ? "was changed on both sides" : "was changed there and deleted here"));
    }
  }
  return conflicts;
}

// What makes it impossible to put a revision's log on what is current.
function hindrancesOf(revision) {
  const found = [], made = new Set(), gone = new Set(), keyed = new Set(), fresh = new Map();
  for (const { kind, instance, field, to } of revision.log) {
    if (kind === "insert") made.add(instance);
    else if (!made.has(instance) && !isLive(instance) && !gone.has(instance)) {
      found.push(conflict(instance, null, to, undefined, "was deleted there and changed here"));
      gone.add(instance);
    }
    if (kind === "remove") gone.add(instance);
    if (kind === "set" || kind === "insert") keyed.add(instance);
    if (kind === "set") {
      if (!fresh.has(instance)) fresh.set(instance, new Map());
      fresh.get(instance).set(field, to);
    }
    if (to?.[MODEL] && !made.has(to) && !isLive(to)) found.push(conflict(instance, field, to, undefined, `refers to ${label(to)}, which was deleted there`));
  }
  for (const instance of keyed) if (!gone.has(instance)) findTaken(instance, fresh, gone, found);
  for (const instance of gone) if (!made.has(instance) && isLive(instance)) findReferrers(instance, fresh, gone, revision.log, found);
  return found;
}

// Unique values that the branch gave and somebody else has by now.
function findTaken(instance, fresh, gone, found) {
  const values = fresh.get(instance);
  const stored = (field) => values?.has(field) ? values.get(field) : instance[field.slot] ?? null;
  for (const index of instance[MODEL].indexes) {
    if (!index.isUnique) continue;
    const keys = index.fields.map((field) => stored(field) === null ? null : field.key(stored(field)));
    const holder = index.holder(keys);
    if (!holder || holder === instance || gone.has(holder)) continue;
    if (index.fields.some((field) => fresh.get(holder)?.has(field))) continue;
    found.push(conflict(instance, index.fields[0], stored(index.fields[0]), holder, `its ${index.name} is unique, and ${label(holder)} has it by now`));
  }
}

// References to what the branch deleted, made since.
function findReferrers(instance, fresh, gone, log, found) {
  const fault = (other) => found.push(conflict(instance, null, undefined, other, `was deleted here, and ${label(other)} refers to it by now`));
  const parted = (one, other) => log.some(({ kind, instance, to }) => kind === "unlink" && ((instance === one && to === other) || (instance === other && to === one)));
  for (const field of instance[MODEL].incoming()) {
    if (!field.bag) continue;
    for (const referrer of bagMembers(instance, field.bag)) {
      if (field.kind === "one" ? gone.has(referrer) || fresh.get(referrer)?.has(field) : parted(instance, referrer)) continue;
      fault(referrer);
    }
  }
  for (const field of instance[MODEL].fields.values()) {
    if (field.kind !== "many" || !field.inverse?.isHidden) continue;
    for (const member of bagMembers(instance, field.slot)) if (!parted(instance, member)) fault(member);
  }
}

function checkWork(what, work) {
  if (typeof work !== "function") throw new ValidationError(null, null, work, `${what}(...) is to be given a function that does the work, not ${show(work)}`);
}

function checkOptions(options) {
  if (options === null || typeof options !== "object") throw new ValidationError(null, null, options, `transact(work, options) takes options such as { retries: 3 }, not ${show(options)}`);
  const unknown = Object.keys(options).find((name) => name !== "retries"), { retries } = options;
  if (unknown !== undefined) throw new ValidationError(null, unknown, options[unknown], `transact(work, options) knows no option ${show(unknown)}: there is retries`);
  if (retries !== undefined && retries !== Infinity && !(Number.isSafeInteger(retries) && retries >= 0))
    throw new ValidationError(null, "retries", retries, `transact(work, { retries }) is to be given how often it may be done again, a whole number, 0 or more, not ${show(retries)}`);
  return options;
}

function isPromise(value) {
  return value !== null && typeof value === "object" && typeof value.then === "function";
}

// Runs `work(branch)` in a branch and commits it; all or nothing. Where `work` gives a promise, what it does after its first
// `await` belongs into `branch.in(...)`. On a conflict, and on nothing else, it is done again in a new branch.
export function transact(work, options = {}) {
  checkWork("transact", work);
  const { retries = 0 } = checkOptions(options);
  for (let attempt = 0; ; attempt++) {
    const made = branch();
    try {
      const result = made.inAndCommit(() => work(made), isPromise);
      return isPromise(result) ? later(work, made, result, retries - attempt) : result;
    } catch (error) {
      if (made.state === "open") made.revert();
      if (!(error instanceof ConflictError) || attempt >= retries) throw error;
    }
  }
}

async function later(work, made, promise, retries) {
  for (;;) {
    try {
      const result = await promise;
      if (made.state === "open") made.commit();
      return result;
    } catch (error) {
      if (made.state === "open") made.revert();
      if (!(error instanceof ConflictError) || retries-- <= 0) throw error;
    }
    made = branch();
    promise = made.in(() => work(made));
  }
}

export { base };
