//! Containers that are modules of their users: the container type `wasm`, and the instances behind it.

mod container;
mod creation;

use std::collections::BTreeMap;
use std::sync::Arc;

use everturn_dag::{Cid, Ipld};
use everturn_exo_interface::{
    BlockReader, BlockWriter, Container, ContainerType, ExoError, Fields, StateReader, StateWriter,
    TypeContext,
};
use everturn_heap::TrackerKind;

use super::config::RESERVE_BYTES;
use super::modules::Modules;
use super::program::{Program, Runtime};
use super::{ModuleCache, Progress, WasmError, flush, rows};
use crate::js::JsType;
use container::Instance;

/// How a [`WasmType`] is made.
#[derive(Default)]
pub struct WasmOptions {
    /// Where compiled modules are kept; `None` compiles each at every start.
    pub cache: Option<ModuleCache>,
    /// How written pages are found; `None` takes the best that works here.
    pub tracker: Option<TrackerKind>,
}

/// WebAssembly containers.
pub struct WasmContainer;

impl WasmContainer {
    /// The container type whose containers bring their module, with the user's cache, and the tracker that
    /// `EVERTURN_TRACKER` names. A container begins with the module as bytes, or with `{module: bytes, init: any}`.
    ///
    /// # Errors
    /// If the WebAssembly engine cannot be set up.
    pub fn factory() -> Result<WasmType, WasmError> {
        let (cache, tracker) = (ModuleCache::of_user(), TrackerKind::from_env()?);
        WasmType::open(WasmOptions { cache, tracker })
    }

    /// The container type whose containers all are of this module. A container begins with any value, which the module
    /// gets as its input.
    ///
    /// # Errors
    /// If the module is refused, or cannot be compiled.
    pub fn of_module(wasm: &[u8]) -> Result<WasmType, WasmError> {
        WasmContainer::factory()?.with_module(wasm)
    }
}

/// A type of WebAssembly containers. Clones share what is compiled.
#[derive(Clone)]
pub struct WasmType {
    modules: Arc<Modules>,
    fixed: Option<Arc<Program>>,
}

impl WasmType {
    /// Sets up the WebAssembly engine.
    ///
    /// # Errors
    /// If that fails, or the tracker does not work here.
    pub fn open(options: WasmOptions) -> Result<WasmType, WasmError> {
        let runtime = Arc::new(Runtime::new(options.cache, options.tracker)?);
        Ok(WasmType { modules: Arc::new(Modules::new(runtime)), fixed: None })
    }

    /// Shares the WebAssembly engine, the cache and the tracker of a JavaScript type.
    pub fn beside(js: &JsType) -> WasmType {
        WasmType { modules: Arc::new(Modules::new(js.wasm_runtime())), fixed: None }
    }

    /// The type whose containers all are of this module.
    ///
    /// # Errors
    /// If the module is refused, or cannot be compiled.
    pub fn with_module(&self, wasm: &[u8]) -> Result<WasmType, WasmError> {
        self.with_module_showing(wasm, &|_| {})
    }

    /// As [`WasmType::with_module`], showing how far it has come.
    ///
    /// # Errors
    /// As [`WasmType::with_module`].
    pub fn with_module_showing(
        &self,
        wasm: &[u8],
        progress: &dyn Fn(Progress),
    ) -> Result<WasmType, WasmError> {
        let program = self.modules.of_bytes(wasm, RESERVE_BYTES, progress)?;
        Ok(WasmType { modules: self.modules.clone(), fixed: Some(program) })
    }

    /// The address of the module that all containers are of, where there is one.
    pub fn module_cid(&self) -> Option<Cid> {
        self.fixed.as_ref().map(|program| program.code)
    }

    /// How written pages are found.
    pub fn tracker(&self) -> TrackerKind {
        self.modules.runtime().tracker()
    }
}

impl ContainerType for WasmType {
    fn create(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        Ok(Box::new(Instance::unborn(self.clone(), context.limits)))
    }

    fn load(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        let program = self.modules.of_address(&rows::header(context.state)?.code, context.blocks)?;
        Ok(Box::new(Instance::load(self.clone(), program, context)?))
    }

    fn flush(
        &self,
        state: &dyn StateReader,
        notes: &mut dyn StateWriter,
        blocks: &mut dyn BlockWriter,
    ) -> Result<Fields, ExoError> {
        let header = rows::header(state)?;
        let program = self.modules.of_address(&header.code, blocks)?;
        let heap = flush::heap_node(&program, &header, state, notes, blocks)?;
        Ok(vec![("heap".to_owned(), heap)])
    }

    fn heap_bytes(&self, state: &dyn StateReader) -> Result<Option<u64>, ExoError> {
        Ok(Some(rows::header(state)?.bytes))
    }

    fn import(
        &self,
        fields: &BTreeMap<String, Ipld>,
        state: &mut dyn StateWriter,
        blocks: &dyn BlockReader,
    ) -> Result<(), ExoError> {
        let heap = flush::HeapNode::parse(fields)?;
        let program = self.modules.of_address(&heap.code, blocks)?;
        flush::import(&program, &heap, state, blocks)
    }
}
