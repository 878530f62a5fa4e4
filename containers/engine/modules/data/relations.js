// Relations: what a definition says of them, and the `many` side as a program sees it.
import { NotFoundError, ValidationError, show } from "everturn:data/errors";
import { bagHas, bagMembers, bagSize, bagWalk } from "everturn:data/bags";
import { MODEL, isInstance, isLive, label } from "everturn:data/slots";
import { atomically, link, set, unlink } from "everturn:data/store";

const ON_DELETE = ["restrict", "null", "cascade"];
const OPTIONS = ["inverse", "onDelete", "required", "was"];

// What is wrong with it is kept until a model says where it stands (`relationFault`), so that the error can name the place.
export class Relation {
  constructor(kind, target, options = {}) {
    this.kind = kind;
    this.target = typeof target === "string" ? target : target?.name ?? target;
    this.options = options;
  }

  required(is = true) { return new Relation(this.kind, this.target, { ...this.options, required: is || undefined }); }
  was(name) { return new Relation(this.kind, this.target, { ...this.options, was: name }); }
  signature() {
    const { inverse = "", onDelete = "", required = false } = this.options;
    return `${this.kind}(${this.target}) ${inverse} ${onDelete} ${required}`;
  }
}

// What makes no sense in a relation's definition by itself: {value, reason}; null if nothing does.
export function relationFault({ kind, target, options }) {
  const fault = (value, reason) => ({ value, reason });
  if (typeof target !== "string" || target === "") return fault(target, `is ${kind}(...) of no model: give it a model or its name, as ${kind}("Person") does`);
  if (options === null || typeof options !== "object" || Array.isArray(options)) return fault(options, `is given ${show(options)} where options are to stand, as ${kind}(${show(target)}, { inverse: "field" }) does`);
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined) return fault(options[unknown], `says ${unknown}, and there is no such option of ${kind}(...): there are ${OPTIONS.join(", ")}`);
  const { inverse, onDelete, required, was } = options;
  if (inverse !== undefined && (typeof inverse !== "string" || inverse === "")) return fault(inverse, `says inverse: ${show(inverse)}: give it the name of the field of ${target} that is the other side`);
  if (onDelete !== undefined && !ON_DELETE.includes(onDelete)) return fault(onDelete, `says onDelete: ${show(onDelete)}: there are ${ON_DELETE.map(show).join(", ")}`);
  if (required !== undefined && typeof required !== "boolean") return fault(required, `says required: ${show(required)}: give it true or false`);
  if (was !== undefined && typeof was !== "string") return fault(was, `says was: ${show(was)}: give it the name that the field had`);
  if (kind === "many" && required) return fault(required, "says required, which many(...) cannot be, for there may be none: leave it out, or ask in check(...) of another field");
  if (required && onDelete === "null") return fault(onDelete, 'is required, so it cannot become null on a deletion: say onDelete: "restrict" or "cascade"');
  return null;
}

export const one = (target, options) => new Relation("one", target, options);
export const many = (target, options) => new Relation("many", target, options);

// What a reference may be set to: nothing, or an instance of the target that is there.
export function acceptTarget(field, value) {
  const owner = field.model.name;
  if (value === undefined || value === null) {
    if (field.spec.options.required) throw new ValidationError(owner, field.name, value, `is required: give it a ${field.spec.target}`);
    return null;
  }
  const { target } = field.resolved();
  if (!isInstance(value) || !target.holds(value))
    throw new ValidationError(owner, field.name, value, `is to be a ${target.name}, not ${show(value)}`);
  if (!isLive(value)) throw new ValidationError(owner, field.name, value, `cannot be ${label(value)}: that was deleted, or made in a branch that is not committed`);
  return value;
}

// Sets a reference; where the other side is one too, both partners of before lose theirs.
export function setOne(instance, field, target) {
  const inverse = field.inverse?.kind === "one" ? field.inverse : null;
  const old = instance[field.slot] ?? null;
  if (old === target) return;
  if (!inverse) return set(instance, field, target);
  const rival = target ? target[inverse.slot] ?? null : null;
  if (old && inverse.spec.options.required) throw left(old, inverse);
  if (rival && field.spec.options.required) throw left(rival, field);
  if (old) set(old, inverse, null);
  if (rival) set(rival, field, null);
  set(instance, field, target);
  if (target) set(target, inverse, instance);
}

function left(instance, field) {
  return new ValidationError(field.model.name, field.name, null, `is required, and ${label(instance)} would be left without: give that another first`);
}

export function addTo(owner, field, member) {
  const { inverse } = field.resolved();
  acceptTarget(field, member ?? undefined);
  if (!member) throw new ValidationError(field.model.name, field.name, member, `is to be given a ${field.spec.target}, not ${show(member)}`);
  if (inverse.kind === "one") member[MODEL].change(member, inverse, owner);
  else if (!bagHas(owner, field.slot, member)) link(owner, field, member);
}

export function removeFrom(owner, field, member) {
  const { inverse } = field.resolved();
  if (!isInstance(member) || !bagHas(owner, field.slot, member)) return false;
  if (inverse.kind === "one") member[MODEL].change(member, inverse, null);
  else unlink(owner, field, member);
  return true;
}

// Makes these the members, and no others.
export function setMany(owner, field, members) {
  if (members === undefined || members === null || typeof members[Symbol.iterator] !== "function" || typeof members === "string")
    throw new ValidationError(field.model.name, field.name, members, `is to be a list of instances of ${field.spec.target}, not ${show(members)}`);
  const wanted = new Set(members);
  atomically(() => {
    for (const member of bagMembers(owner, field.slot)) if (!wanted.has(member)) removeFrom(owner, field, member);
    for (const member of wanted) addTo(owner, field, member);
  });
}

// The `many` side: a living collection. What can be asked of a query can be asked of it.
export class Many {
  #owner;
  #field;

  constructor(owner, field) {
    this.#owner = owner;
    this.#field = field;
  }

  get size() { return bagSize(this.#owner, this.#field.slot); }
  has(member) { return bagHas(this.#owner, this.#field.slot, member); }

  add(...members) {
    this.#change(() => members.forEach((member) => addTo(this.#owner, this.#field, member)));
    return this;
  }
  // How many of these were members.
  remove(...members) {
    return this.#change(() => members.filter((member) => removeFrom(this.#owner, this.#field, member)).length);
  }
  clear() { return this.remove(...bagMembers(this.#owner, this.#field.slot)); }

  // All of them, as a query.
  all() {
    const { target } = this.#field.resolved();
    return target.all().within({
      name: `${label(this.#owner)}.${this.#field.name}`, size: () => this.size,
      has: (member) => this.has(member), walk: () => bagWalk(this.#owner, this.#field.slot),
    });
  }
  [Symbol.iterator]() { return this.all()[Symbol.iterator](); }

  #change(work) {
    const owner = this.#owner;
    if (!isLive(owner)) throw new NotFoundError(owner[MODEL].name, this.#field.name, owner, `cannot be changed: ${label(owner)} was deleted, or made in a branch that is not committed`);
    owner[MODEL].checkChanging();
    return atomically(work);
  }
}
