//! What is changed in a module before it is compiled.
//!
//! 1. Active data segments become passive and empty: a heap starts from the image that they were applied to, and a
//!    container that is woken must not have them applied again.
//! 2. Where the module keeps a stack in its memory (a mutable global exported as [`STACK_POINTER`]), the lowest
//!    value that global takes is noted in a new one, exported as [`STACK_LOW`]: the host wipes what a turn has used.
//!
//! In a user's module (not in the JS engine, which keeps its own bounds and has no other state):
//!
//! 3. The depth of calls is counted in a new global, exported as [`DEPTH`], and a call too deep traps: see `depth`.
//! 4. Every mutable global is exported under [`GLOBAL`] and its index: it is state beside the memory.
//! 5. The start function is exported as [`START`] and started by nobody else: it belongs to the creation turn alone.
//!
//! In the JS engine only:
//!
//! 6. Fuel is counted in a new global, exported as [`FUEL`], and paid at the heads of functions and loops: see `fuel`.
//!
//! New globals and exports come last, so that no index of the module's own changes.

mod data;
pub(in crate::wasm) use data::constant;
mod depth;
mod fuel;
mod survey;

use std::collections::BTreeMap;

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, ExportKind, ExportSection, Function, GlobalSection,
    GlobalType, Instruction, Module, RawSection, Section, TypeSection, ValType,
};
use wasmparser::{FunctionBody, Operator, Parser, Payload};

use super::program::WasmError;
pub(crate) use depth::LIMIT_UNITS;
use fuel::Meter;
use survey::Survey;

/// The export that holds the lowest value of the stack pointer.
pub(crate) const STACK_LOW: &str = "everturn:stack-low";
/// The export that is the stack pointer.
pub(crate) const STACK_POINTER: &str = "__stack_pointer";
/// The export that counts how deep calls nest, in units.
pub(crate) const DEPTH: &str = "everturn:depth";
/// The export that holds the fuel that is left, where the module counts it.
pub(crate) const FUEL: &str = "everturn:fuel";
/// The export that is the start function.
pub(crate) const START: &str = "everturn:start";
/// How the export of a mutable global begins; its index follows.
pub(crate) const GLOBAL: &str = "everturn:global:";
/// How every export begins that is not the module's own.
pub(crate) const RESERVED: &str = "everturn:";

/// Whose module it is, and so what is changed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// The JS engine.
    Engine,
    /// A user's module.
    User,
    /// A module of the WebAssembly test suite: as a user's, but its segments and its start function stay.
    #[cfg(test)]
    Alone,
}

impl Nature {
    fn counts_depth(self) -> bool {
        self != Nature::Engine
    }

    /// Whether the module itself counts its fuel, in portions, not wasmtime, by operators.
    pub(crate) fn counts_fuel(self) -> bool {
        self == Nature::Engine
    }

    /// Whether the memory that the module begins with becomes an image.
    fn has_image(self) -> bool {
        matches!(self, Nature::Engine | Nature::User)
    }
}

/// A module to compile, and what its memory holds at first.
pub(crate) struct Instrumented {
    pub(crate) module: Vec<u8>,
    /// Initial memory: as large as the module declares, with its active data segments.
    pub(crate) memory: Vec<u8>,
}

/// Rewrites a module.
///
/// # Errors
/// If it is no module, is an engine with a start function, or has a data segment that does not fit its memory.
pub(crate) fn instrument(wasm: &[u8], nature: Nature) -> Result<Instrumented, WasmError> {
    let survey = Survey::of(wasm, nature)?;
    let mut rewriting =
        Rewriting { nature, added: Added::of(&survey, nature), survey, made: BTreeMap::new() };
    let mut memory = vec![0; if nature.has_image() { rewriting.survey.memory_bytes as usize } else { 0 }];
    let mut code = CodeSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        rewriting.payload(payload?, wasm, &mut code, &mut memory)?;
    }
    rewriting.add_what_is_missing();
    Ok(Instrumented { module: rewriting.finish(), memory })
}

/// The indices of what is new.
struct Added {
    low: Option<u32>,
    depth: Option<u32>,
    meter: Option<Meter>,
}

impl Added {
    fn of(survey: &Survey, nature: Nature) -> Added {
        let low = survey.stack_pointer.map(|_| survey.globals);
        let mut next = survey.globals + u32::from(low.is_some());
        let depth = nature.counts_depth().then_some(next);
        next += u32::from(depth.is_some());
        let meter = nature.counts_fuel().then_some(Meter { fuel: next, bytes: next + 1 });
        Added { low, depth, meter }
    }
}

struct Rewriting {
    nature: Nature,
    survey: Survey,
    added: Added,
    /// Sections by their place in a module.
    made: BTreeMap<u8, Vec<u8>>,
}

/// The place of a section in a module: the order of ids, but for the sections of tags and of the count of segments.
fn place(id: u8) -> u8 {
    match id {
        0..=5 => 2 * id,
        13 => 11,
        12 => 19,
        id => 2 * id,
    }
}

impl Rewriting {
    fn put(&mut self, section: &impl Section) {
        let mut bytes = Vec::new();
        section.append_to(&mut bytes);
        self.made.insert(place(section.id()), bytes);
    }

    fn payload(
        &mut self,
        payload: Payload<'_>,
        wasm: &[u8],
        code: &mut CodeSection,
        memory: &mut [u8],
    ) -> Result<(), WasmError> {
        match payload {
            Payload::TypeSection(section) => {
                let mut types = TypeSection::new();
                RoundtripReencoder.parse_type_section(&mut types, section)?;
                for results in &self.survey.block_types {
                    types.ty().function([], results.iter().copied());
                }
                self.put(&types);
            }
            Payload::GlobalSection(section) => {
                let mut globals = GlobalSection::new();
                RoundtripReencoder.parse_global_section(&mut globals, section)?;
                self.add_globals(globals);
            }
            Payload::ExportSection(section) => {
                let mut exports = ExportSection::new();
                RoundtripReencoder.parse_export_section(&mut exports, section)?;
                self.add_exports(exports);
            }
            Payload::ElementSection(section) => {
                let mut elements = ElementSection::new();
                RoundtripReencoder.parse_element_section(&mut elements, section)?;
                self.put(&elements);
            }
            Payload::DataSection(section) if self.nature.has_image() => {
                let mut segments = DataSection::new();
                data::into_image(section, memory, &mut segments)?;
                self.put(&segments);
            }
            Payload::StartSection { .. } if self.nature == Nature::Engine => {
                return Err(WasmError::refused("a start function"));
            }
            Payload::StartSection { .. } if self.nature == Nature::User => {}
            Payload::CodeSectionEntry(body) => {
                let function = self.function(&body, code.len())?;
                code.function(&function);
                if code.len() == self.survey.bodies() {
                    self.put(code);
                }
            }
            Payload::CodeSectionStart { .. } | Payload::CustomSection(_) => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    let data =
                        wasm.get(range).ok_or_else(|| WasmError::Invalid("a section is cut off".into()))?;
                    self.put(&RawSection { id, data });
                }
            }
        }
        Ok(())
    }

    fn add_what_is_missing(&mut self) {
        if !self.made.contains_key(&place(GlobalSection::new().id())) {
            self.add_globals(GlobalSection::new());
        }
        if !self.made.contains_key(&place(ExportSection::new().id())) {
            self.add_exports(ExportSection::new());
        }
    }

    fn add_globals(&mut self, mut globals: GlobalSection) {
        let counter = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        for _ in self.added.low.iter().chain(&self.added.depth) {
            globals.global(counter, &ConstExpr::i32_const(0));
        }
        if self.added.meter.is_some() {
            globals.global(GlobalType { val_type: ValType::I64, ..counter }, &ConstExpr::i64_const(0));
            globals.global(counter, &ConstExpr::i32_const(0));
        }
        if !globals.is_empty() {
            self.put(&globals);
        }
    }

    fn add_exports(&mut self, mut exports: ExportSection) {
        if let Some(low) = self.added.low {
            exports.export(STACK_LOW, ExportKind::Global, low);
        }
        if let Some(depth) = self.added.depth {
            exports.export(DEPTH, ExportKind::Global, depth);
        }
        if let Some(meter) = self.added.meter {
            exports.export(FUEL, ExportKind::Global, meter.fuel);
        }
        if self.nature != Nature::Engine {
            for global in &self.survey.mutable_globals {
                exports.export(&format!("{GLOBAL}{global}"), ExportKind::Global, *global);
            }
        }
        if let Some(start) = self.survey.start.filter(|_| self.nature == Nature::User) {
            exports.export(START, ExportKind::Func, start);
        }
        if !exports.is_empty() {
            self.put(&exports);
        }
    }

    /// Copies a function; after each lowering of the stack pointer, `low` becomes the lesser of the two.
    fn function(&self, body: &FunctionBody<'_>, number: u32) -> Result<Function, WasmError> {
        let mut function = RoundtripReencoder.new_function_with_parsed_locals(body)?;
        let counted = self.added.depth.and_then(|global| Some((global, self.survey.counted(number)?)));
        let mut nesting = 0;
        if let Some((global, counted)) = counted {
            depth::enter(&mut function, global, counted);
        }
        let mut portions = fuel::portions(body)?;
        let mut pay = |function: &mut Function| {
            if let (Some(meter), Some(portion)) = (self.added.meter, portions.next()) {
                meter.pay(function, portion);
            }
        };
        pay(&mut function);
        let mut reader = body.get_operators_reader()?;
        let mut raised = false;
        while !reader.eof() {
            let operator = reader.read()?;
            depth::nest(&mut nesting, &operator);
            if let (Some(meter), true) = (self.added.meter, fuel::takes_bytes(&operator)) {
                meter.pay_bytes(&mut function);
            }
            match (&operator, counted) {
                // The body is a block now, and whoever leaves it must pass its end.
                (Operator::Return, Some(_)) => drop(function.instruction(&Instruction::Br(nesting))),
                _ => drop(function.instruction(&RoundtripReencoder.instruction(operator.clone())?)),
            }
            if let Operator::Loop { .. } = &operator {
                pay(&mut function);
            }
            if let Operator::GlobalSet { global_index } = &operator
                && Some(*global_index) == self.survey.stack_pointer
                && let (Some(low), false) = (self.added.low, raised)
            {
                note_low(&mut function, *global_index, low);
            }
            // Epilogues add the frame's size back; what they restore was noted on the way down.
            raised = matches!(operator, Operator::I32Add);
        }
        if let Some((global, counted)) = counted {
            depth::leave(&mut function, global, counted);
        }
        Ok(function)
    }

    fn finish(self) -> Vec<u8> {
        let mut module = Module::HEADER.to_vec();
        self.made.into_values().for_each(|section| module.extend(section));
        module
    }
}

fn note_low(function: &mut Function, pointer: u32, low: u32) {
    function
        .instruction(&Instruction::GlobalGet(pointer))
        .instruction(&Instruction::GlobalGet(low))
        .instruction(&Instruction::GlobalGet(pointer))
        .instruction(&Instruction::GlobalGet(low))
        .instruction(&Instruction::I32LtU)
        .instruction(&Instruction::Select)
        .instruction(&Instruction::GlobalSet(low));
}
