//! docs/message-path.md against the path that a message really takes.
//!
//! The message runs in a process of its own: what is traced goes to one subscriber for the whole process, since the core
//! and the committer have their own threads.

use std::fmt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use everturn::{DiskStore, Ipld};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::tidy::repository::Repository;
use crate::tidy::rust::code;
use crate::world::{Ways, World};

const PAGE: &str = "docs/message-path.md";
const TARGET: &str = "everturn::path";
/// Set for the process in which the message runs.
const RUN: &str = "EVERTURN_RUN_ONE_MESSAGE";
/// What a line of its output begins with that names a station.
const MARK: &str = "station: ";

/// Does a bit of everything: changes the heap, prints, answers.
const PROGRAM: &str = "let seen = [];
export default { message(msg) { seen.push(msg.data); console.log('seen ' + seen.length); return seen.length; } };";

/// Collects the stations that are traced, each once however often it is passed in a row.
#[derive(Clone, Default)]
struct Stations(Arc<Mutex<Vec<String>>>);

impl Subscriber for Stations {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn event(&self, event: &Event<'_>) {
        let mut name = Name(String::new());
        event.record(&mut name);
        let mut stations = self.0.lock().unwrap();
        if stations.last() != Some(&name.0) {
            stations.push(name.0);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event's text.
struct Name(String);

impl Visit for Name {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[test]
fn the_page_has_the_stations_of_a_real_message() {
    if std::env::var_os(RUN).is_some() {
        return run_one_message();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "message_path::the_page_has_the_stations_of_a_real_message", "--nocapture"])
        .env(RUN, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let passed: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(MARK)).map(|(_, name)| name).collect();
    assert!(!passed.is_empty(), "nothing was traced: {text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(chapters(&Repository::open().read(PAGE)), passed);
}

fn run_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::on(Arc::new(DiskStore::open(folder.path()).unwrap()), PROGRAM, Ways::default());
    let stations = Stations::default();
    tracing::subscriber::set_global_default(stations.clone()).unwrap();
    assert_eq!(world.send("hello").outcome, Ok(Some(Ipld::Integer(1))));
    for station in stations.0.lock().unwrap().iter() {
        println!("\n{MARK}{station}");
    }
}

#[test]
fn every_function_that_the_page_names_is_there() {
    let repository = Repository::open();
    let page = repository.read(PAGE);
    let named: Vec<(&str, &str)> = page.split('`').filter_map(|word| word.split_once(".rs::")).collect();
    assert!(
        named.len() > 2 * chapters(&page).len(),
        "only {} functions found: the search is broken",
        named.len()
    );
    for (file, name) in named {
        let file = format!("{file}.rs");
        assert!(repository.contains(&file), "{PAGE}: there is no file {file}");
        let source = code(&repository.read(&file));
        let declared = [format!("fn {name}("), format!("fn {name}<")];
        assert!(
            declared.iter().any(|declared| source.contains(declared)),
            "{PAGE}: no function {name} in {file}"
        );
    }
}

#[test]
fn every_chapter_says_where_what_holds_and_what_is_not_known() {
    let page = Repository::open().read(PAGE);
    for chapter in page.split("\n## ").skip(1) {
        let (heading, text) = chapter.split_once('\n').unwrap();
        assert!(text.starts_with("Where: `"), "{heading} does not say where");
        assert!(text.contains("\nAfterwards: "), "{heading} does not say what holds");
        assert!(text.contains("\nNot known here: "), "{heading} does not say what is not known");
    }
}

fn chapters(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.strip_prefix("## ")).collect()
}
