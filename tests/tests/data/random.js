// Random models, and beside them a naive one: plain rows, full scans. What one allows the other allows, and they hold the same.

function dice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  return { below, chance: (p) => next() < p, pick: (list) => list[below(list.length)] };
}

var KINDS = {
  integer: { field: integer, value: (d) => d.below(30) - 5 },
  string: { field: string, value: (d) => d.pick(["", "a", "ab", "abc", "b", "ba", "c", "\u{1f600}", "\uffff"]) + (d.chance(0.5) ? d.below(9) : "") },
  date: { field: date, value: (d) => new Date(d.below(20) * 1000) },
  boolean: { field: boolean, value: (d) => d.chance(0.5) },
  bigint: { field: bigint, value: (d) => BigInt(d.below(12)) },
};
var plain = (value) => value instanceof Date ? value.getTime() : value ?? null;

class Rehearsal {
  constructor(seed) {
    this.dice = dice(seed);
    const d = this.dice;
    this.specs = new Map();
    for (let i = 0, n = 2 + d.below(4); i < n; i++) this.specs.set(`f${i}`, this.randomSpec());
    this.names = this.specs.size;
    this.onDelete = d.pick(["null", "restrict", "cascade"]);
    this.mustHave = this.onDelete !== "null" && d.chance(0.3);
    this.compound = d.chance(0.5);
    // Whether no two have the same in the first two fields.
    this.pair = d.chance(0.6);
    this.rows = { A: new Map(), B: new Map() };
    this.links = new Set();
    this.A = model("A", { tag: string(), bs: many("B", { inverse: "a" }), likes: many("B", { inverse: "likedBy" }) });
    this.define();
    this.branch = null;
    // Every other one changes its models often, and most of these in turns of their own.
    this.isRestless = seed % 2 === 0;
    this.pending = null;
    step.instances = seed % 4 === 0 ? 3 : seed % 4 === 2 ? 10 : 5000;
  }

  randomSpec() {
    const d = this.dice;
    return { kind: d.pick(Object.keys(KINDS)), unique: d.chance(0.25), index: d.chance(0.5), required: d.chance(0.2) };
  }
  define() {
    const fields = {};
    for (const [name, { kind, unique, index, required, fallback, was, isText }] of this.specs) {
      let field = KINDS[kind].field().unique(unique).index(index).required(required);
      if (was !== undefined) field = field.was(was);
      if (isText) field = field.migrate(String);
      if (fallback !== undefined) field = field.default(fallback);
      fields[name] = field;
    }
    fields.a = one("A", { inverse: "bs", onDelete: this.onDelete, required: this.mustHave || undefined });
    fields.likedBy = many("A", { inverse: "likes" });
    const first = this.firstTwo(), options = {};
    if (this.compound && first) options.index = [[...first, "a"]];
    if (this.pair && first) options.unique = [first];
    this.B = model("B", fields, undefined, options);
    this.C ??= this.B.extend("C", { extra: integer().index() }, { twice() { return this.extra * 2; } });
  }
  firstTwo() { return this.specs.size < 2 ? null : [...this.specs.keys()].slice(0, 2); }

  // One random thing, on the models and on the rows.
  step() {
    const d = this.dice, roll = d.below(100);
    if (roll < 30) return this.change("create", () => this.create());
    if (roll < 55) return this.change("set", () => this.set());
    if (roll < 63) return this.change("delete", () => this.delete());
    if (roll < 73) return this.change("link", () => this.link());
    if (roll < 78) return this.several();
    if (roll < 92) return this.query();
    if ((roll < 94 || (roll < 97 && this.isRestless)) && !this.branch) return this.migrate();
    return this.inBranch();
  }

  // Does something on both; either both refuse it or none does.
  change(what, work) {
    const { theirs, ours } = work(), before = this.save();
    let refused = null, thrown = null, result, made;
    try {
      result = theirs();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refused = error.message;
      this.restore(before);
    }
    try {
      made = ours();
    } catch (error) {
      thrown = error;
    }
    // What is being changed can only be read, but for its indexes; and an index that is to be unique is heeded as far as it is built.
    if (this.pending && thrown?.name === (this.pending.isOfIndexes ? "UniqueError" : "SchemaError")) {
      this.restore(before);
      return thrown;
    }
    if (this.pending && thrown === null) this.pending.hasWritten = true;
    if ((refused === null) !== (thrown === null)) throw new Error(`${what}: the naive model says ${refused}, the other ${thrown?.name}: ${thrown?.message}\n${thrown?.stack}`);
    if (thrown && !["ValidationError", "UniqueError", "ReferenceError"].includes(thrown.name)) throw thrown;
    if (thrown === null && what === "create") same(idOf(made), result, "the id");
    return thrown;
  }

  save() {
    const copy = (map) => new Map([...map].map(([id, row]) => [id, { ...row }]));
    return { rows: { A: copy(this.rows.A), B: copy(this.rows.B) }, links: new Set(this.links), next: this.next && { ...this.next } };
  }
  restore(state) {
    this.rows = state.rows;
    this.links = state.links;
  }

  anyOf(name) {
    const ids = [...this.rows[name].keys()];
    return ids.length === 0 ? null : this.dice.pick(ids);
  }
  valueOf(spec) { return this.dice.chance(0.12) ? null : KINDS[spec.kind].value(this.dice); }

  create() {
    if (this.dice.chance(0.3)) {
      const tag = `t${this.dice.below(5)}`;
      return { theirs: () => { const id = this.A.extent.next; this.rows.A.set(id, { tag }); return id; }, ours: () => this.A.create({ tag }) };
    }
    const values = {};
    for (const [name, spec] of this.specs) if (this.dice.chance(0.9)) values[name] = this.valueOf(spec);
    const a = this.dice.chance(0.7) ? this.anyOf("A") : null, isC = this.dice.chance(0.3), more = {};
    if (isC) more.extra = this.dice.chance(0.9) ? this.dice.below(9) : null;
    return {
      theirs: () => {
        const id = this.B.extent.next, row = { a, isC, extra: more.extra ?? null };
        for (const [name, spec] of this.specs) row[name] = plain(values[name] === undefined ? spec.fallback : values[name]);
        this.check(id, row);
        this.rows.B.set(id, row);
        return id;
      },
      ours: () => (isC ? this.C : this.B).create({ ...values, ...more, a: a && this.A.get(a) }),
    };
  }
  check(id, row) {
    if (this.mustHave && row.a === null) throw new Refused("a is required");
    for (const [name, { required, unique }] of this.specs) {
      if (required && row[name] === null) throw new Refused(`${name} is required`);
      if (unique && row[name] !== null) for (const [other, { [name]: value }] of this.rows.B) if (other !== id && value === row[name]) throw new Refused(`${name} is unique`);
    }
    const first = this.pair && this.firstTwo();
    if (!first || first.some((name) => row[name] === null)) return;
    for (const [other, theirs] of this.rows.B) if (other !== id && first.every((name) => theirs[name] === row[name])) throw new Refused(`${first} are unique`);
  }

  set() {
    const id = this.anyOf("B"), d = this.dice;
    if (id === null) return NOTHING;
    if (d.chance(0.3)) {
      const a = d.chance(0.8) ? this.anyOf("A") : null, put = (row) => { row.a = a; };
      const way = d.below(3), from = this.rows.B.get(id).a;
      return {
        theirs: () => { const row = { ...this.rows.B.get(id) }; put(row); this.check(id, row); this.rows.B.set(id, row); },
        ours: () => {
          const b = this.B.get(id);
          if (way === 1 && a !== null) this.A.get(a).bs.add(b);
          else if (way === 2 && a === null && from !== null) this.A.get(from).bs.remove(b);
          else b.a = a && this.A.get(a);
        },
      };
    }
    const names = [...this.specs.keys()].filter(() => d.chance(0.4)), values = Object.fromEntries(names.map((name) => [name, this.valueOf(this.specs.get(name))]));
    return {
      theirs: () => {
        const row = { ...this.rows.B.get(id) };
        for (const name of names) row[name] = plain(values[name]);
        this.check(id, row);
        this.rows.B.set(id, row);
      },
      ours: () => names.length === 1 ? void (this.B.get(id)[names[0]] = values[names[0]]) : this.B.get(id).update(values),
    };
  }

  delete() {
    const name = this.dice.pick(["A", "B", "B"]), id = this.anyOf(name);
    if (id === null) return NOTHING;
    return { theirs: () => this.drop(name, id), ours: () => this[name].get(id).delete() };
  }
  drop(name, id) {
    const referrers = name === "A" ? [...this.rows.B].filter(([, row]) => row.a === id) : [];
    if (referrers.length > 0 && this.onDelete === "restrict") throw new Refused("restricted");
    for (const [other, row] of referrers) {
      if (this.onDelete === "cascade") this.drop("B", other);
      else row.a = null;
    }
    for (const link of this.links) if (link.split(":")[name === "A" ? 0 : 1] === `${id}`) this.links.delete(link);
    this.rows[name].delete(id);
  }

  link() {
    const a = this.anyOf("A"), b = this.anyOf("B"), isAdded = this.dice.chance(0.7), side = this.dice.chance(0.5);
    if (a === null || b === null) return NOTHING;
    return {
      theirs: () => void (isAdded ? this.links.add(`${a}:${b}`) : this.links.delete(`${a}:${b}`)),
      ours: () => {
        const set = side ? this.A.get(a).likes : this.B.get(b).likedBy, other = side ? this.B.get(b) : this.A.get(a);
        return isAdded ? set.add(other) : set.remove(other);
      },
    };
  }

  // Several changes together, which may be taken back.
  several() {
    const before = this.save(), isThrown = this.dice.chance(0.5);
    try {
      transact(() => {
        for (let i = this.dice.below(5); i >= 0; i--) this.change(...this.dice.pick([["create", () => this.create()], ["set", () => this.set()], ["delete", () => this.delete()], ["link", () => this.link()]]));
        if (isThrown) throw new Refused("taken back");
      });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.restore(before);
    }
  }

  inBranch() {
    const d = this.dice;
    if (!this.branch) {
      this.branch = { branch: branch(), mine: new Map(), links: new Map(), theirs: new Set(), theirLinks: new Set() };
      return;
    }
    const { branch: own } = this.branch;
    const roll = d.below(10);
    if (roll < 7) return this.changeInBranch();
    if (roll < 8) {
      own.revert();
      this.branch = null;
      return;
    }
    this.commit();
  }

  // What the branch is to look like: the rows, and on top of them all that it changed.
  view() {
    const { rows, links } = this.save();
    for (const [key, value] of this.branch.mine) {
      const [name, id, field] = key.split(" ");
      if (field === "*") value ? rows[name].set(+id, { ...value }) : rows[name].delete(+id);
    }
    for (const [key, value] of this.branch.mine) {
      const [name, id, field] = key.split(" ");
      if (field !== "*" && rows[name].has(+id)) rows[name].get(+id)[field] = value;
    }
    for (const [link, is] of this.branch.links) is ? links.add(link) : links.delete(link);
    return { rows, links };
  }
  changeInBranch() {
    const outside = { rows: this.rows, links: this.links }, view = this.view(), { mine, links } = this.branch;
    const copy = () => ({ rows: { A: new Map([...view.rows.A].map(([id, row]) => [id, { ...row }])), B: new Map([...view.rows.B].map(([id, row]) => [id, { ...row }])) }, links: new Set(view.links) });
    const before = copy();
    this.restore(view);
    const isThrown = this.dice.chance(0.2);
    let done = false;
    try {
      this.branch.branch.in(() => {
        this.compare();
        for (let i = this.dice.below(4); i >= 0; i--) this.change(...this.dice.pick([["create", () => this.create()], ["set", () => this.set()], ["delete", () => this.delete()], ["link", () => this.link()]]));
        this.query();
        if (isThrown) throw new Refused("taken back");
      });
      done = true;
    } catch (error) {
      // A branch that what has changed outside has made impossible says so.
      if (!(error instanceof Refused) && error.name !== "ConflictError") throw error;
    }
    if (done) {
      for (const [key, value] of changesBetween(before, { rows: this.rows, links: this.links })) (key.startsWith("L") ? links : mine).set(key.startsWith("L") ? key.slice(1) : key, value);
    }
    this.restore(outside);
    // What is as it would be without the branch is nothing that it changed.
    for (const [key, value] of mine) {
      const [name, id, field] = key.split(" ");
      if (field !== "*" && this.rows[name].get(+id)?.[field] === value) mine.delete(key);
    }
    for (const [link, is] of links) if (this.links.has(link) === is) links.delete(link);
  }
  commit() {
    const { branch: own, mine, theirs } = this.branch, view = this.view(), conflicts = own.conflicts();
    const overlap = [...mine.keys()].filter((key) => theirs.has(key) || theirs.has(key.replace(/ [^ ]+$/, " *")));
    let failure = null;
    try {
      own.commit();
    } catch (error) {
      failure = error;
    }
    if (failure && failure.name !== "ConflictError") throw failure;
    same(failure !== null, conflicts.length > 0, "whether commit fails is what conflicts() says;");
    if (overlap.length > 0 && !failure) throw new Error(`committed over ${overlap}`);
    if (failure) own.revert();
    else this.restore(view);
    this.branch = null;
  }

  // The definition changes under the living instances, at once or in turns to come.
  migrate() {
    const { change, isOfIndexes, specs, compound, pair } = this.newDefinition(), before = { specs: this.specs, compound: this.compound, pair: this.pair };
    const rows = [...this.save().rows.B], { version } = this.B;
    Object.assign(this, { specs, compound, pair });
    let isRefused = false, thrown = null;
    try {
      for (const [, row] of rows) change(row);
      const { rows: own } = this;
      this.rows = { ...own, B: new Map(rows) };
      try {
        for (const [id, row] of rows) this.check(id, row);
      } finally {
        this.rows = own;
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      isRefused = true;
    }
    try {
      this.define();
    } catch (error) {
      if (error.name !== "SchemaError") throw error;
      thrown = error;
    }
    Object.assign(this, before);
    if (this.pending) {
      if (!thrown || !thrown.message.includes("is being changed")) throw new Error(`a new definition while another is under way: ${thrown}`);
      return;
    }
    if (thrown && !isRefused) throw thrown;
    if (!thrown && !this.B.progress && this.B.version === version) return void Object.assign(this, { specs, compound, pair });
    this.pending = { change, isOfIndexes, specs, compound, pair, isRefused, version, hasWritten: false };
    this.settle();
  }
  newDefinition() {
    const d = this.dice, name = d.pick([...this.specs.keys()]), spec = this.specs.get(name), specs = new Map(this.specs), roll = d.below(9);
    const made = { specs, compound: this.compound, pair: this.pair, isOfIndexes: false, change() {} };
    if (roll === 0) specs.set(name, { ...spec, index: !spec.index });
    else if (roll === 1) specs.set(name, { ...spec, unique: !spec.unique });
    else if (roll === 3) made.compound = !this.compound;
    else if (roll === 8) made.pair = !this.pair;
    else if (roll === 2) {
      specs.set(name, { ...spec, required: !spec.required });
      if (!spec.required) made.change = (row) => { row[name] ??= plain(spec.fallback); };
    } else if (roll === 4 && specs.size > 1) {
      specs.delete(name);
      made.change = (row) => { delete row[name]; };
    } else if (roll === 5) {
      const to = `f${this.names++}`;
      specs.delete(name);
      specs.set(to, { ...spec, was: name });
      made.change = (row) => { row[to] = row[name]; delete row[name]; };
    } else if (roll === 6 && ["integer", "boolean", "bigint"].includes(spec.kind)) {
      const fallback = spec.fallback === undefined ? undefined : String(spec.fallback);
      specs.set(name, { ...spec, kind: "string", fallback, isText: true });
      made.change = (row) => { if (row[name] !== null) row[name] = String(row[name]); };
    } else {
      const added = { ...this.randomSpec(), unique: false, required: false }, to = `f${this.names++}`;
      if (d.chance(0.6)) added.fallback = KINDS[added.kind].value(d);
      specs.set(to, added);
      made.change = (row) => { row[to] = plain(added.fallback); };
    }
    made.isOfIndexes = [0, 1, 3, 8].includes(roll);
    return made;
  }
  // What was asked for has come to be, or was refused; or it is still under way, and all is as it was.
  settle() {
    const { pending } = this;
    if (!pending || this.B.progress) return;
    this.pending = null;
    const isDone = this.B.version > pending.version;
    // Of what was written meanwhile one value may have been there twice.
    if (!pending.hasWritten) same(isDone, !pending.isRefused, "whether the new definition came to be");
    if (!isDone) return;
    for (const row of this.rows.B.values()) pending.change(row);
    for (const [name, { was, isText, ...spec }] of pending.specs) pending.specs.set(name, spec);
    Object.assign(this, { specs: pending.specs, compound: pending.compound, pair: pending.pair });
  }

  query() {
    const d = this.dice, asked = d.chance(0.25) ? this.C : this.B;
    const rows = [...this.rows.B].map(([id, row]) => ({ id, ...row })).filter((row) => asked === this.B || row.isC);
    const specs = asked === this.B ? this.specs : new Map([...this.specs, ["extra", { kind: "integer" }]]);
    const term = () => {
      const name = d.pick([...specs.keys(), "a"]), { kind } = specs.get(name) ?? {};
      if (name === "a") {
        const a = d.chance(0.8) ? this.anyOf("A") : null;
        return [["a", "=", a && this.A.get(a)], (row) => row.a === a];
      }
      const ops = ["=", "!=", "<", "<=", ">", ">=", "in", "between", ...(kind === "string" ? ["startsWith", "contains", "endsWith"] : [])];
      const op = d.pick(ops), [x, y] = [0, 1].map(() => this.valueOf(specs.get(name)) ?? KINDS[kind].value(d)), [p, q] = [plain(x), plain(y)];
      const less = (s, t) => s !== null && s < t, more = (s, t) => s !== null && s > t;
      const tests = {
        "=": (v) => v === p, "!=": (v) => v !== p, "<": (v) => less(v, p), "<=": (v) => less(v, p) || v === p, ">": (v) => more(v, p), ">=": (v) => more(v, p) || v === p,
        in: (v) => v === p || v === q, between: (v) => v !== null && v >= p && v <= q,
        startsWith: (v) => v !== null && v.startsWith(p), endsWith: (v) => v !== null && v.endsWith(p), contains: (v) => v !== null && v.includes(p),
      };
      return [[name, op, op === "in" || op === "between" ? [x, y] : x], (row) => tests[op](row[name])];
    };
    let query = asked.all(), test = () => true;
    for (let i = d.below(4); i > 0; i--) {
      const [given, fits] = term(), before = test, how = d.pick(["where", "where", "or", "not"]);
      if (how === "or" && query.explain().filter === null && i === 3) continue;
      query = query[how](...given);
      test = how === "or" ? (this.isFirst(query, before) ? fits : (row) => before(row) || fits(row)) : how === "not" ? (row) => before(row) && !fits(row) : (row) => before(row) && fits(row);
    }
    const found = rows.filter(test);
    same(query.toArray().map(idOf).sort((x, y) => x - y), found.map((row) => row.id).sort((x, y) => x - y), JSON.stringify(query.explain()));
    same(query.count(), found.length, `count ${JSON.stringify(query.explain())}`);
    if (query.explain().touches < found.length) throw new Error(`touches less than it finds: ${JSON.stringify(query.explain())}`);
    const key = d.pick([...specs.keys()]), other = d.pick([...specs.keys()]), direction = d.pick(["asc", "desc"]), way = direction === "asc" ? 1 : -1;
    const order = (s, t) => s === t ? 0 : s === null ? -1 : t === null ? 1 : s < t ? -1 : 1;
    const sorted = found.toSorted((s, t) => way * (order(s[key], t[key]) || order(s[other], t[other]) || s.id - t.id));
    const offset = d.below(4), limit = d.below(8);
    same(query.orderBy(key, direction).orderBy(other, direction).offset(offset).limit(limit).toArray().map(idOf), sorted.slice(offset, offset + limit).map((row) => row.id),
      JSON.stringify(query.orderBy(key, direction).orderBy(other, direction).explain()));
    this.join(query, found, key, other);
  }
  // Each with all that have in `other` what it has in `key`.
  join(query, found, key, other) {
    const pairs = found.flatMap((row) => [...this.rows.B].filter(([, theirs]) => row[key] !== null && theirs[other] === row[key]).map(([id]) => `${row.id} ${id}`));
    if (key === "extra" || other === "extra") return;
    same(query.join(this.B, key, other, { as: ["mine", "theirs"] }).map((row) => `${idOf(row.mine)} ${idOf(row.theirs)}`).toArray().sort(), pairs.sort(), `join ${key} ${other}`);
  }
  isFirst(query, before) { return before.toString() === "() => true"; }

  // All that the models hold is what the rows hold: fields, both sides of relations, indexes.
  compare() {
    const { A, B, rows } = this, ids = (collection) => collection.toArray().map(idOf);
    same(ids(A.all()), [...rows.A.keys()].sort((x, y) => x - y), "A");
    same(ids(B.all()), [...rows.B.keys()].sort((x, y) => x - y), "B");
    const parts = [...rows.B].filter(([, row]) => row.isC).sort(([x], [y]) => x - y);
    same([ids(this.C.all()), this.C.count()], [parts.map(([id]) => id), parts.length], "C");
    for (const [id, { extra }] of parts) same([this.C.get(id).extra, this.C.get(id).twice()], [extra, extra * 2], `C ${id}`);
    for (const [id, row] of rows.B) {
      const b = B.get(id), found = { a: b.a && idOf(b.a) };
      for (const name of this.specs.keys()) found[name] = plain(b[name]);
      same(found, { a: row.a, ...Object.fromEntries([...this.specs.keys()].map((name) => [name, row[name]])) }, `B ${id}`);
      same(ids(b.likedBy), [...this.links].map((link) => link.split(":").map(Number)).filter(([, to]) => to === id).map(([from]) => from).sort((x, y) => x - y), `likedBy of ${id}`);
    }
    for (const [id, row] of rows.A) {
      same(A.get(id).tag, row.tag);
      same(ids(A.get(id).bs), [...rows.B].filter(([, b]) => b.a === id).map(([b]) => b).sort((x, y) => x - y), `bs of ${id}`);
      same(ids(A.get(id).likes), [...this.links].map((link) => link.split(":").map(Number)).filter(([from]) => from === id).map(([, to]) => to).sort((x, y) => x - y), `likes of ${id}`);
    }
    for (const index of B.indexes) {
      const entries = index.kind === "hash" ? [...rows.B.values()].filter((row) => row[index.name] !== null).length : rows.B.size;
      if (index.isReady) same(index.size, entries, `the index over ${index.name}`);
      if (!index.isReady) {
        if (!this.pending) throw new Error(`the index over ${index.name} is never ready`);
        continue;
      }
      if (index.kind !== "ordered") continue;
      const walked = [], next = index.tree.walk(0, index.tree.size);
      for (let id; (id = next()) >= 0;) walked.push(id);
      same(walked.toSorted((x, y) => x - y), ids(B.all()), `the entries of ${index.name}`);
      for (let at = 0; at < walked.length; at++) same(index.tree.rank([...index.keys(B.get(walked[at])), walked[at]]), at, `the rank in ${index.name}`);
    }
  }

  // Steps outside a branch are noted, to know which of its changes collide.
  turn(steps) {
    this.settle();
    for (let i = 0; i < steps; i++) {
      const before = this.branch && this.save(), own = this.branch;
      this.step();
      if (before && this.branch === own && own) for (const [key, value] of changesBetween(before, this)) if (!key.endsWith("*") || value === null) own.theirs.add(key);
    }
    this.compare();
  }
}

class Refused extends Error {}
var NOTHING = { theirs: () => {}, ours: () => {} };

// What is different, by "model id field"; of a row that came or went, "*"; of a link, "L" and its name.
function changesBetween(before, after) {
  const changes = new Map();
  for (const name of ["A", "B"]) {
    for (const [id, row] of after.rows[name]) {
      const old = before.rows[name].get(id);
      if (!old) changes.set(`${name} ${id} *`, { ...row });
      else for (const field of Object.keys(row)) if (row[field] !== old[field]) changes.set(`${name} ${id} ${field}`, row[field]);
    }
    for (const id of before.rows[name].keys()) if (!after.rows[name].has(id)) changes.set(`${name} ${id} *`, null);
  }
  for (const link of after.links) if (!before.links.has(link)) changes.set(`L${link}`, true);
  for (const link of before.links) if (!after.links.has(link)) changes.set(`L${link}`, false);
  return changes;
}
