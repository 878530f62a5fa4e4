//! What every benchmark needs: a folder, the engine, and a hypervisor to fill with work.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use everturn::js::{JsOptions, JsType, ModuleCache, TrackerKind};
use everturn::native::NativeType;
use everturn::wasm::{WasmOptions, WasmType};
use everturn::{
    ContainerId, DiskStore, Footprint, Hypervisor, Ipld, MemoryStore, Message, Receipt, Settings, Store,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::gate::{self, Gate};
use crate::machine::Machine;
use crate::process::thread_seconds;
use crate::{Effort, Failure};

/// The example of the guest interface.
const COUNTER: &str = include_str!("../../containers/guest/examples/counter.wat");
/// The name of the container that waits, and of its type.
const GATE: &str = "gate";

/// What a run of benchmarks shares.
pub(crate) struct Bed {
    pub(crate) folder: PathBuf,
    pub(crate) effort: Effort,
    pub(crate) js: JsType,
    /// The example of a wasm counter.
    pub(crate) counter: WasmType,
}

impl Bed {
    pub(crate) fn make(machine: &Machine, effort: Effort) -> Result<Bed, Failure> {
        let folder = machine.folder.clone();
        let js = engine(&folder, None)?;
        let cache = Some(ModuleCache::new(folder.join("modules")));
        let wasm = WasmType::open(WasmOptions { cache, ..WasmOptions::default() })?;
        let counter = wasm.with_module(&wat::parse_str(COUNTER)?)?;
        Ok(Bed { folder, effort, js, counter })
    }

    /// The engine with a tracker of one's choice.
    pub(crate) fn engine_with(&self, tracker: TrackerKind) -> Result<JsType, Failure> {
        engine(&self.folder, Some(tracker))
    }

    /// A new store on the disk. It vanishes with its folder.
    pub(crate) fn store(&self) -> Result<OnDisk, Failure> {
        let folder = tempfile::Builder::new().prefix("store-").tempdir_in(&self.folder)?;
        let store = Arc::new(DiskStore::open(folder.path())?);
        Ok(OnDisk { store, folder })
    }
}

fn engine(folder: &Path, tracker: Option<TrackerKind>) -> Result<JsType, Failure> {
    let cache = Some(ModuleCache::new(folder.join("modules")));
    Ok(JsType::open(JsOptions { cache, tracker, ..JsOptions::default() })?)
}

/// A store on the disk, and its folder.
pub(crate) struct OnDisk {
    pub(crate) store: Arc<DiskStore>,
    folder: TempDir,
}

impl OnDisk {
    /// Closes the store; its folder stays until this is dropped.
    pub(crate) fn close(self) -> TempDir {
        self.folder
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A running hypervisor.
pub(crate) struct World {
    runtime: Runtime,
    hypervisor: Hypervisor,
}

/// The thread that runs turns.
const CORE: &str = "everturn-core";

/// What came of many messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handled {
    /// From the first in the queue to the last receipt.
    pub(crate) seconds: f64,
    /// Processor time of the thread that runs turns.
    pub(crate) core_seconds: f64,
    pub(crate) done: usize,
    pub(crate) thrown: usize,
}

impl World {
    pub(crate) fn in_memory(js: &JsType, settings: Settings) -> Result<World, Failure> {
        World::on(Arc::new(MemoryStore::new()), js, settings)
    }

    pub(crate) fn on(store: Arc<dyn Store>, js: &JsType, settings: Settings) -> Result<World, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let builder = Hypervisor::builder().shared_store(store).settings(settings);
        let hypervisor = runtime.block_on(builder.build())?;
        hypervisor.register_container("js", js.clone());
        hypervisor.register_container(GATE, NativeType::<Gate>::new());
        Ok(World { runtime, hypervisor })
    }

    /// The root JavaScript container of this name; a new one begins with this program.
    pub(crate) fn root(&self, name: &str, program: &str) -> Result<ContainerId, Failure> {
        let made = self.hypervisor.get_or_create_instance("js", name, program);
        Ok(self.runtime.block_on(made)?)
    }

    /// One message and its receipt.
    pub(crate) fn call(&self, to: &ContainerId, data: &[u8]) -> Result<Receipt, Failure> {
        Ok(self.runtime.block_on(self.hypervisor.send(to, message(data)))?)
    }

    /// One message whose turn must not throw; its answer.
    pub(crate) fn ask(&self, to: &ContainerId, data: &[u8]) -> Result<Ipld, Failure> {
        match self.call(to, data)?.outcome {
            Ok(answer) => Ok(answer.unwrap_or(Ipld::Null)),
            Err(exception) => Err(format!("a turn threw {exception}").into()),
        }
    }

    /// Puts messages into the queue while nothing can run, then times how they are handled.
    pub(crate) fn gather<'a>(
        &self,
        to: &ContainerId,
        data: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Handled, Failure> {
        let made = self.hypervisor.get_or_create_instance(GATE, GATE, Ipld::Null);
        let gate = self.runtime.block_on(made)?;
        let open = gate::close();
        let waiting = self.hypervisor.send(&gate, message(&everturn::node::encode(&Ipld::Null)?));
        let mut receipts: Vec<_> = data.map(|data| self.hypervisor.send(to, message(data))).collect();
        let last = receipts.pop().ok_or("there is nothing to handle")?;
        let (core, begun) = (thread_seconds(CORE)?, Instant::now());
        drop(open);
        let last = self.runtime.block_on(last)?;
        let seconds = begun.elapsed().as_secs_f64();
        let core_seconds = thread_seconds(CORE)? - core;
        let mut handled = Handled { seconds, core_seconds, ..Handled::default() };
        handled.count(&last);
        self.runtime.block_on(async {
            waiting.await?;
            for receipt in receipts {
                handled.count(&receipt.await?);
            }
            Ok::<(), Failure>(())
        })?;
        Ok(handled)
    }

    /// Keeps this many messages under way until `count` have been handled.
    pub(crate) fn load(
        &self,
        to: &ContainerId,
        data: &[u8],
        count: usize,
        under_way: usize,
    ) -> Result<Handled, Failure> {
        self.load_each(to, std::iter::repeat_n(data, count), under_way)
    }

    /// Keeps this many of them under way until all have been handled.
    pub(crate) fn load_each<'a>(
        &self,
        to: &ContainerId,
        messages: impl Iterator<Item = &'a [u8]>,
        under_way: usize,
    ) -> Result<Handled, Failure> {
        let mut handled = Handled::default();
        let (core, begun) = (thread_seconds(CORE)?, Instant::now());
        self.runtime.block_on(async {
            let mut receipts = VecDeque::with_capacity(under_way);
            for data in messages {
                if receipts.len() == under_way
                    && let Some(oldest) = receipts.pop_front()
                {
                    handled.count(&oldest.await?);
                }
                receipts.push_back(self.hypervisor.send(to, message(data)));
            }
            for receipt in receipts {
                handled.count(&receipt.await?);
            }
            Ok::<(), Failure>(())
        })?;
        handled.seconds = begun.elapsed().as_secs_f64();
        handled.core_seconds = thread_seconds(CORE)? - core;
        Ok(handled)
    }

    /// Pages that batches have found changed so far.
    pub(crate) fn dirty_pages(&self) -> u64 {
        self.hypervisor.metrics().dirty_pages
    }

    /// What a container costs in memory, by its own account.
    pub(crate) fn footprint(&self, id: &ContainerId) -> Result<Footprint, Failure> {
        let containers = self.runtime.block_on(self.hypervisor.inspect())?;
        let found = containers.into_iter().find(|container| container.id == *id);
        Ok(found.and_then(|container| container.footprint).ok_or("the container is not in memory")?)
    }

    pub(crate) fn stop(self) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.hypervisor.stop())?)
    }
}

impl Handled {
    fn count(&mut self, receipt: &Receipt) {
        match receipt.outcome {
            Ok(_) => self.done += 1,
            Err(_) => self.thrown += 1,
        }
    }

    /// Fails if these are not the numbers of turns that were done and that threw.
    pub(crate) fn expect(self, done: usize, thrown: usize) -> Result<Handled, Failure> {
        match (self.done, self.thrown) == (done, thrown) {
            true => Ok(self),
            false => Err(format!("{} turns done and {} thrown", self.done, self.thrown).into()),
        }
    }
}

fn message(data: &[u8]) -> Message {
    Message { data: data.to_vec(), ..Message::default() }
}

/// A message's data: a map of numbers.
pub(crate) fn numbers<'a>(fields: impl IntoIterator<Item = (&'a str, i64)>) -> Result<Vec<u8>, Failure> {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), Ipld::Integer(value.into())));
    Ok(everturn::node::encode(&Ipld::Map(fields.collect::<BTreeMap<_, _>>()))?)
}
