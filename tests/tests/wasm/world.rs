//! A world for stories with WebAssembly containers: as `world`, but a root is a module, and what is sent is a message.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use everturn::wasm::{ModuleCache, WasmOptions, WasmType};
use everturn::{ContainerId, Exception, Hypervisor, HypervisorError, Ipld, MemoryStore, Receipt};

use crate::entropy::Derived;
use crate::host::Host;
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
    host: Host,
    ways: Ways,
    wasm: WasmType,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Deref for World {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl World {
    pub(crate) fn new(ways: Ways) -> World {
        let (host, wasm) = (Host::on(Arc::new(MemoryStore::new())), wasm_type(&ways));
        let mut world = World { host, ways, wasm, lines: Arc::default() };
        world.start();
        world
    }

    fn start(&mut self) {
        let lines = self.lines.clone();
        let builder = Hypervisor::builder()
            .settings(self.ways.settings)
            .entropy(Derived)
            .on_line(move |line| lines.lock().unwrap().push(line.text.clone()));
        self.host.start(builder).unwrap().register_container("wasm", self.wasm.clone());
    }

    /// Stops and starts again; what was compiled stays.
    pub(crate) fn restart(&mut self) {
        self.host.stop();
        self.start();
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
        let receipt = self.host.send(to, data);
        self.wait(to);
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

    /// Lines that containers wrote so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}
