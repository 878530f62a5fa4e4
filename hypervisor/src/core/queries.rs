//! Requests that only look, answered without a turn, a batch or a sync.
//!
//! Invariants:
//! 1. A question leaves no mark, in the store neither.
//! 2. Its answer leaves when all that it could have read is durable: at once if that is so, else with the batch that makes it so.

use everturn_exo_interface::{Asked, LogLevel, Unload};
use everturn_port_manager::{ContainerId, Kind, Message, Reply as Back};

use super::answers::Hearer;
use super::{Awaited, Core};
use crate::batch::{Output, Reply};
use crate::builder::Unloading;
use crate::metrics::add;
use crate::{HypervisorError, Line};

/// An answer that waits for a batch which is under way.
pub(super) type Held = (Reply<Vec<u8>>, Result<Vec<u8>, HypervisorError>);

impl Core {
    /// Lets a container answer a request without a turn; what it leaves to a turn becomes one.
    pub(super) fn query(
        &mut self,
        to: ContainerId,
        data: Vec<u8>,
        date_ms: u64,
        reply: Reply<Vec<u8>>,
    ) -> Result<(), HypervisorError> {
        let message = Message { data, reply: Back::Host, ..Message::default() };
        let can_be_asked = self.arriving.is_none()
            && self.running.get(&to).is_some_and(|exo| {
                exo.record().holder.is_none()
                    && self.runner.missing_type(exo).is_none()
                    && self.check(exo, &message).is_ok()
            });
        let Some(exo) = self.running.get_mut(&to).filter(|_| can_be_asked) else {
            self.post(to, Kind::Request, message, date_ms, Awaited::Answer(Hearer::One(reply)));
            return Ok(());
        };
        let was_loaded = exo.is_loaded();
        let asked = self.runner.query(exo, message.data, date_ms)?;
        if !was_loaded {
            self.woken(to);
        }
        match asked {
            Asked::LeftToTurn(data) => {
                let message = Message { data, reply: Back::Host, ..Message::default() };
                self.post(to, Kind::Request, message, date_ms, Awaited::Answer(Hearer::One(reply)));
            }
            Asked::Answered { answer, lines } => {
                add(&self.counters.queries, 1);
                self.let_out(to, reply, answer.map_err(HypervisorError::Exception), lines);
            }
        }
        Ok(())
    }

    /// Lets an answer leave as soon as the container is durable as it was read. Lines leave with a batch, and the answer after them.
    fn let_out(
        &mut self,
        id: ContainerId,
        reply: Reply<Vec<u8>>,
        answer: Result<Vec<u8>, HypervisorError>,
        lines: Vec<(LogLevel, String)>,
    ) {
        if self.open.touched.contains(&id) || !lines.is_empty() {
            let lines = lines
                .into_iter()
                .map(|(level, text)| Output::Line(Line { number: None, from: id, level, text }));
            self.open.outputs.extend(lines);
            self.open.outputs.push(Output::Answer(reply, answer));
        } else if let Some(batch) = self.newest.get(&id) {
            self.held.entry(*batch).or_default().push((reply, answer));
        } else {
            // Whoever gave up waiting needs no answer.
            let _ = reply.send(answer);
        }
    }

    /// A batch is durable: what was read of it may leave.
    pub(super) fn let_held_out(&mut self, number: u64) {
        for (reply, answer) in self.held.remove(&number).into_iter().flatten() {
            let _ = reply.send(answer);
        }
    }

    /// A question has brought a container into memory.
    fn woken(&mut self, id: ContainerId) {
        if self.runner.settings.unloading == Unloading::EveryTurn {
            return self.settle(id, Unload::Now);
        }
        self.stays(id);
    }
}
