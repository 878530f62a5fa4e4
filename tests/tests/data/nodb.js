var nodb = (await import("everturn:nodb")).default;
var Shape = nodb.create({ name: "Shape", properties: { name: { type: "string", required: true }, color: String, size: { type: Number, index: true }, made: "date" }, proto: { area() { return this.size * this.size; } } });
var Round = Shape.extend({ name: "Round", properties: { radius: "number" }, proto: { area() { return 3 * this.radius * this.radius; } } });
var Box = nodb.create({ name: "Box", properties: { label: "string", shapes: nodb.Model.many(Shape) } });
nodb.create({ name: "Lid", properties: { box: nodb.Model.one(Box) } });
for (let i = 0; i < 50; i++) Shape.create({ name: `s${i}`, color: i % 2 ? "red" : "green", size: i });
var round = Round.create({ name: "r", radius: 2, size: 7 });
// ---
same([Shape.name, round.area(), Shape.create({ name: "q", size: 3 }).area(), Shape.isModelOf(round), Round.isModelOf(round), Box.isModelOf(round), Shape.isModelOf(Round), Round.isModelOf(Shape)], ["Shape", 12, 9, true, true, false, true, false]);
same([nodb.isInstanceOf(round, Shape), nodb.isInstanceOf({}, Shape), round instanceof Round, nodb.isModelOf(Shape, round)], [true, false, true, true]);
// ---
// Comparisons, and the iterators.
var size = (query) => query.collect().length;
same([size(Shape.where("size", "eq", 7)), size(Shape.where("size", "gt", 40)), size(Shape.where("size", "gte", 40)), size(Shape.where("size", "lt", 3)), size(Shape.where("size", "lte", 3))], [2, 9, 10, 3, 5]);
same([size(Shape.where("name", "startsWith", "s1")), size(Shape.where("name", "endsWith", "9")), size(Round.where("size", "eq", 7))], [11, 5, 1]);
var few = Shape.where("size", "gt", 46);
var seen = [];
few.each((shape) => seen.push(shape.name));
same([seen, few.map((shape) => shape.size), few.sum("size"), few.min("size"), few.max("size"), few.length], [["s47", "s48", "s49"], [47, 48, 49], 144, 47, 49, 3]);
same([few.reduce((sum, shape) => sum + shape.size, 0), few.fold(1, (sum, shape) => sum + shape.size), few.filter((shape) => shape.size > 47).collect().length, few.select((shape) => shape.size > 48).length], [144, 145, 2, 1]);
same([few.sort((a, b) => b.size - a.size).map((shape) => shape.size), few.sort("size")[0].size, few.concat([1], Round).length, [...few].length], [[49, 48, 47], 47, 5, 3]);
// ---
// What was wrong with nodb.js. Every query went over everything:
same([few.explain().by, few.explain().touches], ["index", 3]);
// `and` failed:
same(Shape.where("size", "gt", 10).and("color", "eq", "red").and("name", "startsWith", "s1").map((shape) => shape.name), ["s11", "s13", "s15", "s17", "s19"]);
// a throw in `in` leaked the revision:
var shape = Shape.where("name", "eq", "s1").collect()[0], before = Shape.length;
var r = nodb.revision.branch();
fails(() => nodb.revision.in(r, () => { shape.size = 1000; throw new Error("thrown in a revision"); }), "Error", "thrown in a revision");
shape.color = "blue";
same([shape.size, Shape.length, nodb.revision.in(r, () => shape.color)], [1, before, "blue"]);
// transact swallowed all errors:
fails(() => nodb.transact(() => { shape.size = 5; throw new RangeError("mine"); }), "RangeError", "mine");
same([shape.size, nodb.transact(() => { shape.size = 6; return shape.size; }), shape.size], [1, 6, 6]);
// ---
nodb.revision.revert(r);
r = nodb.revision.branch();
nodb.revision.in(r, () => { shape.size = 7; });
same([shape.size, nodb.revision.in(r, () => shape.size)], [6, 7]);
nodb.revision.commit(r);
same(shape.size, 7);
r = nodb.revision.branch();
nodb.revision.in(r, () => { shape.size = 8; });
nodb.revision.revert(r);
same(shape.size, 7);
// ---
var box = Box.create({ label: "b", shapes: [shape, round] });
same([box.shapes.size, box.shapes.has(shape)], [2, true]);
round.delete();
same(box.shapes.size, 1);
fails(() => Shape.create({ size: 1 }), "ValidationError", "Shape.name is required");
fails(() => Shape.where("size", "like", 1), "TypeError", 'nodb: there is no comparison "like": there are eq, gt, gte, lt, lte, startsWith, endsWith');
fails(() => nodb.create({ name: "Wrong", properties: { a: "text" } }), "TypeError", 'nodb: property "a" is of type "text"');
