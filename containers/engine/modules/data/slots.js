// Where an instance keeps what it has: under symbols of its own, one for each field, which only this module knows.

export const ID = Symbol("id");
export const MODEL = Symbol("model");
// What rows tell of themselves (rows.js).
export const KIND = Symbol("kind");

// Whether it is one of the instances that there are, in the revision that is current.
export function isLive(instance) {
  return instance[MODEL].extent.at(instance[ID]) === instance;
}

// By what a field's value is compared; that of a reference is the id of what it refers to.
export function keyOf(field, instance) {
  const stored = instance[field.slot];
  if (stored === null || stored === undefined) return null;
  return field.isKey ? stored : field.key(stored);
}

export function label(instance) {
  return `${instance[MODEL].name} ${instance[ID]}`;
}

export function isInstance(value) {
  return value !== null && typeof value === "object" && value[MODEL] !== undefined && value[ID] !== undefined;
}
