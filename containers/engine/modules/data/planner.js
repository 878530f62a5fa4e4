// How a query gets at its instances: over which index, and how many it will touch. Counting is exact, for an ordered index knows how
// many entries lie between two keys; so the way that touches least is taken, and of equals the first.
import { bagSize, bagWalk } from "everturn:data/bags";
import { FEW } from "everturn:data/btree";
import { after, isOrdered } from "everturn:data/order";

const NONE = [];

// `query` has condition (or null), order, offset, source (a collection, or null).
// A way is {kind, touches, walk(), served: the leaves that it answers, order: whether it gives the query's order, text}.
export function plan(model, query, limit) {
  const { source } = query;
  if (source) return { kind: "relation", index: source.name, touches: source.size(), walk: source.walk, served: NONE, ordered: false };
  const leaves = query.condition ? query.condition.all ?? [query.condition] : NONE;
  const ways = [];
  for (const leaf of leaves) {
    const way = wayOfLeaf(model, leaf);
    if (!way) continue;
    // There is nothing else to do, and nothing cheaper.
    if (leaves.length === 1 && way.kind === "unique" && way.touches < 2) return way;
    ways.push(way);
  }
  for (const index of model.indexes) {
    if (index.kind !== "ordered" || !index.isReady || !concerns(index, leaves, query.order)) continue;
    const way = wayOfIndex(index, leaves, query);
    if (way) ways.push(way);
  }
  const scan = scanOf(model);
  let best = scan, bestCost = costOf(scan, query, limit, leaves);
  for (const way of ways) {
    const cost = costOf(way, query, limit, leaves);
    if (cost < bestCost) [best, bestCost] = [way, cost];
  }
  return best;
}

// What a query finds that asks one field for a value or for what lies between two, where an index gives it at once and nothing is left
// to be done: a list of FEW at most, in the order and with the instances that `plan` would lead to; null: plan.
export function known(model, { condition: leaf, order, limit, offset, source }) {
  if (leaf === null || source !== null || order.length > 0 || model.parent !== null) return null;
  const { field, op } = leaf;
  if (!field || field.model !== model || (op !== "=" && op !== "between")) return null;
  const { hash } = field;
  if (op === "=" && hash !== null) {
    if (hash.built !== Infinity || leaf.key === null) return null;
    const instance = hash.entries.get(leaf.key);
    return instance === undefined || limit < 1 || offset > 0 ? [] : [instance];
  }
  const { ordered } = field;
  if (ordered === null || ordered.built !== Infinity) return null;
  const least = op === "=" ? leaf.key : leaf.keys[0], most = op === "=" ? least : leaf.keys[1];
  if (least === null || most === null || !isOrdered(least) || !isOrdered(most)) return null;
  const { tree } = ordered, from = tree.rank([least]), to = tree.rank([most], true);
  if (to - from > FEW || to - from + 1 > model.extent.size) return null;
  const first = from + offset, last = first + limit < to ? first + limit : to;
  return first < last ? tree.members(first, last, model.extent) : [];
}

// Whether an ordered index can serve anything: its first field is asked for, or gives the order.
function concerns({ fields: [first] }, leaves, order) {
  if (order.length > 0 && order[0].field === first) return true;
  for (const leaf of leaves) if (leaf.field === first) return true;
  return false;
}

// What is touched, and sorting what has to be sorted.
function costOf(way, query, limit, leaves) {
  const isExact = leaves.every((leaf) => way.served.includes(leaf));
  let cost = way.touches;
  if (query.order.length > 0 && !way.ordered) return cost * 2 + 1;
  if (isExact && limit !== Infinity) cost = Math.min(cost, query.offset + limit);
  // An index is worth its indirection only if it spares something.
  return way.kind === "scan" ? cost : cost + 1 / (1 + way.served.length);
}

function scanOf(model) {
  const { extent } = model;
  return { kind: "scan", index: null, touches: extent.size, served: NONE, ordered: false, walk: () => extent.walk() };
}

function wayOfLeaf(model, leaf) {
  if (leaf.any) return unionOf(model, leaf);
  const { field, op } = leaf;
  if (!field || model.fields.get(field.name) !== field) return null;
  if (field.kind === "one") return wayOfReference(field, leaf);
  if (op !== "=" && op !== "in") return null;
  const index = hashOf(model, field);
  if (!index) return null;
  const keys = op === "=" ? [leaf.key] : leaf.keys, found = [];
  for (let i = 0; i < keys.length; i++) {
    if (keys[i] === null) return null;
    const instance = index.entries.get(keys[i]);
    if (instance !== undefined) found.push(instance);
  }
  return { kind: "unique", index: index.name, touches: found.length, served: [leaf], ordered: found.length < 2, found, walk: () => walkList(found) };
}

function hashOf(model, field) {
  const indexes = model.indexesOf(field);
  for (let i = 0; i < indexes.length; i++) if (indexes[i].kind === "hash" && indexes[i].isReady) return indexes[i];
  return null;
}

// The other side of a relation is an index on it.
function wayOfReference(field, leaf) {
  if (leaf.op !== "=" || leaf.key === null || !field.bag) return null;
  const { value } = leaf;
  return {
    kind: "relation", index: field.name, touches: bagSize(value, field.bag), served: [leaf], ordered: false,
    walk: () => bagWalk(value, field.bag),
  };
}

function walkList(list) {
  let at = 0;
  return () => at < list.length ? list[at++] : null;
}

// A way for each of several conditions, and nothing twice.
function unionOf(model, leaf) {
  const parts = [];
  for (const each of leaf.any) {
    const part = plan(model, { source: null, condition: each, order: NONE, offset: 0 }, Infinity);
    if (part.kind === "scan") return null;
    parts.push(part);
  }
  const touches = parts.reduce((sum, part) => sum + part.touches, 0);
  return { kind: "union", index: parts.map((part) => part.index).join(" + "), touches, served: NONE, ordered: false, walk: () => walkUnion(parts) };
}

function walkUnion(parts) {
  const seen = new Set();
  let at = 0, next = parts[0].walk();
  return () => {
    for (;;) {
      const instance = next();
      if (instance === null) {
        if (++at >= parts.length) return at = parts.length, null;
        next = parts[at].walk();
      } else if (!seen.has(instance)) return seen.add(instance), instance;
    }
  };
}

// An ordered index serves equalities of its first fields, then one range of the next, then the order of those that follow.
function wayOfIndex(index, leaves, query) {
  const { fields, tree } = index, served = [];
  let prefix = [], at = 0, ranges = null;
  const on = (field, ops) => leaves.find((leaf) => leaf.field === field && ops.includes(leaf.op) && !served.includes(leaf));
  for (; at < fields.length; at++) {
    const equal = on(fields[at], ["="]);
    if (!equal || !isOrdered(equal.key)) break;
    served.push(equal);
    prefix.push(equal.key);
  }
  if (at < fields.length) ranges = rangesOf(tree, prefix, fields[at], on, served);
  ranges ??= [[tree.rank(prefix), tree.rank(prefix, true)]];
  const touches = ranges.reduce((sum, [from, to]) => sum + Math.max(to - from, 0), 0);
  const ordered = ranges.length === 1 && servesOrder(fields, at, query.order);
  if (served.length === 0 && !ordered) return null;
  const backwards = ordered && query.order.length > 0 && query.order[0].isDescending;
  return {
    kind: "index", index: index.name, touches, served, ordered, backwards, model: index.model,
    walk: () => walkRanges(index, backwards, ranges),
  };
}

function servesOrder(fields, equal, order) {
  if (order.length === 0 || order.some((key) => !key.field || key.isDescending !== order[0].isDescending)) return false;
  // Fields that are all equal do not count; and a field more would part those that are to be in the order of their ids.
  const wanted = order.filter((key) => !fields.slice(0, equal).includes(key.field));
  return wanted.length === fields.length - equal && wanted.every((key, i) => fields[equal + i] === key.field);
}

// Ranks between which the entries lie that fit the conditions on the field behind `prefix`. Comparisons leave nothing (null) out.
function rangesOf(tree, prefix, field, on, served) {
  const among = on(field, ["in"]);
  if (among && among.keys.every(isOrdered)) {
    served.push(among);
    return among.keys.map((key) => [tree.rank([...prefix, key]), tree.rank([...prefix, key], true)]);
  }
  let from = null, to = null;
  const low = (rank) => { from = from === null ? rank : Math.max(from, rank); };
  const high = (rank) => { to = to === null ? rank : Math.min(to, rank); };
  for (let leaf; (leaf = on(field, ["<", "<=", ">", ">=", "between", "startsWith"])); served.push(leaf)) {
    const { op } = leaf, [least, most] = op === "between" ? leaf.keys : [leaf.key, leaf.key];
    if (![least, most].every(isOrdered)) return null;
    if (least === null || most === null) {
      low(0);
      high(0);
      continue;
    }
    if (op === "<" || op === "<=") low(tree.rank([...prefix, null], true));
    else low(tree.rank([...prefix, least], op === ">"));
    if (op === "<" || op === "<=" || op === "between") high(tree.rank([...prefix, most], op !== "<"));
    if (op === "startsWith") {
      const end = after(least);
      if (end !== undefined) high(tree.rank([...prefix, end]));
    }
  }
  if (from === null) return null;
  return [[from, Math.max(from, to ?? tree.rank(prefix, true))]];
}


function walkRanges(index, backwards, ranges) {
  const { tree, model: { extent } } = index;
  let at = 0, next = null;
  // What is few is fetched at once.
  if (ranges.length === 1 && ranges[0][1] - ranges[0][0] <= FEW) {
    const found = ranges[0][0] < ranges[0][1] ? tree.members(ranges[0][0], ranges[0][1], extent) : [];
    return walkList(backwards ? found.reverse() : found);
  }
  return () => {
    for (;;) {
      if (next === null) {
        if (at >= ranges.length) return null;
        const [from, to] = ranges[at++];
        next = tree.walk(from, to, backwards);
      }
      const id = next();
      if (id >= 0) return extent.at(id);
      next = null;
    }
  };
}
