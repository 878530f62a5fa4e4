//! One hypervisor with a program that notes what comes, its links, and what outlives it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use everturn::link::{Endpoint, Identity, LINK, LinkError, LinkType, Links, Resolution, Settings, Strangers};
use everturn::{ContainerId, DiskStore, Hypervisor, Ipld, MemoryStore, Store};
use everturn_dag::store::power_cut::PowerCutStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::world::{Ways, js};

/// How long a story may take; nothing depends on it but when a failure is told.
const PATIENCE: Duration = Duration::from_secs(120);

const PROGRAM: &str = "var got = []; function receive(sender, message) { got.push([sender, message]); }";

/// Where its state lies.
pub(crate) enum Place {
    Memory(Arc<dyn Store>),
    Disk(TempDir),
    /// The power can be cut.
    Power(Arc<PowerCutStore>),
}

impl Place {
    pub(crate) fn disk() -> Place {
        Place::Disk(tempfile::tempdir().unwrap())
    }

    pub(crate) fn power() -> Place {
        Place::Power(Arc::new(PowerCutStore::new()))
    }

    fn open(&self) -> Arc<dyn Store> {
        match self {
            Place::Memory(store) => store.clone(),
            Place::Power(store) => store.clone(),
            Place::Disk(folder) => Arc::new(DiskStore::open(folder.path().join("data")).unwrap()),
        }
    }
}

pub(crate) struct Node {
    runtime: Runtime,
    place: Place,
    seed: [u8; 32],
    strangers: Strangers,
    /// Where it listens; the same in all its lives.
    pub(crate) address: String,
    life: Option<Life>,
}

struct Life {
    hypervisor: Hypervisor,
    main: ContainerId,
    links: Links,
    stop: oneshot::Sender<()>,
    kept: tokio::task::JoinHandle<()>,
}

impl Node {
    pub(crate) fn new() -> Node {
        Node::at(Place::Memory(Arc::new(MemoryStore::new())))
    }

    pub(crate) fn open(strangers: Strangers) -> Node {
        Node::begin(Place::Memory(Arc::new(MemoryStore::new())), strangers)
    }

    pub(crate) fn at(place: Place) -> Node {
        Node::begin(place, Strangers::Refused)
    }

    fn begin(place: Place, strangers: Strangers) -> Node {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut node =
            Node { runtime, place, seed: seed(), strangers, address: "127.0.0.1:0".into(), life: None };
        node.start();
        node
    }

    /// Where it listens from now on. The library may take a moment to let go of the socket of the life before.
    async fn bind(&self) -> Endpoint {
        let begun = Instant::now();
        loop {
            let identity = Identity::of_seed(&self.seed).unwrap();
            match Endpoint::bind(&self.address, identity, self.settings()).await {
                Err(LinkError::Address { .. }) if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                bound => return bound.unwrap(),
            }
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            strangers: self.strangers,
            silence_max: Duration::from_secs(1),
            retry_longest: Duration::from_millis(200),
            ..Settings::default()
        }
    }

    pub(crate) fn start(&mut self) {
        let life = self.runtime.block_on(async {
            let endpoint = self.bind().await;
            let address = endpoint.address().to_string();
            let builder = Hypervisor::builder().shared_store(self.place.open());
            let builder =
                builder.register_container("js", js(&Ways::default())).register_container(LINK, LinkType);
            let hypervisor = builder.clock(everturn::clock::now_ms).build().await.unwrap();
            drop(everturn::clock::keep(&hypervisor));
            let main = hypervisor.get_or_create_instance("js", "main", PROGRAM).await.unwrap();
            let links = Links::open(&hypervisor).await.unwrap();
            links.welcome(self.strangers).await.unwrap();
            hypervisor.connect(&main, LINK, &links.container(), "program").await.unwrap();
            let (stop, stopped) = oneshot::channel();
            let until = async { _ = stopped.await };
            let kept = tokio::spawn(endpoint.run(links.inside(), until));
            (address, Life { hypervisor, main, links, stop, kept })
        });
        (self.address, self.life) = (life.0, Some(life.1));
    }

    pub(crate) fn stop(&mut self) {
        let Life { hypervisor, links, stop, kept, .. } = self.life.take().expect("it runs");
        self.runtime.block_on(async {
            let _ = stop.send(());
            kept.await.unwrap();
            drop(links);
            hypervisor.stop().await.unwrap();
        });
    }

    /// The power is cut, in the middle of whatever goes on: of what was not synced so many batches are kept. It comes back at once.
    pub(crate) fn cut(&mut self, kept: usize) {
        let Place::Power(store) = &self.place else { panic!("its power cannot be cut") };
        let left = Arc::new(store.cut(kept));
        let Life { hypervisor, links, stop, kept, .. } = self.life.take().expect("it runs");
        self.runtime.block_on(async {
            kept.abort();
            let _ = kept.await;
            drop((stop, links));
            // Its store is gone, so it cannot end in order.
            let _ = hypervisor.stop().await;
        });
        self.place = Place::Power(left);
        self.start();
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("it runs")
    }

    /// Makes another known by this address.
    pub(crate) fn meets(&self, other: &Node, address: &str) {
        let key = Identity::of_seed(&other.seed).unwrap().key();
        self.runtime.block_on(self.life().links.add(address, key)).unwrap();
    }

    /// A line for its program; what it comes to, as text.
    pub(crate) fn ask(&self, line: &str) -> String {
        let Life { hypervisor, main, .. } = self.life();
        let receipt = self.runtime.block_on(hypervisor.evaluate(main, "<test>", line)).unwrap();
        match receipt.outcome.unwrap_or_else(|exception| panic!("{line}: {exception}")) {
            Some(Ipld::Map(mut fields)) => match fields.remove("text") {
                Some(Ipld::String(text)) => text.trim_matches('\'').to_owned(),
                _ => String::new(),
            },
            other => panic!("{line}: {other:?}"),
        }
    }

    pub(crate) fn tell(&self, line: &str) {
        self.ask(line);
    }

    /// Waits until an expression comes to this.
    pub(crate) fn until(&self, expression: &str, expected: &str) {
        self.wait_for(|| {
            let text = self.ask(expression);
            if text == expected { Ok(()) } else { Err(format!("{expression} is {text}, not {expected}")) }
        });
    }

    fn wait_for<T>(&self, mut look: impl FnMut() -> Result<T, String>) -> T {
        let begun = Instant::now();
        loop {
            match look() {
                Ok(found) => return found,
                Err(what) if begun.elapsed() > PATIENCE => panic!("{what}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub(crate) fn until_acknowledged(&self, address: &str, number: u64) {
        self.wait_for(|| {
            let positions = self.runtime.block_on(self.life().links.positions(address)).unwrap();
            let found = positions.acknowledged.number;
            if found == number { Ok(()) } else { Err(format!("{found} are acknowledged, not {number}")) }
        });
    }

    /// Waits until the link with a peer has stopped, and says why.
    pub(crate) fn until_stopped(&self, address: &str) -> String {
        self.wait_for(|| {
            let peers = self.runtime.block_on(self.life().links.list()).unwrap();
            let peer = peers.into_iter().find(|peer| peer.address == address).expect("it is known");
            peer.stopped.ok_or_else(|| "the link goes on".to_owned())
        })
    }

    /// Resolves a link of a node that lives, as an attached command does; the refusal, if it is refused.
    pub(crate) fn resolve_alive(&self, address: &str, resolution: Resolution) -> Result<(), String> {
        let resolved = self.runtime.block_on(self.life().links.resolve(address, resolution));
        resolved.map_err(|error| error.to_string())
    }

    /// Resolves a link, in a life of its own, as the program does.
    pub(crate) fn resolve(&mut self, address: &str, resolution: Resolution) {
        self.runtime.block_on(self.life().links.resolve(address, resolution)).unwrap();
        self.stop();
        self.start();
    }

    pub(crate) fn backup(&self) -> PathBuf {
        let Place::Disk(folder) = &self.place else { panic!("only what lies on a disk has a backup") };
        let backup = folder.path().join("backup");
        self.runtime.block_on(self.life().hypervisor.backup(&backup)).unwrap();
        backup
    }

    /// It goes on from a backup.
    pub(crate) fn restored(mut self, backup: impl AsRef<Path>) -> Node {
        let Place::Disk(folder) = &self.place else { panic!("only what lies on a disk has a backup") };
        std::fs::remove_dir_all(folder.path().join("data")).unwrap();
        std::fs::rename(backup, folder.path().join("data")).unwrap();
        self.start();
        self
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.life.is_some() && !std::thread::panicking() {
            self.stop();
        }
    }
}

fn seed() -> [u8; 32] {
    use std::sync::atomic::{AtomicU8, Ordering};
    static NEXT: AtomicU8 = AtomicU8::new(1);
    [NEXT.fetch_add(1, Ordering::SeqCst); 32]
}
