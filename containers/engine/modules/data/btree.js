// An ordered index: a B+tree of keys with the ids of their instances, which knows how many lie before any key.
//
// 1. An entry is `columns` keys and an id, side by side in its leaf's list, so that a search touches no instance.
// 2. Entries are unique by (keys, id): equal keys lie in the order of their ids.
// 3. An inner node has for each child the child's first entry (in `firsts`) and how many entries are below it (`counts`).
// 4. No node but the root is empty.
import { compare } from "everturn:data/order";

const LEAF_ENTRIES = 32, CHILDREN = 48;

export class Tree {
  constructor(columns) {
    this.columns = columns;
    this.width = columns + 1;
    this.root = { entries: [] };
    this.size = 0;
  }

  // Adds an entry that is not there.
  add(keys, id) {
    const entry = [...keys, id];
    const split = this.#addBelow(this.root, entry);
    if (split) this.root = inner([...head(this.root, this.width), ...head(split, this.width)], [this.root, split], this.width);
    this.size++;
  }

  // Removes an entry; false if it is not there.
  remove(keys, id) {
    if (!this.#removeBelow(this.root, [...keys, id])) return false;
    this.size--;
    while (this.root.children && this.root.children.length === 1) this.root = this.root.children[0];
    return true;
  }

  // How many entries lie before those that begin with `prefix`, or, with `behind`, how many do not lie after them.
  rank(prefix, behind = false) {
    let node = this.root, rank = 0;
    while (node.children) {
      const last = this.#find(node.firsts, prefix, behind);
      const child = last > 0 ? last - 1 : 0;
      for (let i = 0; i < child; i++) rank += node.counts[i];
      node = node.children[child];
    }
    return rank + this.#find(node.entries, prefix, behind);
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

  // The entry at a rank, with its id last.
  entry(rank) {
    const [entries, at] = this.#seek(rank);
    return entries.slice(at, at + this.width);
  }

  #seek(rank) {
    let node = this.root;
    while (node.children) {
      let child = 0;
      while (rank >= node.counts[child]) rank -= node.counts[child++];
      node = node.children[child];
    }
    return [node.entries, rank * this.width];
  }

  // How many of these entries lie before `prefix`, or with `behind` not after it.
  #find(entries, prefix, behind) {
    const { width } = this, length = prefix.length;
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
    if (!node.children) {
      node.entries.splice(this.#find(node.entries, entry, false) * width, 0, ...entry);
      if (node.entries.length <= LEAF_ENTRIES * width) return null;
      const half = (LEAF_ENTRIES >> 1) * width;
      return { entries: node.entries.splice(half, node.entries.length - half) };
    }
    const at = Math.max(this.#find(node.firsts, entry, true) - 1, 0), child = node.children[at];
    const split = this.#addBelow(child, entry);
    node.counts[at]++;
    if (compareEntries(entry, node.firsts, at * width, width) < 0) replace(node.firsts, at * width, entry);
    if (!split) return null;
    node.children.splice(at + 1, 0, split);
    node.firsts.splice((at + 1) * width, 0, ...head(split, width));
    const below = countOf(split, width);
    node.counts[at] -= below;
    node.counts.splice(at + 1, 0, below);
    if (node.children.length <= CHILDREN) return null;
    const half = CHILDREN >> 1, many = node.children.length - half;
    const right = { children: node.children.splice(half, many), counts: node.counts.splice(half, many), firsts: null };
    right.firsts = node.firsts.splice(half * width, many * width);
    return right;
  }

  #removeBelow(node, entry) {
    const { width } = this;
    if (!node.children) {
      const at = this.#find(node.entries, entry, false) * width;
      if (at >= node.entries.length || compareEntries(entry, node.entries, at, width) !== 0) return false;
      node.entries.splice(at, width);
      return true;
    }
    const at = Math.max(this.#find(node.firsts, entry, true) - 1, 0);
    if (!this.#removeBelow(node.children[at], entry)) return false;
    node.counts[at]--;
    this.#mend(node, at);
    return true;
  }

  // After a removal below a child: it goes if it is empty, and joins a neighbour if both are small.
  #mend(node, at) {
    const { width } = this, child = node.children[at];
    if (isEmpty(child)) {
      node.children.splice(at, 1);
      node.counts.splice(at, 1);
      node.firsts.splice(at * width, width);
      return;
    }
    replace(node.firsts, at * width, head(child, width));
    const size = sizeOf(child, width), most = child.children ? CHILDREN : LEAF_ENTRIES;
    if (size * 4 > most || node.children.length < 2) return;
    const left = at > 0 ? at - 1 : at, first = node.children[left], second = node.children[left + 1];
    if ((sizeOf(first, width) + sizeOf(second, width)) * 4 > most * 3) return;
    if (first.children) {
      first.children.push(...second.children);
      first.counts.push(...second.counts);
      first.firsts.push(...second.firsts);
    } else first.entries.push(...second.entries);
    node.counts[left] += node.counts[left + 1];
    node.children.splice(left + 1, 1);
    node.counts.splice(left + 1, 1);
    node.firsts.splice((left + 1) * width, width);
  }
}

function inner(firsts, children, width) {
  return { children, counts: children.map((child) => countOf(child, width)), firsts };
}

function head(node, width) {
  return (node.children ? node.firsts : node.entries).slice(0, width);
}

function sizeOf(node, width) {
  return node.children ? node.children.length : node.entries.length / width;
}

function isEmpty(node) {
  return (node.children ?? node.entries).length === 0;
}

function countOf(node, width) {
  return node.children ? node.counts.reduce((sum, count) => sum + count, 0) : node.entries.length / width;
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
