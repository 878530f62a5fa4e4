//! What a host waits for: receipts of turns, and answers, which may come in a later turn than their message.
//!
//! A host that waits for an answer is no container and leaves no mark: messages to its end of a channel are lost as those to
//! an end that is gone, and on the way it hears the first of them. So nothing depends on whether it still listens.

use everturn_dag::node;
use everturn_exo_interface::{Exception, ExceptionKind, Minted};
use everturn_port_manager::{ContainerId, Delivery, End, Kind, PortId};

use super::Core;
use crate::batch::{Output, Reply};
use crate::{HypervisorError, Receipt};

/// Who waits for the turn of a message, and for what of it.
pub(crate) enum Awaited {
    Receipt(Reply<Receipt>),
    /// The answer, one dag-cbor value.
    Answer(Reply<Vec<u8>>),
    Creation(Reply<ContainerId>),
}

impl Awaited {
    /// What leaves when the turn is durable.
    pub(super) fn output(
        self,
        id: ContainerId,
        outcome: Result<Option<Vec<u8>>, Exception>,
        receipt: impl FnOnce(Result<Option<everturn_dag::Ipld>, Exception>) -> Receipt,
    ) -> Output {
        match self {
            Awaited::Receipt(reply) => {
                let outcome = outcome.map(|answer| answer.and_then(|bytes| node::decode(&bytes).ok()));
                Output::Receipt(reply, receipt(outcome))
            }
            Awaited::Answer(reply) => {
                let answer = outcome.map_err(HypervisorError::Exception);
                Output::Answer(reply, answer.and_then(|answer| answer.ok_or(HypervisorError::Unanswered)))
            }
            Awaited::Creation(reply) => {
                Output::Created(reply, outcome.map(|_| id).map_err(HypervisorError::Exception))
            }
        }
    }

    /// Nothing was sent.
    pub(super) fn refuse(self, error: HypervisorError) {
        // Whoever gave up waiting needs no answer.
        match self {
            Awaited::Receipt(reply) => drop(reply.send(Err(error))),
            Awaited::Answer(reply) => drop(reply.send(Err(error))),
            Awaited::Creation(reply) => drop(reply.send(Err(error))),
        }
    }
}

impl Core {
    /// A turn took the way back into its hand: the host that waits for its answer gets the other end.
    pub(super) fn listen(&mut self, by: ContainerId, minted: &Minted, awaited: &mut Option<Awaited>) {
        self.mint(by, minted.id, minted.nonce);
        match awaited.take() {
            Some(Awaited::Answer(reply)) => {
                self.listeners.insert(PortId { of: minted.id, end: Some(End::Second) }, reply);
            }
            other => *awaited = other,
        }
    }

    /// Lets a host hear what comes out of its end of a channel, if it is one.
    pub(super) fn hear(&mut self, end: PortId, delivery: &Delivery) {
        let Some(reply) = self.listeners.remove(&end) else { return };
        let data = &delivery.message.data;
        let answer = match delivery.kind {
            Kind::Exception => Err(HypervisorError::Exception(read_exception(data))),
            Kind::Close => Err(HypervisorError::Unanswered),
            _ => Ok(data.clone()),
        };
        self.open.outputs.push(Output::Answer(reply, answer));
    }

    /// The other end of a host's channel is gone.
    pub(super) fn hear_nothing(&mut self, end: PortId) {
        if let Some(reply) = self.listeners.remove(&end) {
            self.open.outputs.push(Output::Answer(reply, Err(HypervisorError::Unanswered)));
        }
    }
}

/// What was sent in place of an answer. A guest may send any value.
fn read_exception(data: &[u8]) -> Exception {
    let unreadable = || Exception::new(ExceptionKind::Throw, "an exception that does not say what it is");
    node::decode(data).unwrap_or_else(|_| unreadable())
}
