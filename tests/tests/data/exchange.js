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
tools.begin(); tools.stage(lines.slice(0, 100)); tools.stage(lines.slice(100));
same(text(tools.takeIn("json")), "4");
var second = Team.get(2);
same([Team.count(), Person.count(), Boss.count(), second.lead.title, second.lead === Boss.toArray()[1], second.fans.map(idOf).toArray()], [2, 6, 2, "Dr", true, [4, 5, 6]].map((each) => each));
var copy = second.fans.first();
same([copy.name, copy.age, copy.born.getTime(), copy.big, copy.raw[1], copy.tags, copy.ok, copy.team === second], ["a\nb", 3, 5, 7n, 255, ["x,y"], true, true]);
// ---
tools.begin(); tools.stage(csv);
same([text(tools.takeIn("csv", "Person")), Person.count(), Person.where("name", "").count(), Person.where("big", 7n).count()], ["2", 8, 3, 3]);
// ---
// All or nothing.
var wrong = (format, given, name) => () => { tools.begin(); tools.stage(given); tools.takeIn(format, name); };
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
same(text(tools.models()).split("\n")[2], "model Boss extends Person, version 1, 2 instances");
same(text(tools.schema("Team")).split("\n")[2], "  lead  one(Person)   onDelete null");
