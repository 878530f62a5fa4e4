//! What a host does with roots beyond making them: out to a CAR, in from one, to life, to a checkpoint.

use std::io::{Read, Seek, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;

use everturn_dag::{Cid, Store};
use everturn_port_manager::ContainerId;

use crate::archive::{self, Checked, Exported, ImportLimits};
use crate::checkpoint;
use crate::core::{Command, Joined, Types};
use crate::writer::{Arrivals, Writer};
use crate::{Hypervisor, HypervisorError};

impl Hypervisor {
    /// Writes a state root or a checkpoint, and all that it needs, as a CARv1: ids, state nodes, page trees, and the
    /// modules that the heaps run on. One block is in memory at a time; turns go on meanwhile.
    ///
    /// # Errors
    /// [`HypervisorError::NoSuchRoot`], or if the output refuses.
    pub async fn export_root(
        &self,
        root: &Cid,
        output: impl Write + Send + 'static,
    ) -> Result<Exported, HypervisorError> {
        let root = *root;
        // It must not be reclaimed while it leaves.
        self.errand(move |writer| writer.pin(&root)).await?;
        let exported = self
            .on_store(move |store| archive::export(store, &root, output).map_err(archive::in_store))
            .await;
        self.release_root(&root).await?;
        exported
    }

    /// Takes in a state root or a checkpoint from a CARv1 and pins it. All of the input is read and checked before anything
    /// is written; what is refused leaves the store as it was. The root is not brought to life:
    /// [`Hypervisor::revive_instance`] or [`Builder::resume`](crate::Builder::resume) do that.
    ///
    /// # Errors
    /// [`HypervisorError::Archive`] says what is wrong with the input.
    pub async fn import_root(
        &self,
        input: impl Read + Seek + Send + 'static,
        limits: ImportLimits,
    ) -> Result<Cid, HypervisorError> {
        let hypervisor = self.clone();
        let runtime = tokio::runtime::Handle::current();
        self.on_thread(move || {
            let checked = Checked::read(input, limits)?;
            let _arrival = hypervisor.arrivals().begin();
            let root = checked.arrive::<HypervisorError>(&mut |batch| {
                runtime.block_on(hypervisor.errand(move |writer| Ok(writer.arrive(batch)?)))
            })?;
            runtime.block_on(hypervisor.errand(move |writer| writer.pin(&root)))?;
            Ok(root)
        })
        .await
    }

    /// A root container that is as a state root has it, under a name of its own. What it owns comes with it.
    ///
    /// # Errors
    /// [`HypervisorError::NameInUse`]; [`HypervisorError::Alive`] if something that it owns is alive here;
    /// [`HypervisorError::NoSuchRoot`]; or if the root is no state of this type. Then nothing has happened.
    pub async fn revive_instance(
        &self,
        container_type: &str,
        name: &str,
        root: &Cid,
    ) -> Result<ContainerId, HypervisorError> {
        let (container_type, name, root) = (container_type.to_owned(), name.to_owned(), *root);
        self.errand(move |writer| writer.pin(&root)).await?;
        let revived = self.ask(|reply| Command::Revive { container_type, name, root, reply }).await;
        self.release_root(&root).await?;
        revived
    }

    /// The address of all that is needed to go on bit for bit from here: every container, also those that are in flight,
    /// every queue, the clock, and the configuration. It is pinned like a state root.
    ///
    /// A host's own inputs count from the turn that takes them: one that still waits is not in it.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn checkpoint(&self) -> Result<Cid, HypervisorError> {
        self.errand_at(Joined::Now, |writer| writer.checkpoint()).await
    }

    /// Whether a root that is in the store is a checkpoint; others are state roots.
    ///
    /// # Errors
    /// [`HypervisorError::NoSuchRoot`], or if it is neither.
    pub async fn is_checkpoint(&self, root: &Cid) -> Result<bool, HypervisorError> {
        let root = *root;
        self.on_store(move |store| checkpoint::is_one(store, &root)).await
    }

    /// Reads the store on a thread of its own.
    pub(crate) async fn on_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, HypervisorError> + Send + 'static,
    ) -> Result<T, HypervisorError> {
        let store = self.store().upgrade();
        let store = store.ok_or_else(|| HypervisorError::Stopped("the store is closed".into()))?;
        self.on_thread(move || work(&*store)).await
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HypervisorError> + Send + 'static,
    ) -> Result<T, HypervisorError> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(HypervisorError::Stopped(error.to_string())))
    }
}

/// Takes in a state root or a checkpoint from a CARv1 and pins it, in a store that no hypervisor has open: what
/// [`Builder::resume`](crate::Builder::resume) begins with.
///
/// # Errors
/// As [`Hypervisor::import_root`].
pub fn import_car(
    store: &Arc<dyn Store>,
    input: impl Read + Seek,
    limits: ImportLimits,
) -> Result<Cid, HypervisorError> {
    let checked = Checked::read(input, limits)?;
    let arrivals = Arrivals::default();
    let _arrival = arrivals.begin();
    let mut writer = Writer::new(store.clone(), Types::default(), NonZeroUsize::MIN, arrivals)?;
    let root = checked.arrive::<HypervisorError>(&mut |batch| Ok(writer.arrive(batch)?))?;
    writer.pin(&root)?;
    writer.sync()?;
    Ok(root)
}
