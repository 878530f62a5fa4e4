// An ordered index: a B+tree of keys with the ids of their instances, which knows how many lie before any key.
//
// 1. An entry is `columns` keys and an id, side by side in its leaf's list, so that a search touches no instance.
// 2. Entries are unique by (keys, id): equal keys lie in the order of their ids.
// 3. An inner node has for each child the child's first entry (in `firsts`) and how many entries are below it (`counts`).
// 4. No node but the root is empty.
import { cut, find, insert } from "everturn:data/entries";
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
    let node = this.root, rank = 0, below = this.size;
    while (node.children) {
      const { children, counts } = node, last = this.#find(node.firsts, prefix, behind);
      const child = last > 0 ? last - 1 : 0, count = counts[child];
      // Summed up from the nearer end.
      if (child * 2 <= children.length) for (let i = 0; i < child; i++) rank += counts[i];
      else {
        rank += below - count;
        for (let i = children.length - 1; i > child; i--) rank -= counts[i];
      }
      below = count;
      node = children[child];
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
    let node = this.root, below = this.size;
    while (node.children) {
      const { children, counts } = node;
      let child = 0;
      if (rank * 2 < below) while (rank >= counts[child]) rank -= counts[child++];
      else {
        child = children.length;
        for (let left = below; left > rank;) left -= counts[--child], below = left;
        rank -= below;
      }
      below = counts[child];
      node = children[child];
    }
    return [node.entries, rank * this.width];
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

  // The ids from rank `from` to before `to`, as a list.
  ids(from, to) {
    const { width, columns } = this, found = [];
    while (from < to) {
      const [entries, first] = this.#seek(from);
      for (let at = first + columns; at < entries.length && from < to; at += width, from++) found.push(entries[at]);
    }
    return found;
  }

  // Returns the new right neighbour of a node that was split.
  #addBelow(node, entry) {
    const { width } = this;
    if (!node.children) {
      const { entries } = node;
      insert(entries, this.#find(entries, entry, false) * width, entry);
      if (entries.length <= LEAF_ENTRIES * width) return null;
      return { entries: cutOff(entries, (LEAF_ENTRIES >> 1) * width) };
    }
    const at = Math.max(this.#find(node.firsts, entry, true) - 1, 0), child = node.children[at];
    const split = this.#addBelow(child, entry);
    node.counts[at]++;
    if (at === 0 && compareEntries(entry, node.firsts, 0, width) < 0) replace(node.firsts, at * width, entry);
    if (!split) return null;
    insert(node.children, at + 1, [split]);
    insert(node.firsts, (at + 1) * width, head(split, width));
    const below = countOf(split, width);
    node.counts[at] -= below;
    insert(node.counts, at + 1, [below]);
    if (node.children.length <= CHILDREN) return null;
    const half = CHILDREN >> 1;
    return { children: cutOff(node.children, half), counts: cutOff(node.counts, half), firsts: cutOff(node.firsts, half * width) };
  }

  #removeBelow(node, entry) {
    const { width } = this;
    if (!node.children) {
      const at = this.#find(node.entries, entry, false) * width;
      if (at >= node.entries.length || compareEntries(entry, node.entries, at, width) !== 0) return false;
      cut(node.entries, at, width);
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
    const { width } = this, child = node.children[at], isInner = child.children !== undefined;
    const size = isInner ? child.children.length : child.entries.length / width;
    if (size === 0) {
      this.#drop(node, at);
      return;
    }
    const entries = isInner ? child.firsts : child.entries, { firsts } = node;
    for (let i = 0; i < width; i++) if (firsts[at * width + i] !== entries[i]) firsts[at * width + i] = entries[i];
    const most = isInner ? CHILDREN : LEAF_ENTRIES;
    if (size * 4 > most || node.children.length < 2) return;
    const left = at > 0 ? at - 1 : at, first = node.children[left], second = node.children[left + 1];
    if ((sizeOf(first, width) + sizeOf(second, width)) * 4 > most * 3) return;
    if (first.children) {
      first.children.push(...second.children);
      first.counts.push(...second.counts);
      first.firsts.push(...second.firsts);
    } else first.entries.push(...second.entries);
    node.counts[left] += node.counts[left + 1];
    this.#drop(node, left + 1);
  }
  #drop(node, at) {
    cut(node.children, at, 1);
    cut(node.counts, at, 1);
    cut(node.firsts, at * this.width, this.width);
  }
}

// What is in a list from a place on, which is not in it any more. Not by splice, after which QuickJS keeps items as properties.
function cutOff(list, at) {
  const rest = list.slice(at);
  list.length = at;
  return rest;
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
