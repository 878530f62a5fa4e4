//! The chat of the examples, as people meet it: its page in a browser.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::browser::Browser;
use crate::web::Site;
use crate::world::World;

/// The page's element that has what was said, and the one to type into.
const LINES: &str = "lines";
const TEXT: &str = "text";

/// Nobody else is on this address, so that its port is still free when the server comes back.
const LISTEN: &str = if cfg!(target_os = "linux") { "127.83.0.1:0" } else { "127.0.0.1:0" };

fn serve(world: &World, listen: &str) -> Site {
    Site::begin(world.command(&["serve", "chat.js", "--http", listen]))
}

#[test]
fn two_pages_in_a_browser_talk_and_a_kill_takes_nothing_from_them() {
    let mut browser = match Browser::start() {
        Ok(browser) => browser,
        Err(why) => {
            // Past what tests that pass keep to themselves.
            let _ = writeln!(io::stderr(), "NOT TESTED: the page of examples/chat.js: {why}");
            return;
        }
    };
    let world = World::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/chat.js");
    world.file("chat.js", fs::read(example).expect("the example is there"));
    let site = serve(&world, LISTEN);
    let (address, url) = (site.address.clone(), format!("http://{}/", site.address));

    let ann = browser.open(&url, "Ann");
    browser.shows(&ann, LINES, &["Ann is here"]);
    let bob = browser.open(&url, "Bob");
    for page in [&ann, &bob] {
        browser.shows(page, LINES, &["Ann is here", "Bob is here"]);
    }
    browser.type_line(&ann, TEXT, "hello <b>Bob</b> & all");
    for page in [&ann, &bob] {
        browser.shows(page, LINES, &["Ann: hello <b>Bob</b> & all"]);
    }

    site.talk.kill();
    let _site = serve(&world, &address);
    // The pages come back by themselves, and are told what was said before and who has gone meanwhile.
    for page in [&ann, &bob] {
        let shown = browser.shows(page, LINES, &["Ann has gone", "Bob has gone"]);
        assert_eq!(shown.matches("Ann: hello <b>Bob</b> & all").count(), 1, "{shown}");
    }
    browser.type_line(&bob, TEXT, "you are back");
    browser.shows(&ann, LINES, &["Bob: you are back"]);
    let cid = browser.open(&url, "Cid");
    browser.shows(&cid, LINES, &["Ann: hello <b>Bob</b> & all", "Bob: you are back", "Cid is here"]);
}
