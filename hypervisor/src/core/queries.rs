//! Requests that only look, answered without a turn, a batch or a sync.
//!
//! Invariants:
//! 1. A question leaves no mark, in the store neither.
//! 2. Its answer leaves when all that it could have read is durable: at once if that is so, else with the batch that makes it so.

use everturn_exo_interface::{Asked, Container, LedOn, LogLevel, Unload};
use everturn_port_manager::{ContainerId, Kind, Message, Reply as Back, Ticks};

use super::answers::Hearer;
use super::{Awaited, Core, Pending};
use crate::batch::{Output, Reply};
use crate::builder::Unloading;
use crate::metrics::add;
use crate::{HypervisorError, Line};

/// An answer that waits for a batch which is under way.
pub(super) type Held = (Reply<Vec<u8>>, Result<Vec<u8>, HypervisorError>);

/// A request that only looks.
pub(crate) struct Question {
    pub(crate) data: Vec<u8>,
    pub(crate) date_ms: u64,
    pub(crate) reply: Reply<Vec<u8>>,
}

/// Who is found behind a port on a question's way.
enum Behind {
    /// A child that can be asked.
    Child(ContainerId),
    /// One whose first turn waits, at this tick.
    Unborn(Ticks),
    Nobody,
}

impl Core {
    /// Lets a container answer a request without a turn; what it leaves to a turn becomes one.
    pub(super) fn query(&mut self, to: ContainerId, question: Question) -> Result<(), HypervisorError> {
        let Question { data, date_ms, reply } = question;
        let message = Message { data, reply: Back::Host, ..Message::default() };
        let can_be_asked = self.arriving.is_none()
            && self.running.get(&to).is_some_and(|exo| {
                exo.record().holder.is_none()
                    && self.runner.missing_type(exo).is_none()
                    && self.check(exo, &message).is_ok()
            });
        let data = message.data;
        if !can_be_asked {
            self.becomes_turn(to, Question { data, date_ms, reply });
            return Ok(());
        }
        match self.ask(to, data, date_ms)? {
            Asked::LeftToTurn(data) => self.becomes_turn(to, Question { data, date_ms, reply }),
            Asked::Answered { answer, lines } => {
                self.let_out(&[to], reply, answer.map_err(HypervisorError::Exception), lines);
            }
            Asked::LedOn(led) => self.lead(to, led, date_ms, reply)?,
        }
        Ok(())
    }

    fn becomes_turn(&mut self, to: ContainerId, question: Question) {
        let Question { data, date_ms, reply } = question;
        let message = Message { data, reply: Back::Host, ..Message::default() };
        self.post(to, Kind::Request, message, date_ms, Awaited::Answer(Hearer::One(reply)));
    }

    fn ask(&mut self, id: ContainerId, data: Vec<u8>, date_ms: u64) -> Result<Asked, HypervisorError> {
        let Some(exo) = self.running.get_mut(&id) else { return Ok(Asked::LeftToTurn(data)) };
        let was_loaded = exo.is_loaded();
        let asked = self.runner.query(exo, data, date_ms)?;
        if !was_loaded {
            self.woken(id);
        }
        Ok(asked)
    }

    /// Asks those to whom a container leads, from owner to child, which ends since owners are a tree. If none of them answers it is what
    /// the first route that only reads has for this, else the container's turn.
    fn lead(
        &mut self,
        to: ContainerId,
        mut led: LedOn,
        date_ms: u64,
        reply: Reply<Vec<u8>>,
    ) -> Result<(), HypervisorError> {
        let (mut read, mut otherwise, mut at) = (vec![to], None::<Vec<u8>>, to);
        let data = loop {
            otherwise = otherwise.or(led.otherwise);
            at = match self.behind(at, &led.port, &led.data) {
                Behind::Child(child) => child,
                Behind::Unborn(ticks) if otherwise.is_some() => {
                    let question = Question { data: led.data, date_ms, reply };
                    self.pending.push(Pending::Question(ticks, to, question));
                    return Ok(());
                }
                Behind::Unborn(_) | Behind::Nobody => break led.data,
            };
            read.push(at);
            match self.ask(at, led.data, date_ms)? {
                Asked::Answered { answer, lines } => {
                    self.let_out(&read, reply, answer.map_err(HypervisorError::Exception), lines);
                    return Ok(());
                }
                Asked::LeftToTurn(data) => break data,
                Asked::LedOn(further) => led = further,
            }
        };
        match otherwise {
            Some(answer) => self.let_out(&read, reply, Ok(answer), Vec::new()),
            None => self.becomes_turn(to, Question { data, date_ms, reply }),
        }
        Ok(())
    }

    fn behind(&self, owner: ContainerId, port: &str, data: &[u8]) -> Behind {
        let port = self.running.get(&owner).and_then(|exo| exo.ports().get(port));
        let child = port.filter(|port| !port.reference.is_channel()).map(|port| port.reference.id);
        let child = child.and_then(|id| self.running.get(&id));
        let Some(exo) = child.filter(|exo| exo.record().holder == Some(owner)) else { return Behind::Nobody };
        if let (false, Some(head)) = (exo.record().born, exo.ports().next()) {
            return Behind::Unborn(head.at);
        }
        let fits = data.len() <= self.runner.limits(exo).message_bytes_max;
        if fits && self.runner.missing_type(exo).is_none() { Behind::Child(exo.id()) } else { Behind::Nobody }
    }

    /// Lets an answer leave as soon as the containers are durable as they were read. Lines leave with a batch, and the answer after
    /// them; they are of the container that was read last.
    fn let_out(
        &mut self,
        read: &[ContainerId],
        reply: Reply<Vec<u8>>,
        answer: Result<Vec<u8>, HypervisorError>,
        lines: Vec<(LogLevel, String)>,
    ) {
        add(&self.counters.queries, 1);
        if read.iter().any(|id| self.open.touched.contains(id)) || !lines.is_empty() {
            let line = |(level, text)| {
                read.last().map(|from| Output::Line(Line { number: None, from: *from, level, text }))
            };
            self.open.outputs.extend(lines.into_iter().filter_map(line));
            self.open.outputs.push(Output::Answer(reply, answer));
        } else if let Some(batch) = read.iter().filter_map(|id| self.newest.get(id)).max() {
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
        let footprint = self.running.get(&id).and_then(|exo| exo.container()).map(Container::footprint);
        self.used(id, footprint);
    }
}
