//! JavaScript containers: the QuickJS engine as a wasm guest. The engine's heap *is* the program's state.
//!
//! The engine knows nothing of persistence: closures, generators and pending promises are bytes of its memory, and
//! its memory is a heap. engine/ABI.md is the agreement between this side and the engine's shim.

mod container;
mod engines;
mod input;
mod scratch;

use std::sync::Arc;

use everturn_dag::{Cid, Ipld};
use everturn_exo_interface::{
    BlockReader, BlockWriter, Container, ContainerType, ExoError, Fields, StateReader, StateWriter,
    TypeContext,
};
use everturn_heap::TrackerKind;
use std::collections::BTreeMap;

use crate::wasm::program::Runtime;
use crate::wasm::{ModuleCache, Progress, WasmError, flush, rows};
use container::{DeadStack, JsContainer as Instance};
use engines::Engines;
pub use scratch::Completeness;

/// The engine that this program was built with.
static ENGINE: &[u8] = include_bytes!(env!("EVERTURN_ENGINE_WASM"));
/// The CID of the engine that the pinned compiler builds.
const REFERENCE: &str = include_str!("../engine/REFERENCE");

/// How a [`JsType`] is made.
#[derive(Default)]
pub struct JsOptions {
    /// Where compiled engines are kept; `None` compiles at every start (seconds).
    pub cache: Option<ModuleCache>,
    /// How written pages are found; `None` takes the best that works here.
    pub tracker: Option<TrackerKind>,
    /// Shown how far the engine's preparation has come.
    pub progress: Option<Box<dyn Fn(Progress) + Send + Sync>>,
    /// Fills the dead stack with noise before every turn, for tests: it must have no effect.
    #[doc(hidden)]
    pub soiled_stack: bool,
}

/// JavaScript containers.
pub struct JsContainer;

impl JsContainer {
    /// The container type, to be registered: with the user's cache, and the tracker that `EVERTURN_TRACKER` names.
    ///
    /// # Errors
    /// If the engine cannot be prepared.
    pub fn factory() -> Result<JsType, WasmError> {
        JsType::open(JsOptions {
            cache: ModuleCache::of_user(),
            tracker: TrackerKind::from_env()?,
            ..JsOptions::default()
        })
    }
}

/// The type of all JavaScript containers: the engine, ready to run. Clones share it.
#[derive(Clone)]
pub struct JsType {
    engines: Arc<Engines>,
    stack: DeadStack,
}

impl JsType {
    /// Prepares the engine.
    ///
    /// # Errors
    /// If it cannot be compiled or initialised, or the tracker does not work here.
    pub fn open(options: JsOptions) -> Result<JsType, WasmError> {
        let runtime = Arc::new(Runtime::new(options.cache, options.tracker)?);
        let progress = options.progress.unwrap_or_else(|| Box::new(|_| {}));
        let stack = if options.soiled_stack { DeadStack::Soiled } else { DeadStack::Clean };
        Ok(JsType { engines: Arc::new(Engines::new(&runtime, ENGINE, &*progress)?), stack })
    }

    /// The address of the engine that new containers run on.
    pub fn engine_cid(&self) -> Cid {
        self.engines.own().code
    }

    /// Whether that is the engine which the pinned compiler builds.
    pub fn is_reference(&self) -> bool {
        self.engine_cid().to_string() == REFERENCE.trim()
    }

    /// The compiler that built it.
    pub fn compiler() -> &'static str {
        env!("EVERTURN_ENGINE_COMPILER")
    }

    /// How written pages are found.
    pub fn tracker(&self) -> TrackerKind {
        self.engines.runtime().tracker()
    }

    /// What its engines run on.
    pub(crate) fn wasm_runtime(&self) -> Arc<Runtime> {
        self.engines.runtime().clone()
    }

    /// Whether a source text is a whole program, for a shell that reads line by line.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn complete(&self, source: &str) -> Result<Completeness, WasmError> {
        scratch::complete(self.engines.own(), source)
    }
}

impl ContainerType for JsType {
    fn create(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        Ok(Box::new(Instance::create(self.engines.own().clone(), context.limits, self.stack)?))
    }

    fn load(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        let code = rows::header(context.state)?.code;
        let program = self.engines.get(&code, context.blocks)?;
        Ok(Box::new(Instance::load(program, context, self.stack)?))
    }

    fn flush(
        &self,
        state: &dyn StateReader,
        notes: &mut dyn StateWriter,
        blocks: &mut dyn BlockWriter,
    ) -> Result<Fields, ExoError> {
        let header = rows::header(state)?;
        let program = self.engines.get(&header.code, blocks)?;
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
        let program = self.engines.get(&heap.code, blocks)?;
        flush::import(&program, &heap, state, blocks)
    }
}
