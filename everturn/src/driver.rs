//! What the drivers have in common.
//!
//! A driver has two halves. The durable one is a root container beside the program; the outer one keeps nothing, asks it for
//! what is to be done and tells it what was. Here are the outer half's way to the durable one ([`Durable`]), and what the
//! turns of durable halves do with ways back that wait for something.

use everturn_dag::node::{self, NodeError};
use everturn_exo_interface::{Exception, ExceptionKind, Refusal, Turn};
use everturn_hypervisor::{Hypervisor, HypervisorError, Receipt};
use everturn_port_manager::{ContainerId, Message};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The durable half of a driver, as its outer half sees it.
#[derive(Clone)]
pub(crate) struct Durable {
    pub(crate) hypervisor: Hypervisor,
    pub(crate) id: ContainerId,
}

impl Durable {
    /// Asks, and waits for the answer, however long that takes.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, said: &impl Serialize) -> Result<T, HypervisorError> {
        self.ask_encoded(node::encode(said).map_err(unfit)?).await
    }

    /// As [`Durable::ask`], of what is encoded already. It is under way when this returns.
    pub(crate) fn ask_encoded<T: DeserializeOwned>(
        &self,
        data: Vec<u8>,
    ) -> impl Future<Output = Result<T, HypervisorError>> + use<T> {
        let answer = self.hypervisor.call_encoded(&self.id, Message { data, ..Message::default() });
        async move { node::decode(&answer.await?).map_err(unfit) }
    }

    /// Tells, and waits until that is durable.
    pub(crate) async fn tell(&self, said: &impl Serialize) -> Result<Receipt, HypervisorError> {
        let data = node::encode(said).map_err(unfit)?;
        self.hypervisor.send(&self.id, Message { data, ..Message::default() }).await
    }
}

fn unfit(error: NodeError) -> HypervisorError {
    HypervisorError::Message(error.to_string())
}

/// Keeps the way back of this turn's message under a name, until there is something to say. Who waited there waits no more.
pub(crate) fn hold(turn: &mut Turn, name: &str) -> Result<(), Exception> {
    let Some(reply) = turn.reply_port() else { return Ok(()) };
    let_go(turn, name)?;
    Ok(turn.bind(name, reply)?)
}

/// Answers who waits under a name, if anybody does.
pub(crate) fn answer_held(turn: &mut Turn, name: &str, value: &impl Serialize) -> Result<(), Exception> {
    let Ok(waiting) = turn.get(name) else { return Ok(()) };
    passed(turn.send(waiting, &encoded(value)?, &[], 0))?;
    let_go(turn, name)
}

/// Deletes a port, if it is there.
pub(crate) fn let_go(turn: &mut Turn, name: &str) -> Result<(), Exception> {
    match turn.delete(name) {
        Err(Refusal::NotBound) => Ok(()),
        deleted => Ok(deleted?),
    }
}

/// What is sent to somebody who is gone is sent all the same.
pub(crate) fn passed(sent: Result<(), Refusal>) -> Result<(), Exception> {
    match sent {
        Err(Refusal::Closed) => Ok(()),
        sent => Ok(sent?),
    }
}

pub(crate) fn encoded(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Exception> {
    node::encode(value).map_err(|error| thrown(error.to_string()))
}

pub(crate) fn thrown(text: impl Into<String>) -> Exception {
    Exception::new(ExceptionKind::Throw, text)
}
