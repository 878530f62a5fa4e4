//! What a user's module may have: its state must be its memory and its numeric globals, and nothing beside them.
//!
//! A container can leave memory after any turn and is made anew from these two. So whatever else could change while a
//! module runs is refused here, by its name and with what to do instead: tables, dropped segments, references in
//! globals. What is not deterministic, or not compiled (threads, relaxed SIMD, GC), is refused as well.
//!
//! The module need not be valid yet; validation follows, and this runs first because it has the better words.

mod operators;

use wasmparser::{
    CompositeInnerType, ElementKind, Encoding, Export, ExternalKind, FuncType, GlobalType, Import,
    MemoryType, Parser, Payload, TableInit, TableType, TypeRef,
};

use super::instrument::{RESERVED, constant};
use super::program::WasmError;
use super::syscalls;

/// The export that is a container's memory.
const MEMORY: &str = "memory";
/// What the hypervisor calls, with the parameters that each has to take: none gives a result.
pub(crate) const ENTRIES: [(&str, &str); 6] = [
    ("_initialize", ""),
    ("everturn_create", "i"),
    ("everturn_message", "i"),
    ("everturn_exception", "i"),
    ("everturn_close", "i"),
    ("everturn_timer", "i"),
];
/// Which of them has to be there.
const REQUIRED: &str = "everturn_message";
/// All tables together have at most this many elements: they lie outside of the heap, for every container again.
pub(crate) const TABLE_ELEMENTS_MAX: u64 = 1 << 17;
/// A module has at most this many mutable globals: they are written with every commit that changes one.
pub(crate) const GLOBALS_MAX: usize = 1_024;

/// What admission learns of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// What its memory begins with.
    pub(crate) memory_bytes: u64,
}

/// Looks at a module and refuses what a container may not have.
///
/// # Errors
/// [`WasmError::Refused`] with what it has and what to do about it; [`WasmError::Invalid`] if it cannot be read.
pub(crate) fn admit(wasm: &[u8]) -> Result<Admitted, WasmError> {
    let mut gate = Gate::default();
    for payload in Parser::new(0).parse_all(wasm) {
        gate.payload(&payload?)?;
    }
    gate.finish()
}

#[derive(Default)]
struct Gate {
    types: Vec<FuncType>,
    /// The types of all functions, imported ones first.
    functions: Vec<u32>,
    bodies: u32,
    imported: u32,
    memories: u32,
    memory_bytes: u64,
    tables: Vec<u64>,
    mutable_globals: usize,
    globals: u32,
    exports_memory: bool,
    handles_messages: bool,
}

fn refused(what: String) -> Result<(), WasmError> {
    Err(WasmError::Refused(what))
}

impl Gate {
    fn payload(&mut self, payload: &Payload<'_>) -> Result<(), WasmError> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                refused("the form of a component: build a core module".into())
            }
            Payload::TypeSection(section) => {
                section.clone().into_iter().try_for_each(|group| self.types(group?.into_types()))
            }
            Payload::ImportSection(section) => {
                section.clone().into_imports().try_for_each(|import| self.import(&import?))
            }
            Payload::FunctionSection(section) => {
                self.functions.extend(section.clone().into_iter().collect::<Result<Vec<u32>, _>>()?);
                Ok(())
            }
            Payload::TableSection(section) => section.clone().into_iter().try_for_each(|table| {
                let table = table?;
                self.table(&table.ty, &table.init)
            }),
            Payload::MemorySection(section) => {
                section.clone().into_iter().try_for_each(|memory| self.memory(&memory?))
            }
            Payload::TagSection(_) => refused(
                "a tag section: exceptions of WebAssembly are switched off, \
                                               compile without them (for C++ and Rust: abort on a panic)"
                    .into(),
            ),
            Payload::GlobalSection(section) => {
                section.clone().into_iter().try_for_each(|global| self.global(&global?.ty))
            }
            Payload::ExportSection(section) => {
                section.clone().into_iter().try_for_each(|export| self.export(&export?))
            }
            Payload::ElementSection(section) => section.clone().into_iter().try_for_each(|segment| {
                let segment = segment?;
                let len = match &segment.items {
                    wasmparser::ElementItems::Functions(items) => items.count(),
                    wasmparser::ElementItems::Expressions(_, items) => items.count(),
                };
                self.segment(&segment.kind, len)
            }),
            Payload::CodeSectionEntry(body) => {
                let number = self.imported + self.bodies;
                self.bodies += 1;
                operators::admit(body, number)
            }
            _ => Ok(()),
        }
    }

    fn types(&mut self, types: impl Iterator<Item = wasmparser::SubType>) -> Result<(), WasmError> {
        for ty in types {
            match ty.composite_type.inner {
                CompositeInnerType::Func(function) if !ty.composite_type.shared => self.types.push(function),
                _ => {
                    return refused(format!(
                        "type {}, which is not a function's: GC, threads and stack switching \
                                             are switched off",
                        self.types.len()
                    ));
                }
            }
        }
        Ok(())
    }

    fn import(&mut self, import: &Import<'_>) -> Result<(), WasmError> {
        let name = format!("{}.{}", import.module, import.name);
        let what = match import.ty {
            TypeRef::Func(ty) => {
                self.functions.push(ty);
                self.imported += 1;
                return self.imported_function(import, &name, ty);
            }
            TypeRef::FuncExact(_) => "an exact function type",
            TypeRef::Memory(_) => "a memory; define one and export it as \"memory\"",
            TypeRef::Table(_) => "a table; define it, with element segments for what it holds",
            TypeRef::Global(_) => "a global; define it",
            TypeRef::Tag(_) => "a tag; exceptions of WebAssembly are switched off",
        };
        refused(format!(
            "the import {name} of {what}: only functions of the module \"everturn\" can be imported"
        ))
    }

    fn imported_function(&self, import: &Import<'_>, name: &str, ty: u32) -> Result<(), WasmError> {
        let Some(known) = syscalls::signature(import.name).filter(|_| import.module == "everturn") else {
            return refused(format!(
                "the import {name}, which this hypervisor does not have: see docs/guest-abi.md for what can be imported"
            ));
        };
        match self.types.get(ty as usize) {
            Some(ty) if shape(ty) == known => Ok(()),
            Some(ty) => refused(format!("the import {name} as {}, which is {known}", shape(ty))),
            None => Err(WasmError::Invalid(format!("the import {name} has no type"))),
        }
    }

    fn table(&mut self, ty: &TableType, init: &TableInit<'_>) -> Result<(), WasmError> {
        if ty.shared || ty.table64 {
            return refused(format!("table {}, which is shared or indexed by 64 bits", self.tables.len()));
        }
        if matches!(init, TableInit::Expr(_)) {
            return refused(format!(
                "table {} with an initial value: fill it by element segments",
                self.tables.len()
            ));
        }
        self.tables.push(ty.initial);
        let elements = self.tables.iter().fold(0u64, |sum, table| sum.saturating_add(*table));
        match elements {
            0..=TABLE_ELEMENTS_MAX => Ok(()),
            _ => refused(format!(
                "tables of {elements} elements together: at most {TABLE_ELEMENTS_MAX} are possible"
            )),
        }
    }

    fn memory(&mut self, ty: &MemoryType) -> Result<(), WasmError> {
        self.memories += 1;
        if self.memories > 1 {
            return refused("several memories: a container has one".into());
        }
        if ty.memory64 {
            return refused("a 64-bit memory: build for wasm32".into());
        }
        if ty.shared {
            return refused("a shared memory: a container has one thread, build without them".into());
        }
        if ty.page_size_log2.is_some() {
            return refused("a memory with pages of its own size: build with pages of 64 KiB".into());
        }
        self.memory_bytes = ty.initial.saturating_mul(65_536);
        Ok(())
    }

    fn global(&mut self, ty: &GlobalType) -> Result<(), WasmError> {
        let number = self.globals;
        self.globals += 1;
        if ty.shared {
            return refused(format!("a shared global (global {number}): a container has one thread"));
        }
        if ty.mutable && ty.content_type.is_reference_type() {
            return refused(format!(
                "a mutable global of a reference type (global {number}), which cannot be stored: keep the index of a \
                 table's element in place of the reference"
            ));
        }
        self.mutable_globals += usize::from(ty.mutable);
        match self.mutable_globals {
            0..=GLOBALS_MAX => Ok(()),
            _ => refused(format!("more than {GLOBALS_MAX} mutable globals: keep such state in memory")),
        }
    }

    fn export(&mut self, export: &Export<'_>) -> Result<(), WasmError> {
        let name = export.name;
        if name.starts_with(RESERVED) {
            return refused(format!(
                "an export {name:?}: names that begin with {RESERVED:?} are the hypervisor's"
            ));
        }
        if name == MEMORY {
            self.exports_memory = export.kind == ExternalKind::Memory;
        }
        let Some((_, parameters)) = ENTRIES.iter().find(|(entry, _)| *entry == name) else { return Ok(()) };
        self.handles_messages |= name == REQUIRED;
        let known = format!("({parameters}) -> ()");
        let function =
            self.functions.get(export.index as usize).filter(|_| export.kind == ExternalKind::Func);
        match function.and_then(|ty| self.types.get(*ty as usize)) {
            Some(ty) if shape(ty) == known => Ok(()),
            Some(ty) => refused(format!(
                "an export {name:?} of the type {}: it has to be a function {known}",
                shape(ty)
            )),
            None => {
                refused(format!("an export {name:?} that is no function: it has to be a function {known}"))
            }
        }
    }

    /// An active segment that does not fit would trap whenever the container is woken.
    fn segment(&self, kind: &ElementKind<'_>, len: u32) -> Result<(), WasmError> {
        let ElementKind::Active { table_index, offset_expr } = kind else { return Ok(()) };
        let table = table_index.unwrap_or(0);
        let end = u64::from(constant(offset_expr)?) + u64::from(len);
        match self.tables.get(table as usize) {
            Some(elements) if end > *elements => refused(format!(
                "an element segment that ends at {end} in table {table} of {elements} elements"
            )),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Admitted, WasmError> {
        let missing = match (self.memories, self.exports_memory, self.handles_messages) {
            (0, ..) => "no memory: a container's state is its memory; define one and export it as \"memory\"",
            (_, false, _) => "a memory that is not exported: export it as \"memory\"",
            (.., false) => "no export \"everturn_message\": a function (i) -> () that handles a message",
            _ => return Ok(Admitted { memory_bytes: self.memory_bytes }),
        };
        Err(WasmError::refused(missing))
    }
}

/// A function's type in the short form of docs/guest-abi.md: i and I for integers, f and F for floats of 32 and 64 bits.
fn shape(ty: &FuncType) -> String {
    let letters = |types: &[wasmparser::ValType]| -> String { types.iter().map(letter).collect() };
    let results = match letters(ty.results()) {
        none if none.is_empty() => "()".to_owned(),
        results => results,
    };
    format!("({}) -> {results}", letters(ty.params()))
}

fn letter(ty: &wasmparser::ValType) -> char {
    use wasmparser::ValType;
    match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'I',
        ValType::F32 => 'f',
        ValType::F64 => 'F',
        ValType::V128 => 'v',
        ValType::Ref(_) => 'r',
    }
}

#[cfg(test)]
mod tests;
