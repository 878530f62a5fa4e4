//! A module ready to run: admitted, instrumented, compiled, with the image that its heaps start from.

use std::sync::{Arc, OnceLock};

use everturn_dag::Cid;
use everturn_dag::address::raw_cid;
use everturn_heap::{Heap, HeapError, HeapSettings, Image, TrackerKind, Tracking};
use wasmtime::{Engine, InstancePre, Linker};

use super::admission::admit;
use super::cache::ModuleCache;
use super::config::Metering;
use super::globals::Kinds;
use super::guest::{Guest, Host};
use super::instrument::{Instrumented, Nature, instrument};
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
    /// The module's memory begins larger than a container's heap may be.
    #[error("this module's memory begins with {bytes} bytes, and a container's heap has at most {bytes_max}")]
    TooLarge {
        /// What the module declares.
        bytes: u64,
        /// What is allowed.
        bytes_max: u64,
    },
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
    /// Counts every operator: for modules of users.
    engine: Engine,
    /// For the JS engine, which counts itself.
    engine_of_js: Engine,
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
        let engine = config::engine(regions.clone(), Metering::Operators)?;
        let engine_of_js = config::engine(regions.clone(), Metering::Own)?;
        Ok(Runtime { engine, engine_of_js, regions, tracking, tracker, cache })
    }

    pub(crate) fn tracker(&self) -> TrackerKind {
        self.tracker
    }

    /// What compiles and runs modules of this nature.
    pub(crate) fn engine(&self, nature: Nature) -> &Engine {
        if nature.counts_fuel() { &self.engine_of_js } else { &self.engine }
    }
}

/// What a module is for, and so what is asked of it and done to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role<'a> {
    /// The JS engine, whose image this export makes from its initial memory.
    Engine(&'a str),
    /// A user's module, whose initial memory is its image.
    User {
        /// What that may be at most, in bytes.
        heap_bytes_max: u64,
    },
}

impl Role<'_> {
    fn nature(self) -> Nature {
        match self {
            Role::Engine(_) => Nature::Engine,
            Role::User { .. } => Nature::User,
        }
    }

    /// Whose fault it is if a module cannot be compiled.
    fn blame(self, error: wasmtime::Error) -> WasmError {
        match self {
            Role::Engine(_) => WasmError::Engine(error),
            Role::User { .. } => WasmError::Invalid(format!("{error:#}")),
        }
    }

    /// The part of a cache key that tells roles apart.
    fn key(self) -> String {
        match self {
            Role::Engine(initialise) => format!("engine {initialise}"),
            Role::User { .. } => "user".to_owned(),
        }
    }
}

/// A module ready to run.
pub(crate) struct Program {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) code: Cid,
    pub(crate) wasm: Vec<u8>,
    pub(crate) nature: Nature,
    pub(crate) instance: InstancePre<Host>,
    /// The mutable globals that are state.
    pub(crate) globals: Kinds,
    pub(crate) image: Arc<Image>,
    pub(crate) image_tree: OnceLock<super::flush::ImageTree>,
}

impl Program {
    /// Prepares a module, from the cache if it is there.
    ///
    /// # Errors
    /// If the module is refused or invalid, or the engine fails.
    pub(crate) fn prepare(
        runtime: &Arc<Runtime>,
        wasm: Vec<u8>,
        role: Role<'_>,
        progress: &dyn Fn(Progress),
    ) -> Result<Program, WasmError> {
        if let Role::User { heap_bytes_max } = role {
            check_size(admit(&wasm)?.memory_bytes, heap_bytes_max)?;
        }
        let code = raw_cid(&wasm);
        let key = format!("{code} {} {}", config::NAME, role.key());
        let nature = role.nature();
        if let Some((module, image)) =
            runtime.cache.as_ref().and_then(|cache| cache.get(runtime.engine(nature), &key))
        {
            return Program::assemble(runtime, code, wasm, nature, &module, &image);
        }
        progress(Progress::Compiling);
        let Instrumented { module, memory } = instrument(&wasm, nature)?;
        let module =
            wasmtime::Module::new(runtime.engine(nature), module).map_err(|error| role.blame(error))?;
        let mut program = Program::assemble(runtime, code, wasm, nature, &module, &memory)?;
        if let Role::Engine(initialise) = role {
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
        nature: Nature,
        module: &wasmtime::Module,
        image: &[u8],
    ) -> Result<Program, WasmError> {
        let mut linker = Linker::new(runtime.engine(nature));
        syscalls::add(&mut linker, nature)?;
        let instance = linker.instantiate_pre(module)?;
        let image = Image::with_tracking(image, config::RESERVE_BYTES, &runtime.tracking)?;
        let (runtime, image_tree) = (runtime.clone(), OnceLock::new());
        Ok(Program { runtime, code, wasm, nature, instance, globals: Kinds::of(module), image, image_tree })
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

    /// Whether a heap of this size can be one of this module.
    pub(crate) fn may_have(&self, bytes: u64) -> bool {
        let memory = self.instance.module().get_export("memory");
        let declared = memory.and_then(|memory| memory.memory().map(|memory| memory.maximum()));
        let maximum = declared.flatten().map_or(config::RESERVE_BYTES, |pages| pages.saturating_mul(1 << 16));
        (self.image.bytes()..=maximum.min(config::RESERVE_BYTES)).contains(&bytes)
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

/// Whether a memory of this size may be a container's to begin with.
pub(crate) fn check_size(bytes: u64, bytes_max: u64) -> Result<(), WasmError> {
    if bytes > bytes_max { Err(WasmError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}
