//! A module ready to run: admitted, instrumented, compiled, with the image that its heaps start from.

use std::sync::{Arc, OnceLock};

use everturn_dag::Cid;
use everturn_dag::address::raw_cid;
use everturn_heap::{Heap, HeapError, HeapSettings, Image, TrackerKind, Tracking};
use wasmtime::{Engine, InstancePre, Linker};

use super::cache::ModuleCache;
use super::guest::{Guest, Host};
use super::instrument::{Instrumented, instrument};
use super::memory::Regions;
use super::{config, syscalls};

/// How far a program's preparation has come; shown to a person who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Compiling begins: seconds, once per machine.
    Compiling,
    /// The program is ready.
    Ready,
}

/// Why a module cannot be run, or its engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmError {
    /// The module has something that a container may not have.
    #[error("this module cannot be a container: it has {0}")]
    Refused(String),
    /// The module is not valid.
    #[error("this is not a valid WebAssembly module: {0}")]
    Invalid(String),
    /// The engine failed.
    #[error("the WebAssembly engine failed: {0:#}")]
    Engine(#[from] wasmtime::Error),
    /// The heap failed.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// The cache folder failed.
    #[error(
        "the module cache at {place} failed: {source}; set EVERTURN_CACHE to a folder that can be written"
    )]
    Cache {
        /// Which file.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The guest broke an agreement of ours.
    #[error("the guest does not keep to its interface: {0}")]
    Interface(String),
}

impl WasmError {
    pub(crate) fn refused(what: &str) -> WasmError {
        WasmError::Refused(what.to_owned())
    }
}

impl From<wasmparser::BinaryReaderError> for WasmError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        WasmError::Invalid(error.to_string())
    }
}

impl From<wasm_encoder::reencode::Error> for WasmError {
    fn from(error: wasm_encoder::reencode::Error) -> Self {
        WasmError::Invalid(error.to_string())
    }
}

/// What all programs of one container type share.
pub(crate) struct Runtime {
    engine: Engine,
    pub(crate) regions: Arc<Regions>,
    tracking: Arc<Tracking>,
    tracker: TrackerKind,
    cache: Option<ModuleCache>,
}

impl Runtime {
    /// `tracker` of `None` takes the best that works here.
    pub(crate) fn new(
        cache: Option<ModuleCache>,
        tracker: Option<TrackerKind>,
    ) -> Result<Runtime, WasmError> {
        let regions = Arc::new(Regions::default());
        let tracking = Arc::new(Tracking::new());
        let tracker = match tracker {
            Some(kind) => {
                tracking.check(kind)?;
                kind
            }
            None => tracking.detect(),
        };
        Ok(Runtime { engine: config::engine(regions.clone())?, regions, tracking, tracker, cache })
    }

    pub(crate) fn tracker(&self) -> TrackerKind {
        self.tracker
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// A module ready to run.
pub(crate) struct Program {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) code: Cid,
    pub(crate) wasm: Vec<u8>,
    pub(crate) instance: InstancePre<Host>,
    pub(crate) image: Arc<Image>,
    pub(crate) image_tree: OnceLock<super::flush::ImageTree>,
}

impl Program {
    /// Prepares a module, from the cache if it is there. `initialise` is an export that makes the image from the
    /// module's initial memory; the empty name means that the initial memory is the image.
    ///
    /// # Errors
    /// If the module is refused or invalid, or the engine fails.
    pub(crate) fn prepare(
        runtime: &Arc<Runtime>,
        wasm: Vec<u8>,
        initialise: &str,
        progress: &dyn Fn(Progress),
    ) -> Result<Program, WasmError> {
        let code = raw_cid(&wasm);
        let key = format!("{code} {} {initialise}", config::NAME);
        if let Some((module, image)) =
            runtime.cache.as_ref().and_then(|cache| cache.get(&runtime.engine, &key))
        {
            return Program::assemble(runtime, code, wasm, &module, &image);
        }
        progress(Progress::Compiling);
        let Instrumented { module, memory } = instrument(&wasm)?;
        let module = wasmtime::Module::new(&runtime.engine, module)?;
        let mut program = Program::assemble(runtime, code, wasm, &module, &memory)?;
        if !initialise.is_empty() {
            let image = config::on_guest_stack(|| Guest::initialised_memory(&program, initialise))?;
            program.image = program.new_image(&image)?;
        }
        if let Some(cache) = &runtime.cache {
            cache.put(&key, &module, &program.image_bytes())?;
        }
        progress(Progress::Ready);
        Ok(program)
    }

    fn assemble(
        runtime: &Arc<Runtime>,
        code: Cid,
        wasm: Vec<u8>,
        module: &wasmtime::Module,
        image: &[u8],
    ) -> Result<Program, WasmError> {
        let mut linker = Linker::new(&runtime.engine);
        syscalls::add(&mut linker)?;
        let instance = linker.instantiate_pre(module)?;
        let image = Image::with_tracking(image, config::RESERVE_BYTES, &runtime.tracking)?;
        Ok(Program { runtime: runtime.clone(), code, wasm, instance, image, image_tree: OnceLock::new() })
    }

    fn new_image(&self, bytes: &[u8]) -> Result<Arc<Image>, WasmError> {
        Ok(Image::with_tracking(bytes, config::RESERVE_BYTES, &self.runtime.tracking)?)
    }

    fn image_bytes(&self) -> Vec<u8> {
        let pages = 0..(self.image.bytes() / everturn_heap::PAGE_BYTES as u64) as u32;
        let page =
            |index| self.image.page(everturn_heap::PageIndex(index)).unwrap_or(&everturn_heap::ZERO_PAGE);
        pages.flat_map(|index| page(index).iter().copied()).collect()
    }

    /// A new heap that starts from the image and may grow to `bytes_max`.
    pub(crate) fn heap(&self, bytes_max: u64) -> Result<Heap, WasmError> {
        let step = everturn_heap::SIZE_STEP_BYTES;
        let bytes_max = (bytes_max - bytes_max % step).clamp(self.image.bytes(), config::RESERVE_BYTES);
        let settings = HeapSettings {
            reserve_bytes: config::RESERVE_BYTES,
            guard_bytes: config::GUARD_BYTES,
            bytes_max,
            tracker: Some(self.runtime.tracker),
        };
        Ok(Heap::new(&self.image, &settings)?)
    }
}
