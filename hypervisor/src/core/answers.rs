//! What a host waits for: receipts of turns, and answers, which may come in a later turn than their message.
//!
//! A host that waits for an answer is no container and leaves no mark: messages to its end of a channel are lost as those to
//! an end that is gone, and on the way it hears the first of them. So no container depends on whether it still listens.

use everturn_dag::node;
use everturn_exo_interface::{Exception, ExceptionKind, Minted};
use everturn_port_manager::{ContainerId, Delivery, End, Kind, PortId};

use super::Core;
use super::once::Name;
use crate::batch::{Output, Reply};
use crate::{HypervisorError, Receipt};

/// Who waits for the turn of a message, and for what of it.
pub(crate) enum Awaited {
    Receipt(Reply<Receipt>),
    /// The answer, one dag-cbor value.
    Answer(Hearer),
    Creation(Reply<ContainerId>),
}

/// Who hears an answer.
pub(crate) enum Hearer {
    One(Reply<Vec<u8>>),
    /// All who came with this key.
    Once(Name),
}

impl Core {
    /// A turn is over: whoever waits for it is told when it is durable.
    pub(super) fn conclude(
        &mut self,
        awaited: Awaited,
        id: ContainerId,
        outcome: Result<Option<Vec<u8>>, Exception>,
        receipt: impl FnOnce(Result<Option<everturn_dag::Ipld>, Exception>) -> Receipt,
    ) {
        let output = match awaited {
            Awaited::Receipt(reply) => {
                let outcome = outcome.map(|answer| answer.and_then(|bytes| node::decode(&bytes).ok()));
                Output::Receipt(reply, receipt(outcome))
            }
            Awaited::Answer(Hearer::One(reply)) => {
                let answer = outcome.map_err(HypervisorError::Exception);
                Output::Answer(reply, answer.and_then(|answer| answer.ok_or(HypervisorError::Unanswered)))
            }
            Awaited::Answer(Hearer::Once(name)) => {
                return self.conclude_once(name, outcome.map_err(HypervisorError::Exception));
            }
            Awaited::Creation(reply) => {
                Output::Created(reply, outcome.map(|_| id).map_err(HypervisorError::Exception))
            }
        };
        self.open.outputs.push(output);
    }

    /// Nothing was sent.
    pub(super) fn refuse(&mut self, awaited: Awaited, error: HypervisorError) {
        // Whoever gave up waiting needs no answer.
        match awaited {
            Awaited::Receipt(reply) => drop(reply.send(Err(error))),
            Awaited::Answer(Hearer::One(reply)) => drop(reply.send(Err(error))),
            Awaited::Answer(Hearer::Once(name)) => self.fail_once(name, error),
            Awaited::Creation(reply) => drop(reply.send(Err(error))),
        }
    }

    /// A turn took the way back into its hand: the host that waits for its answer gets the other end.
    pub(super) fn listen(&mut self, by: ContainerId, minted: &Minted, awaited: &mut Option<Awaited>) {
        self.mint(by, minted.id, minted.nonce);
        match awaited.take() {
            Some(Awaited::Answer(hearer)) => {
                let end = PortId { of: minted.id, end: Some(End::Second) };
                if let Hearer::Once(name) = &hearer {
                    self.onces.owe(*name, end);
                }
                self.listeners.insert(end, hearer);
            }
            other => *awaited = other,
        }
    }

    /// Lets a host hear what comes out of its end of a channel, if it is one.
    pub(super) fn hear(&mut self, end: PortId, delivery: &Delivery) {
        let Some(hearer) = self.listeners.remove(&end) else { return };
        let data = &delivery.message.data;
        let answer = match delivery.kind {
            Kind::Exception => Err(HypervisorError::Exception(read_exception(data))),
            Kind::Close => Err(HypervisorError::Unanswered),
            _ => Ok(data.clone()),
        };
        self.heard(hearer, answer);
    }

    /// The other end of a host's channel is gone.
    pub(super) fn hear_nothing(&mut self, end: PortId) {
        if let Some(hearer) = self.listeners.remove(&end) {
            self.heard(hearer, Err(HypervisorError::Unanswered));
        }
    }

    fn heard(&mut self, hearer: Hearer, answer: Result<Vec<u8>, HypervisorError>) {
        match hearer {
            Hearer::One(reply) => self.open.outputs.push(Output::Answer(reply, answer)),
            // The turn that took the request was done, so it is not tried again.
            Hearer::Once(name) => self.keep(name, answer.into()),
        }
    }
}

/// What was sent in place of an answer. A guest may send any value.
fn read_exception(data: &[u8]) -> Exception {
    let unreadable = || Exception::new(ExceptionKind::Throw, "an exception that does not say what it is");
    node::decode(data).unwrap_or_else(|_| unreadable())
}
