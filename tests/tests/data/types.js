var Even = { name: "even number", validate: (value) => Number.isInteger(value) && value % 2 === 0 };
var T = model("T", {
  any: any(), flag: boolean(), real: number(), whole: integer().max(10), big: bigint().min(5n), text: string().min(2).max(4).pattern(/^[a-z]+$/g), raw: bytes().max(3),
  day: date().min(new Date(0)), color: enumeration("red", "green", 3), words: list(string().required().min(2)), days: list(date()), prices: map(number()), even: Even,
  loud: custom({ validate: (value) => typeof value === "string" || "is to be a word", convert: (value) => value.toUpperCase() }),
  small: integer().check((value) => value < 5, "is too large for me").check((value, instance) => instance.flag !== false || "wants a flag"),
  options: string({ required: false, min: 1, unique: true }),
});
var t = T.create({ flag: true });
// ---
same([t.any, t.flag, t.words], [null, true, null]);
for (const [field, value, shown] of [["real", 1.5], ["real", -0, 0], ["whole", -3], ["big", 7n], ["text", "abc"], ["color", 3], ["even", 4], ["loud", "hey", "HEY"], ["small", 3], ["flag", false], ["any", { a: [1] }], ["words", ["ab", "cd"]], ["prices", { a: 1 }]]) {
  t[field] = value;
  same(t[field], shown ?? value, field);
}
t.flag = true;
// ---
for (const [field, value, text] of [
  ["flag", 1, "true or false, not 1"], ["real", NaN, "a number, not NaN"], ["real", "1", 'a number, not "1"'], ["whole", 1.5, "an integer of at most 53 bits, not 1.5"],
  ["whole", 11, "10 at most, not 11"], ["whole", 2 ** 60, "53 bits"], ["big", 7, "a BigInt, as 12n is, not 7"], ["big", 3n, "5n at least, not 3n"],
  ["text", 5, "a text, not 5"], ["text", "a", "of length 2 at least, not 1"], ["text", "abcde", "of length 4 at most, not 5"], ["text", "AB", "to match /^[a-z]+$/, which \"AB\" does not"],
  ["raw", [1], "bytes (a Uint8Array), not a list"], ["raw", new Uint8Array(4), "of length 3 at most, not 4"], ["day", "2020", "a Date, not \"2020\""], ["day", new Date(NaN), "not an invalid date"],
  ["day", new Date(-1), "at least"], ["color", "blue", 'one of "red", "green", 3, not "blue"'], ["words", "ab", "a list, not"], ["words", ["ab", "c"], "at [1] is to be of length 2 at least"],
  ["words", [null], "at [0] is required"], ["prices", [1], "a map"], ["prices", { a: "1" }, 'at .a is to be a number, not "1"'], ["even", 3, "is no even number"], ["loud", 3, "is to be a word"],
  ["small", 7, "is too large for me"], ["options", "", "of length 1 at least"],
]) fails(() => { t[field] = value; }, "ValidationError", text);
t.flag = false;
fails(() => { t.small = 1; }, "ValidationError", "T.small wants a flag");
// ---
// What an instance gives out cannot be used to change it unseen.
var day = new Date(1000), raw = new Uint8Array([1, 2]), words = ["ab"];
t.update({ day, raw, words, days: [day] });
day.setTime(5); raw[0] = 9; words.push("x");
t.day.setTime(7); t.raw[0] = 9; t.days[0].setTime(9);
same([t.day.getTime(), t.raw[0], t.words, t.days[0].getTime()], [1000, 1, ["ab"], 1000]);
(function () { "use strict"; fails(() => t.words.push("y"), "TypeError"); })();
same(new Map(Object.entries(t.prices)).get("a"), 1);
t.prices = new Map([["b", 2]]);
same(t.prices, { b: 2 });
// ---
same(models().map((each) => each.name), ["T"]);
// ---
// What has no order cannot stand in an ordered index; it may be unique.
var U = model("U", { key: any().unique(), place: any().index() });
var object = {};
U.create({ key: object, place: 5 });
fails(() => U.create({ key: object }), "UniqueError");
fails(() => U.create({ place: {} }), "ValidationError", "U.place has an ordered index");
for (const place of ["x", true, null, 3n, new Date(4)]) U.create({ place });
same(U.orderBy("place").map((each) => typeof each.place).toArray(), ["object", "boolean", "bigint", "object", "number", "string"]);
