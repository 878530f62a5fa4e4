//! What has to be known of a module before it is rewritten. A user's module is validated on the way.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, ValType};
use wasmparser::{
    CompositeInnerType, ExternalKind, FuncType, FuncValidatorAllocations, Parser, Payload, TypeRef,
    ValidPayload, Validator, WasmFeatures,
};

use super::depth::{Counted, Weight};
use super::{Nature, STACK_POINTER};
use crate::wasm::program::WasmError;

/// The size of a wasm page.
const WASM_PAGE_BYTES: u64 = 65_536;

/// What user modules may be made of, as `config` turns it on in the engine.
/// References to the host (`externref`) want a collector, which is not compiled in.
const FEATURES: WasmFeatures =
    WasmFeatures::WASM2.union(WasmFeatures::EXTENDED_CONST).difference(WasmFeatures::GC_TYPES);

#[derive(Default)]
pub(super) struct Survey {
    pub(super) memory_bytes: u64,
    /// All globals, imported ones first.
    pub(super) globals: u32,
    /// The module's own, by index, without its stack pointer.
    pub(super) mutable_globals: Vec<u32>,
    pub(super) stack_pointer: Option<u32>,
    pub(super) start: Option<u32>,
    /// Results of functions that give several, for which a type is added: a block cannot name them otherwise.
    pub(super) block_types: Vec<Vec<ValType>>,
    types: Vec<Option<FuncType>>,
    /// The types of the module's own functions.
    functions: Vec<u32>,
    /// For each of them what its frame weighs, if it is counted.
    weights: Vec<Option<Counted>>,
}

impl Survey {
    pub(super) fn of(wasm: &[u8], nature: Nature) -> Result<Survey, WasmError> {
        let mut survey = Survey::default();
        let mut validator = Validator::new_with_features(FEATURES);
        let mut allocations = FuncValidatorAllocations::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            if nature.counts_depth()
                && let ValidPayload::Func(function, body) = validator.payload(&payload)?
            {
                let mut checking = function.into_validator(std::mem::take(&mut allocations));
                let weight = Weight::of(&body, &mut checking)?;
                allocations = checking.into_allocations();
                survey.weigh(weight)?;
            }
            survey.note(&payload, nature)?;
        }
        let pointer = survey.stack_pointer;
        survey.mutable_globals.retain(|global| Some(*global) != pointer);
        Ok(survey)
    }

    /// How many functions have a body.
    pub(super) fn bodies(&self) -> u32 {
        self.functions.len() as u32
    }

    /// How a function is counted, by its place among those with a body.
    pub(super) fn counted(&self, number: u32) -> Option<Counted> {
        self.weights.get(number as usize).copied().flatten()
    }

    fn weigh(&mut self, weight: Weight) -> Result<(), WasmError> {
        let counted = match weight.is_counted() {
            true => Some(Counted { units: weight.units(), block: self.block()? }),
            false => None,
        };
        self.weights.push(counted);
        Ok(())
    }

    /// The type of a block that gives what the next function gives.
    fn block(&mut self) -> Result<BlockType, WasmError> {
        let function =
            self.functions.get(self.weights.len()).and_then(|ty| self.types.get(*ty as usize)?.as_ref());
        let results = function.map_or(&[][..], FuncType::results).iter();
        let mut results: Vec<ValType> =
            results.map(|ty| RoundtripReencoder.val_type(*ty)).collect::<Result<_, _>>()?;
        Ok(match results.len() {
            0 => BlockType::Empty,
            1 => BlockType::Result(results.remove(0)),
            _ => BlockType::FunctionType(self.block_type(results)),
        })
    }

    fn block_type(&mut self, results: Vec<ValType>) -> u32 {
        let place = self.block_types.iter().position(|have| *have == results).unwrap_or_else(|| {
            self.block_types.push(results);
            self.block_types.len() - 1
        });
        (self.types.len() + place) as u32
    }

    fn note(&mut self, payload: &Payload<'_>, nature: Nature) -> Result<(), WasmError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    self.types.extend(group?.into_types().map(|ty| match ty.composite_type.inner {
                        CompositeInnerType::Func(function) => Some(function),
                        _ => None,
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    match import?.ty {
                        TypeRef::Global(_) if nature.has_image() => {
                            return Err(WasmError::refused("an imported global"));
                        }
                        TypeRef::Memory(_) if nature.has_image() => {
                            return Err(WasmError::refused("an imported memory"));
                        }
                        TypeRef::Global(_) => self.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                self.functions = section.clone().into_iter().collect::<Result<_, _>>()?;
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.memory_bytes = memory?.initial.saturating_mul(WASM_PAGE_BYTES);
                }
                if self.memory_bytes > 1 << 32 {
                    return Err(WasmError::refused("a memory larger than 4 GiB"));
                }
            }
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    if global?.ty.mutable {
                        self.mutable_globals.push(self.globals);
                    }
                    self.globals += 1;
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    let pointer = export.kind == ExternalKind::Global && export.name == STACK_POINTER;
                    if pointer && self.mutable_globals.contains(&export.index) {
                        self.stack_pointer = Some(export.index);
                    }
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(*func),
            _ => {}
        }
        Ok(())
    }
}
