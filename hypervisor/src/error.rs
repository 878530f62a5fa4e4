//! What a host is told when a request of its cannot be met.

use everturn_exo_interface::{Exception, ExoError};
use everturn_port_manager::{PortNameError, Ticks};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HypervisorError {
    /// The container's program failed; nothing of that turn happened.
    #[error("{0}")]
    Exception(Exception),
    /// The container let go the way back before it gave an answer.
    #[error("the container gave no answer, and none will come")]
    Unanswered,
    /// No container has this id, or a host may not speak to it.
    #[error("no root container {0} is alive here")]
    NoSuchContainer(String),
    /// A container of this name is alive already.
    #[error("a root container named {name:?} of type {container_type:?} is alive already")]
    NameInUse {
        /// Its name.
        name: String,
        /// Its type.
        container_type: String,
    },
    /// The name is no name of a port.
    #[error(transparent)]
    PortName(#[from] PortNameError),
    /// A container has a port of this name that leads elsewhere.
    #[error("container {container} has another port named {port:?}; unbind or delete that first")]
    PortInUse {
        /// The container.
        container: String,
        /// The name.
        port: String,
    },
    /// A container has as many ports as it may have.
    #[error("container {container} would have more than {ports_max} ports, as many as it may have")]
    TooManyPorts {
        /// The container.
        container: String,
        /// The limit.
        ports_max: usize,
    },
    /// No factory was registered under this name.
    #[error("no container type {0:?} is registered; call register_container first")]
    UnknownType(String),
    /// The state at these ticks is past.
    #[error("the cut is past: the earliest state that can still be had is at {earliest} ticks")]
    CutPassed {
        /// The least ticks that would work.
        earliest: Ticks,
    },
    /// The root is not in this store.
    #[error("there is no root {0} in this store; it was never made or imported here, or it was released")]
    NoSuchRoot(String),
    /// The root is not pinned here, or not any more.
    #[error("the root {0} is not pinned here; it was released as often as it was made")]
    NotPinned(String),
    /// The root is not that of a checkpoint.
    #[error("{cid} is no checkpoint: {what}")]
    NoCheckpoint {
        /// The address.
        cid: String,
        /// What is wrong with it.
        what: String,
    },
    /// Only an empty store can become what a checkpoint stands for.
    #[error("this store has containers already; resume a checkpoint in an empty one")]
    NotEmpty,
    /// A container that a state would bring to life is alive.
    #[error("container {0} of that state is alive here already; a state can be alive once in a store")]
    Alive(String),
    /// A state has more containers than may be alive here besides those that are.
    #[error(
        "that state has {owned} containers below its root, {alive} are alive here and {containers_max} may be"
    )]
    TooManyContainers {
        /// Those of the state, without its root.
        owned: u64,
        /// Those that containers have made here.
        alive: u64,
        /// The limit.
        containers_max: u64,
    },
    /// A root could not leave, or a CAR not be taken in. Nothing was changed.
    #[error(transparent)]
    Archive(Box<crate::ArchiveError>),
    /// The store, or the checkpoint in it, was made with another configuration.
    #[error(
        "what is in this store was made with {field} = {stored}, not {given}; use that, or another store"
    )]
    Configuration {
        /// Which setting.
        field: &'static str,
        /// Its value in the store.
        stored: String,
        /// The value asked for.
        given: String,
    },
    /// The message cannot be encoded, or is too large.
    #[error("the message cannot be sent: {0}")]
    Message(String),
    /// Hosts have sent more than is taken: it may be sent again when some of it was.
    #[error("{waiting} inputs wait for their turns already, as many as may; send again when some were taken")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The key of a request that is done once was used for another request.
    #[error("this key was used for another request")]
    OtherRequest,
    /// So many replies are kept for a container that no further one can be promised.
    #[error(
        "{entries} replies of {bytes} bytes are kept already, as much as may; try again when some have expired"
    )]
    TooManyKept {
        /// How many.
        entries: usize,
        /// What they take.
        bytes: u64,
    },
    /// The host failed below a container.
    #[error(transparent)]
    Exo(#[from] ExoError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] everturn_dag::StoreError),
    /// The hypervisor has stopped; what was durable stays so.
    #[error("the hypervisor has stopped: {0}")]
    Stopped(String),
}
