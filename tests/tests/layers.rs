//! The layer graph, read from `cargo metadata`: arrows point down only.
//!
//! 1. A crate's normal and build dependencies inside the workspace lie in lower layers. The facade `everturn` and the
//!    programs that stand on it share the top layer; they may depend on the facade and on nothing else beside them.
//! 2. The hypervisor does not know wasm: `wasmtime` is a dependency of `containers` alone.
//! 3. Sockets, wall clock and entropy are dependencies of `drivers` alone; `bench` may have sockets too, for its clients, which are
//!    outside of any host.
//!
//! Development dependencies are not judged (a test may look down from above), except for rule 2.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate's folder and layer. Rule 1 puts `hypervisor` and `containers` beside each other: neither may know the
/// other.
const LAYERS: [(&str, u8); 12] = [
    ("dag", 0),
    ("port-manager", 1),
    ("heap", 1),
    ("exo-interface", 2),
    ("hypervisor", 3),
    ("containers", 3),
    ("drivers", 3),
    ("everturn", 4),
    ("cli", 4),
    ("tests", 4),
    ("bench", 4),
    ("docs", 4),
];

/// Crates of the table that need not be there yet.
const MAY_BE_ABSENT: [&str; 2] = ["bench", "docs"];

const FACADE: &str = "everturn";
const SOCKETS_CLOCK_ENTROPY: [&str; 16] = [
    "axum",
    "chrono",
    "getrandom",
    "hyper",
    "hyper-util",
    "rcgen",
    "jiff",
    "mio",
    "quinn",
    "rand",
    "reqwest",
    "rustls",
    "socket2",
    "time",
    "tokio-rustls",
    "tungstenite",
];

struct Package {
    name: String,
    folder: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    kind: Kind,
    features: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Normal,
    Build,
    Development,
}

#[test]
fn dependencies_point_down() {
    let packages = workspace();
    let offences = offences(&packages);
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn every_crate_of_the_table_is_there_and_in_its_folder() {
    let packages = workspace();
    for (folder, _) in LAYERS {
        match packages.iter().find(|package| crate_folder(&package.name) == folder) {
            Some(package) => assert!(
                package.folder.ends_with(folder),
                "{} lies in {}",
                package.name,
                package.folder.display()
            ),
            None => assert!(MAY_BE_ABSENT.contains(&folder), "no crate for the folder {folder}"),
        }
    }
}

#[test]
fn an_arrow_up_or_sideways_is_seen() {
    let cases = [
        ("everturn-dag", "everturn-heap", Kind::Normal, "points up"),
        ("everturn-heap", "everturn-port-manager", Kind::Build, "points sideways"),
        ("everturn-hypervisor", "everturn-containers", Kind::Normal, "points sideways"),
        ("everturn-containers", "everturn-hypervisor", Kind::Normal, "points sideways"),
        ("everturn", "everturn-cli", Kind::Normal, "points sideways"),
        ("everturn-cli", "everturn-nowhere", Kind::Normal, "is in no layer"),
        ("everturn-hypervisor", "wasmtime", Kind::Development, "belongs to containers"),
        ("everturn-cli", "wasmtime-environ", Kind::Normal, "belongs to containers"),
        ("everturn-containers", "rand", Kind::Normal, "belongs to drivers"),
    ];
    for (from, to, kind, expected) in cases {
        let found = offences(&[package(from, to, kind, &[])]);
        assert!(found.iter().any(|offence| offence.contains(expected)), "{from} -> {to}: {found:?}");
    }
    for from in ["everturn-hypervisor", "everturn-cli"] {
        let found = offences(&[package(from, "tokio", Kind::Normal, &["sync", "net"])]);
        assert!(found.iter().any(|offence| offence.contains("sockets")), "{found:?}");
    }
    assert_eq!(offences(&[package("stranger", "libc", Kind::Normal, &[])]), ["stranger is in no layer"]);
}

#[test]
fn an_arrow_down_is_not_seen() {
    let cases = [
        ("everturn-hypervisor", "everturn-dag", Kind::Normal),
        ("everturn-cli", "everturn", Kind::Normal),
        ("everturn-containers", "wasmtime", Kind::Normal),
        ("everturn-drivers", "rand", Kind::Normal),
        ("everturn-dag", "rand", Kind::Development),
        ("everturn-heap", "everturn-tests", Kind::Development),
    ];
    for (from, to, kind) in cases {
        assert_eq!(offences(&[package(from, to, kind, &[])]), Vec::<String>::new(), "{from} -> {to}");
    }
    assert_eq!(offences(&[package("everturn-bench", "tokio", Kind::Normal, &["net"])]), Vec::<String>::new());
}

/// What in these packages breaks the rules, one sentence each.
fn offences(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(offences_of).collect()
}

fn offences_of(package: &Package) -> Vec<String> {
    let Some(own) = layer(&package.name) else {
        return vec![format!("{} is in no layer", package.name)];
    };
    package.dependencies.iter().filter_map(|dependency| offence(&package.name, own, dependency)).collect()
}

fn offence(from: &str, own: u8, dependency: &Dependency) -> Option<String> {
    let to = dependency.name.as_str();
    let arrow = format!("{from} -> {to}");
    if to.starts_with("wasmtime") && from != "everturn-containers" {
        return Some(format!("{arrow}: wasmtime belongs to containers"));
    }
    if dependency.kind == Kind::Development {
        return None;
    }
    if from != "everturn-drivers" && SOCKETS_CLOCK_ENTROPY.contains(&to) {
        return Some(format!("{arrow}: it belongs to drivers"));
    }
    if !["everturn-drivers", "everturn-bench"].contains(&from)
        && to == "tokio"
        && dependency.features.iter().any(|f| f == "net" || f == "full")
    {
        return Some(format!("{arrow}: its sockets (feature net) belong to drivers"));
    }
    if !to.starts_with("everturn") {
        return None;
    }
    match layer(to) {
        None => Some(format!("{arrow}: {to} is in no layer")),
        Some(its) if its < own => None,
        Some(its) if its == own && to == FACADE => None,
        Some(its) if its == own => Some(format!("{arrow} points sideways in layer {own}")),
        Some(its) => Some(format!("{arrow} points up from layer {own} to {its}")),
    }
}

fn layer(package: &str) -> Option<u8> {
    LAYERS.iter().find(|(folder, _)| *folder == crate_folder(package)).map(|(_, layer)| *layer)
}

/// The direct dependencies of all crates that are not crates of the workspace themselves, of every kind.
pub(crate) fn dependencies_from_outside() -> BTreeSet<String> {
    let packages = workspace();
    let names =
        packages.iter().flat_map(|package| &package.dependencies).map(|dependency| dependency.name.clone());
    names.filter(|name| packages.iter().all(|package| package.name != *name)).collect()
}

/// The folder that a package's name stands for: `everturn-dag` lies in `dag`, `everturn` in `everturn`.
fn crate_folder(package: &str) -> &str {
    package.strip_prefix("everturn-").unwrap_or(package)
}

fn workspace() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON");
    list(&metadata["packages"]).iter().map(parse_package).collect()
}

fn parse_package(package: &Value) -> Package {
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    Package {
        name: text(&package["name"]),
        folder: manifest.parent().expect("a manifest lies in a folder").to_owned(),
        dependencies: list(&package["dependencies"]).iter().map(parse_dependency).collect(),
    }
}

fn parse_dependency(dependency: &Value) -> Dependency {
    let kind = match dependency["kind"].as_str() {
        None => Kind::Normal,
        Some("build") => Kind::Build,
        Some("dev") => Kind::Development,
        Some(other) => panic!("a kind of dependency that this test does not know: {other}"),
    };
    Dependency {
        name: text(&dependency["name"]),
        kind,
        features: list(&dependency["features"]).iter().map(text).collect(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list in cargo metadata")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text in cargo metadata").to_owned()
}

fn package(from: &str, to: &str, kind: Kind, features: &[&str]) -> Package {
    let features = features.iter().map(|feature| (*feature).to_owned()).collect();
    let dependencies = vec![Dependency { name: to.to_owned(), kind, features }];
    Package { name: from.to_owned(), folder: PathBuf::new(), dependencies }
}
