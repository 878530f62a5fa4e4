var Company = model("Company", { name: string().unique(), staff: many("Person", { inverse: "employer" }) });
var Person = model("Person", { name: string().required(), email: string().unique(), age: integer().default(0).index(), employer: one("Company", { inverse: "staff" }), friends: many("Person") });
var c = Company.create({ name: "c" }), d = Company.create({ name: "d" });
for (let i = 0; i < 10; i++) Person.create({ name: `p${i}`, email: `e${i}`, age: i, employer: c });
var [p, q] = Person.toArray();
var r = branch();
// ---
// What a branch does is seen within it only; queries and indexes are those of the branch.
var made;
r.in(() => {
  p.age = 99;
  q.delete();
  made = Person.create({ name: "new", email: "new", age: 50, employer: d });
  p.employer = d;
  p.friends.add(made);
});
same([p.age, Person.count(), Person.where("age", ">", 40).count(), Person.where("email", "new").first(), p.employer === c, d.staff.size, p.friends.size], [0, 10, 0, null, true, 0, 0]);
// ---
same(r.in(() => [p.age, Person.count(), Person.where("age", ">", 40).orderBy("age").map((each) => each.name).toArray(), Person.where("email", "e1").first(), d.staff.size, p.friends.has(made), c.staff.size]),
  [99, 10, ["new", "p0"], null, 2, true, 8]);
fails(() => { made.age = 1; }, "NotFoundError", "made in a branch that is not committed");
fails(() => { Person.get(3).friends.add(made); }, "ValidationError", "made in a branch that is not committed");
same([r.state, branches().length, r.changes().length > 3, r.conflicts()], ["open", 1, true, []]);
// ---
// A throw within takes back what that call did, and nothing else; and whoever was outside is outside again.
fails(() => r.in(() => { p.age = 1; Person.create({ name: "lost" }); throw new RangeError("lost"); }), "RangeError", "lost");
same([p.age, r.in(() => p.age), r.in(() => Person.count()), Person.count()], [0, 99, 10, 10]);
// ---
// Other changes of the parent are seen through the branch, and are no conflict.
Person.get(5).age = 77;
p.name = "renamed";
Person.create({ name: "meanwhile" });
same(r.in(() => [Person.get(5).age, p.name, p.age, Person.count()]), [77, "renamed", 99, 11]);
r.commit();
same([p.age, p.name, Person.count(), Person.get(2), made.age, d.staff.size, made.employer === d, Person.where("age", 99).first() === p, r.state], [99, "renamed", 11, null, 50, 2, true, true, "committed"]);
fails(() => r.in(() => 1), "NotFoundError", "this branch was committed: make a new one with branch()");
fails(() => r.commit(), "NotFoundError");
fails(() => q.age = 1, "NotFoundError");
// ---
// The same field on both sides: a conflict that names it, and nothing is changed.
r = branch();
r.in(() => { p.age = 1; p.name = "mine"; Person.get(4).age = 4; Person.get(6).delete(); });
// ---
p.age = 2;
Person.get(6).name = "theirs";
var error = fails(() => r.commit(), "ConflictError", "Person 1, field age: was changed on both sides");
same(error.conflicts.map(({ model, id, field, mine, theirs }) => [model, id, field, mine, theirs]), [["Person", 1, "age", 1, 2], ["Person", 6, "name", undefined, "theirs"]]);
same([error.model, error.field, p.age, p.name, Person.get(4).age, r.state, r.conflicts().length, Person.get(6).name], ["Person", "age", 2, "renamed", 3, "open", 2, "theirs"]);
same(r.in(() => p.age), 1);
r.revert();
same([p.age, r.state, branches().length], [2, "reverted", 0]);
// ---
// What was deleted, or taken, or is referred to by now.
var first = branch(), second = branch(), third = branch();
first.in(() => { Person.get(3).age = 33; });
second.in(() => { Person.create({ name: "x", email: "wanted" }); });
third.in(() => { d.delete(); });
Person.get(3).delete();
Person.get(4).email = "wanted";
Person.get(4).employer = d;
fails(() => first.commit(), "ConflictError", "Person 3: was deleted there and changed here");
fails(() => second.commit(), "ConflictError", "field email: its email is unique, and Person 4 has it by now");
fails(() => third.commit(), "ConflictError", "Company 2: was deleted here, and Person 4 refers to it by now");
fails(() => first.in(() => 1), "ConflictError", "Person 3");
same(Person.where("email", "wanted").count(), 1);
[first, second, third].forEach((each) => each.revert());
// ---
// Branches of branches.
r = branch();
var inner = r.in(() => { p.age = 10; return branch(); });
var sibling = r.branch();
inner.in(() => { same(p.age, 10); p.age = 11; Person.create({ name: "deep" }); });
sibling.in(() => { p.age = 12; });
same([p.age, r.in(() => p.age), inner.in(() => p.age), sibling.in(() => p.age), branches().length], [2, 10, 11, 12, 3]);
// ---
inner.commit();
same([p.age, r.in(() => p.age), r.in(() => Person.where("name", "deep").count()), Person.where("name", "deep").count()], [2, 11, 1, 0]);
fails(() => sibling.commit(), "ConflictError", "field age");
fails(() => r.in(() => r.commit()), "NotFoundError", "call commit() after in(...)");
fails(() => r.in(() => r.revert()), "NotFoundError", "from within");
r.commit();
same([p.age, Person.where("name", "deep").count(), sibling.state, branches().length], [11, 1, "reverted", 0]);
// ---
// Two values that are unique change hands.
var [a, b] = Person.limit(2).toArray(), emails = [a.email, b.email];
r = branch();
r.in(() => { a.email = null; b.email = emails[0]; a.email = emails[1]; });
same([a.email, Person.where("email", emails[0]).first() === a], [emails[0], true]);
r.in(() => 1);
same([a.email, Person.where("email", emails[0]).first() === a], [emails[0], true]);
r.commit();
same([a.email, Person.where("email", emails[0]).first() === b, Person.where("email", emails[1]).first() === a], [emails[1], true, true]);
// ---
// transact: all or nothing, every error is let through, and only a conflict is tried again.
same(transact(() => { p.age = 21; return "done"; }), "done");
fails(() => transact(() => { p.age = 22; Person.create({}); }), "ValidationError", "name is required");
fails(() => transact(() => { p.age = 22; null.x; }, { retries: 5 }), "TypeError");
fails(() => transact(5), "ValidationError", "transact(...) is to be given a function that does the work, not 5");
for (const retries of [-1, 1.5, "3", null]) fails(() => transact(() => 1, { retries }), "ValidationError", "is to be given how often it may be done again");
fails(() => transact(() => 1, { retry: 3 }), "ValidationError", 'knows no option "retry": there is retries');
fails(() => transact(() => 1, 3), "ValidationError", "takes options such as { retries: 3 }, not 3");
same([p.age, branches().length], [21, 0]);
var tries = 0;
fails(() => transact(() => { tries++; throw new data.ConflictError([{ model: "M", id: 1, field: "f", reason: "by hand" }]); }, { retries: 2 }), "ConflictError");
same([tries, transact(() => transact(() => { p.age++; return p.age; }))], [3, 22]);
fails(() => transact(() => { transact(() => { p.age = 50; }); throw new Error("outer"); }), "Error", "outer");
same(p.age, 22);
// ---
// Over several turns, in the branch that it is given.
tries = 0;
var later = transact(async (own) => {
  tries++;
  const age = own.in(() => p.age);
  await nextTurn();
  own.in(() => { p.age = age + 100; });
}, { retries: 3 });
// ---
await later;
same([p.age, tries], [122, 1]);
tries = 0;
later = transact(async (own) => {
  tries++;
  const age = own.in(() => p.age);
  await nextTurn();
  own.in(() => { p.age = age + 100; });
  if (tries === 1) p.age = 1;
}, { retries: 3 });
// ---
await later;
same([p.age, tries, branches().length], [101, 2, 0]);
// ---
// A query that was begun outside goes on with what was there.
var cursor = Person.all()[Symbol.iterator](), before = Person.count();
cursor.next();
r = branch();
r.in(() => { Person.where((each) => each !== p && each !== a).delete(); });
same([...cursor].length, before - 1);
r.revert();
// A branch that is long is not slow to look at again: what it did is put on, and taken off.
r = branch();
for (let i = 0; i < 20; i++) r.in(() => { for (let k = 0; k < 20; k++) Person.create({ name: `${i} ${k}` }); });
same([r.in(() => Person.count()) - before, Person.count() - before], [400, 0]);
r.commit();
same(Person.count() - before, 400);
