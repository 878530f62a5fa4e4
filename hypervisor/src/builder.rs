//! Putting a hypervisor together.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, OnceLock};

use everturn_dag::{Cid, MemoryStore, Store};
use everturn_exo_interface::{ContainerType, Entropy, Limit, Limits, Outside, OwnLimits};
use everturn_port_manager::{ContainerId, Ticks};

use tokio::sync::watch;

use crate::checkpoint::Parts;
use crate::committer::{Committer, Observer};
use crate::configuration::Configuration;
use crate::core::{Core, Runner, Types};
use crate::handle::Back;
use crate::keys;
use crate::lines::Lines;
use crate::metrics::{Counters, Stopwatch};
use crate::writer::{Arrivals, Writer};
use crate::{Hypervisor, HypervisorError, Line};

/// Stack of the core thread, on which guests run: address space, of which only what is used becomes memory. A guest's
/// own limits must fire long before.
pub(crate) const THREAD_STACK_BYTES: usize = 128 << 20;

/// When containers leave memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unloading {
    /// They stay.
    Never,
    /// The least recently used leave while heaps and bookkeeping together take more than this. A heap counts with its size,
    /// not with the pages that it has of its own: beside memory it takes addresses and mappings, of which a process has
    /// enough for about 20,000 heaps.
    Above {
        /// The bound.
        bytes: u64,
    },
    /// As soon as a turn is durable: slow, for tests that want to see state survive it.
    EveryTurn,
}

/// When containers of one window run on several threads at once. Never shows in an outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SideBySide {
    /// When their turns take longer than to hand them over.
    #[default]
    WhenWorth,
    /// Whenever there are two: for tests that want to see that it does not matter.
    Always,
}

impl Default for Unloading {
    /// Above 16 GiB of heaps: some 10,000 small JavaScript containers.
    fn default() -> Self {
        Unloading::Above { bytes: 16 << 30 }
    }
}

/// Who says when turns run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TurnsBy {
    /// They run as soon as something waits.
    #[default]
    Background,
    /// They run while the host is in [`Hypervisor::run`] or [`Hypervisor::run_until_idle`], and the stamps of its inputs
    /// depend on these calls alone.
    Host,
}

/// How a hypervisor runs. The first three are fixed with the store; the others never change an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Ticks between a send and its delivery, at least 1.
    pub lookahead: Ticks,
    /// Ticks that the cheapest turn burns, at least 1.
    pub turn_cost: Ticks,
    /// Bounds of every container; [`Builder::limit_type`] sets those of a type.
    pub limits: Limits,
    /// Turns between savepoints; `None` adapts.
    pub savepoint_turns: Option<u32>,
    /// Turns in a batch; `None` lets the disk decide.
    pub batch_turns: Option<u32>,
    /// What a batch holds before it is cut though more work waits, in bytes: messages, lines, answers, and what containers'
    /// memory has changed as far as savepoints have seen. Looked at between windows or turns, so the last of them goes over it.
    /// 64 MiB by default; 0 cuts after each. It never changes an outcome, so it is no part of the configuration.
    pub batch_bytes: u64,
    /// Inputs of hosts that may wait for their turns; one more is refused with [`HypervisorError::Busy`]. 262,144 by default. Never
    /// part of an outcome: what is refused was never there.
    pub inputs_max: usize,
    /// Replies that are kept for a container, for [`Hypervisor::request_once`]; one more request of that kind is refused with
    /// [`HypervisorError::TooManyKept`]. 100,000 by default; each takes some 200 bytes of memory.
    pub once_max: usize,
    /// What such replies of a container may take in the store, in bytes, before no further request of that kind is taken. 64 MiB by
    /// default.
    pub once_bytes_max: u64,
    /// When containers leave memory.
    pub unloading: Unloading,
    /// Threads on which containers of one window run side by side, and on which a state root is made; `None` is one for each core.
    pub threads: Option<NonZeroUsize>,
    /// When containers of one window run on several threads.
    pub side_by_side: SideBySide,
    /// Who says when turns run.
    pub turns_by: TurnsBy,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            lookahead: Ticks(1),
            turn_cost: Ticks(1),
            limits: Limits::default(),
            savepoint_turns: None,
            batch_turns: None,
            batch_bytes: 64 << 20,
            inputs_max: 1 << 18,
            once_max: 100_000,
            once_bytes_max: 64 << 20,
            unloading: Unloading::default(),
            threads: None,
            side_by_side: SideBySide::WhenWorth,
            turns_by: TurnsBy::Background,
        }
    }
}

impl Settings {
    /// The number of threads, the cores counted where it is not said.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().ok();
        self.threads.or_else(cores).unwrap_or(NonZeroUsize::MIN)
    }
}

/// Collects what a hypervisor is made of. See [`Hypervisor::builder`].
#[derive(Default)]
pub struct Builder {
    store: Option<Arc<dyn Store>>,
    settings: Settings,
    type_limits: BTreeMap<String, OwnLimits>,
    types: Types,
    checkpoint: Option<Cid>,
    observer: Option<Observer>,
    lines_told: u64,
    clock: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    stopwatch: Option<Stopwatch>,
    entropy: Option<Arc<dyn Entropy>>,
    interrupted: BTreeMap<(ContainerId, Ticks), Ticks>,
}

impl Builder {
    /// Keeps state here; without it in memory.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Builder {
        self.store = Some(Arc::new(store));
        self
    }

    /// Keeps state in a store that the host holds on to.
    #[must_use]
    pub fn shared_store(mut self, store: Arc<dyn Store>) -> Builder {
        self.store = Some(store);
        self
    }

    /// Runs with these settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Builder {
        self.settings = settings;
        self
    }

    /// Takes what is fixed with a store from there: lookahead, cost of a turn, and bounds, those of types too. Nothing changes if
    /// the store is a new one.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn like(mut self, store: &dyn Store) -> Result<Builder, HypervisorError> {
        if let Some(stored) = Configuration::stored(store)? {
            (self.settings, self.type_limits) = stored.settings(&self.settings);
        }
        Ok(self)
    }

    /// Sets one of the bounds of every container.
    #[must_use]
    pub fn limit(mut self, limit: Limit, most: u64) -> Builder {
        self.settings.limits = self.settings.limits.with(limit, most);
        self
    }

    /// Gives the containers of a type a bound of their own in place of [`Settings::limits`], higher or lower. It is part of the
    /// configuration, so it is said whenever the store is opened; the type may be registered later.
    #[must_use]
    pub fn limit_type(mut self, name: &str, limit: Limit, most: u64) -> Builder {
        self.type_limits.entry(name.to_owned()).or_default().insert(limit, most);
        self
    }

    /// Makes a container type available under a name from the beginning; [`Hypervisor::register_container`] does it later.
    #[must_use]
    pub fn register_container(self, name: &str, container_type: impl ContainerType + 'static) -> Builder {
        self.types.register(name, Arc::new(container_type));
        self
    }

    /// Goes on from a checkpoint that is in the store ([`import_car`](crate::import_car) puts it there), which must have no
    /// containers yet. The types of the checkpoint's containers have to be registered with the builder, and the settings
    /// to be those that it was made with.
    #[must_use]
    pub fn resume(mut self, checkpoint: &Cid) -> Builder {
        self.checkpoint = Some(*checkpoint);
        self
    }

    /// Shows every line that containers write, in their order, once it is durable. After a kill, those that may not have been shown are
    /// shown again; [`Builder::lines_told`] keeps them from it.
    #[must_use]
    pub fn on_line(mut self, observer: impl Fn(&Line) + Send + Sync + 'static) -> Builder {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The number of the last line that was shown, for a host that keeps it: no line up to this one is shown again. It is not heeded
    /// if the store has never had such a line.
    #[must_use]
    pub fn lines_told(mut self, number: u64) -> Builder {
        self.lines_told = number;
        self
    }

    /// Where the dates of inputs come from, in milliseconds since 1970; without it every date is 0.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Builder {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Where the random bytes of guests come from (`crypto.getRandomValues`, [`Turn::entropy`](everturn_exo_interface::Turn)); without it
    /// a guest that asks for some is refused.
    #[must_use]
    pub fn entropy(mut self, entropy: impl Entropy + 'static) -> Builder {
        self.entropy = Some(Arc::new(entropy));
        self
    }

    /// How commits are timed for [`Hypervisor::metrics`]: nanoseconds since any fixed instant. Without it they are not.
    #[must_use]
    pub fn stopwatch(mut self, stopwatch: impl Fn() -> u64 + Send + Sync + 'static) -> Builder {
        self.stopwatch = Some(Arc::new(stopwatch));
        self
    }

    /// Makes it one that runs again what was run since a checkpoint, for whoever says when.
    pub(crate) fn for_replay(
        mut self,
        store: Arc<dyn Store>,
        checkpoint: Cid,
        entropy: Arc<dyn Entropy>,
        interrupted: BTreeMap<(ContainerId, Ticks), Ticks>,
    ) -> Builder {
        self.settings.turns_by = TurnsBy::Host;
        Builder {
            store: Some(store),
            checkpoint: Some(checkpoint),
            entropy: Some(entropy),
            interrupted,
            observer: None,
            clock: None,
            ..self
        }
    }

    /// The container types that are registered so far.
    pub(crate) fn types(&self) -> Types {
        self.types.clone()
    }

    /// Threads that run turns.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.settings.threads()
    }

    /// Ticks between a send and its delivery, one at least.
    pub(crate) fn lookahead(&self) -> Ticks {
        Ticks(self.settings.lookahead.0.max(1))
    }

    /// Opens the store's containers and begins to run.
    ///
    /// # Errors
    /// If the store cannot be read, or was made with another configuration; and of a resume, if the checkpoint is not there
    /// or not whole, was made with another configuration, or the store has containers.
    pub async fn build(self) -> Result<Hypervisor, HypervisorError> {
        tokio::task::spawn_blocking(move || self.build_blocking())
            .await
            .map_err(|error| HypervisorError::Stopped(error.to_string()))?
    }

    fn build_blocking(self) -> Result<Hypervisor, HypervisorError> {
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let given = Configuration::new(&self.settings, &self.type_limits);
        let (types, arrivals) = (self.types, Arrivals::default());
        if let Some(checkpoint) = &self.checkpoint {
            let blocks = keys::Blocks { reader: &*store };
            given.check(&Parts::read(&blocks, checkpoint)?.configuration()?)?;
        }
        given.fix(&*store)?;
        let mut writer =
            Writer::new(store.clone(), types.clone(), self.settings.threads(), arrivals.clone())?;
        if let Some(checkpoint) = &self.checkpoint {
            writer.resume(&types, checkpoint)?;
        }
        let (due, next_timer) = watch::channel(None);
        let failure: Arc<OnceLock<String>> = Arc::default();
        let (commands, inbox) = channel();
        let (commits, outbox) = sync_channel(1);
        let outside =
            Arc::new(Outside { entropy: self.entropy, interrupted: self.interrupted, ..Outside::default() });
        let runner =
            Runner::new(store.clone(), types.clone(), self.settings, &self.type_limits, outside.clone());
        let counters: Arc<Counters> = Arc::default();
        let core = Core::open(runner, failure.clone(), commits, due, counters.clone())?;
        let lines = Lines::open(&*store, self.observer, self.lines_told)?;
        let committer = Committer {
            writer,
            lines,
            failure: failure.clone(),
            counters: counters.clone(),
            stopwatch: self.stopwatch,
        };
        let back = Back { store: Arc::downgrade(&store), arrivals, next_timer, counters };
        let to_core = commands.clone();
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(THREAD_STACK_BYTES);
            thread.spawn(run).map_err(|error| HypervisorError::Stopped(format!("no thread: {error}")))
        };
        let threads = vec![
            spawn("everturn-core", Box::new(move || core.run(&inbox)))?,
            spawn("everturn-commit", Box::new(move || committer.run(&outbox, &to_core)))?,
        ];
        Ok(Hypervisor::new(commands, types, failure, outside, self.clock, threads, back))
    }
}
