//! Carrying out what turns want: the only place where a container's effects reach another.

use std::sync::Arc;

use everturn_exo_interface::{
    Creation, Done, Effect, Exception, ExceptionKind, ExoInterface, Life, Minted, OwnLimits, Sending,
    Stepped, Target, lower,
};
use everturn_port_manager::{ContainerId, Delivery, Kind, Message, Nonce, PortId, Reply, Ticks};
use serde::Serialize;

use super::runner::{Coming, span_of_turn};
use super::{Awaited, Core};
use crate::batch::Output;
use crate::metrics::add;
use crate::{HypervisorError, Line, Receipt, Sent, keys};

/// What an exception says to the sender of the message that caused it.
#[derive(Serialize)]
struct ExceptionNotice<'a> {
    kind: ExceptionKind,
    text: &'a str,
    stack: &'a str,
}

/// Whose turn is being carried out.
#[derive(Clone, Copy)]
pub(super) struct Sender {
    pub(super) id: ContainerId,
    /// The date of the turn.
    pub(super) date_ms: u64,
}

impl Core {
    /// Notes where a turn bound ports, before anything is sent through them.
    pub(super) fn locate(&mut self, id: ContainerId, stepped: &Stepped) {
        let from = stepped.ticks.after(self.runner.lookahead());
        for port in stepped.outcome.iter().flat_map(|done| &done.bound) {
            // What waits in it is not delivered before.
            self.waits(from);
            if port.is_channel() {
                self.ends.insert(port.port_id(), id);
            } else if let Some(child) = self.running.get_mut(&port.id)
                && child.record().holder != Some(id)
            {
                child.set_holder(id, from);
                self.open.touched.insert(port.id);
            }
        }
    }

    pub(super) fn carry_out(
        &mut self,
        id: ContainerId,
        mut stepped: Box<Stepped>,
    ) -> Result<(), HypervisorError> {
        let (source, begun) = (stepped.source.take(), stepped.begun());
        let coming = || Some(Coming(source.as_ref()?, stepped.taken.as_ref()?.at));
        let _turn = span_of_turn(id, || begun, coming).entered();
        tracing::trace!(target: "everturn::path", container = %id, burnt = %stepped.burnt, "Carried out");
        self.open.touched.insert(id);
        self.keep_turn(id, &mut stepped);
        let Stepped { taken, back, burnt, ticks, date_ms, unwritten_bytes, outcome, life, forgot, .. } =
            *stepped;
        if let Some(child) = forgot {
            keys::let_id_go(&mut self.open.batch, child);
        }
        self.open.bytes += unwritten_bytes;
        add(&self.counters.burnt, burnt.0);
        self.open.burnt = self.open.burnt.saturating_add(burnt.0);
        add(&self.counters.turns, u64::from(taken.is_some()));
        add(&self.counters.exceptions, u64::from(taken.is_some() && outcome.is_err()));
        let (sender, at) = (Sender { id, date_ms }, ticks.after(self.runner.lookahead()));
        let mut awaited =
            taken.as_ref().and_then(|taken| taken.receipt).and_then(|id| self.receipts.remove(&id));
        let mut sent = matches!(awaited, Some(Awaited::Receipt(_))).then(Vec::new);
        let outcome = match outcome {
            Ok(Done { mut effects, .. }) => {
                for effect in effects.take() {
                    match effect {
                        Effect::Answerable(minted) => self.listen(id, &minted, &mut awaited),
                        effect => self.effect(sender, effect, &mut sent)?,
                    }
                }
                Ok(effects.answer)
            }
            Err(exception) => {
                let mut heard = awaited.is_some();
                if let Some(delivery) = &taken {
                    heard |= self.hears(delivery, back.as_ref(), id);
                    self.tell_sender(sender, delivery, back, &exception, at)?;
                }
                let at = taken.as_ref().map(|taken| taken.at);
                let message = source.as_ref().zip(at).map(|(source, at)| Coming(source, at));
                log_discarded(id, begun, message, &exception, heard);
                Err(exception)
            }
        };
        if life == Life::Ended {
            self.remove(id, at);
        }
        if let Some(awaited) = awaited {
            let sent = sent.unwrap_or_default();
            self.conclude(awaited, id, outcome, |outcome| Receipt { outcome, burnt, ticks, sent });
        }
        Ok(())
    }

    fn effect(
        &mut self,
        sender: Sender,
        effect: Effect,
        sent: &mut Option<Vec<Sent>>,
    ) -> Result<(), HypervisorError> {
        let lookahead = self.runner.lookahead();
        match effect {
            Effect::Create(creation) => self.create(sender, creation)?,
            Effect::Channel(Minted { id, nonce, .. }) => self.mint(sender.id, id, nonce),
            Effect::Send(Sending { to, through, kind, message, at, gauge }) => {
                let at = at.after(lookahead);
                if let Some(sent) = sent {
                    sent.push(Sent { to, at });
                }
                self.dispatch(sender.id, &through, gauge, stamp(sender, kind, message, at));
            }
            Effect::Delete { port, at } => self.drop_port(&port, at.after(lookahead)),
            Effect::After { .. } | Effect::Cancel { .. } => self.note_timers(sender.id),
            Effect::Log { level, text } => {
                self.open.outputs.push(Output::Line(Line { number: None, from: sender.id, level, text }));
            }
            other => {
                return Err(HypervisorError::Stopped(format!(
                    "an effect that nobody carries out: {other:?}"
                )));
            }
        }
        Ok(())
    }

    /// Keeps the node that an id is the address of.
    pub(super) fn mint(&mut self, by: ContainerId, id: ContainerId, nonce: Nonce) {
        keys::keep_id(&mut self.open.batch, id, by.child_node(nonce));
    }

    /// Makes a child. One too many fails as a creation does whose program throws, without ever having been there: how many
    /// there are is known here, where the turns of a window are taken one by one in their order, and not in a turn.
    fn create(&mut self, creator: Sender, creation: Creation) -> Result<(), HypervisorError> {
        let Creation { reference, nonce, data, lowered, at, gauges } = creation;
        let (id, at) = (reference.id, at.after(self.runner.lookahead()));
        self.mint(creator.id, id, nonce);
        let containers_max = self.runner.settings.limits.containers_max;
        if self.owned >= containers_max {
            let text = format!("this hypervisor has {containers_max} containers, as many as it may have");
            let exception = Exception::new(ExceptionKind::TooManyContainers, text);
            let child = Sender { id, date_ms: creator.date_ms };
            return self.take_back(child, Some(creator.id), &exception, at);
        }
        self.owned += 1;
        let record = self.running.get(&creator.id).map(|exo| exo.record());
        let depth = record.map_or(0, |record| record.depth);
        let lowered = lowered_with(lowered, record.and_then(|record| record.lowered.as_ref()));
        let exo = ExoInterface::create(id, reference.container_type, Some((creator.id, depth)));
        let mut exo = exo.lowered(lowered);
        exo.ports_mut().set_entry_gauge(gauges.first);
        exo.set_upward(gauges.second);
        self.running.insert(id, Box::new(exo));
        let message = Message { data, ..Message::default() };
        self.put(id, stamp(creator, Kind::Create, message, at));
        Ok(())
    }

    /// Whether anybody learns that a delivery's turn has failed, and makes something of it.
    fn hears(&self, delivery: &Delivery, back: Option<&Target>, id: ContainerId) -> bool {
        if delivery.message.reply == Reply::LastPort || delivery.kind == Kind::Create {
            return true;
        }
        let told = !matches!(delivery.kind, Kind::Exception | Kind::Close);
        let by = back.filter(|_| told).and_then(|back| match back {
            Target::Parent => self.running.get(&id)?.record().holder,
            Target::Port(port) => match port.port_id().peer() {
                Some(peer) => self.ends.get(&peer).copied(),
                None => Some(port.id),
            },
        });
        let exo = by.and_then(|by| self.running.get(&by));
        let known = exo.and_then(|exo| self.runner.types.find(&exo.record().container_type));
        known.is_some_and(|known| known.hears_exceptions())
    }

    /// Tells the sender of a message that its turn failed, and returns the ports. With nobody to tell, the ports are
    /// deleted (design, section 5).
    fn tell_sender(
        &mut self,
        sender: Sender,
        delivery: &Delivery,
        back: Option<Target>,
        exception: &Exception,
        at: Ticks,
    ) -> Result<(), HypervisorError> {
        let told = !matches!(delivery.kind, Kind::Exception | Kind::Close);
        let mut ports = delivery.message.ports.clone();
        if delivery.kind == Kind::Create {
            return self.take_back(sender, delivery.from, exception, at);
        }
        let data = notice(exception)?;
        let mut answered = false;
        if told
            && delivery.message.reply == Reply::LastPort
            && let Some(reply) = ports.pop()
        {
            let message = Message { data: data.clone(), ..Message::default() };
            self.route(sender.id, &Target::Port(reply.clone()), stamp(sender, Kind::Exception, message, at));
            self.drop_port(&reply, at);
            answered = true;
        }
        match back.filter(|_| told) {
            Some(_) if answered && ports.is_empty() => {}
            Some(back) => {
                let message = Message { data, ports, ..Message::default() };
                self.route(sender.id, &back, stamp(sender, Kind::Exception, message, at));
            }
            None => ports.iter().for_each(|port| self.drop_port(port, at)),
        }
        Ok(())
    }

    /// A creation that failed takes its container with it. Its creator learns of it, and so does whoever has the port.
    fn take_back(
        &mut self,
        child: Sender,
        creator: Option<ContainerId>,
        exception: &Exception,
        at: Ticks,
    ) -> Result<(), HypervisorError> {
        let Some(creator) = creator else { return Ok(()) };
        let close = stamp(child, Kind::Close, null_message(), at);
        self.push_through(PortId::container(child.id), close);
        let message = Message { data: notice(exception)?, ..Message::default() };
        let delivery = stamp(child, Kind::Exception, message, at);
        self.change_waiting(creator, |ports| ports.push_notice(child.id, delivery));
        self.waits(at);
        Ok(())
    }
}

/// Tells those who look after the host that a turn was discarded: all of them, where nobody else learns of it.
fn log_discarded(
    id: ContainerId,
    ticks: Ticks,
    message: Option<Coming<'_>>,
    exception: &Exception,
    heard: bool,
) {
    let kind = exception.kind;
    let message_id = message.map(|message| message.to_string());
    if heard {
        tracing::debug!(target: "everturn::turn", container = %id, %ticks, message_id, ?kind, "a turn was discarded: {exception}");
    } else {
        tracing::error!(target: "everturn::turn", container = %id, %ticks, message_id, ?kind, "a turn was discarded, and nobody else is told: {exception}");
    }
}

pub(super) fn stamp(from: Sender, kind: Kind, message: Message, at: Ticks) -> Delivery {
    Delivery { kind, message, from: Some(from.id), at, date_ms: from.date_ms, receipt: None }
}

/// What is lowered for a child: what was for its creator, and more. Most have what their creator has.
fn lowered_with(mut own: OwnLimits, of_creator: Option<&Arc<OwnLimits>>) -> Option<Arc<OwnLimits>> {
    match of_creator {
        Some(above) if own.is_empty() => Some(above.clone()),
        above => {
            above.iter().for_each(|above| lower(&mut own, above));
            (!own.is_empty()).then(|| Arc::new(own))
        }
    }
}

/// A message that says nothing but its kind.
pub(super) fn null_message() -> Message {
    Message { data: vec![0xf6], ..Message::default() }
}

fn notice(exception: &Exception) -> Result<Vec<u8>, HypervisorError> {
    let notice = ExceptionNotice { kind: exception.kind, text: &exception.text, stack: &exception.stack };
    Ok(keys::encode("an exception", &notice)?)
}
