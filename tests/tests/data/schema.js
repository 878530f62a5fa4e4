var P = model("P", { name: string().required(), age: string() }, { hi() { return "hi"; } });
for (let i = 0; i < 100; i++) P.create({ name: `n${i % 50}`, age: String(i) });
var p = P.get(7);
// ---
// The same again changes nothing but the methods; the model, and what it is called by, stay the same object.
same([model("P", { name: string().required(), age: string() }, { hi() { return "hello"; } }) === P, P.version, p.hi()], [true, 1, "hello"]);
// ---
// Instances are looked at first. What does not fit is named, and nothing changes.
var error = fails(() => model("P", { name: string().required().unique(), age: string() }), "SchemaError", 'P.name cannot become what was asked, and stays as it was: P 51: name would be unique, and P 1 has "n0" too');
same([error.violations.length, error.violations[0].id, P.version, P.where("name", "n0").count()], [10, 51, 1, 2]);
fails(() => model("P", { name: string().required(), age: integer() }), "SchemaError", 'P 1: age is to be an integer of at most 53 bits, not "0"');
fails(() => model("P", { name: string().required().max(2), age: string() }), "SchemaError", "P 11: name is to be of length 2 at most, not 3");
fails(() => model("P", { name: string().required(), age: string(), city: string().required() }), "SchemaError", "P 1: city is required");
fails(() => model("P", { name: string().required(), age: integer().migrate((old) => { throw new RangeError(`no ${old}`); }) }), "RangeError", "no 0");
same([p.age, P.version, P.create({ name: "x", age: "y" }).age], ["6", 1, "y"]);
P.get(101).delete();
// ---
// A dry run says what would be.
same(model("P", { name: string().required(), age: integer().index().migrate(Number) }, undefined, { dryRun: true }),
  { model: "P", changes: ["changes age from string to integer", "adds index over age"], instances: 100, violations: [] });
same(model("P", { name: string().required().unique(), age: string() }, undefined, { dryRun: true }).violations.length, 10);
same([p.age, P.version], ["6", 1]);
// ---
model("P", { name: string().required(), age: integer().index().migrate(Number), n: integer().default(5) });
same([p.age, p.n, P.where("age", 6).explain().by, P.where("age", 6).first() === p, P.version, p.hi], [6, 5, "index", true, 2, undefined]);
fails(() => { p.age = "7"; }, "ValidationError");
// ---
model("P", { name: string().required(), years: integer({ was: "age" }).index(), n: integer().default(5) }, undefined, { index: [["n", "years"]] });
same([p.years, p.age, P.where("n", 5).and("years", ">", 90).explain().index, P.history.map((each) => each.changes).at(-1)], [6, undefined, "n, years", ["renames age to years", "adds index over n,years"]]);
fails(() => P.where("age", 5), "NotFoundError", "P.age is no field: there are name, years, n");
// The same program again: the old name is known to be gone.
model("P", { name: string().required(), years: integer({ was: "age" }).index(), n: integer().default(5) }, undefined, { index: [["n", "years"]] });
same(P.version, 3);
// ---
// Relations come and go, and keep what they have.
var C = model("C", { t: string() });
model("P", { name: string().required(), years: integer().index(), n: integer().default(5), c: one("C") });
var c = C.create({ t: "x" });
p.c = c; P.get(8).c = c;
model("C", { t: string(), ps: many("P", { inverse: "c" }) });
same([c.ps.size, c.ps.map((each) => each.name).toArray()], [2, ["n6", "n7"]]);
c.ps.add(P.get(9));
same(P.get(9).c === c, true);
fails(() => model("P", { name: string().required() }), "SchemaError", "P.c cannot go while C.ps is its other side: remove that first");
fails(() => model("P", { name: string().required(), years: integer(), n: integer(), c: string() }), "SchemaError", "cannot turn from");
model("C", { t: string() });
same(c.ps, undefined);
c.delete();
same(p.c, null);
model("P", { name: string().required(), n: integer() });
same([p.years, p.c, p.n, P.version], [undefined, undefined, 5, 5]);
// ---
// Constraints come and go.
fails(() => model("P", { name: string().required(), n: integer().min(6) }), "SchemaError", "P 1: n is to be 6 at least, not 5");
model("P", { name: string(), n: integer().max(6) });
p.name = null;
fails(() => { p.n = 7; }, "ValidationError");
fails(() => model("P", { name: string().required(), n: integer() }), "SchemaError", "P 7: name is required");
model("P", { name: string().default("nobody").required(), n: integer() });
same(p.name, "nobody");
// ---
// Open branches hold on to the fields that they changed.
var r = branch();
r.in(() => { p.n = 50; });
fails(() => model("P", { name: string() }), "SchemaError", "while branches are open");
fails(() => r.in(() => model("P", { name: string(), n: integer(), more: string() })), "SchemaError", "within a branch");
r.revert();
// ---
// A large model is changed in turns of their own.
var B = model("B", { k: integer().unique(), s: string() });
for (let i = 0; i < 6000; i++) B.create({ k: i, s: `s${i % 7}` });
// ---
for (let i = 6000; i < 12000; i++) B.create({ k: i, s: `s${i % 7}` });
// ---
model("B", { k: integer().unique().index(), s: string().index() });
same([B.progress, B.where("s", "s1").explain().by, B.where("s", "s1").count(), B.version], [{ done: 5000, total: 12000, changes: ["adds index over k", "adds index over s"] }, "scan", 1715, 1]);
// While only indexes come, everything can be written.
B.create({ k: -1, s: "s1" });
B.get(2).s = "s2"; B.get(9000).s = "s1"; B.get(11).delete();
fails(() => model("B", { k: integer(), s: string() }), "SchemaError", "B is being changed (5000 of 12000 instances): await B.ready first");
await B.ready;
same([B.progress, B.where("s", "s1").explain().by, B.where("s", "s1").count(), B.where((b) => b.s === "s1").count(), B.where("k", "<", 1).count(), B.version], [null, "index", 1716, 1716, 2, 2]);
// ---
var marks = 0;
model("B", { k: integer().unique().index(), s: string().index(), z: integer().default(() => marks++) });
fails(() => { B.get(1).s = "q"; }, "SchemaError", "is being changed (5000 of 12000 instances) and can only be read: await B.ready, then write");
fails(() => B.create({ k: -5 }), "SchemaError", "can only be read");
fails(() => B.get(1).delete(), "SchemaError", "can only be read");
same([B.where("k", 5).first().s, B.get(1).z], ["s5", undefined]);
await B.ready;
same([B.get(1).z, B.max("z"), B.where("k", 5).first().z], [0, 11999, 5]);
// ---
// One that fails half-way: what was is still there.
B.get(11999).s = null;
model("B", { k: integer().unique().index(), s: string().index().required(), z: integer() });
var failure = null;
try {
  await B.ready;
} catch (error) {
  failure = error;
}
same([failure.name, failure.violations.map((each) => each.id), B.version, B.get(11999).s, B.progress], ["SchemaError", [11999], 3, null, null]);
B.get(11999).s = "fine";
model("B", { k: integer().unique().index(), s: string().index().required(), z: integer() });
await B.ready;
same([B.version, B.count(), B.where("s", "fine").count()], [4, 12000, 1]);
// ---
// While a large model still lets go of what it had, its next definition may be on its way, and the end of the one is not that of the other.
step.instances = 2;
var Tidy = model("Tidy", { a: integer(), b: integer() });
for (let i = 0; i < 7; i++) Tidy.create({ a: i, b: i });
model("Tidy", { a: integer() });
same([Tidy.progress, Tidy.version, Tidy.get(1).b], [null, 2, undefined]);
await nextTurn();
await nextTurn();
model("Tidy", { a: integer(), c: integer().default(1) });
fails(() => Tidy.create({ a: 1 }), "SchemaError", "can only be read");
void (async () => {
  while (Tidy.version < 3) {
    if (!Tidy.progress) throw new Error("it is on its way and says nothing of it");
    await nextTurn();
  }
})();
// ---
// What needs no look at the instances is so at once.
same([Tidy.progress, Tidy.version, Tidy.get(3).c], [null, 3, 1]);
model("Tidy", { a: integer(), d: integer().default(1).was("c") });
same([Tidy.progress, Tidy.version, Tidy.create({ a: 8 }).d], [null, 4, 1]);
// ---
// What a model changes it changes in those that extend it, too: they can only be read meanwhile, and no index has what is gone.
step.instances = 3;
var Base = model("Base", { x: integer(), y: integer() });
var More = Base.extend("More", { e: integer() });
for (let i = 0; i < 10; i++) (i % 2 ? More : Base).create({ x: i, y: i });
model("Base", { x: integer().index(), y: string().index().migrate(String) });
fails(() => More.create({ x: 1 }), "SchemaError", "Base is being changed");
fails(() => More.first().delete(), "SchemaError", "can only be read");
fails(() => { More.first().x = 3; }, "SchemaError", "can only be read");
await Base.ready;
// ---
More.first().delete();
same([Base.where("x", 1).explain().by, Base.where("x", 1).count(), Base.where("y", "1").count(), Base.where("x", 3).count()], ["index", 0, 0, 1]);
step.instances = 5000;
