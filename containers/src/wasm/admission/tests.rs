use std::sync::Arc;

use everturn_heap::TrackerKind;

use super::*;
use crate::wasm::program::{Program, Role, Runtime};

/// A module that is admitted but for what is put into it.
fn module(fields: &str) -> String {
    format!(
        r#"(module {fields} (memory (export "memory") 1) (func (export "everturn_message") (param i32)) (table 8 funcref))"#
    )
}

fn prepare(wat: &str) -> Result<Program, WasmError> {
    let runtime = Arc::new(Runtime::new(None, Some(TrackerKind::Compare))?);
    let wasm = wat::parse_str(wat).unwrap_or_else(|error| panic!("{wat}: {error}"));
    Program::prepare(&runtime, wasm, Role::User { heap_bytes_max: 1 << 20 }, &|_| {})
}

/// The module is refused, and the reason has all of these words.
fn check_refused(wat: &str, words: &[&str]) {
    let error = match prepare(wat) {
        Ok(_) => panic!("admitted: {wat}"),
        Err(error) => error,
    };
    assert!(matches!(error, WasmError::Refused(_)), "{wat}: {error}");
    for word in words {
        assert!(error.to_string().contains(word), "{wat}: no {word:?} in: {error}");
    }
}

#[test]
fn what_is_as_it_should_be_is_admitted() {
    for fields in [
        "",
        "(global (mut i64) (i64.const 1)) (global (mut v128) (v128.const i64x2 1 2)) (global funcref (ref.null func))",
        r#"(import "everturn" "send" (func (param i32 i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(func $f) (start $f) (elem (i32.const 3) $f) (data "passive") (elem func $f)
           (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 3)) (drop (table.get 0 (i32.const 0))))"#,
        r#"(data (offset (i32.add (i32.const 2) (i32.mul (i32.const 3) (i32.const 5)))) "far")"#,
        "(func (result i32 i64) (call 0 (i32.const 1)) (return (i32.const 1) (i64.const 2)))",
        "(func (result i32) (i32.trunc_sat_f32_s (f32.const 1)) (i32.extend8_s))",
    ] {
        prepare(&module(fields)).unwrap_or_else(|error| panic!("{fields}: {error}"));
    }
}

#[test]
fn tables_do_not_change() {
    for (instructions, name) in [
        ("(table.set 0 (i32.const 0) (ref.null func))", "`table.set` in function 1"),
        ("(drop (table.grow 0 (ref.null func) (i32.const 1)))", "`table.grow`"),
        ("(table.fill 0 (i32.const 0) (ref.null func) (i32.const 1))", "`table.fill`"),
        ("(table.copy (i32.const 0) (i32.const 1) (i32.const 1))", "`table.copy`"),
    ] {
        check_refused(&late(&format!("(func {instructions})")), &[name, "element segments"]);
    }
    let init = "(elem $e func 0) (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))";
    check_refused(&late(init), &["`table.init`", "element segments"]);
}

/// As [`module`], with the fields last: function 0 is `everturn_message`.
fn late(fields: &str) -> String {
    format!(
        r#"(module (memory (export "memory") 1) (func (export "everturn_message") (param i32)) (table 8 funcref) {fields})"#
    )
}

#[test]
fn segments_stay() {
    check_refused(&module(r#"(data $d "x") (func (data.drop $d))"#), &["`data.drop`", "leave"]);
    check_refused(
        &module("(elem $e funcref (ref.null func)) (func (elem.drop $e))"),
        &["`elem.drop`", "leave"],
    );
    check_refused(&module("(elem (i32.const 7) 0 0)"), &["element segment", "9", "8 elements"]);
    check_refused(&module(r#"(data (i32.const 65535) "xy")"#), &["data segment outside"]);
    check_refused(&module(r#"(data (i32.const -1) "x")"#), &["data segment outside"]);
}

#[test]
fn there_is_one_thread() {
    check_refused(
        r#"(module (memory (export "memory") 1 2 shared) (func (export "everturn_message") (param i32)))"#,
        &["shared memory", "one thread"],
    );
    for (instruction, name) in [
        ("(drop (i32.atomic.load (i32.const 0)))", "`i32.atomic.load`"),
        ("(drop (i64.atomic.rmw8.add_u (i32.const 0) (i64.const 1)))", "`i64.atomic.rmw8.add_u`"),
        ("(drop (memory.atomic.notify (i32.const 0) (i32.const 1)))", "`memory.atomic.notify`"),
        ("(atomic.fence)", "`atomic.fence`"),
    ] {
        check_refused(&module(&format!("(func {instruction})")), &[name, "thread"]);
    }
}

#[test]
fn there_is_one_memory_of_32_bits() {
    let entry = r#"(func (export "everturn_message") (param i32))"#;
    check_refused(&module("(memory 1)"), &["several memories"]);
    check_refused(
        &format!(r#"(module (memory (export "memory") i64 1) {entry})"#),
        &["64-bit memory", "wasm32"],
    );
    check_refused(
        &format!(r#"(module (memory (export "memory") 1 (pagesize 1)) {entry})"#),
        &["pages of 64 KiB"],
    );
    check_refused(&format!("(module {entry})"), &["no memory", "export it as \"memory\""]);
    check_refused(&format!("(module (memory 1) {entry})"), &["not exported", "\"memory\""]);
    check_refused(
        &format!(r#"(module (memory 1) (global (export "memory") i32 (i32.const 1)) {entry})"#),
        &["not exported"],
    );
    let large = prepare(&format!(r#"(module (memory (export "memory") 17) {entry})"#)).err().unwrap();
    assert!(matches!(large, WasmError::TooLarge { bytes: 1_114_112, bytes_max: 1_048_576 }), "{large}");
}

#[test]
fn references_are_no_state() {
    check_refused(
        &module("(global (mut funcref) (ref.null func))"),
        &["mutable global", "global 0", "index"],
    );
    check_refused(
        &module("(global i32 (i32.const 0)) (global (mut externref) (ref.null extern))"),
        &["mutable global", "global 1"],
    );
    let many = "(global (mut i32) (i32.const 0))".repeat(GLOBALS_MAX + 1);
    check_refused(&module(&many), &["1024 mutable globals", "memory"]);
    prepare(&module(&many[..many.len() / (GLOBALS_MAX + 1) * GLOBALS_MAX])).unwrap();
}

#[test]
fn what_is_switched_off_is_named() {
    check_refused(&module("(type (struct (field i32)))"), &["type 0", "GC"]);
    check_refused(&module("(func (drop (ref.i31 (i32.const 1))))"), &["`ref.i31`", "garbage collection"]);
    check_refused(
        &module("(type $f (func)) (func (param (ref null $f)) (call_ref $f (local.get 0)))"),
        &["`call_ref`", "switched off"],
    );
    check_refused(&module("(func $f (return_call $f))"), &["`return_call`", "tail calls"]);
    check_refused(&module("(tag (param i32))"), &["tag section", "exceptions"]);
    check_refused(&module("(func (try_table))"), &["`try_table`", "exceptions"]);
    check_refused(
        &module(
            "(func (param v128 v128 v128) (drop (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2))))",
        ),
        &["`f32x4.relaxed_madd`", "relaxed SIMD"],
    );
    check_refused(
        &module("(func (param i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)) drop drop)"),
        &["`i64.mul_wide_s`", "switched off"],
    );
    check_refused("(component)", &["component", "core module"]);
}

#[test]
fn only_our_functions_are_imported() {
    for (import, words) in [
        (r#"(import "env" "m" (memory 1))"#, ["env.m of a memory", "define one"]),
        (r#"(import "env" "t" (table 1 funcref))"#, ["env.t of a table", "define it"]),
        (r#"(import "env" "g" (global i32))"#, ["env.g of a global", "define it"]),
        (r#"(import "env" "f" (func))"#, ["env.f", "docs/guest-abi.md"]),
        (r#"(import "wasi_snapshot_preview1" "fd_write" (func))"#, ["fd_write", "docs/guest-abi.md"]),
        (r#"(import "everturn" "nothing" (func))"#, ["everturn.nothing", "docs/guest-abi.md"]),
        (
            r#"(import "everturn" "ticks" (func (result i32)))"#,
            ["everturn.ticks as () -> i", "which is () -> I"],
        ),
    ] {
        check_refused(&module(import), &words);
    }
}

#[test]
fn entries_have_their_types() {
    let memory = r#"(memory (export "memory") 1)"#;
    check_refused(&format!("(module {memory})"), &["no export \"everturn_message\""]);
    check_refused(
        &format!(r#"(module {memory} (func (export "everturn_message") (param i64)))"#),
        &["\"everturn_message\"", "(I) -> ()", "(i) -> ()"],
    );
    check_refused(
        &module(r#"(func (export "everturn_create") (param i32) (result i32) (local.get 0))"#),
        &["\"everturn_create\"", "(i) -> i"],
    );
    check_refused(
        &module(r#"(global (export "_initialize") i32 (i32.const 0))"#),
        &["\"_initialize\"", "no function"],
    );
    check_refused(&module(r#"(func (export "everturn:depth"))"#), &["\"everturn:depth\"", "hypervisor's"]);
}

#[test]
fn tables_are_bounded() {
    check_refused(&module("(table 65536 funcref) (table 65536 funcref)"), &["131080 elements", "131072"]);
    check_refused(&module("(table i64 1 funcref)"), &["64 bits"]);
    check_refused(
        &module("(func $f) (table 1 funcref (ref.func $f))"),
        &["initial value", "element segments"],
    );
}

#[test]
fn what_is_no_module_is_invalid() {
    let runtime = Arc::new(Runtime::new(None, Some(TrackerKind::Compare)).unwrap());
    let role = Role::User { heap_bytes_max: 1 << 20 };
    let whole = wat::parse_str(module("(func (nop))")).unwrap();
    let mut wrong = vec![b"\0asm nonsense".to_vec(), Vec::new(), b"#!/bin/sh".to_vec()];
    wrong.extend((8..whole.len()).map(|len| whole[..len].to_vec()));
    wrong.push(wat::parse_str(module("(func (result i32))")).unwrap_or_default());
    for wasm in wrong {
        match Program::prepare(&runtime, wasm.clone(), role, &|_| {}) {
            Err(WasmError::Invalid(_) | WasmError::Refused(_)) => {}
            Err(other) => panic!("{wasm:x?}: {other}"),
            Ok(_) => panic!("{wasm:x?}: admitted"),
        }
    }
}

#[test]
fn the_list_of_syscalls_is_what_the_linker_has() {
    let runtime = Arc::new(Runtime::new(None, Some(TrackerKind::Compare)).unwrap());
    let mut imports = String::new();
    for (name, signature) in syscalls::SIGNATURES {
        let (parameters, result) = signature.split_once(") -> ").unwrap();
        let type_of = |letter: char| match letter {
            'i' => "i32 ",
            'I' => "i64 ",
            _ => "f64 ",
        };
        let parameters: String = parameters.trim_start_matches('(').chars().map(type_of).collect();
        let result: String = result.chars().filter(|letter| letter.is_alphabetic()).map(type_of).collect();
        imports += &format!(r#"(import "everturn" "{name}" (func (param {parameters}) (result {result})))"#);
    }
    let wasm = wat::parse_str(module(&imports)).unwrap();
    Program::prepare(&runtime, wasm, Role::User { heap_bytes_max: 1 << 20 }, &|_| {}).unwrap();
}

#[test]
fn the_document_and_the_header_name_every_call_entry_and_refusal() {
    let document = include_str!("../../../../docs/guest-abi.md");
    let header = include_str!("../../../guest/everturn.h");
    for (name, signature) in syscalls::SIGNATURES {
        assert!(
            document.contains(&format!("| `{name}` | `{signature}` |")),
            "docs/guest-abi.md: {name} {signature}"
        );
        assert!(header.contains(&format!("EVERTURN_CALL({name}) ")), "everturn.h: {name}");
    }
    for (name, parameters) in ENTRIES {
        assert!(
            document.contains(&format!("| `{name}` | `({parameters}) -> ()` |")),
            "docs/guest-abi.md: {name}"
        );
        assert!(
            name == "_initialize" || header.contains(&format!("EVERTURN_ENTRY({name}) ")),
            "everturn.h: {name}"
        );
    }
    for refusal in everturn_exo_interface::Refusal::ALL {
        let code = -refusal.code();
        assert!(document.contains(&format!("| {code} | ")), "docs/guest-abi.md: {code} {refusal}");
        assert!(header.contains(&format!(" = {code},")), "everturn.h: {code} {refusal}");
    }
}
