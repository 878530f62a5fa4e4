//! What is changed in a module before it is compiled.
//!
//! 1. Active data segments become passive and empty: a heap starts from the image that they were applied to, and a
//!    container that is woken must not have them applied again.
//! 2. Where the module keeps a stack in its memory (a mutable global exported as [`STACK_POINTER`]), the lowest
//!    value that global takes is noted in a new one, exported as [`STACK_LOW`]: the host wipes what a turn has used.
//!
//! A module with a start function is refused: it would run again whenever its container is woken.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, GlobalSection, GlobalType,
    Instruction, Module, RawSection, ValType,
};
use wasmparser::{DataKind, ExternalKind, FunctionBody, Operator, Parser, Payload, TypeRef};

use super::program::WasmError;

/// The export that holds the lowest value of the stack pointer.
pub(crate) const STACK_LOW: &str = "everturn_stack_low";
/// The export that is the stack pointer.
pub(crate) const STACK_POINTER: &str = "__stack_pointer";
/// The size of a wasm page.
const WASM_PAGE_BYTES: u64 = 65_536;

/// A module to compile, and what its memory holds at first.
pub(crate) struct Instrumented {
    pub(crate) module: Vec<u8>,
    /// Initial memory: as large as the module declares, with its active data segments.
    pub(crate) memory: Vec<u8>,
}

/// What has to be known of a module before it is rewritten.
#[derive(Default)]
struct Survey {
    memory_bytes: u64,
    globals: u32,
    stack_pointer: Option<u32>,
}

/// Rewrites a module.
///
/// # Errors
/// If it is no module, has a start function, or a data segment that does not fit its memory.
pub(crate) fn instrument(wasm: &[u8]) -> Result<Instrumented, WasmError> {
    let survey = survey(wasm)?;
    let mut memory = vec![0; survey.memory_bytes as usize];
    let mut module = Module::new();
    let mut code = CodeSection::new();
    let mut bodies = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::GlobalSection(section) => {
                module.section(&globals(section, &survey)?);
            }
            Payload::ExportSection(section) => {
                module.section(&exports(section, &survey)?);
            }
            Payload::DataSection(section) => {
                module.section(&data(section, &mut memory)?);
            }
            Payload::StartSection { .. } => return Err(WasmError::refused("a start function")),
            Payload::CodeSectionStart { count, .. } => bodies = count,
            Payload::CodeSectionEntry(body) => {
                code.function(&function(&body, survey.stack_pointer.map(|global| (global, survey.globals)))?);
                if code.len() == bodies {
                    module.section(&code);
                }
            }
            Payload::CustomSection(_) => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    module.section(&RawSection { id, data: &wasm[range] });
                }
            }
        }
    }
    Ok(Instrumented { module: module.finish(), memory })
}

fn survey(wasm: &[u8]) -> Result<Survey, WasmError> {
    let mut survey = Survey::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Global(_) => return Err(WasmError::refused("an imported global")),
                        TypeRef::Memory(_) => return Err(WasmError::refused("an imported memory")),
                        _ => {}
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    survey.memory_bytes = memory?.initial.saturating_mul(WASM_PAGE_BYTES);
                }
            }
            Payload::GlobalSection(section) => survey.globals = section.count(),
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Global && export.name == STACK_POINTER {
                        survey.stack_pointer = Some(export.index);
                    }
                }
            }
            _ => {}
        }
    }
    match survey.memory_bytes {
        0..=0x1_0000_0000 => Ok(survey),
        _ => Err(WasmError::refused("a memory larger than 4 GiB")),
    }
}

fn globals(
    section: wasmparser::GlobalSectionReader<'_>,
    survey: &Survey,
) -> Result<GlobalSection, WasmError> {
    let mut globals = GlobalSection::new();
    RoundtripReencoder.parse_global_section(&mut globals, section)?;
    if survey.stack_pointer.is_some() {
        let mutable = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(mutable, &ConstExpr::i32_const(0));
    }
    Ok(globals)
}

fn exports(
    section: wasmparser::ExportSectionReader<'_>,
    survey: &Survey,
) -> Result<ExportSection, WasmError> {
    let mut exports = ExportSection::new();
    RoundtripReencoder.parse_export_section(&mut exports, section)?;
    if survey.stack_pointer.is_some() {
        exports.export(STACK_LOW, ExportKind::Global, survey.globals);
    }
    Ok(exports)
}

/// Applies active segments to the memory; passive ones stay as they are.
fn data(section: wasmparser::DataSectionReader<'_>, memory: &mut [u8]) -> Result<DataSection, WasmError> {
    let mut segments = DataSection::new();
    for segment in section {
        let segment = segment?;
        match segment.kind {
            DataKind::Passive => {
                segments.passive(segment.data.iter().copied());
            }
            DataKind::Active { offset_expr, .. } => {
                let start = constant(&offset_expr)? as usize;
                let place = memory.get_mut(start..).and_then(|rest| rest.get_mut(..segment.data.len()));
                place
                    .ok_or_else(|| WasmError::refused("a data segment outside of its memory"))?
                    .copy_from_slice(segment.data);
                segments.passive([]);
            }
        }
    }
    Ok(segments)
}

fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<u32, WasmError> {
    let mut reader = expression.get_operators_reader();
    match (reader.read()?, reader.read()?) {
        (Operator::I32Const { value }, Operator::End) => Ok(value as u32),
        _ => Err(WasmError::refused("a data segment whose place is computed")),
    }
}

/// Copies a function; after each lowering of the stack pointer, `low` becomes the lesser of the two.
fn function(body: &FunctionBody<'_>, stack: Option<(u32, u32)>) -> Result<Function, WasmError> {
    let mut function = RoundtripReencoder.new_function_with_parsed_locals(body)?;
    let mut reader = body.get_operators_reader()?;
    let mut raised = false;
    while !reader.eof() {
        let operator = reader.read()?;
        function.instruction(&RoundtripReencoder.instruction(operator.clone())?);
        match (&operator, stack) {
            (Operator::GlobalSet { global_index }, Some((pointer, low)))
                if *global_index == pointer && !raised =>
            {
                note_low(&mut function, pointer, low);
            }
            _ => {}
        }
        // Epilogues add the frame's size back; what they restore was noted on the way down.
        raised = matches!(operator, Operator::I32Add);
    }
    Ok(function)
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
