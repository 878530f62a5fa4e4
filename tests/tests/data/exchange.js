var Team = model("Team", { name: string().unique(), lead: one("Person"), fans: many("Person") });
var Person = model("Person", { name: string().required(), age: integer(), born: date(), big: bigint(), raw: bytes(), tags: list(string()), ok: boolean(), team: one("Team", { required: true }) });
var Boss = Person.extend("Boss", { title: string() });
var tools = globalThis[Symbol.for("everturn.data")], text = (told) => told[Symbol.for("everturn.show")](0);
var team = Team.create({ name: 'the "A", team' });
Person.create({ name: "a\nb", age: 3, born: new Date(5), big: 7n, raw: new Uint8Array([1, 255]), tags: ["x,y"], ok: true, team });
Person.create({ name: "", team });
Boss.create({ name: "boss", title: "Dr", team });
team.lead = Boss.first(); team.fans = Person.toArray();
var pages = ["Team", "Person", "Boss"].map((name) => text(tools.page("json", name, 0)).split("\n"));
same(pages.map((lines) => [lines[0], lines.length]), [["null", 2], ["null", 3], ["null", 2]]);
var csv = text(tools.page("csv", "Person", 0)).split("\n").slice(1).join("\n");
same(csv, 'id,name,age,born,big,raw,tags,ok,team\n1,"a\nb",3,1970-01-01T00:00:00.005Z,7,Af8=,"[""x,y""]",true,1\n2,"",,,,,,,1');
// ---
// Out and in again: the same instances beside those that there are, with ids of their own.
var lines = pages.flatMap((page) => page.slice(1)).join("\n").replace('the \\"A\\"', "B");
tools.begin("json"); tools.stage(lines.slice(0, 100)); tools.stage(lines.slice(100));
same(text(tools.takeIn()), "4");
var second = Team.get(2);
same([Team.count(), Person.count(), Boss.count(), second.lead.title, second.lead === Boss.toArray()[1], second.fans.map(idOf).toArray()], [2, 6, 2, "Dr", true, [4, 5, 6]].map((each) => each));
var copy = second.fans.first();
same([copy.name, copy.age, copy.born.getTime(), copy.big, copy.raw[1], copy.tags, copy.ok, copy.team === second], ["a\nb", 3, 5, 7n, 255, ["x,y"], true, true]);
// ---
tools.begin("csv", "Person"); tools.stage(csv);
same([text(tools.takeIn()), Person.count(), Person.where("name", "").count(), Person.where("big", 7n).count()], ["2", 8, 3, 3]);
// ---
// All or nothing.
var wrong = (format, given, name) => () => { tools.begin(format, name); tools.stage(given); tools.takeIn(); };
fails(wrong("json", lines.replace("B, team", "C").replace('"boss"', "null")), "ValidationError", "row 4: Boss.name is required");
fails(wrong("json", lines), "UniqueError", "row 1: Team.name is unique");
fails(wrong("json", '{"model":"Person","fields":{"name":"x","team":77}}'), "NotFoundError", "row 1: Person.team is 77, and there is no Team of that id");
fails(wrong("json", '{"model":"Person","fields":{"nome":"x"}}'), "ValidationError", "row 1: Person.nome is no field");
fails(wrong("json", '{"model":"Persona"}'), "NotFoundError", "Persona is no model: there are Team, Person, Boss");
fails(wrong("json", '{"model'), "SchemaError", "row 1 is no JSON");
fails(wrong("csv", "id,nome\n1,2", "Person"), "ValidationError", "Person.nome is no field");
fails(wrong("csv", "name,age\nx,y,z", "Person"), "SchemaError", "row 1 has 3 cells, and the first line 2 names");
fails(wrong("csv", 'name,age\n"x,3', "Person"), "SchemaError", "a quote is not closed");
fails(wrong("csv", "name,age,team\nx,many,1", "Person"), "ValidationError", 'row 1: Person.age is to be an integer of at most 53 bits, not "many"');
same([Team.count(), Person.count(), branches().length], [2, 8, 0]);
// ---
// What is wrong with a text is said, with the row.
fails(wrong("csv", 'name,age\n"q"x,3', "Person"), "SchemaError", 'row 1: behind the closing quote of "q" comes "x": write each quote within a cell twice, or end the cell there');
fails(wrong("csv", 'name,age\na,1\nb "c",3', "Person"), "SchemaError", "row 2: \"b \\\"c\\\"\" has a quote within a cell that does not begin with one: put quotes around the whole cell");
fails(wrong("csv", "name,name\na,b", "Person"), "SchemaError", 'Person the first line names "name" twice');
fails(wrong("csv", "name,\na,b", "Person"), "SchemaError", "Person the first line names no column 2");
fails(wrong("csv", "name,age\nx", "Person"), "SchemaError", "row 1 has 1 cell, and the first line 2 names: give each name a cell, an empty one for nothing");
fails(wrong("csv", "id,name\n1,a\n2,b\n1,c", "Person"), "SchemaError", "row 3 has the id 1, as row 1 has: ids of Person are to differ");
fails(wrong("csv", "id,name\nx,a", "Person"), "SchemaError", 'row 1 has the id "x": it is to be a whole number');
fails(wrong("csv", "name,born,team\na,soon,1", "Person"), "ValidationError", 'row 1: Person.born is to be a Date, not "soon"');
fails(wrong("csv", "name,born,team\na,1/2/2020,1", "Person"), "ValidationError", 'row 1: Person.born is to be a Date, not "1/2/2020"');
fails(wrong("csv", "name,big,team\na,1.5,1", "Person"), "ValidationError", 'row 1: Person.big is to be a BigInt, as 12n is, not "1.5"');
fails(wrong("csv", "name,team\na,1.5", "Person"), "ValidationError", "row 1: Person.team is to be the id of a Team, not 1.5");
for (const [row, text] of [["5", "row 1 is 5: it is to be an object"], ["[]", "row 1 is a list"], ["null", "row 1 is null"], ['{"model":"Team","field":{}}', 'row 1 has "field", which rows do not have: there are model, id, fields'],
  ['{"model":"Team","fields":[]}', "row 1 has as its fields a list"], ['{"model":"Team","id":1.5}', "row 1 has the id 1.5"], ["{}", "row 1: undefined is no model: there are Team, Person, Boss"]])
  fails(wrong("json", row), row === "{}" ? "NotFoundError" : "SchemaError", text);
fails(wrong("json", '{"model":"Team","fields":{"fans":5}}'), "ValidationError", "row 1: Team.fans is to be a list of ids, as [1, 2], not 5");
same([Team.count(), Person.count(), branches().length], [2, 8, 0]);
// ---
// Marks at the beginning, line ends of every kind, cut anywhere; an empty text is no rows.
for (const [given, count] of [["", 0], ["name,team\n", 0], ["\ufeffname,team\r\n\"x,\r\n\"\"y\"\"\",1\r\nz,1", 2], ["name,team\ra,1\rb,1\r", 2], ["\n\nname,team\n\na,1\n\n", 1], ["name,team\na,1\nb,1\n", 2]])
  for (const size of [1, 3, 7, 1000]) {
    const before = Person.count();
    tools.begin("csv", "Person");
    for (let at = 0; at < given.length; at += size) tools.stage(given.slice(at, at + size));
    same([text(tools.takeIn()), Person.count() - before], [String(count), count], JSON.stringify(given));
    if (count === 2 && given.includes("x,")) same(Person.where("name", 'x,\r\n"y"').count() > 0, true);
  }
Person.where("name", "in", ["z", "a", "b", 'x,\r\n"y"']).delete();
tools.begin("json"); tools.stage('\ufeff{"model":"Team","fields":{"name":"json"}}\r\n\r\n');
same([text(tools.takeIn()), Team.where("name", "json").delete()], ["1", 1]);
// ---
// Texts that look like something else stay texts; what JSON cannot carry is said.
var Loose = model("Loose", { what: any(), kind: enumeration("1", 1, "x") });
for (const what of ["5", 5, "true", true, "[1]", [1], "x", '"q"', { a: 1 }]) Loose.create({ what, kind: what === 5 ? 1 : "1" });
var loose = text(tools.page("csv", "Loose", 0)).split("\n").slice(1).join("\n"), before = JSON.stringify(Loose.map((each) => [each.what, each.kind]).toArray());
Loose.all().delete();
tools.begin("csv", "Loose"); tools.stage(loose); tools.takeIn();
same(JSON.stringify(Loose.map((each) => [each.what, each.kind]).toArray()), before);
Loose.first().what = { big: 5n };
fails(() => tools.page("json", "Loose", 0), "SchemaError", "Loose 10 holds what JSON cannot carry");
Loose.all().delete();
// ---
// Rows in any order, whatever must be there first; in a circle there is no first one.
var Node = model("Node", { name: string(), next: one("Node", { required: true, inverse: "before" }), before: many("Node", { inverse: "next" }), twin: one("Node", { inverse: "pair" }), pair: one("Node", { inverse: "twin" }) });
var row = (id, fields) => JSON.stringify({ model: "Node", id, fields });
fails(wrong("json", [row(1, { next: 2 }), row(2, { next: 3 }), row(3, { next: 1 })].join("\n")), "ValidationError", "row 1: Node must refer to Node 2, row 2, which in turn must refer to it, so that neither can be the first");
same(Node.count(), 0);
var Link = model("Link", { name: string(), to: one("Team", { required: true }) });
tools.begin("json"); tools.stage('{"model":"Link","id":1,"fields":{"name":"a","to":9}}\n{"model":"Link","fields":{"name":"b","to":9}}\n{"model":"Team","id":9,"fields":{"name":"late"}}');
same([text(tools.takeIn()), Link.map((link) => link.name + link.to.name).toArray().sort()], ["3", ["alate", "blate"]]);
Link.all().delete(); Team.where("name", "late").delete();
var Root = model("Root", { name: string().unique(), all: many("Leaf", { inverse: "root" }), first: one("Leaf") });
var Leaf = model("Leaf", { n: integer().index(), root: one("Root", { inverse: "all" }), above: one("Leaf", { required: false }) });
var leaves = (n, root = "r", last = "") => [{ model: "Root", id: 1, fields: { name: root, first: n, all: [1, 2] } },
  ...Array.from({ length: n }, (_, i) => ({ model: "Leaf", id: i + 1, fields: { n: i, ...(i > 1 ? { root: 1 } : {}), above: i + 2 <= n ? i + 2 : null } }))].map((each) => JSON.stringify(each)).join("\n") + last;
tools.begin("json"); tools.stage(leaves(400)); same(text(tools.takeIn()), "401");
same([Root.first().all.size, Root.first().first.n, Leaf.where("n", 0).first().above.n, Leaf.where("root", null).count()], [400, 399, 1, 0]);
fails(wrong("json", '{"model":"Root","id":1,"fields":{"name":"x","all":[1]}}\n{"model":"Root","id":2,"fields":{"name":"y"}}\n{"model":"Leaf","id":1,"fields":{"root":2}}'), "ValidationError", "row 1: Root.all names Leaf 1, whose row says another root: let both say the same");
Root.all().delete(); Leaf.all().delete();
// ---
// Many rows take turns of their own; meanwhile the models can be read only.
step.instances = 100;
var kept = Root.create({ name: "kept" }), other = Team.count();
tools.begin("json"); tools.stage(leaves(2400)); same(text(tools.takeIn()), "0 of 2401");
fails(() => Leaf.create({ n: 1 }), "SchemaError", "rows are being imported (0 of 2401), and until that is over Root, Leaf can only be read: await Root.ready, then write");
fails(() => { kept.name = "x"; }, "SchemaError", "rows are being imported");
fails(() => tools.begin("json"), "SchemaError", "an import is under way (0 of 2401 rows): wait for its end");
same([Leaf.progress, Leaf.count(), Root.count()], [{ done: 0, total: 2401, changes: ["takes in rows"] }, 0, 1]);
Team.create({ name: "meanwhile" });
// ---
same([text(tools.taken()), Leaf.progress, Leaf.count(), Root.count(), Team.count() - other], ["2401", null, 2400, 2, 1]);
var made = Root.where("name", "r").first();
same([made.all.size, made.first.n, Leaf.where("n", ">=", 2000).count(), Leaf.where("n", 5).first().above.n], [2400, 2399, 400, 6]);
kept.name = "written";
// ---
// One that is wrong takes back all, also what it took from others; and those who wait hear of the end.
var [first, second] = [Leaf.where("n", 0).first(), Leaf.where("n", 1).first()];
tools.begin("json"); tools.stage(leaves(1500, "s", '\n{"model":"Root","fields":{"name":"written"}}')); tools.takeIn();
var heard = "";
Leaf.ready.then((model) => { heard = model.name; });
Team.where("name", "meanwhile").delete();
// ---
fails(() => tools.taken(), "UniqueError", 'row 1502: Root.name is unique, and Root');
same([Leaf.count(), Root.count(), Team.count() - other, Leaf.where("n", 7).count(), Leaf.where("n", ">=", 0).count(), heard, Leaf.progress], [2400, 2, 0, 1, 2400, "Leaf", null]);
Leaf.create({ n: -1 });
same(Leaf.where("n", "<", 0).count(), 1);
// ---
var open = branch();
fails(wrong("json", leaves(200, "t")), "SchemaError", "201 rows cannot be imported while branches are open");
open.revert();
tools.begin("json"); tools.stage(leaves(200, "t")); tools.takeIn();
// ---
same([text(tools.taken()), Root.count()], ["201", 3]);
step.instances = 5000;
// ---
same(text(tools.models()).split("\n")[2], "model Boss extends Person, version 1, 2 instances");
same(text(tools.schema("Team")).split("\n")[2], "  lead  one(Person)   onDelete null");
