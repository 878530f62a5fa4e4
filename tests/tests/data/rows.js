var City = model("City", { name: string(), people: many("Person", { inverse: "city" }) });
var Person = model("Person", { name: string(), age: integer(), city: one("City", { inverse: "people" }), born: date(), debt: bigint() });
var [x, y, z] = ["x", "y", "z"].map((name) => City.create({ name }));
[["a", 30, x], ["b", 20, x], ["c", 30, y], ["d", null, null], ["e", 41, y]].forEach(([name, age, city], i) => Person.create({ name, age, city, born: new Date(i % 2), debt: BigInt(i) }));
// ---
same(Person.select("name", "city.name").limit(2).toArray(), [{ name: "a", "city.name": "x" }, { name: "b", "city.name": "x" }]);
same(Person.where("age", 30).select({ who: "name", next: (p) => p.age + 1 }).toArray(), [{ who: "a", next: 31 }, { who: "c", next: 31 }]);
same(Person.select("age").distinct().toArray().length, 4);
same(Person.select("born").distinct().count(), 2);
same([Person.sum("age"), Person.min("age"), Person.max("name"), Person.average("age"), Person.sum("debt"), Person.max("born").getTime()], [121, 20, "e", 30.25, 10n, 1]);
same([Person.where("age", 1000).sum("age"), Person.where("age", 1000).average("age"), Person.where("age", 1000).min("age")], [0, null, null]);
same([Person.map((p) => p.name).toArray().join(""), Person.reduce((text, p) => text + p.name, "."), Person.some((p) => p.age === 41), Person.every((p) => p.age > 0)], ["abcde", ".abcde", true, false]);
same([Person.flatMap((p) => [p.name, p.name]).limit(3).toArray().join(""), Person.map((p) => p.age).max(), Person.filter((p) => p.age > 25).count()], ["aab", 41, 3]);
same([...Person.map((p) => p.name).offset(3)], ["d", "e"]);
// ---
// join, also outer, and of values.
same(Person.join("city").select("person.name", "city.name").toArray().map((row) => Object.values(row).join("")), ["ax", "bx", "cy", "ey"]);
same(Person.join("city", { outer: true }).count(), 5);
same(City.join("people").where("people.age", ">", 25).select("city.name", "people.name").toArray().map((row) => Object.values(row).join("")), ["xa", "yc", "ye"]);
same(City.join("people", { outer: true, as: ["city", "who"] }).map((row) => row.city.name + (row.who?.name ?? "-")).toArray(), ["xa", "xb", "yc", "ye", "z-"]);
var Order = model("Order", { who: string().index(), cost: integer() });
[["a", 5], ["a", 7], ["c", 1], ["q", 9]].forEach(([who, cost]) => Order.create({ who, cost }));
same(Person.join(Order, "name", "who").map((row) => [row.person.name, row.order.cost]).toArray(), [["a", 5], ["a", 7], ["c", 1]]);
same(Person.where("city", x).join(Order.where("cost", ">", 5), "name", "who", { as: ["p", "o"] }).select("p.name", "o.cost").toArray(), [{ "p.name": "a", "o.cost": 7 }]);
same(Person.join(Order, "name", "who").join("person.city").select("order.cost", "city.name").toArray().map((row) => Object.values(row)), [[5, "x"], [7, "x"], [1, "y"]]);
// ---
// groupBy, and what SQL calls having.
same(Person.groupBy("city.name", { people: "count", oldest: ["max", "age"], total: ["sum", "age"] }).toArray(), [
  { "city.name": "x", people: 2, oldest: 30, total: 50 }, { "city.name": "y", people: 2, oldest: 41, total: 71 }, { "city.name": null, people: 1, oldest: null, total: 0 }]);
same(Person.groupBy("age", { n: "count" }).where("n", ">", 1).toArray(), [{ age: 30, n: 2 }]);
same(Person.groupBy("age", "city.name").map((row) => row.members.length).toArray(), [1, 1, 1, 1, 1]);
same(Person.groupBy({ decade: (p) => Math.floor(p.age / 10) }, { names: (members) => members.map((p) => p.name).join("") }).orderBy("decade", "desc").toArray(),
  [{ decade: 4, names: "e" }, { decade: 3, names: "ac" }, { decade: 2, names: "b" }, { decade: 0, names: "d" }]);
same(Person.groupBy("born", { n: "count" }).map((row) => [row.born.getTime(), row.n]).toArray(), [[0, 3], [1, 2]]);
same(Person.groupBy({ n: "count" }).toArray(), [{ n: 5 }]);
same(Person.join("city").groupBy("city.name", { n: ["average", "person.age"] }).orderBy("city.name").orderBy("n").map((row) => row.n).toArray(), [25, 35.5]);
// ---
fails(() => Person.groupBy("age", { n: "median" }), "ValidationError", 'Person has no aggregate "median": there are count, members, sum, average, min, max');
fails(() => Person.where("age", 1000).reduce((a, b) => a), "TypeError", "reduce of nothing");
fails(() => Person.select("nam"), "NotFoundError", "Person.nam is no field");
fails(() => Person.join(Order), "ValidationError", 'Person can be joined on fields that are to be equal: name them, as join(other, "field", "other field")');
// What is asked of names that are not there, or of values that it cannot be asked of.
fails(() => Person.select(), "ValidationError", "Person cannot be asked for select(): name the fields");
fails(() => Person.select("name", 5), "ValidationError", "cannot be asked for select(...) of 5");
fails(() => Person.groupBy("nam", { n: "count" }), "NotFoundError", "Person.nam is no field");
fails(() => Person.groupBy("name", { n: ["max", "agee"] }), "NotFoundError", "Person.agee is no field");
fails(() => Person.groupBy("name", { n: ["max", 5] }), "ValidationError", "cannot be asked for max of 5");
fails(() => Person.groupBy("name", { n: "sum" }), "ValidationError", 'cannot be asked for sum of nothing: say of which field, as sum("age") or, in groupBy, ["sum", "age"]');
fails(() => Person.sum(), "ValidationError", "cannot be asked for sum of nothing");
same(fails(() => Person.sum("name"), "ValidationError", "Person.name is of type string, and sum adds numbers, all of one type: ask another field").field, "name");
fails(() => Person.average("born"), "ValidationError", "Person.born is of type date, and average wants numbers");
fails(() => Person.max("city"), "ValidationError", "Person.city is one(City), and max wants what has an order");
fails(() => Person.sum((p) => p.name), "ValidationError", 'Person gives "a" for one, and sum adds numbers');
fails(() => Person.sum((p) => p.age === 20 ? 1n : 1), "ValidationError", "gives 1n for one, and sum adds numbers, all of one type");
fails(() => Person.map((p) => p.name).average(), "ValidationError", 'row gives "a" for one, and average wants numbers');
fails(() => Person.min((p) => [p.age]), "ValidationError", "gives a list for one, and min wants what has an order");
fails(() => Person.join("nobody"), "NotFoundError", "Person.nobody is no field");
fails(() => Person.join("name"), "ValidationError", "Person.name is no relation, along which join(...) goes");
fails(() => Person.join(5), "ValidationError", "Person cannot be joined with 5: give join the name of a relation, or a model or query");
fails(() => Person.join("Order", "name", "who"), "ValidationError", "another model is given itself, not by its name");
fails(() => Person.join(Order, "name", "whom"), "NotFoundError", "Order.whom is no field");
fails(() => Person.join("city", { left: true }), "ValidationError", 'knows no option "left" of join(...): there are as, outer');
fails(() => Person.join("city", { as: ["a"] }), "ValidationError", 'as is to be two names, as { as: ["person", "order"] }');
// Rows that have names know them.
fails(() => Person.select("name", "age").where("agee", 3), "NotFoundError", "row.agee is no column of these rows: there are name, age");
fails(() => Person.select({ who: "name" }).limit(2).orderBy("name"), "NotFoundError", "row.name is no column of these rows: there are who");
fails(() => Person.groupBy("age", { n: "count" }).where("m", ">", 1), "NotFoundError", "row.m is no column of these rows: there are age, n");
fails(() => Person.join("city").select("person.nam"), "NotFoundError", "Person.nam is no field");
fails(() => Person.join("city").where("town.name", "x"), "NotFoundError", "row.town.name is no column of these rows: there are person, city");
fails(() => Person.join(Order, "name", "who").sum("order.costs"), "NotFoundError", "Order.costs is no field");
same(Person.select("city").where("city.name", "x").count(), 2);
same(Person.select("city.name").where("city.name", "x").orderBy("city.name").count(), 2);
same(Person.map((p) => ({ a: p.age })).where("b", null).count(), 5);
var Mayor = Person.extend("Mayor", { since: integer() });
same(Person.join("city").where("person.since", null).count(), 4);
// Nothing has run before somebody looks.
var looked = 0;
var rows = Person.map((p) => { looked++; return p.name; }).filter((name) => name !== "a").limit(2);
same([looked, rows.toArray(), looked, rows.first(), looked], [0, ["b", "c"], 3, "b", 5]);
Person.first().delete();
same(rows.toArray(), ["b", "c"]);
// ---
// At the prompt.
var shown = (value, depth = 0) => value[Symbol.for("everturn.show")](depth, (each) => Object.keys(each).join());
same(shown(Person.where("age", ">", 30).select("name", "age")), "name  age\ne     41");
same(shown(Person.where("age", 20)), "id  name  age  city    born                      debt\n2   b     20   City 1  1970-01-01T00:00:00.001Z  1");
same([shown(Person.where("age", 7)), shown(Person.get(2), 1), shown(Person.get(2))], ["nothing", "Person 2", "Person 2 name,age,city,born,debt"]);
same([...Person.fields.values()].slice(0, 3).map((field) => shown(field)), ["Person.name string", "Person.age integer", "Person.city one(City) onDelete null, inverse City.people"]);
same(shown(City), "model City, version 1, 3 instances\n  name    string\n  people  many(Person)  inverse Person.city");
same(shown(Person).split("\n")[3], "  city  one(City)  onDelete null, inverse City.people");
// ---
// A join on two fields looks for each row by the index of the other side, if it has one: no row's key is read again.
var reads = 0;
var Part = model("Part", { code: custom({ name: "code", validate: (value) => typeof value === "string", key: (value) => { reads++; return value; } }).unique() });
var Use = model("Use", { of: string(), n: integer() });
for (let i = 0; i < 50; i++) Part.create({ code: `p${i}` });
for (const of of ["p7", "p9", "none", null]) Use.create({ of, n: 1 });
reads = 0;
same(Use.join(Part, "of", "code").map(({ use, part }) => [use.of, part.code]).toArray(), [["p7", "p7"], ["p9", "p9"]]);
same(reads, 0, "by the index");
same(Use.join(Part.where("code", "!=", "p9"), "of", "code", { outer: true }).map(({ use, part }) => [use.of, part && part.code]).toArray(), [["p7", "p7"], ["p9", null], ["none", null], [null, null]]);
reads = 0;
same(Use.join(Part.limit(8), "of", "code").map(({ part }) => part.code).toArray(), ["p7"]);
same(reads, 8, "by a table, once");
