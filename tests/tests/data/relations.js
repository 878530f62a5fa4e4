var Company = model("Company", { name: string(), staff: many("Person", { inverse: "employer" }), boss: one("Person", { inverse: "leads" }) });
fails(() => Company.create({ boss: {} }), "SchemaError", 'Company.boss refers to Person, which is not defined yet: call model("Person", ...) first');
var Person = model("Person", {
  name: string(), employer: one("Company", { inverse: "staff" }), leads: one("Company", { inverse: "boss" }),
  friends: many("Person"), skills: many("Skill", { inverse: "people" }), mentor: one("Person"),
});
var Skill = model("Skill", { name: string(), people: many("Person", { inverse: "skills" }) });
var [a, b] = ["a", "b"].map((name) => Company.create({ name })), people = [];
for (let i = 0; i < 6; i++) people.push(Person.create({ name: `p${i}`, employer: i < 4 ? a : b }));
var names = (collection) => collection.map((each) => each.name).toArray().join(" ");
// ---
// One and many: whichever side is changed, both are.
same([a.staff.size, names(a.staff), names(b.staff)], [4, "p0 p1 p2 p3", "p4 p5"]);
people[0].employer = b;
a.staff.remove(people[1]);
b.staff.add(people[2], people[2]);
same([names(a.staff), names(b.staff), people[1].employer, people[2].employer === b], ["p3", "p0 p2 p4 p5", null, true]);
a.staff = [people[1], people[5]];
same([names(a.staff), names(b.staff), people[3].employer], ["p1 p5", "p0 p2 p4", null]);
same([a.staff.has(people[1]), a.staff.remove(people[0], people[1]), people[1].employer, a.staff.clear(), a.staff.size], [true, 1, null, 1, 0]);
// ---
// A collection can be asked as a query.
b.staff.add(...people);
same([b.staff.where("name", ">", "p3").count(), b.staff.orderBy("name", "desc").first().name, b.staff.explain().by, names(b.staff.limit(2)), [...b.staff].length], [2, "p5", "relation", "p0 p1", 6]);
same([Person.where("employer", b).explain().touches, Person.where("employer", b).and("name", "p3").count(), Person.where("employer", a).count(), Person.where("employer", null).count()], [6, 1, 0, 0]);
same(Person.where("employer.name", "b").and("name", "p1").first() === people[1], true);
// ---
// One and one.
a.boss = people[0];
same([people[0].leads === a, people[1].leads], [true, null]);
people[0].leads = b;
same([a.boss, b.boss === people[0]], [null, true]);
a.boss = people[0];
same([a.boss === people[0], b.boss, people[0].leads === a], [true, null, true]);
b.boss = people[1];
people[1].leads = a;
same([a.boss === people[1], b.boss, people[0].leads], [true, null, null]);
// ---
// Many and many, with a named other side and without one.
var skills = ["s0", "s1", "s2"].map((name) => Skill.create({ name, people: [people[0], people[3]] }));
people[0].skills.remove(skills[1]);
people[1].skills = [skills[1], skills[2]];
same([names(skills[0].people), names(skills[1].people), names(skills[2].people), names(people[0].skills)], ["p0 p3", "p1 p3", "p0 p1 p3", "s0 s2"]);
people[0].friends.add(people[1], people[2], people[0]);
same([names(people[0].friends), names(people[1].friends), Person.where("friends", "contains", people[1]).count()], ["p0 p1 p2", "", 1]);
// ---
// A relation that is its own other side.
var Peer = model("Peer", { peers: many("Peer", { inverse: "peers" }) });
var [x, y, z] = [1, 2, 3].map(() => Peer.create());
x.peers.add(y, x); z.peers.add(y);
var around = (peer) => peer.peers.map(idOf).toArray();
same([around(x), around(y), around(z)], [[1, 2], [1, 3], [2]]);
y.peers.remove(x); x.peers.remove(x);
same([around(x), around(y), around(z)], [[], [3], [2]]);
z.delete();
same(around(y), []);
// ---
// What is deleted is in no collection and no reference any more.
people[1].delete();
same([names(skills[1].people), names(people[0].friends), names(b.staff), a.boss], ["p3", "p0 p2", "p0 p2 p3 p4 p5", null]);
people[2].mentor = people[3];
people[3].delete();
same([people[2].mentor, names(skills[0].people), names(skills[1].people)], [null, "p0", ""]);
b.delete();
same([people[0].employer, people[5].employer], [null, null]);
skills[2].delete();
same(names(people[0].skills), "s0");
// ---
// What is refused.
fails(() => { people[0].employer = skills[0]; }, "ValidationError", "Person.employer is to be a Company, not Skill 1");
fails(() => { people[0].employer = {}; }, "ValidationError", "is to be a Company, not an object");
fails(() => { people[0].employer = b; }, "ValidationError", "cannot be Company 2: that was deleted");
fails(() => a.staff.add(people[0], null), "ValidationError", "is to be given a Person, not null");
same([a.staff.size, people[0].employer], [0, null]);
fails(() => a.staff.add(people[1]), "ValidationError", "that was deleted");
fails(() => { a.staff = people[0]; }, "ValidationError", "is to be a list of instances of Person");
fails(() => b.staff.add(people[0]), "NotFoundError", "Company 2 was deleted");
fails(() => Person.where("friends", people[0]), "ValidationError", "is a collection: ask whether it contains an instance");
// ---
// onDelete.
var Order = model("Order", {
  number: integer(), lines: many("Line", { inverse: "order" }), customer: one("Person", { onDelete: "restrict" }), watcher: one("Person", { required: true }),
});
var Line = model("Line", { order: one("Order", { inverse: "lines", onDelete: "cascade", required: true }), parent: one("Line", { onDelete: "cascade" }) });
var order = Order.create({ number: 1, customer: people[0], watcher: people[2] });
var lines = [0, 1, 2].map(() => Line.create({ order }));
var other = Order.create({ number: 2, watcher: people[2] });
lines.push(Line.create({ order: other, parent: lines[0] }));
var error = fails(() => people[0].delete(), "ReferenceError", "Person 1 cannot be deleted: Order 1 refers to it by Order.customer; change or delete that first");
same([error.model, error.referrers[0] === order, error instanceof data.ReferenceError], ["Person", true, true]);
fails(() => people[2].delete(), "ReferenceError", "Order 1, Order 2 refer to it by Order.watcher");
fails(() => { lines[0].order = null; }, "ValidationError", "Line.order is required: give it a Order");
fails(() => order.lines.remove(lines[0]), "ValidationError", "Line.order is required");
fails(() => Line.create({}), "ValidationError", "Line.order is required");
same([order.lines.size, Line.count()], [3, 4]);
order.delete();
same([Line.count(), Order.count(), other.lines.size], [0, 1, 0]);
people[0].delete();
// ---
// Chains of cascades that come back to where they began, and deletions of many at once.
var Node = model("Node", { next: one("Node", { onDelete: "cascade" }), keep: one("Node", { onDelete: "restrict" }) });
var ring = Array.from({ length: 50 }, () => Node.create());
ring.forEach((node, at) => { node.next = ring[(at + 1) % 50]; node.keep = ring[(at + 7) % 50]; });
var guard = Node.create({ keep: ring[9] });
fails(() => ring[0].delete(), "ReferenceError", "Node 10 cannot be deleted: Node 51 refers to it");
same(Node.count(), 51);
guard.keep = null;
ring[0].delete();
same([Node.count(), Node.first() === guard, Node.all().delete(), Node.count()], [1, true, 1, 0]);
// ---
// Definitions that do not fit together.
fails(() => model("Bad", { who: one("Person", { inverse: "bad" }) }), "SchemaError", "Bad.who names Person.bad as its inverse, which there is not");
fails(() => model("Bad", { who: one("Person", { inverse: "name" }) }), "SchemaError", "which is no relation to Bad");
fails(() => model("Bad", { who: one("Person", { required: true, onDelete: "null" }) }), "SchemaError", "is required, so it cannot become null");
same(models().map((each) => each.name), ["Company", "Person", "Skill", "Peer", "Order", "Line", "Node"]);
same(model("Bad", { who: one("Person") }).create({ who: people[5] }).who === people[5], true);
