//! What a replay asks of the core: kept inputs once more, and turns up to where the next was met.

use everturn_port_manager::{ContainerId, Delivery, PortName, Ticks};
use tokio::sync::oneshot;

use super::requests::RootCreation;
use super::{Allowance, Core};
use crate::batch::Reply;
use crate::builder::TurnsBy;
use crate::kept::What;
use crate::{HypervisorError, Ran};

/// A part of a replay.
pub(crate) enum Again {
    /// An input comes again, here.
    Input(Box<What>, Reply<()>),
    /// Turns run whose delivery tick is lower than `end`, `turns` at most.
    Run { end: Ticks, turns: u64, reply: Reply<Ran> },
}

impl Core {
    pub(super) fn again(&mut self, again: Again) -> Result<(), HypervisorError> {
        match again {
            Again::Input(what, reply) => {
                let done = self.input_again(*what)?;
                // Whoever gave up waiting needs no answer.
                drop(reply.send(done));
            }
            Again::Run { end, turns, reply } => {
                if self.runner.settings.turns_by == TurnsBy::Background || self.allowance.is_some() {
                    let error = HypervisorError::Message("turns run by themselves here".to_owned());
                    drop(reply.send(Err(error)));
                    return Ok(());
                }
                self.allowance = Some(Allowance { turns_left: turns, end, ran: 0, reply });
            }
        }
        Ok(())
    }

    /// Does what was done; `Ok(Err)` is why that is not possible. Messages are put early here, so what waited then is not what waits
    /// now: an input that is stamped again needs to be told.
    fn input_again(&mut self, what: What) -> Result<Result<(), HypervisorError>, HypervisorError> {
        match what {
            What::Create { container_type, name, data, lowered, foremost, date_ms } => {
                self.clock.foremost = foremost;
                let (reply, answer) = oneshot::channel();
                let data = data.into_vec();
                let creation = RootCreation { container_type, name, data, lowered, date_ms };
                self.create_root(creation, false, reply);
                Ok(refused(answer))
            }
            What::Take { to, delivery, .. } => Ok(self.take_again(to, delivery)),
            What::Connect { ends: [(a, name_a), (b, name_b)] } => {
                let places = [PortName::new(&name_a), PortName::new(&name_b)];
                let [Ok(name_a), Ok(name_b)] = places else {
                    let error = HypervisorError::Message("a kept name is no name of a port".to_owned());
                    return Ok(Err(error));
                };
                // It is kept whatever came of it.
                let _ = self.try_to_connect(&[(a, name_a), (b, name_b)]);
                Ok(Ok(()))
            }
            What::Restore { id, root } => {
                let (reply, answer) = oneshot::channel();
                self.restore(id, root, reply)?;
                Ok(refused(answer))
            }
            What::Revive { container_type, name, root } => {
                let (reply, answer) = oneshot::channel();
                self.revive(container_type, &name, root, reply)?;
                Ok(refused(answer))
            }
            What::Fire { now_ms, foremost } => {
                self.clock.foremost = foremost;
                self.fire(now_ms);
                Ok(Ok(()))
            }
            What::Draw { .. } | What::Interrupt { .. } => Ok(Ok(())),
        }
    }

    /// Puts a message with the stamp that it had. Nothing depends on when that is done, as long as its turn is still to come and what
    /// the host sent the container before is there.
    fn take_again(&mut self, to: ContainerId, delivery: Delivery) -> Result<(), HypervisorError> {
        if self.running.get(&to).is_none_or(|exo| exo.record().holder.is_some()) {
            return Err(HypervisorError::NoSuchContainer(to.to_string()));
        }
        self.open.bytes += delivery.message.data.len() as u64;
        self.put(to, delivery);
        Ok(())
    }
}

/// What was answered at once is why nothing was done; what was done is answered with the batch.
fn refused<T>(mut answer: oneshot::Receiver<Result<T, HypervisorError>>) -> Result<(), HypervisorError> {
    match answer.try_recv() {
        Ok(Err(error)) => Err(error),
        _ => Ok(()),
    }
}
