// A definition that makes no sense is refused, before anything changes, by an error that names the model, the field and the value, and
// says what to do.
var City = model("City", { name: string().unique(), people: many("Person", { inverse: "city" }) });
var Person = model("Person", { name: string().required(), age: integer().index(), city: one("City", { inverse: "people" }) }, { greet() { return "hi"; } });
var ann = Person.create({ name: "ann", age: 3, city: City.create({ name: "c" }) });
function wrong(fields, text, field = "a", value) {
  const error = fails(() => model("X", fields), "SchemaError", text);
  same([error.model, error.field, error.message], ["X", field, `X${field === null ? "" : `.${field}`} ${error.reason}`]);
  if (value !== undefined) same(error.value, value);
}
// ---
// What is no type, and what a type does not take.
wrong({ a: 5 }, "X.a is to be a type, as string() or integer().min(0) are, or an object with validate(value), not 5", "a", 5);
wrong({ a: string }, "not a function: call it, as string() does");
wrong({ a: null }, "not null");
wrong({ a: { validate: true } }, "an object with validate(value), not an object");
wrong({ a: custom({ validate() { return true; }, convert: 5 }) }, "has convert, which is to be a function, not 5", "a", 5);
wrong({ a: enumeration() }, "says enumeration() without values: name those that there are");
wrong({ a: enumeration(["x", "y"]) }, "not in a list: write enumeration(...values)");
wrong({ a: enumeration("x", "y", "x") }, 'says "x" twice', "a", "x");
wrong({ a: enumeration("x", null) }, "its values are to be texts, numbers");
wrong({ a: list() }, "says list() without a type: say of what, as list(string()) does; list(any()) takes everything");
wrong({ a: map() }, "says map() without a type");
wrong({ a: list(7) }, "holds in its list(...) what is to be a type");
wrong({ a: list(string().unique()) }, "says unique of what its list(...) holds: that is for the field itself");
wrong({ a: map(list(boolean().max(3))) }, "says max(3), which is for numbers");
// ---
// Rules that are none, or not for this type.
wrong({ a: string().with({ uniqe: true }) }, "says uniqe, and there is no rule of that name: there are required, unique, index, default, min, max, pattern, check, was, migrate", "a", true);
wrong({ a: string("x") }, 'is given "x" where its rules are to stand');
wrong({ a: string().required("yes") }, 'says required("yes"): give it true or false, or nothing', "a", "yes");
wrong({ a: boolean().min(1) }, "says min(1), which is for numbers, dates, BigInts, and the length of texts, bytes, lists and maps, not for boolean", "a", 1);
wrong({ a: any().max(1) }, "not for any");
wrong({ a: enumeration("x").min(1) }, "says min(1)");
wrong({ a: integer().min("1") }, 'says min("1"): for integer give it a number', "a", "1");
wrong({ a: number().max(NaN) }, "says max(NaN)");
wrong({ a: bigint().min(1) }, "for bigint give it a BigInt, as 12n is");
wrong({ a: date().max("2020-01-01") }, "for date give it a Date");
wrong({ a: string().min(-1) }, "for string give it a length, as 3 is");
wrong({ a: list(string()).max(1.5) }, "give it a length");
wrong({ a: integer().min(5).max(3) }, "says min(5) and max(3), which nothing fits");
wrong({ a: string().pattern("x") }, 'says pattern("x"): give it a regular expression, as /^a/ is', "a", "x");
wrong({ a: integer().pattern(/x/) }, "says pattern(/x/), which is for texts, not for integer");
wrong({ a: string().check("x") }, 'says check("x"): give it a function');
wrong({ a: string().check(() => true, 5) }, "what is said of a wrong value is to be a text");
wrong({ a: integer().default("x") }, 'says default("x"), which it would not take itself: it is to be an integer of at most 53 bits, not "x"', "a", "x");
wrong({ a: integer().default(0).min(1) }, "says default(0), which it would not take itself: it is to be 1 at least, not 0");
wrong({ a: list(string()).default("x") }, "is to be a list");
wrong({ a: list(string()).unique() }, "says unique(), and a list(string) is compared with nothing");
wrong({ a: map(number()).index() }, "says index(), and a map(number) is compared with nothing");
wrong({ a: string().was(5) }, "says was(5): give it the name that the field had");
wrong({ a: string().migrate("x") }, 'says migrate("x"): give it a function');
wrong({ a: string().was("z"), b: string().was("z") }, "says that it was z, as a does: one field becomes one field", "b", "z");
// ---
// Relations.
wrong({ a: one() }, 'is one(...) of no model: give it a model or its name, as one("Person") does');
wrong({ a: one(5) }, "of no model", "a", 5);
wrong({ a: one("Person", "null") }, 'is given "null" where options are to stand');
wrong({ a: one("Person", { inverze: "x" }) }, "says inverze, and there is no such option of one(...): there are inverse, onDelete, required, was", "a", "x");
wrong({ a: one("Person", { onDelete: "explode" }) }, 'says onDelete: "explode": there are "restrict", "null", "cascade"', "a", "explode");
wrong({ a: one("Person", { onDelete: "null" }).required() }, "is required, so it cannot become null on a deletion");
wrong({ a: one("Person", { inverse: 5 }) }, "says inverse: 5: give it the name of the field of Person that is the other side");
wrong({ a: many("Person", { required: true }) }, "says required, which many(...) cannot be");
wrong({ a: one("Person", { inverse: "xs" }) }, "names Person.xs as its inverse, which there is not: add it there, or leave the inverse out", "a", "xs");
wrong({ a: one("Person", { inverse: "age" }) }, "names Person.age as its inverse, which is no relation to X");
wrong({ a: one("Person", { inverse: "city" }) }, "names Person.city as its inverse, which is no relation to X: make it one(...) or many(...) of that");
wrong({ a: one("X", { inverse: "b" }), b: many("X", { inverse: "c" }), c: one("X") }, 'names X.b as its inverse, whose own inverse is "c": let them name each other');
wrong({ a: one("X", { inverse: "c" }), b: one("X", { inverse: "c" }), c: many("X") }, "names X.c as its inverse, as X.a does: a field is the other side of one relation", "b");
wrong({ a: one("X", { inverse: "b" }), b: many("X", { inverse: "a", onDelete: "cascade" }) }, "says onDelete, which is for the side that refers: say it at X.a", "b");
// One that waits for another model is looked at when that comes.
var Early = model("Early", { late: one("Late", { inverse: "all" }) });
same(fails(() => model("Late", { all: string() }), "SchemaError", "Early.late names Late.all as its inverse, which is no relation to Early").model, "Early");
model("Late", { all: many("Early") });
// ---
// Names, methods, options.
fails(() => model("no name", {}), "SchemaError", "a name is to be like Person");
fails(() => model(undefined, {}), "SchemaError", "a name is to be like Person, not undefined");
wrong([string()], "X is defined by an object of names and fields, not by a list", null);
wrong({ delete: string() }, "is a name that every instance has already", "delete");
wrong({ "a.b": string() }, 'has a field of the name "a.b"', null);
var wrongly = (text, ...more) => fails(() => model("X", { a: string(), b: integer(), l: list(string()), m: many("Person") }, ...more), "SchemaError", text);
wrongly("X.a is a field and a method", { a() {} });
wrongly("takes as methods an object of functions and getters, not a function", () => 1);
wrongly('is given "index" among its methods: options come behind them', { index: [["a"]] });
wrongly("is a name that every instance has already", { constructor() {} });
wrongly('knows no option "indexes": there are index, unique, dryRun', {}, { indexes: [] });
wrongly("takes as options an object", {}, [["a"]]);
wrongly('says dryRun: "yes"', {}, { dryRun: "yes" });
wrongly('as lists of their names: index: [["city", "age"]]', {}, { index: "a" });
wrongly("as lists of their names: unique:", {}, { unique: [["a", 5]] });
wrongly("X.c is to be in an index, and is no field: there are a, b, l, m", {}, { index: [["a", "c"]] });
wrongly("X.m holds many, which no index can be over", {}, { index: [["a", "m"]] });
wrongly("X.l is to be in an index, and a list(string) has no order", {}, { index: [["a", "l"]] });
wrongly('names a field twice in index: ["a","a"]', {}, { index: [["a", "a"]] });
wrongly('asks twice for unique: ["a","b"]', {}, { unique: [["a", "b"], ["a", "b"]] });
same(models().map((each) => each.name), ["City", "Person", "Early", "Late"]);
// ---
// The same of a model that there is: it stays as it was, also where somebody catches the error.
var Boss = Person.extend("Boss", { title: string() }, { sign() { return this.title; } });
var again = (text, fields, methods) => fails(() => model("Person", { name: string().required(), age: integer().index(), ...fields }, methods), "SchemaError", text);
again("Person.city names City.nobody as its inverse, which there is not", { city: one("City", { inverse: "nobody" }) });
again("Person.city is required, so it cannot become null", { city: one("City", { inverse: "people", required: true, onDelete: "null" }) });
again("Person.age is a field and a method", { city: one("City", { inverse: "people" }) }, { age() {} });
again("Person.title is a field of Boss, which extends Person", { city: one("City", { inverse: "people" }), title: string() });
again("Person.sign is a method of Boss, which extends Person", { city: one("City", { inverse: "people" }), sign: string() });
again("Person.name names", { city: one("City", { inverse: "people" }), name: one("City", { inverse: "name" }) });
fails(() => Person.extend("Chief", { age: string() }), "SchemaError", "Chief.age is a field of Person already");
fails(() => Person.extend("Chief", {}, { get name() { return 1; } }), "SchemaError", "Chief.name is a field and a method");
same([Person.version, ann.greet(), ann.city.name, ann.city.people.size, Person.where("age", 3).count(), models().length], [1, "hi", "c", 1, 1, 5]);
// ---
// Several fields together, one of them a relation.
var Seat = model("Seat", { city: one("City"), row: integer() }, undefined, { unique: [["city", "row"]] });
var other = City.create({ name: "d" });
Seat.create({ city: ann.city, row: 1 });
var seat = Seat.create({ city: other, row: 1 });
var taken = fails(() => { seat.city = ann.city; }, "UniqueError", "Seat.city, row are unique together, and Seat 1 has city City 1 and row 1 already");
same([taken.value[0] === ann.city, taken.value[1], taken.holder === Seat.get(1)], [true, 1, true]);
fails(() => Seat.create({ city: other, row: 1 }), "UniqueError", "Seat 2 has city City 2 and row 1 already");
seat.update({ row: 2 });
model("Free", { a: integer(), b: date() });
for (let i = 0; i < 2; i++) models().at(-1).create({ a: 1, b: new Date(0) });
var offending = fails(() => model("Free", { a: integer(), b: date() }, undefined, { unique: [["a", "b"]] }), "SchemaError", "Free 2: a, b would be unique together, and Free 1 has a 1 and b 1970-01-01T00:00:00.000Z too");
same(offending.violations.map(({ id, field, value }) => [id, field, value]), [[2, "a, b", [1, "1970-01-01T00:00:00.000Z"]]]);
