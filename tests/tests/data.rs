//! `everturn:data` and `everturn:nodb` in containers. A story is a file of JavaScript below `data/`: its parts, between lines of `// ---`,
//! are turns of one container, which stays as it is, or starts again between any two of them, or leaves memory after each.

use everturn::{Ipld, Settings};

use crate::javascript::{each_way, lines};
use crate::world::{Ways, World};

const PAGE: &str = include_str!("../../docs/data.md");

/// What every story begins with.
const TOOLS: &str = include_str!("data/tools.js");

/// Tells a story in every way in which state can survive.
fn tell(name: &str, story: &str) {
    for ways in Ways::to_survive() {
        let mut world = World::with("", ways);
        world.eval(TOOLS);
        for (number, part) in story.split("// ---\n").enumerate() {
            if let Err(exception) = world.line(part) {
                panic!("{name}, part {number}: {}\n{}\n{part}", exception.text, exception.stack);
            }
            // What a part awaits may take turns of its own.
            world.idle();
            let thrown = world.lines().into_iter().find(|line| line.starts_with("Uncaught"));
            assert_eq!(thrown, None, "{name}, part {number}: {part}");
        }
    }
}

macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { tell(stringify!($name), include_str!(concat!("data/", stringify!($name), ".js"))); })*
    };
}

stories![models, types, definitions, relations, queries, rows, branches, schema, errors, exchange];

/// Its names, and each thing that was wrong with it.
#[test]
fn nodb_is_as_it_was_where_it_was_right() {
    tell("nodb", include_str!("data/nodb.js"));
}

#[test]
fn fields_are_completed_at_the_prompt() {
    let mut world = World::new("");
    world.eval(TOOLS);
    world.eval("var P = model('P', { nickname: string() }, { nicely() {} }), p = P.create();");
    assert_eq!(world.complete("p.nic"), ["nicely", "nickname"]);
    assert_eq!(world.complete("P.group"), ["groupBy"]);
    // What the module's parts need of each other is not among the names.
    world.eval("var q = P.where('nickname', 'x'), f = string().unique(), b = branch(), o = one('P');");
    let own = |world: &mut World, path: &str| -> Vec<String> {
        let of_objects = world.complete("Object.prototype.");
        world.complete(path).into_iter().filter(|name| !of_objects.contains(name)).collect()
    };
    let of_queries = "average count delete distinct each every explain filter first flatMap forEach groupBy join limit map max min not \
        offset orderBy reduce select some sum toArray where";
    let names =
        |text: &str| text.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let of_models = format!(
        "{} all create extend fields get history name parent progress ready size version",
        of_queries.replace("delete ", "")
    );
    assert_eq!(
        own(&mut world, "P.").into_iter().collect::<std::collections::BTreeSet<_>>(),
        names(&of_models)
    );
    let of_queries = format!("{of_queries} and or update");
    assert_eq!(
        own(&mut world, "q.").into_iter().collect::<std::collections::BTreeSet<_>>(),
        names(&of_queries)
    );
    assert_eq!(
        own(&mut world, "f."),
        [
            "check", "default", "index", "max", "migrate", "min", "pattern", "required", "unique", "was",
            "with"
        ]
    );
    assert_eq!(own(&mut world, "b."), ["branch", "changes", "commit", "conflicts", "in", "revert", "state"]);
    assert_eq!(own(&mut world, "o."), ["required", "was"]);
    assert_eq!(world.eval("[f, b, o]"), "[ string unique, a branch, open, with 0 changes, one(P) ]");
}

/// Random schemas, changes, branches, definitions and queries against plain rows, with all of it compared after every turn. A turn that
/// throws in the middle leaves nothing; restarts may come between any two.
#[test]
fn it_does_what_plain_rows_do() {
    let seeds = std::env::var("EVERTURN_SEED").map_or(1..17, |seed| {
        let seed: u64 = seed.parse().unwrap();
        seed..seed + 1
    });
    for seed in seeds {
        let [in_memory, restarting, unloading] = Ways::to_survive();
        let (ways, turns) = match seed % 6 {
            0 => (restarting, 8),
            3 => (unloading, 12),
            _ => (in_memory, 30),
        };
        let mut world = World::with("", ways);
        for part in [TOOLS, include_str!("data/random.js"), &format!("var r = new Rehearsal({seed});")] {
            world.eval(part);
        }
        for turn in 0..turns {
            let failed = |why: &str| format!("EVERTURN_SEED={seed}, turn {turn}: {why}");
            let line = world.line("r.turn(8)");
            line.unwrap_or_else(|exception| panic!("{}\n{}", failed(&exception.text), exception.stack));
            if turn % 5 == 0 {
                let thrown = world.line("r.turn(6); throw new Error('this turn never was')").unwrap_err();
                assert_eq!(thrown.text, "Error: this turn never was", "{}", failed(&thrown.stack));
            }
        }
    }
}

#[test]
fn a_program_imports_it_at_its_top_and_others_know_nothing_of_it() {
    let program = "import { model, string } from 'everturn:data';
        const Note = model('Note', { text: string().required() });
        export default { message(msg) { Note.create({ text: msg.data }); return Note.map((note) => note.text).toArray().join(); } };";
    for ways in Ways::to_survive() {
        let mut world = World::with(program, ways);
        let text = |world: &mut World, data: &str| world.send(data).outcome.unwrap().unwrap();
        assert_eq!(text(&mut world, "a"), "a".to_owned().into());
        assert_eq!(text(&mut world, "b"), "a,b".to_owned().into());
        let error = world.send(7).outcome.unwrap_err();
        assert!(
            error.text.starts_with("ValidationError: Note.text is to be a text, not 7"),
            "{}",
            error.text
        );
        assert_eq!(text(&mut world, "c"), "a,b,c".to_owned().into());
    }
    assert_eq!(World::new("").eval("typeof model + typeof Model"), "'undefinedundefined'");
}

const SENDING: &str = "
    import { model, string, integer, date, bytes, bigint, list, map, any, one, many } from 'everturn:data';
    const Company = model('Company', { name: string().unique(), staff: many('Person', { inverse: 'employer' }) });
    const Person = model('Person', { name: string(), born: date(), key: bytes(), big: bigint(), days: list(date()), sizes: map(bigint()),
        more: any(), employer: one('Company', { inverse: 'staff' }) }, { get shout() { return this.name + '!'; } });
    const acme = Company.create({ name: 'acme' });
    const ann = Person.create({ name: 'ann', born: new Date(0), key: new Uint8Array([1, 2]), big: 2n ** 60n, days: [new Date(1000)],
        sizes: { a: 5n }, more: { of: acme }, employer: acme });
    Person.create({ name: 'bob' });
    class Point { #secret = 1; constructor() { this.x = 2; } get y() { return 3; } }
    const asked = {
        one: () => ann, company: () => acme, query: () => Person.where('name', 'startsWith', 'b').select('name'), many: () => acme.staff,
        point: () => new Point(), model: () => Person, text: () => JSON.stringify(ann),
        cycle: () => { ann.more = ann; return ann; }, nested: () => ({ list: [acme] }),
        send: () => Person.where(() => { send(ports.channel()[0], 1); return true; }), later: () => Promise.resolve(ann),
    };
    export default { message(msg) { return asked[msg.data](); } };
    globalThis.look = () => print(ann);";

/// An instance in a message is its fields, a query what it finds; other objects go as ever.
#[test]
fn instances_and_queries_go_out_as_data() {
    let text = |text: &str| Ipld::String(text.to_owned());
    let map = |fields: &[(&str, Ipld)]| {
        Ipld::Map(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let company = map(&[("id", 1.into()), ("name", text("acme")), ("staff", Ipld::List(vec![1.into()]))]);
    let ann = map(&[
        ("id", 1.into()),
        ("name", text("ann")),
        ("born", text("1970-01-01T00:00:00.000Z")),
        ("key", Ipld::Bytes(vec![1, 2])),
        ("big", Ipld::Integer(1 << 60)),
        ("days", Ipld::List(vec![text("1970-01-01T00:00:01.000Z")])),
        ("sizes", map(&[("a", 5.into())])),
        ("more", map(&[("of", company.clone())])),
        ("employer", 1.into()),
    ]);
    let expected = [
        ("one", ann.clone()),
        ("later", ann.clone()),
        ("company", company.clone()),
        ("nested", map(&[("list", Ipld::List(vec![company]))])),
        ("query", Ipld::List(vec![map(&[("name", text("bob"))])])),
        ("many", Ipld::List(vec![ann])),
        ("point", map(&[("x", 2.into())])),
    ];
    let wrong = [
        (
            "model",
            "TypeError: the model Person cannot be sent: send Person.name, or Person.toArray() for its instances",
        ),
        ("send", "TypeError: nothing can be sent while it is asked what stands for an object in a message"),
        ("cycle", "TypeError: the answer.more is a cycle, which messages cannot carry"),
    ];
    for ways in Ways::to_survive() {
        let mut world = World::with(SENDING, ways);
        for (asked, answer) in &expected {
            assert_eq!(world.send(*asked).outcome.unwrap(), Some(answer.clone()), "{asked}");
        }
        for (asked, message) in wrong {
            assert_eq!(world.send(asked).outcome.unwrap_err().text, message);
        }
        let Some(Ipld::String(json)) = world.send("text").outcome.unwrap() else { panic!("no text") };
        assert!(
            json.starts_with(r#"{"id":1,"name":"ann","born":"1970-01-01T00:00:00.000Z","key":"AQI=","#),
            "{json}"
        );
        world.eval("look()");
        let lines = world.lines();
        assert!(lines.iter().any(|line| line.starts_with("Person 1 {\n  name: 'ann',\n")), "{lines:?}");
    }
}

#[test]
fn a_module_that_the_engine_does_not_have_is_an_error_that_names_those_it_has() {
    let mut world = World::new("");
    let error = world.line("await import('everturn:date')").unwrap_err();
    assert_eq!(
        error.text,
        "ReferenceError: cannot import 'everturn:date': there are everturn:data, everturn:nodb"
    );
    let error = world.create("wrong", "import 'everturn:';".into()).unwrap_err();
    assert!(error.contains("there are everturn:data, everturn:nodb"), "{error}");
}

/// The page is one session, from its top to its end.
#[test]
fn every_example_of_the_page_is_true() {
    let blocks = PAGE.split("```js\n").skip(1).map(|block| block.split("```").next().unwrap());
    let lines: Vec<_> = blocks.flat_map(lines).collect();
    assert!(lines.len() > 40, "{} lines", lines.len());
    each_way(|ways| {
        let mut world = World::with("", ways);
        for (source, shown) in &lines {
            let text = world.eval(source);
            let text: Vec<&str> = text.lines().map(str::trim).collect();
            if let Some(shown) = shown {
                assert_eq!(text.join(" "), *shown, "{source}");
            }
        }
    });
}

#[test]
fn two_containers_that_do_the_same_are_the_same() {
    let run = |settings: Settings, restart_always: bool| {
        let mut world = World::with("", Ways { settings, restart_always, ..Ways::default() });
        world.eval(TOOLS);
        for part in include_str!("data/queries.js").split("// ---\n") {
            world.eval(part);
        }
        world.state_root()
    };
    assert_eq!(run(Settings::default(), false), run(Settings::default(), true));
}
