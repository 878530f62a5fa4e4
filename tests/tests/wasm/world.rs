//! A hypervisor for stories with WebAssembly containers: as `world`, but a root is a module, and what is sent is a message.

use std::sync::{Arc, Mutex};

use everturn::wasm::{ModuleCache, WasmOptions, WasmType};
use everturn::{
    Cid, ContainerId, Exception, Hypervisor, HypervisorError, Inspection, Ipld, MemoryStore, Message,
    Receipt, Store, Ticks, node,
};

use crate::world::Ways;

pub(crate) fn wasm_type(ways: &Ways) -> WasmType {
    let cache = ModuleCache::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/modules"));
    WasmType::open(WasmOptions { cache: Some(cache), tracker: ways.tracker }).expect("the engine is set up")
}

pub(crate) fn module(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"))
}

/// What the creator of a wasm container sends.
pub(crate) fn creation(wasm: Vec<u8>, init: Ipld) -> Ipld {
    Ipld::Map([("init".to_owned(), init), ("module".to_owned(), Ipld::Bytes(wasm))].into())
}

/// One hypervisor on a store that outlives it.
pub(crate) struct World {
    runtime: tokio::runtime::Runtime,
    pub(crate) store: Arc<dyn Store>,
    ways: Ways,
    wasm: WasmType,
    hypervisor: Option<Hypervisor>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn new(ways: Ways) -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, wasm) = (Arc::new(MemoryStore::new()), wasm_type(&ways));
        let mut world = World { runtime, store, ways, wasm, hypervisor: None, lines: Arc::default() };
        world.start();
        world
    }

    fn start(&mut self) {
        let lines = self.lines.clone();
        let builder = Hypervisor::builder()
            .shared_store(self.store.clone())
            .settings(self.ways.settings)
            .on_line(move |line| lines.lock().unwrap().push(line.text.clone()));
        let hypervisor = self.runtime.block_on(builder.build()).unwrap();
        hypervisor.register_container("wasm", self.wasm.clone());
        self.hypervisor = Some(hypervisor);
    }

    /// Stops and starts again; what was compiled stays.
    pub(crate) fn restart(&mut self) {
        let hypervisor = self.hypervisor.take().expect("it runs");
        self.runtime.block_on(hypervisor.stop()).unwrap();
        crate::world::assert_whole(&*self.store);
        self.start();
    }

    pub(crate) fn hypervisor(&self) -> &Hypervisor {
        self.hypervisor.as_ref().expect("it runs")
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A root container of the type `wasm`.
    pub(crate) fn create(&self, name: &str, init: impl Into<Ipld>) -> Result<ContainerId, HypervisorError> {
        self.block_on(self.hypervisor().create_instance("wasm", name, init))
    }

    /// A root of this module, which must be admitted.
    pub(crate) fn root(&self, wat: &str) -> ContainerId {
        self.create("main", Ipld::Bytes(module(wat))).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends a message, waits until nothing is queued, and gives the receipt.
    pub(crate) fn send(&mut self, to: &ContainerId, data: impl Into<Ipld>) -> Receipt {
        let message = Message { data: node::encode(&data.into()).unwrap(), ..Message::default() };
        let receipt = self.block_on(self.hypervisor().send(to, message)).unwrap();
        self.block_on(self.hypervisor().wait(to, Ticks::MAX)).unwrap();
        if self.ways.restart_always {
            self.restart();
        }
        receipt
    }

    /// The answer to a message that must not fail.
    pub(crate) fn ask(&mut self, to: &ContainerId, data: impl Into<Ipld>) -> Ipld {
        self.send(to, data).outcome.unwrap_or_else(|exception| panic!("{exception}")).unwrap_or(Ipld::Null)
    }

    /// The exception that a message must end in.
    pub(crate) fn failure(&mut self, to: &ContainerId, data: impl Into<Ipld>) -> Exception {
        self.send(to, data).outcome.expect_err("it fails")
    }

    pub(crate) fn state_root(&self, of: &ContainerId) -> Cid {
        self.block_on(self.hypervisor().create_state_root(of, Ticks::MAX)).unwrap()
    }

    pub(crate) fn inspect(&self) -> Vec<Inspection> {
        self.block_on(self.hypervisor().inspect()).unwrap()
    }

    /// Lines that containers wrote so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}
