var Company = model("Company", { name: string().required().unique(), staff: many("Person", { inverse: "employer" }) });
var Person = model("Person", {
  name: string().required(), email: string().unique(), age: integer().default(0).index().min(0), born: date(),
  employer: one("Company", { inverse: "staff", onDelete: "null" }),
}, { get adult() { return this.age >= 18; }, greet(word) { return `${word}, ${this.name}`; } });
var p = Person.create({ name: "n1", age: 36 });
for (let i = 2; i < 30; i++) Person.create({ name: `n${i}`, age: i, email: `e${i}` });
// ---
same(Person.where("age", ">=", 18).and("name", "startsWith", "n").orderBy("age", "desc").limit(3).map((each) => each.name).toArray(), ["n1", "n29", "n28"]);
same([p.adult, Person.get(2).adult, p.greet("hello"), p.email, p.born], [true, false, "hello, n1", null, null]);
same([p instanceof Person, p instanceof Company, {} instanceof Person, p.constructor === Person, Object.keys(p)], [true, false, false, true, []]);
same([idOf(p), modelOf(p) === Person, idOf({}), Person.count(), models().map((each) => each.name)], [1, true, null, 29, ["Company", "Person"]]);
same(JSON.stringify(p), '{"id":1,"name":"n1","email":null,"age":36,"born":null,"employer":null}');
// ---
// An assignment that does not fit changes nothing, also in a script, which would ignore it in silence elsewhere.
same(fails(() => { p.age = "old"; }, "ValidationError", 'Person.age is to be an integer of at most 53 bits, not "old"').reason.startsWith("is to be"), true);
fails(() => { p.age = -1; }, "ValidationError", "Person.age is to be 0 at least, not -1");
fails(() => { p.name = null; }, "ValidationError", "Person.name is required: give it a value");
fails(() => { p.nickname = "x"; }, "ValidationError", "Person.nickname is no field: there are name, email, age, born, employer; add it to the model");
fails(() => { p.email = "e2"; }, "UniqueError", 'Person.email is unique, and Person 2 has "e2" already');
fails(() => Person.create({ name: "x", emial: "y" }), "ValidationError", "Person.emial is no field");
fails(() => Person.create({ age: 1 }), "ValidationError", "Person.name is required");
fails(() => Person.create("x"), "ValidationError", "is created from an object");
fails(() => Person.create({ name: "x", email: "e3" }), "UniqueError", "Person 3 has");
for (const given of [5, null, undefined]) fails(() => p.update(given), "ValidationError", `Person is updated from an object of fields and values, not from ${given}`);
fails(() => Person.delete(), "ValidationError", "Person is a model, and delete is asked of an instance or of a query: instance.delete(), Person.where(...).delete(), or Person.all().delete() for all of them");
fails(() => Person.update({ age: 1 }), "ValidationError", "Person.all().update({ ... }) for all of them");
fails(() => p.update({ name: "other", age: -5 }), "ValidationError", "Person.age");
same([p.name, p.age, p.email, Object.keys(p), Person.count()], ["n1", 36, null, [], 29]);
// ---
p.age = 37;
p.update({ name: "first", email: "e1" });
same([p.name, p.age, p.email, Person.where("email", "e1").first() === p, Person.where("age", 37).count(), Person.where("age", 36).count()], ["first", 37, "e1", true, 1, 0]);
p.email = null;
same([Person.where("email", "e1").first(), Person.where("email", null).count()], [null, 1]);
// ---
// Gone is gone: from the extent and from every index.
Person.get(5).delete();
same([Person.get(5), Person.count(), Person.where("email", "e5").first(), Person.where("age", 5).count()], [null, 28, null, 0]);
var gone = Person.get(6);
gone.delete();
same(gone.name, "n6");
fails(() => { gone.age = 1; }, "NotFoundError", "Person 6 was deleted");
fails(() => gone.delete(), "NotFoundError", "Person 6 was deleted");
same(Person.create({ name: "again", email: "e6" }).email, "e6");
same(idOf(Person.where("email", "e6").first()), 30);
// ---
// Inheritance: one extent, one set of ids, all indexes.
var Boss = Person.extend("Boss", { title: string().required(), reports: many("Person") }, { get adult() { return true; }, sign() { return `${this.title} ${this.name}`; } });
var boss = Boss.create({ name: "b", title: "Dr", age: 3, reports: [p] });
same([boss.adult, boss.sign(), boss.greet("hi"), boss instanceof Person, boss instanceof Boss, p instanceof Boss], [true, "Dr b", "hi, b", true, true, false]);
same([Boss.count(), Person.count(), Person.where("age", 3).count(), Boss.where("age", 3).count(), Boss.where("age", "<", 30).toArray().length, Boss.get(1)], [1, 29, 2, 1, 1, null]);
fails(() => Boss.create({ name: "c" }), "ValidationError", "Boss.title is required");
fails(() => Boss.create({ name: "c", title: "x", email: "e2" }), "UniqueError");
fails(() => Person.extend("Worse", { name: string() }), "SchemaError", "Worse.name is a field of Person already");
p.delete();
same(boss.reports.size, 0);
// ---
// Defaults that are functions are asked for each instance.
var made = 0;
var Ticket = model("Ticket", { number: integer().default(() => ++made).unique(), tags: list(string()).default([]), at: date().default(() => new Date(5)) });
same([Ticket.create().number, Ticket.create().number, Ticket.create({ number: 9 }).number, Ticket.first().tags, Ticket.first().at.getTime()], [1, 2, 9, [], 5]);
// ---
// Several fields together may be unique.
var Seat = model("Seat", { row: integer().required(), place: integer().required(), who: string() }, undefined, { unique: [["row", "place"]], index: [["who", "row"]] });
for (let i = 0; i < 20; i++) Seat.create({ row: i % 4, place: i, who: `w${i % 3}` });
same(fails(() => Seat.create({ row: 1, place: 5 }), "UniqueError", "Seat.row, place are unique together, and Seat 6 has row 1 and place 5 already: choose another value for one of them").field, "row, place");
fails(() => { Seat.get(6).place = 1; }, "UniqueError", "Seat 2");
same([Seat.where("row", 1).and("place", 5).explain().touches, Seat.where("who", "w1").and("row", ">", 1).explain().index], [1, "who, row"]);
Seat.get(6).update({ row: 9, place: 1 });
same(Seat.create({ row: 1, place: 5 }).row, 1);
