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
same([seen, few.map((shape) => shape.size).collect(), few.sum("size"), few.min("size"), few.max("size"), few.length], [["s47", "s48", "s49"], [47, 48, 49], 144, 47, 49, 3]);
same([few.reduce((sum, shape) => sum + shape.size, 0), few.fold(1, (sum, shape) => sum + shape.size), few.filter((shape) => shape.size > 47).collect().length, few.select((shape) => shape.size > 48).length], [144, 145, 2, 1]);
same([few.sort((a, b) => b.size - a.size).map((shape) => shape.size).collect(), few.sort("size").collect()[0].size, few.concat([1], Round).length, [...few].length], [[49, 48, 47], 47, 5, 3]);
// ---
// What was wrong with nodb.js. Every query went over everything:
same([few.explain().by, few.explain().touches], ["index", 3]);
// `and` failed:
same(Shape.where("size", "gt", 10).and("color", "eq", "red").and("name", "startsWith", "s1").map((shape) => shape.name).collect(), ["s11", "s13", "s15", "s17", "s19"]);
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
same(fails(() => Shape.where("size", "like", 1), "ValidationError", 'Shape.size cannot be asked for by "like", which is no comparison: there are eq, gt, gte, lt, lte, startsWith, endsWith').value, "like");
fails(() => Shape.where("sise", "eq", 1), "NotFoundError", "Shape.sise is no field");
same(fails(() => nodb.create({ name: "Wrong", properties: { a: "text" } }), "SchemaError", 'Wrong.a is to be a type, not "text": there are nodb.any, nodb.boolean').field, "a");
fails(() => nodb.create({ name: "Wrong", properties: { a: function () {} } }), "SchemaError", "Wrong.a is to be a type, not a function");
fails(() => nodb.create({ name: "Wrong", properties: { a: { type: "boolean", min: 1 } } }), "SchemaError", "Wrong.a says min(1)");
fails(() => nodb.create({ name: "Wrong", property: {} }), "SchemaError", 'Wrong knows nothing of "property" in create(...): there are name, properties, proto');
fails(() => nodb.create("Wrong"), "SchemaError", 'create(...) is to be given { name, properties, proto }, not "Wrong"');
fails(() => nodb.create({ properties: {} }), "SchemaError", "a name is to be like Person, not undefined");
fails(() => nodb.isInstanceOf(Shape.first?.() ?? [...Shape][0], {}), "ValidationError", "is to be given a model, as nodb.create(...) gives it");
// ---
// The web shop of the thesis.
var Item = nodb.create({ name: "Item", properties: { name: nodb.string, brand: nodb.string, price: nodb.number }, proto: { toString() { return this.name + ", " + this.brand; } } });
var ColoredItem = Item.extend({ name: "ColoredItem", properties: { color: nodb.string }, proto: { toString() { return this.name + " (" + this.color + "), " + this.brand; } } });
var CartEntry = nodb.create({ name: "CartEntry", properties: { item: Item.one, quantity: nodb.number }, proto: { get price() { return this.quantity * this.item.price; } } });
var Cart = nodb.create({ name: "Cart", properties: { name: nodb.string, entries: CartEntry.many }, proto: {
  get price() { return this.entries.fold(0, (sum, entry) => sum + entry.price); },
} });
var chair1 = ColoredItem.create({ name: "Fingal", brand: "Ikea", price: 45.5, color: "black" });
var chair2 = ColoredItem.create({ name: "Markus", brand: "Ikea", price: 159, color: "blue" });
same([String(chair1), String(Item.create({ name: "a", brand: "b" }))], ["Fingal (black), Ikea", "a, b"]);
fails(() => Item.create({ name: "x", color: "black" }), "ValidationError", "Item.color is no field");
fails(() => Item.create({ price: "x" }), "ValidationError", "Item.price is to be a number");
var cart = Cart.create();
cart.entries.add(CartEntry.create({ item: chair1, quantity: 2 }));
cart.entries.add(CartEntry.create({ item: chair2, quantity: 3 }));
same(cart.price, 568);
// ---
// Every collection has the iterators, also what a property holds; concat, filter and map are lazy.
var names = [], looked = 0;
ColoredItem.iterator().each((item) => names.push(item.name));
ColoredItem.filter((item) => item.color === "black").each((item) => names.push(item.color));
same(names, ["Fingal", "Markus", "black"]);
var prices = ColoredItem.map((item) => { looked++; return item.price; });
same([looked, prices.filter((price) => price > 50).concat([1], [2]).collect(), looked], [0, [159, 1, 2], 2]);
same([prices.max(), prices.min(), prices.sum(), prices.sort((a, b) => b - a).collect(), prices.reduce((a, b) => a + b), prices.length, prices.fold(1, (a, b) => a + b)], [159, 45.5, 204.5, [159, 45.5], 204.5, 2, 205.5]);
same([ColoredItem.max((a, b) => a.price - b.price).name, ColoredItem.min((a, b) => a.price - b.price).name, Cart.filter(() => false).max((a, b) => 1)], ["Markus", "Fingal", null]);
same([cart.entries.collect().length, cart.entries.concat([1]).collect().length, cart.entries.sort((a, b) => b.quantity - a.quantity).map((entry) => entry.quantity).collect(), cart.entries.iterator().sum("quantity")], [2, 3, [3, 2], 5]);
same([JSON.stringify(prices), JSON.stringify(CartEntry.map((e) => ({ name: e.item.name, quantity: e.quantity })))], ["[45.5,159]", '[{"name":"Fingal","quantity":2},{"name":"Markus","quantity":3}]']);
fails(() => prices.explain(), "ValidationError", "ask what it was made of");
// Types of one's own, with nodb.Type as their prototype; and relations with options.
var even = Object.create(nodb.Type, { validate: { value(instance, key, value) { return key === "foo" && instance.label !== "any" ? value % 2 === 0 : true; } } });
var Test = nodb.create({ name: "Test", properties: { label: nodb.string, foo: even, next: nodb.Model.one("Test", { inverse: "before" }), before: nodb.Model.one("Test") } });
fails(() => Test.create({ foo: 1 }), "ValidationError", "Test.foo is refused by the validate() of its type");
same([Test.create({ foo: 2 }).foo, Test.create({ label: "any", foo: 1 }).foo], [2, 1]);
var [first, second] = Test.collect();
first.next = second;
same(second.before === first, true);
// ---
var rev1 = nodb.revision.branch(), rev2 = nodb.revision.branch();
rev1.in(() => { chair1.name = "branch1"; });
same([chair1.name, rev2.in(() => chair1.name), rev1.in(() => chair1.name)], ["Fingal", "Fingal", "branch1"]);
fails(() => rev2.in(() => { cart.entries.each((entry) => { if (entry.quantity > 2) throw new RangeError("not enough"); entry.quantity *= 2; }); }), "RangeError");
rev2.commit();
rev1.commit();
same([chair1.name, cart.price], ["branch1", 568]);
same(nodb.transact(() => { chair2.price = 160; return chair2.price; }), 160);
