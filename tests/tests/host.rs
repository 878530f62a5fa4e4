//! What every world of these tests is on: a hypervisor, which may stop and start again, and the store that outlives it.

use std::sync::Arc;

use everturn::{
    Builder, Cid, ContainerId, Hypervisor, HypervisorError, Inspection, Ipld, MemoryStore, Message, Receipt,
    Store, Ticks, node,
};
use everturn_dag::{Batch, Space};

use crate::cars;

pub(crate) struct Host {
    runtime: tokio::runtime::Runtime,
    pub(crate) store: Arc<dyn Store>,
    hypervisor: Option<Hypervisor>,
}

impl Host {
    /// A store on which nothing runs yet.
    pub(crate) fn on(store: Arc<dyn Store>) -> Host {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Host { runtime, store, hypervisor: None }
    }

    /// Starts a hypervisor on the store.
    pub(crate) fn start(&mut self, builder: Builder) -> Result<&Hypervisor, HypervisorError> {
        let hypervisor = self.block_on(builder.shared_store(self.store.clone()).build())?;
        Ok(self.hypervisor.insert(hypervisor))
    }

    /// Stops it. What it leaves is right.
    pub(crate) fn stop(&mut self) {
        let hypervisor = self.hypervisor.take().expect("it runs");
        self.block_on(hypervisor.stop()).unwrap();
        assert_whole(&*self.store);
    }

    pub(crate) fn runs(&self) -> bool {
        self.hypervisor.is_some()
    }

    pub(crate) fn hypervisor(&self) -> &Hypervisor {
        self.hypervisor.as_ref().expect("it runs")
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Sends a root container a message and gives its receipt.
    pub(crate) fn send(&self, to: &ContainerId, data: impl Into<Ipld>) -> Receipt {
        let message = Message { data: node::encode(&data.into()).unwrap(), ..Message::default() };
        self.block_on(self.hypervisor().send(to, message)).unwrap()
    }

    /// Waits until nothing is queued; the container's ticks then.
    pub(crate) fn wait(&self, of: &ContainerId) -> Ticks {
        self.block_on(self.hypervisor().wait(of, Ticks::MAX)).unwrap()
    }

    /// A container's state root when idle.
    pub(crate) fn state_root(&self, of: &ContainerId) -> Cid {
        self.block_on(self.hypervisor().create_state_root(of, Ticks::MAX)).unwrap()
    }

    pub(crate) fn inspect(&self) -> Vec<Inspection> {
        self.block_on(self.hypervisor().inspect()).unwrap()
    }

    /// A root as a CAR.
    pub(crate) fn export(&self, root: &Cid) -> Vec<u8> {
        self.block_on(cars::export(self.hypervisor(), root))
    }

    /// Takes in a CAR.
    pub(crate) fn import(&self, car: Vec<u8>) -> Result<Cid, HypervisorError> {
        self.block_on(cars::import(self.hypervisor(), car))
    }
}

/// Everything in a store that no hypervisor has open is right: blocks, counts of references, records, owners, states.
pub(crate) fn assert_whole(store: &dyn Store) {
    // One instant: the committer may be removing blocks.
    assert_eq!(everturn::check(&*store.snapshot().unwrap()).problems, [""; 0]);
}

/// The same rows at another place, as they are now: what a crash leaves.
pub(crate) fn copy(store: &dyn Store) -> MemoryStore {
    let (copy, snapshot, mut batch) = (MemoryStore::new(), store.snapshot().unwrap(), Batch::new());
    for space in Space::ALL {
        let put = &mut |key: &[u8], value: &[u8]| {
            batch.put(space, key.to_vec(), value.to_vec());
            true
        };
        snapshot.scan(space, &[], put).unwrap();
    }
    copy.write(batch).unwrap();
    copy
}
