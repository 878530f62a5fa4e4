var City = model("City", { name: string().unique(), size: integer().index() });
var Person = model("Person", {
  name: string().required(), email: string().unique(), age: integer().index(), city: one("City"), born: date().index(), tags: list(string()), score: number(),
}, { get initial() { return this.name[0]; } }, { index: [["score", "name"]] });
var cities = [3, 1, 2].map((size) => City.create({ name: `c${size}`, size }));
for (let i = 0; i < 500; i++) {
  Person.create({
    name: `${"abcde"[i % 5]}${i}`, email: i % 3 ? `e${i}` : null, age: i % 7 ? (i * 31) % 90 : null, city: cities[i % 4] ?? null,
    born: new Date(i * 1e6), tags: i % 2 ? ["odd"] : [], score: i % 10,
  });
}
var everyone = Person.toArray();
var numbers = (query) => [...query].map(idOf).sort((x, y) => x - y);
var expects = (query, test) => same(numbers(query), everyone.filter(test).map(idOf));
// ---
// Each operator, by an index and without one.
expects(Person.where("age", "=", 31), (p) => p.age === 31);
expects(Person.where("age", 31), (p) => p.age === 31);
expects(Person.where("age", "!=", 31), (p) => p.age !== 31);
expects(Person.where("age", "<", 31), (p) => p.age !== null && p.age < 31);
expects(Person.where("age", "<=", 31), (p) => p.age !== null && p.age <= 31);
expects(Person.where("age", ">", 31), (p) => p.age > 31);
expects(Person.where("age", "gte", 31), (p) => p.age !== null && p.age >= 31);
expects(Person.where("age", "between", 10, 20), (p) => p.age !== null && p.age >= 10 && p.age <= 20);
expects(Person.where("age", "between", [20, 10]), () => false);
expects(Person.where("age", "in", [1, 5, 5, 31]), (p) => [1, 5, 31].includes(p.age));
expects(Person.where("age", "in", [1, null]), (p) => p.age === 1 || p.age === null);
expects(Person.where("age", null), (p) => p.age === null);
expects(Person.where("age", "<", null), () => false);
expects(Person.where("score", ">=", 8), (p) => p.score >= 8);
expects(Person.where("name", "startsWith", "b1"), (p) => p.name.startsWith("b1"));
expects(Person.where("name", "endsWith", "7"), (p) => p.name.endsWith("7"));
expects(Person.where("name", "contains", "12"), (p) => p.name.includes("12"));
expects(Person.where("name", "matches", /^[ab].*9$/g), (p) => /^[ab].*9$/.test(p.name));
expects(Person.where("tags", "contains", "odd"), (p) => p.tags.includes("odd"));
expects(Person.where("born", "<", new Date(5e6)), (p) => p.born < new Date(5e6));
expects(Person.where("born", new Date(5e6)), (p) => p.born.getTime() === 5e6);
expects(Person.where("city", cities[1]), (p) => p.city === cities[1]);
expects(Person.where("city", "in", [cities[1], null]), (p) => p.city === cities[1] || p.city === null);
expects(Person.where("city.size", ">", 1), (p) => p.city?.size > 1);
expects(Person.where("initial", "b"), (p) => p.name[0] === "b");
expects(Person.where((p) => p.age === p.score), (p) => p.age === p.score);
expects(Person.where("age", (age) => age % 9 === 4), (p) => p.age % 9 === 4);
expects(Person.where({ score: 3, age: 31 }), (p) => p.score === 3 && p.age === 31);
expects(Person.where("email", "in", ["e1", "e2", "none"]), (p) => p.email === "e1" || p.email === "e2");
expects(Person.where("id", "<", 4), (p) => idOf(p) < 4);
// ---
// and, or, not, and conditions that are queries.
expects(Person.where("age", ">", 50).and("score", 3), (p) => p.age > 50 && p.score === 3);
expects(Person.where("age", ">", 80).or("age", "<", 5), (p) => p.age !== null && (p.age > 80 || p.age < 5));
expects(Person.where("age", ">", 80).or("email", "e1").and("score", "<", 5), (p) => (p.age > 80 || p.email === "e1") && p.score < 5);
expects(Person.where("age", ">", 80).not("score", 3), (p) => p.age > 80 && p.score !== 3);
expects(Person.not("age", ">", 10), (p) => !(p.age > 10));
expects(Person.where("score", 3).and(Person.where("age", 31).or("age", ">", 60)), (p) => p.score === 3 && (p.age === 31 || p.age > 60));
expects(Person.where("score", 3).filter((p) => p.age > 50), (p) => p.score === 3 && p.age > 50);
var adults = Person.where("age", ">=", 18), old = adults.and("age", ">", 60);
same([adults.count(), old.count(), adults.count()], [everyone.filter((p) => p.age >= 18).length, everyone.filter((p) => p.age > 60).length, everyone.filter((p) => p.age >= 18).length]);
// ---
// Order, limit, offset.
var by = (...keys) => everyone.toSorted((p, q) => { for (const key of keys) { const [x, y] = [key(p), key(q)]; if (x !== y) return x === null ? -1 : y === null ? 1 : x < y ? -1 : 1; } return idOf(p) - idOf(q); }).map(idOf);
same(Person.orderBy("age").map(idOf).toArray(), by((p) => p.age));
same(Person.orderBy("age", "desc").map(idOf).toArray(), by((p) => p.age).toReversed());
same(Person.orderBy("score").orderBy("name").map(idOf).toArray(), by((p) => p.score, (p) => p.name));
same(Person.orderBy("score", "desc").orderBy("name", "asc").limit(3).map((p) => p.name).toArray(), everyone.filter((p) => p.score === 9).map((p) => p.name).sort().slice(0, 3));
same(Person.orderBy((p) => -idOf(p)).first() === everyone.at(-1), true);
same(Person.orderBy("age").offset(70).limit(5).map(idOf).toArray(), by((p) => p.age).slice(70, 75));
same(Person.limit(10).offset(4).limit(20).map(idOf).toArray(), [5, 6, 7, 8, 9, 10]);
same(Person.limit(10).where("score", 3).map(idOf).toArray(), [4]);
same(Person.limit(10).orderBy("score", "desc").first() === everyone[9], true);
same([Person.limit(10).count(), Person.offset(495).count(), Person.offset(1000).first(), Person.limit(0).toArray(), Person.where("score", 3).offset(2).limit(4).count()], [10, 5, null, [], 4]);
same([Person.where("age", 31).first() === everyone.find((p) => p.age === 31), Person.where("age", 1000).first()], [true, null]);
// ---
// What explain says: the index, and exactly how many instances.
var told = (query) => { const { by, index, touches, filter, sort } = query.explain(); return [by, index, touches, filter, sort]; };
var count = (test) => everyone.filter(test).length;
same(told(Person.where("email", "e4")), ["unique", "email", 1, null, null]);
same(told(Person.where("email", "nobody")), ["unique", "email", 0, null, null]);
same(told(Person.where("age", ">", 80)), ["index", "age", count((p) => p.age > 80), null, null]);
same(told(Person.where("age", ">", 10).and("age", "<=", 12)), ["index", "age", count((p) => p.age > 10 && p.age <= 12), null, null]);
same(told(Person.where("age", 4).or("email", "e1")), ["union", "age + email", count((p) => p.age === 4) + 1, 'age = 4 or email = "e1"', null]);
same(told(Person.where("score", 3).and("name", "startsWith", "d1")), ["index", "score, name", count((p) => p.score === 3 && p.name.startsWith("d1")), null, null]);
same(told(Person.where("city", cities[0])), ["relation", "city", 125, null, null]);
same(told(Person.where("city", cities[0]).and("age", 4)), ["index", "age", count((p) => p.age === 4), "city = City 1", null]);
same(told(Person.where("name", "b1")), ["scan", null, 500, 'name = "b1"', null]);
same(told(Person.where("score", 3).orderBy("name").limit(2)), ["index", "score, name", 2, null, null]);
same(told(Person.orderBy("age", "desc").limit(7)), ["index", "age", 7, null, null]);
same(told(Person.where("name", "contains", "1").orderBy("name")), ["scan", null, 500, 'name contains "1"', "name"]);
same(told(Person.all()), ["scan", null, 500, null, null]);
same([Person.where("age", ">", 80).count(), Person.where("email", "e4").count(), Person.count()], [count((p) => p.age > 80), 1, 500]);
// ---
// A query is answered as of the moment in which it was begun: it may change what it goes over.
var before = count((p) => p.age >= 30 && p.age < 60);
var seen = 0;
for (const p of Person.where("age", ">=", 30).and("age", "<", 60)) { p.age += 30; seen++; }
same([seen, Person.where("age", ">=", 30).and("age", "<", 60).count()], [before, 0]);
Person.where("age", ">=", 60).each((p) => { p.age -= 1; });
var it = Person.where("score", 4)[Symbol.iterator](), first = it.next().value;
var left = Person.where("score", 4).toArray().slice(1, 3);
left[0].delete(); left[1].score = 5;
same([first.score, it.next().value === left[1], idOf(it.next().value) > idOf(left[1])], [4, true, true]);
it.return();
for (const p of Person.all()) { if (p.score === 1) break; }
same(Person.where("score", 5).update({ score: 6, age: 1 }), 51);
same([Person.where("score", 6).count(), Person.where("score", 6).and("age", 1).count(), Person.where("score", 6).delete(), Person.count()], [101, 51, 101, 398]);
// ---
// What cannot be asked.
fails(() => Person.where("agee", 1), "NotFoundError", "Person.agee is no field: there are name, email, age");
fails(() => Person.where("city.naem", 1), "NotFoundError", "City.naem is no field");
fails(() => Person.where("age", "=>", 1), "ValidationError", 'Person.age cannot be asked for by "=>", which is no operator: use one of =');
fails(() => Person.where("age"), "ValidationError", "lacks a value");
fails(() => Person.where("age", "<", "x"), "ValidationError", 'Person.age cannot be compared with "x": it is to be an integer');
fails(() => Person.where("city", "c1"), "ValidationError", "is compared with a City");
fails(() => Person.where("age", "in", 5), "ValidationError", "in wants a list of values, not 5");
fails(() => Person.where("age", "between", 5), "ValidationError", "between wants two values");
fails(() => Person.where("name", "startsWith", 5), "ValidationError", "startsWith wants a text");
fails(() => Person.where("name", "matches", "x"), "ValidationError", "a regular expression");
for (const [what, value] of [["limit", -1], ["limit", 1.5], ["limit", "3"], ["limit", NaN], ["offset", -1], ["offset", null]])
  for (const rows of [Person.all(), Person.select("name"), Person.limit(9).orderBy("age")]) fails(() => rows[what](value), "ValidationError", `cannot be asked for ${what}(${typeof value === "string" ? JSON.stringify(value) : value}): give it a whole number, 0 or more`);
same(fails(() => Person.orderBy("age", "down"), "ValidationError", 'Person.age cannot be ordered by "down": the direction is "asc" or "desc"').value, "down");
fails(() => Person.orderBy("agee"), "NotFoundError", "Person.agee is no field");
fails(() => Person.limit(3).orderBy("agee"), "NotFoundError", "Person.agee is no field");
fails(() => Person.orderBy(5), "ValidationError", "Person cannot be ordered by 5: give orderBy the name of a field, a path, or a function");
fails(() => Person.orderBy("tags"), "ValidationError", "Person.tags has no order");
fails(() => Person.orderBy((p) => ({})).toArray(), "ValidationError", "Person cannot be ordered by a function, which is an object for one");
fails(() => Person.each("x"), "ValidationError", 'Person cannot be asked for each("x"): give it a function');
fails(() => Person.map(), "ValidationError", "Person cannot be asked for map(): give it a function");
fails(() => Person.distinct("age"), "ValidationError", 'say of which fields by select(...) before, as select("city").distinct()');
fails(() => Person.where(5), "ValidationError", "Person is asked by where(");
