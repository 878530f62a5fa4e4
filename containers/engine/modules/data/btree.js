// An ordered index: a B+tree of keys with the ids of their instances, which knows how many lie before any key.
//
// 1. An entry is `columns` keys and an id, side by side in its leaf's list, so that a search touches no instance.
// 2. Entries are unique by (keys, id): equal keys lie in the order of their ids.
// 3. A leaf is its list; an inner node the list [firsts, counts, children]: each child's first entry, and how many are below it.
// 4. No node but the root is empty.
// 5. Whatever stays within one leaf is done by shim/tree.c in one call; what that leaves (it says so) is done here.
import { cut, find, insert, members, put, rank, take } from "everturn:data/entries";
import { compare } from "everturn:data/order";

const LEAF_ENTRIES = 32, CHILDREN = 48;
const FIRSTS = 0, COUNTS = 1, CHILD = 2;

// How many instances `members` gives at once.
export const FEW = 32;

const isInner = (node) => node.length === 3 && Array.isArray(node[FIRSTS]);

export class Tree {
  constructor(columns) {
    this.columns = columns;
    this.width = columns + 1;
    this.root = [];
    this.size = 0;
  }

  // Adds an entry that is not there.
  add(entry) {
    this.size++;
    if (put(this.root, this.width, entry, LEAF_ENTRIES)) return;
    const split = this.#addBelow(this.root, entry);
    if (split) this.root = inner([...head(this.root, this.width), ...head(split, this.width)], [this.root, split], this.width);
  }

  // Removes an entry; false if it is not there.
  remove(entry) {
    if (take(this.root, this.width, entry, LEAF_ENTRIES >> 2)) return this.size--, true;
    if (!this.#removeBelow(this.root, entry)) return false;
    this.size--;
    while (isInner(this.root) && this.root[CHILD].length === 1) this.root = this.root[CHILD][0];
    return true;
  }

  // How many entries lie before those that begin with `prefix`, or, with `behind`, how many do not lie after them.
  rank(prefix, behind = false) {
    const known = rank(this.root, this.width, prefix, behind);
    if (known >= 0) return known;
    let node = this.root, before = 0;
    while (isInner(node)) {
      const [firsts, counts, children] = node, child = Math.max(this.#find(firsts, prefix, behind) - 1, 0);
      for (let i = 0; i < child; i++) before += counts[i];
      node = children[child];
    }
    return before + this.#find(node, prefix, behind);
  }

  // The ids from rank `from` to before `to`, one for each call of the function that it returns; -1 at the end.
  walk(from, to, backwards = false) {
    let entries = null, at = 0, left = to - from;
    const step = backwards ? -this.width : this.width;
    return () => {
      if (left-- <= 0) return -1;
      at += step;
      if (entries === null || at < 0 || at >= entries.length) {
        [entries, at] = this.#seek(backwards ? from + left : to - left - 1);
      }
      return entries[at + this.columns];
    };
  }

  // The instances from rank `from` to before `to`, FEW at most, as a list.
  members(from, to, extent) {
    return members(this.root, this.width, from, to, extent.pieces);
  }

  // The entry at a rank, with its id last.
  entry(rank) {
    const [entries, at] = this.#seek(rank);
    return entries.slice(at, at + this.width);
  }

  #seek(rank) {
    let node = this.root;
    while (isInner(node)) {
      const [, counts, children] = node;
      let child = 0;
      while (rank >= counts[child]) rank -= counts[child++];
      node = children[child];
    }
    return [node, rank * this.width];
  }

  // How many of these entries lie before `prefix`, or with `behind` not after it.
  #find(entries, prefix, behind) {
    const { width } = this, known = find(entries, width, prefix, behind);
    if (known >= 0) return known;
    const { length } = prefix;
    let low = 0, high = entries.length / width;
    while (low < high) {
      const middle = (low + high) >> 1, at = middle * width;
      let order = 0;
      for (let i = 0; i < length && order === 0; i++) order = compare(entries[at + i], prefix[i]);
      if (order < 0 || (behind && order === 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // Returns the new right neighbour of a node that was split.
  #addBelow(node, entry) {
    const { width } = this;
    if (!isInner(node)) {
      insert(node, this.#find(node, entry, false) * width, entry);
      return node.length <= LEAF_ENTRIES * width ? null : cutOff(node, (LEAF_ENTRIES >> 1) * width);
    }
    const [firsts, counts, children] = node;
    const at = Math.max(this.#find(firsts, entry, true) - 1, 0), child = children[at];
    const split = this.#addBelow(child, entry);
    counts[at]++;
    if (at === 0 && compareEntries(entry, firsts, 0, width) < 0) replace(firsts, 0, entry);
    if (!split) return null;
    insert(children, at + 1, [split]);
    insert(firsts, (at + 1) * width, head(split, width));
    const below = countOf(split, width);
    counts[at] -= below;
    insert(counts, at + 1, [below]);
    if (children.length <= CHILDREN) return null;
    const half = CHILDREN >> 1;
    return [cutOff(firsts, half * width), cutOff(counts, half), cutOff(children, half)];
  }

  #removeBelow(node, entry) {
    const { width } = this;
    if (!isInner(node)) {
      const at = this.#find(node, entry, false) * width;
      if (at >= node.length || compareEntries(entry, node, at, width) !== 0) return false;
      cut(node, at, width);
      return true;
    }
    const at = Math.max(this.#find(node[FIRSTS], entry, true) - 1, 0);
    if (!this.#removeBelow(node[CHILD][at], entry)) return false;
    node[COUNTS][at]--;
    this.#mend(node, at);
    return true;
  }

  // After a removal below a child: it goes if it is empty, and joins a neighbour if both are small.
  #mend(node, at) {
    const { width } = this, [firsts, counts, children] = node, child = children[at];
    const size = sizeOf(child, width);
    if (size === 0) {
      this.#drop(node, at);
      return;
    }
    const entries = isInner(child) ? child[FIRSTS] : child;
    for (let i = 0; i < width; i++) if (firsts[at * width + i] !== entries[i]) firsts[at * width + i] = entries[i];
    const most = isInner(child) ? CHILDREN : LEAF_ENTRIES;
    if (size * 4 > most || children.length < 2) return;
    const left = at > 0 ? at - 1 : at, first = children[left], second = children[left + 1];
    if ((sizeOf(first, width) + sizeOf(second, width)) * 4 > most * 3) return;
    if (isInner(first)) for (const part of [FIRSTS, COUNTS, CHILD]) first[part].push(...second[part]);
    else first.push(...second);
    counts[left] += counts[left + 1];
    this.#drop(node, left + 1);
  }
  #drop(node, at) {
    cut(node[CHILD], at, 1);
    cut(node[COUNTS], at, 1);
    cut(node[FIRSTS], at * this.width, this.width);
  }
}

// What is in a list from a place on, which is not in it any more. Not by splice, after which QuickJS keeps items as properties.
function cutOff(list, at) {
  const rest = list.slice(at);
  list.length = at;
  return rest;
}

function inner(firsts, children, width) {
  return [firsts, children.map((child) => countOf(child, width)), children];
}

function head(node, width) {
  return (isInner(node) ? node[FIRSTS] : node).slice(0, width);
}

function sizeOf(node, width) {
  return isInner(node) ? node[CHILD].length : node.length / width;
}

function countOf(node, width) {
  return isInner(node) ? node[COUNTS].reduce((sum, count) => sum + count, 0) : node.length / width;
}

function replace(list, at, entry) {
  for (let i = 0; i < entry.length; i++) list[at + i] = entry[i];
}

function compareEntries(entry, list, at, width) {
  for (let i = 0; i < width; i++) {
    const order = compare(entry[i], list[at + i]);
    if (order !== 0) return order;
  }
  return 0;
}
