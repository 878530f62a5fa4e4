//! Lints the repository itself: what rustfmt and clippy do not look at.
//!
//! Each rule is a function from a file's text to the offences in it, with a test that shows it an offence; then one
//! test holds it against every file that is there. The house's words are looked for in docs/glossary.md.

mod markdown;
pub(crate) mod repository;
pub(crate) mod rust;

use crate::layers;
use repository::Repository;

/// The words of the project: one per thing.
const WORDS: [&str; 29] = [
    "batch",
    "channel",
    "checkpoint",
    "commit",
    "container",
    "container type",
    "cut",
    "driver",
    "entry port",
    "error",
    "exception",
    "exo-interface",
    "heap",
    "hypervisor",
    "image",
    "lookahead",
    "message",
    "output gate",
    "page",
    "port manager",
    "port ref",
    "receipt",
    "refusal",
    "savepoint",
    "state node",
    "state root",
    "tick",
    "turn",
    "window",
];

const SOURCE_EXTENSIONS: [&str; 7] = ["rs", "c", "h", "js", "py", "sh", "wat"];
const FILE_LINES_MAX: usize = 600;
const DRAWERS: [&str; 4] = ["common", "helpers", "misc", "utils"];

#[test]
fn rust_files_keep_the_rules() {
    let repository = Repository::open();
    let mut checked = 0;
    let mut offences = Vec::new();
    for path in repository.with_extension("rs") {
        offences.extend(rust::offences(path, &repository.read(path)));
        checked += 1;
    }
    assert!(checked > 20, "only {checked} Rust files found: the walk is broken");
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn no_file_is_too_long_and_none_is_a_drawer() {
    let repository = Repository::open();
    let mut offences = Vec::new();
    for extension in SOURCE_EXTENSIONS {
        for path in repository.with_extension(extension) {
            let lines = repository.read(path).lines().count();
            if lines > FILE_LINES_MAX {
                offences.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"));
            }
            if is_drawer(path) {
                offences.push(format!("{path}: name it after what is in it"));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn a_drawer_is_seen() {
    for path in
        ["dag/src/utils.rs", "dag/src/common/a.rs", "dag/src/node/mod.rs", "dag/tests/node/deep/mod.rs"]
    {
        assert!(is_drawer(path), "{path}");
    }
    for path in ["dag/src/node.rs", "dag/tests/node/mod.rs"] {
        assert!(!is_drawer(path), "{path}");
    }
}

/// A file whose name says nothing of what is in it. In a crate's `tests`, `name/mod.rs` is how a module is told from
/// a test binary.
fn is_drawer(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [_, "tests", name, "mod.rs"] => DRAWERS.contains(name),
        parts => {
            parts.iter().any(|part| *part == "mod.rs" || DRAWERS.contains(&part.trim_end_matches(".rs")))
        }
    }
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let repository = Repository::open();
    let mut checked = 0;
    let mut offences = Vec::new();
    for path in repository.with_extension("md") {
        let text = repository.read(path);
        for link in markdown::links(&text) {
            checked += 1;
            if let Err(why) = markdown::resolve(&repository, path, &text, &link.target) {
                offences.push(format!("{path}:{}: {}: {why}", link.line, link.target));
            }
        }
    }
    assert!(checked > 5, "only {checked} links found: the search is broken");
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn every_decision_has_a_number_and_is_listed() {
    let repository = Repository::open();
    let index = repository.read("docs/decisions/README.md");
    let listed: Vec<String> = markdown::links(&index).into_iter().map(|link| link.target).collect();
    let mut numbers = Vec::new();
    for path in repository.with_extension("md") {
        let Some(name) = path.strip_prefix("docs/decisions/").filter(|name| *name != "README.md") else {
            continue;
        };
        let number = name.split('-').next().unwrap_or_default();
        assert!(number.len() == 4 && number.parse::<u16>().is_ok(), "{path}: its name is NNNN-title.md");
        assert!(!numbers.contains(&number), "{path}: the number {number} is taken");
        assert!(
            listed.iter().any(|target| target == name),
            "{path} is not listed in docs/decisions/README.md"
        );
        numbers.push(number);
    }
    assert!(!numbers.is_empty(), "no decision found: the search is broken");
}

#[test]
fn every_dependency_has_its_line() {
    let rows = markdown::table_rows(&Repository::open().read("docs/decisions/0001-dependencies.md"));
    let listed: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let used = layers::dependencies_from_outside();
    assert!(used.contains("wasmtime"), "the dependencies were not read");
    for name in &used {
        assert!(
            listed.contains(&name.as_str()),
            "docs/decisions/0001-dependencies.md has no line for {name}"
        );
    }
    for name in listed {
        assert!(
            used.contains(name),
            "docs/decisions/0001-dependencies.md has a line for {name}, which nothing uses"
        );
    }
}

#[test]
fn the_glossary_has_the_words() {
    let glossary = Repository::open().read("docs/glossary.md");
    let rows = markdown::table_rows(&glossary);
    let terms: Vec<&str> = rows.iter().flat_map(|row| row[0].split(", ")).collect();
    for word in WORDS {
        assert!(terms.contains(&word), "docs/glossary.md has no row for {word:?}; it has {terms:?}");
    }
    for (place, term) in terms.iter().enumerate() {
        assert!(!terms[..place].contains(term), "docs/glossary.md explains {term:?} twice");
    }
}

#[test]
fn the_seed_map_names_tests_that_exist() {
    let repository = Repository::open();
    let rows = markdown::table_rows(&repository.read("docs/seed-map.md"));
    assert!(!rows.is_empty(), "docs/seed-map.md has no table");
    for row in rows {
        let cell = row.last().expect("a row has cells");
        let named: Vec<_> = cell.split('`').filter_map(|part| part.split_once("::")).collect();
        assert!(!named.is_empty(), "docs/seed-map.md, {}: no test named as `file.rs::name`", row[0]);
        for (file, name) in named {
            assert!(repository.contains(file), "docs/seed-map.md, {}: there is no file {file}", row[0]);
            let found = rust::code(&repository.read(file)).contains(&format!("fn {name}("));
            assert!(found, "docs/seed-map.md, {}: no test {name} in {file}", row[0]);
        }
    }
}
