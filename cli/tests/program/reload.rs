//! `everturn serve --reload`: an edited file is taken up while it is served, and what cannot be is told.

use std::fs;

use crate::world::{Talk, World};

fn program(word: &str) -> String {
    format!("globalThis.n ??= 0; export default {{ fetch() {{ return new Response('{word} ' + n++); }} }};")
}

/// Serves `app.js` and gives the next events as they come.
struct Served {
    talk: Talk,
    address: String,
}

impl Served {
    fn begin(world: &World) -> Served {
        let mut talk =
            Talk::begin(world.command(&["serve", "app.js", "--reload", "--http", "127.0.0.1:0", "--json"]));
        let listening = event(&talk.answer());
        let address = listening["url"].as_str().and_then(|url| url.strip_prefix("http://"));
        let address = address.expect("it says where").to_owned();
        Served { talk, address }
    }

    fn next(&mut self) -> serde_json::Value {
        event(&self.talk.answer())
    }

    fn get(&self) -> String {
        let mut visitor = crate::web::Visitor::connect(&self.address).expect("the server lets a client in");
        visitor.get("/").expect("the server answers").1
    }
}

fn event(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn an_edit_is_taken_up_and_the_heap_stays() {
    let world = World::new();
    world.file("app.js", program("one"));
    let mut served = Served::begin(&world);
    assert_eq!(served.get(), "one 0");
    world.file("app.js", program("two"));
    let told = served.next();
    assert_eq!((told["event"].as_str(), told["file"].as_str()), (Some("loaded"), Some("app.js")));
    assert_eq!(served.get(), "two 1");
    // As editors do it: a new file in place of the old.
    world.file("app.js.new", program("three"));
    fs::rename(world.path("app.js.new"), world.path("app.js")).unwrap();
    assert_eq!(served.next()["event"], "loaded");
    assert_eq!(served.get(), "three 2");
    served.talk.kill();
    let again = Served::begin(&world);
    assert_eq!(again.get(), "three 3", "the folder runs what was taken up");
}

#[test]
fn an_edit_that_throws_is_told_and_the_old_program_goes_on() {
    let world = World::new();
    world.file("app.js", program("good"));
    let mut served = Served::begin(&world);
    for (edit, part) in
        [("globalThis.n = 100; throw new Error('not yet');", "not yet"), ("let = ;", "SyntaxError")]
    {
        world.file("app.js", edit);
        assert_eq!(served.next()["event"], "refused");
        let why = served.next();
        assert_eq!(why["event"], "exception");
        assert!(why["text"].as_str().unwrap().contains(part), "{why}");
        assert!(served.get().starts_with("good "), "what was there goes on");
    }
    fs::remove_file(world.path("app.js")).unwrap();
    assert_eq!(served.get(), "good 2", "nothing of what threw has happened, and no file is no edit");
    world.file("app.js", program("better"));
    assert_eq!(served.next()["event"], "loaded");
    assert_eq!(served.get(), "better 3");
    // What a command loads is what the folder runs: the file, which is the same as before, is not taken up again.
    world.file("other.js", program("other"));
    assert_eq!(world.everturn(&["load", "other.js"]).code, Some(0));
    assert_eq!(served.get(), "other 4");
    served.talk.signal("TERM");
    let ran = served.talk.finish();
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
}
