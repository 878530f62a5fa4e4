// The instances on the `many` side of a relation, in a slot of the instance that they belong to: nothing, one, or a tree of ids,
// since most have few. They are in the order of their ids, whatever was put in and taken out before.
import { Tree } from "everturn:data/btree";
import { ID, MODEL } from "everturn:data/slots";

class Bag extends Tree {
  constructor(extent) {
    super(0);
    this.extent = extent;
  }
  has(id) { return this.rank([id]) !== this.rank([id], true); }
}

export function bagSize(owner, slot) {
  const bag = owner[slot];
  return bag === undefined || bag === null ? 0 : bag instanceof Bag ? bag.size : 1;
}

export function bagHas(owner, slot, member) {
  const bag = owner[slot];
  return bag instanceof Bag ? bag.has(member[ID]) : bag === member;
}

export function bagAdd(owner, slot, member) {
  const bag = owner[slot];
  if (bag instanceof Bag) bag.add([member[ID]]);
  else if (bag === undefined || bag === null) owner[slot] = member;
  else {
    const made = owner[slot] = new Bag(member[MODEL].extent);
    made.add([bag[ID]]);
    made.add([member[ID]]);
  }
}

export function bagRemove(owner, slot, member) {
  const bag = owner[slot];
  if (bag === member) owner[slot] = null;
  else if (bag instanceof Bag && bag.remove([member[ID]]) && bag.size === 0) owner[slot] = null;
}

export function bagMembers(owner, slot) {
  const members = [], next = bagWalk(owner, slot);
  for (let member; (member = next()) !== null;) members.push(member);
  return members;
}

// The members, one for each call of the function that it returns; null at the end.
export function bagWalk(owner, slot) {
  const bag = owner[slot];
  if (bag instanceof Bag) {
    const { extent } = bag, next = bag.walk(0, bag.size);
    return () => {
      const id = next();
      return id < 0 ? null : extent.at(id);
    };
  }
  let member = bag ?? null;
  return () => {
    const found = member;
    member = null;
    return found;
  };
}
