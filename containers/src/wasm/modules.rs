//! User modules, ready to run, by address: containers of one module share its code and its image.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everturn_dag::Cid;
use everturn_dag::address::raw_cid;
use everturn_exo_interface::{BlockReader, ExoError};

use super::config::RESERVE_BYTES;
use super::program::{Program, Role, Runtime, check_size};
use super::{Progress, WasmError, rows};

/// As many programs are kept that no container in memory needs.
const IDLE_PROGRAMS_MAX: usize = 64;

pub(crate) struct Modules {
    runtime: Arc<Runtime>,
    ready: Mutex<BTreeMap<Cid, Arc<Program>>>,
}

impl Modules {
    pub(crate) fn new(runtime: Arc<Runtime>) -> Modules {
        Modules { runtime, ready: Mutex::default() }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The program of a module whose memory may begin with this many bytes.
    pub(crate) fn of_bytes(
        &self,
        wasm: &[u8],
        heap_bytes_max: u64,
        progress: &dyn Fn(Progress),
    ) -> Result<Arc<Program>, WasmError> {
        let code = raw_cid(wasm);
        if let Some(program) = self.ready().get(&code) {
            check_size(program.image.bytes(), heap_bytes_max)?;
            return Ok(program.clone());
        }
        let program =
            Program::prepare(&self.runtime, wasm.to_vec(), Role::User { heap_bytes_max }, progress)?;
        Ok(self.keep(Arc::new(program)))
    }

    /// The program of a module that a heap names.
    pub(crate) fn of_address(&self, code: &Cid, blocks: &dyn BlockReader) -> Result<Arc<Program>, ExoError> {
        if let Some(program) = self.ready().get(code) {
            return Ok(program.clone());
        }
        let wasm = blocks.block(code)?;
        self.of_bytes(&wasm, RESERVE_BYTES, &|_| {}).map_err(rows::engine)
    }

    /// Keeps a program for the next who asks, and lets others go when there are many that nobody uses.
    fn keep(&self, program: Arc<Program>) -> Arc<Program> {
        let mut ready = self.ready();
        let idle = ready.values().filter(|program| Arc::strong_count(program) == 1).count();
        if idle >= IDLE_PROGRAMS_MAX {
            ready.retain(|_, program| Arc::strong_count(program) > 1);
        }
        ready.entry(program.code).or_insert(program).clone()
    }

    fn ready(&self) -> MutexGuard<'_, BTreeMap<Cid, Arc<Program>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
