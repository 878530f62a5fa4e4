//! A world of JavaScript for stories: tell it lines, read its answers, stop it, start it again on the same store.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock};

use everturn::entropy::Entropy;
use everturn::js::{JsOptions, JsType, ModuleCache, TrackerKind};
use everturn::{
    Cid, ContainerId, Exception, Hypervisor, Ipld, MemoryStore, Receipt, Settings, Store, Ticks, Unloading,
};

use crate::entropy::{Derived, Of};
use crate::host::Host;

/// The engine, prepared once in a process and kept compiled between processes.
pub(crate) fn js(ways: &Ways) -> JsType {
    static DEFAULT: OnceLock<JsType> = OnceLock::new();
    let (tracker, soiled_stack) = (ways.tracker, ways.soiled_stack);
    let open = || {
        let cache = ModuleCache::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/modules"));
        let options = JsOptions { cache: Some(cache), tracker, soiled_stack, ..JsOptions::default() };
        JsType::open(options).expect("the engine is prepared")
    };
    match (tracker, soiled_stack) {
        (None, false) => DEFAULT.get_or_init(open).clone(),
        _ => open(),
    }
}

/// How a world runs. Nothing here may change a result.
#[derive(Clone, Default)]
pub(crate) struct Ways {
    pub(crate) settings: Settings,
    pub(crate) tracker: Option<TrackerKind>,
    /// Stop and start again after every line.
    pub(crate) restart_always: bool,
    /// Noise in the dead stack before every turn.
    pub(crate) soiled_stack: bool,
    /// Where random bytes come from in place of [`Derived`].
    pub(crate) entropy: Option<Arc<dyn Entropy>>,
}

impl Ways {
    /// Three ways for state to survive: in memory between commits, by a restart after every input, and by leaving
    /// memory after every turn.
    pub(crate) fn to_survive() -> [Ways; 3] {
        let unloading = Settings { unloading: Unloading::EveryTurn, ..Settings::default() };
        [
            Ways::default(),
            Ways { restart_always: true, ..Ways::default() },
            Ways { settings: unloading, ..Ways::default() },
        ]
    }
}

/// One hypervisor with one root JavaScript container, and the store that outlives it.
pub(crate) struct World {
    host: Host,
    ways: Ways,
    js: JsType,
    pub(crate) root: ContainerId,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Deref for World {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl World {
    /// A world whose root runs `program`.
    pub(crate) fn new(program: &str) -> World {
        World::with(program, Ways::default())
    }

    pub(crate) fn with(program: &str, ways: Ways) -> World {
        World::on(Arc::new(MemoryStore::new()), program, ways)
    }

    pub(crate) fn on(store: Arc<dyn Store>, program: &str, ways: Ways) -> World {
        let mut world = World::idle_on(store, ways);
        world.start();
        let made = world.hypervisor().get_or_create_instance("js", "main", program);
        world.root = world.block_on(made).unwrap();
        world
    }

    /// Makes another root container, which lines and messages go to from now on; or says why there is none.
    pub(crate) fn create(&mut self, name: &str, init: Ipld) -> Result<(), String> {
        let made = self.block_on(self.hypervisor().create_instance("js", name, init));
        self.root = made.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// A hypervisor without any container.
    pub(crate) fn empty(store: Arc<dyn Store>) -> World {
        let mut world = World::idle_on(store, Ways::default());
        world.start();
        world
    }

    /// As [`World::empty`], in one of these ways.
    pub(crate) fn with_nothing(ways: Ways) -> World {
        let mut world = World::idle_on(Arc::new(MemoryStore::new()), ways);
        world.start();
        world
    }

    /// A hypervisor that goes on from a checkpoint which is in the store.
    pub(crate) fn resumed(store: Arc<dyn Store>, checkpoint: &Cid, settings: Settings) -> World {
        let mut world = World::idle_on(store, Ways { settings, ..Ways::default() });
        let builder = Hypervisor::resume(world.store.clone(), checkpoint)
            .settings(settings)
            .entropy(Derived)
            .register_container("js", world.js.clone());
        world.host.start(builder).unwrap();
        world.root = ContainerId::root("main");
        world
    }

    fn idle_on(store: Arc<dyn Store>, ways: Ways) -> World {
        let js = js(&ways);
        World { host: Host::on(store), ways, js, root: ContainerId::ROOT, lines: Arc::default() }
    }

    pub(crate) fn start(&mut self) {
        let lines = self.lines.clone();
        let builder = Hypervisor::builder()
            .settings(self.ways.settings)
            .entropy(Of(self.ways.entropy.clone().unwrap_or_else(|| Arc::new(Derived))))
            .on_line(move |line| lines.lock().unwrap().push(line.text.clone()));
        self.host.start(builder).unwrap().register_container("js", self.js.clone());
    }

    pub(crate) fn stop(&mut self) {
        self.host.stop();
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Evaluates a line; the text a shell would show, or the exception.
    pub(crate) fn line(&mut self, source: &str) -> Result<String, Exception> {
        let receipt = self.block_on(self.hypervisor().evaluate(&self.root, "line", source)).unwrap();
        if self.ways.restart_always {
            self.restart();
        }
        shown(receipt)
    }

    /// Evaluates a line that must not throw.
    pub(crate) fn eval(&mut self, source: &str) -> String {
        self.line(source).unwrap_or_else(|exception| panic!("{source}: {exception}"))
    }

    /// Sends the root a message and gives its receipt.
    pub(crate) fn send(&mut self, data: impl Into<Ipld>) -> Receipt {
        let receipt = self.host.send(&self.root, data);
        if self.ways.restart_always {
            self.restart();
        }
        receipt
    }

    /// What Tab would offer in the root.
    pub(crate) fn complete(&mut self, text: &str) -> Vec<String> {
        self.block_on(self.hypervisor().complete(&self.root, text)).unwrap()
    }

    /// Whether the root is in memory.
    pub(crate) fn is_loaded(&mut self) -> bool {
        self.inspect().iter().any(|container| container.id == self.root && container.footprint.is_some())
    }

    /// The root's ticks when idle.
    pub(crate) fn ticks(&mut self) -> Ticks {
        self.wait(&self.root)
    }

    /// Waits until nothing is queued.
    pub(crate) fn idle(&mut self) {
        self.wait(&self.root);
    }

    /// The root's state root when idle.
    pub(crate) fn state_root(&mut self) -> Cid {
        self.host.state_root(&self.root)
    }

    /// Lines that containers wrote so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// What a shell would show of a receipt.
pub(crate) fn shown(receipt: Receipt) -> Result<String, Exception> {
    let answer = receipt.outcome?;
    Ok(match answer {
        Some(Ipld::Map(fields)) => match fields.get("text") {
            Some(Ipld::String(text)) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    })
}
