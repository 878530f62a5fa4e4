//! Requests that containers make of other hosts.
//!
//! The durable half is a root container of its own, [`NAME`], which keeps what is owed. The outer half, a task, asks it for
//! requests, sends them, and brings the answers back; it keeps nothing, so a restart begins it anew and it gets what is still
//! owed. To a program the driver is the port [`PORT`], which its `fetch` goes through. docs/fetch.md says it for people.

mod durable;

use std::sync::Arc;

use async_trait::async_trait;
use everturn_containers::native::NativeType;
use everturn_dag::Ipld;
use everturn_drivers::outbound::{self, Answer, Client, Outbox as Owing, Owed};
pub use everturn_drivers::outbound::{AllowedHost, OutboundError, Settings};
use everturn_hypervisor::{Builder, Hypervisor, HypervisorError};
use everturn_port_manager::ContainerId;

use durable::{Handed, Outbox, Said};

use crate::driver::Durable;

/// The root container that is the durable half, and its type.
pub const NAME: &str = "everturn:http";
/// The name of the port in a program.
pub const PORT: &str = "http";

/// Makes the type of the durable half known. To be called wherever a store is opened that may have one: nothing runs before
/// the types of all that waits are known.
pub fn register(hypervisor: &Hypervisor) {
    hypervisor.register_container(NAME, NativeType::<Outbox>::new());
}

/// As [`register`], from the beginning: a checkpoint may have one.
#[must_use]
pub fn registered(builder: Builder) -> Builder {
    builder.register_container(NAME, NativeType::<Outbox>::new())
}

/// A running outer half. It ends with its hypervisor.
#[derive(Clone)]
pub struct Outbound(Durable);

impl Outbound {
    /// Lets a root container reach these hosts, and no others, by its port [`PORT`]. What is owed from before is sent now.
    ///
    /// # Errors
    /// If the port's name is used otherwise, or the client cannot be made.
    pub async fn start(
        hypervisor: &Hypervisor,
        program: &ContainerId,
        allowed: Vec<AllowedHost>,
        settings: Settings,
    ) -> Result<Outbound, StartError> {
        let client = Client::new(allowed, settings)?;
        register(hypervisor);
        let salt = Ipld::Bytes(outbound::salt()?.to_vec());
        let id = hypervisor.get_or_create_instance(NAME, NAME, salt).await?;
        let started = Outbound(Durable { hypervisor: hypervisor.clone(), id });
        started.connect(program).await?;
        drop(tokio::spawn(outbound::pump(Arc::new(started.clone()), Arc::new(client))));
        Ok(started)
    }

    /// Gives a root container the port; nothing if it has it. For one that went back to an older state.
    ///
    /// # Errors
    /// As [`Hypervisor::connect`].
    pub async fn connect(&self, program: &ContainerId) -> Result<(), HypervisorError> {
        self.0.hypervisor.connect(&self.0.id, &program.to_string(), program, PORT).await
    }

    /// Whether a store has a durable half, which may owe something.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn is_there(hypervisor: &Hypervisor) -> Result<bool, HypervisorError> {
        hypervisor.is_alive(&ContainerId::root(NAME)).await
    }

    /// Waits until no request is owed; how many there were so far.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn settled(&self) -> Result<u64, HypervisorError> {
        self.0.ask(&Said::Idle).await
    }
}

/// Why a program cannot be given the way to other hosts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] OutboundError),
    /// The hypervisor refused.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
}

#[async_trait]
impl Owing for Outbound {
    async fn next(&self, after: u64) -> Option<Vec<Owed>> {
        let handed: Vec<Handed> = match self.0.ask(&Said::Next(after)).await {
            Ok(handed) => handed,
            Err(error) => {
                tracing::debug!(target: "everturn::outbound", %error, "no more requests are sent");
                return None;
            }
        };
        let owed = handed.into_iter().map(|Handed { number, key, request }| Owed { number, key, request });
        Some(owed.collect())
    }

    async fn done(&self, number: u64, answer: Answer) -> bool {
        let said = match answer {
            Ok(answer) => Said::Done(number, answer),
            Err(text) => Said::Failed(number, text),
        };
        self.0.tell(&said).await.is_ok_and(|receipt| receipt.outcome.is_ok())
    }
}
