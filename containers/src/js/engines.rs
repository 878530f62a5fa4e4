//! Engines by address: a heap always runs on the engine that wrote it, so several live side by side.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use everturn_dag::Cid;
use everturn_exo_interface::{BlockReader, ExoError};

use crate::wasm::program::{Program, Role, Runtime};
use crate::wasm::{Progress, WasmError, rows};

/// An engine, and the export that makes its image.
const ROLE: Role<'static> = Role::Engine("everturn_init");

pub(super) struct Engines {
    runtime: Arc<Runtime>,
    own: Arc<Program>,
    others: Mutex<BTreeMap<Cid, Arc<Program>>>,
}

impl Engines {
    pub(super) fn new(
        runtime: &Arc<Runtime>,
        own: &[u8],
        progress: &dyn Fn(Progress),
    ) -> Result<Engines, WasmError> {
        let own = Arc::new(Program::prepare(runtime, own.to_vec(), ROLE, progress)?);
        Ok(Engines { runtime: runtime.clone(), own, others: Mutex::default() })
    }

    /// The engine that new containers run on.
    pub(super) fn own(&self) -> &Arc<Program> {
        &self.own
    }

    pub(super) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// The engine at an address; one that is not this program's own is read from the store.
    pub(super) fn get(&self, code: &Cid, blocks: &dyn BlockReader) -> Result<Arc<Program>, ExoError> {
        if *code == self.own.code {
            return Ok(self.own.clone());
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = others.get(code) {
            return Ok(program.clone());
        }
        let wasm = blocks.block(code)?;
        let program = Program::prepare(&self.runtime, wasm, ROLE, &|_| {}).map_err(rows::engine)?;
        Ok(others.entry(*code).or_insert(Arc::new(program)).clone())
    }
}
