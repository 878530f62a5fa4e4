//! What goes to the committer together: changes of the store, and the outputs that wait for them.

use everturn_dag::{Batch, Cid, StoreError};
use everturn_exo_interface::Footprint;
use everturn_port_manager::{ContainerId, Ticks};
use tokio::sync::oneshot;

use crate::core::{Connecting, Marking};
use crate::writer::Writer;
use crate::{Given, HypervisorError, Line, Ran, Receipt};

/// How an answer gets to a host.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, HypervisorError>>;

/// An answer to a request that is done once: one dag-cbor value.
pub(crate) type Repeated = (Vec<u8>, Given);

/// Something that leaves once the batch is durable.
pub(crate) enum Output {
    Receipt(Reply<Receipt>, Receipt),
    /// One dag-cbor value, or why there is none.
    Answer(Reply<Vec<u8>>, Result<Vec<u8>, HypervisorError>),
    Repeated(Reply<Repeated>, Result<Repeated, HypervisorError>),
    Line(Line),
    Created(Reply<ContainerId>, Result<ContainerId, HypervisorError>),
    Waited(Reply<Ticks>, Ticks),
    Ran(Reply<Ran>, Ran),
    Done(Reply<()>),
    Connected(Reply<Connecting>),
    /// A state root of what the batch leaves.
    Root(Reply<Cid>, ContainerId, Option<Marking>),
    /// Work on what the batch leaves.
    Errand(Errand),
}

/// Work for the one writer of the store. What it writes is durable when the answer leaves.
pub(crate) type Errand = Box<dyn FnOnce(&mut Writer) -> Result<Answer, StoreError> + Send>;

/// How an errand's answer leaves.
pub(crate) type Answer = Box<dyn FnOnce()>;

/// One commit.
pub(crate) struct Commit {
    /// Counts commits of this run of the hypervisor.
    pub(crate) number: u64,
    pub(crate) turns: u32,
    pub(crate) batch: Batch,
    /// Containers whose state is to be removed with the batch.
    pub(crate) deleted: Vec<ContainerId>,
    /// Containers that the batch holds the newest state of, and what each takes in memory if it is there.
    pub(crate) touched: Vec<(ContainerId, Option<Footprint>)>,
    pub(crate) outputs: Vec<Output>,
}
