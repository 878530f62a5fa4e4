//! One turn, and carrying out what it wants: the only place where a container's effects reach another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everturn_exo_interface::{
    BlockReader, ContainerType, Creation, Effect, Effects, Exception, ExoInterface, Policy, Sending,
    StateReader, Stepped, Surroundings, TypeContext,
};
use everturn_port_manager::{Bindings, ContainerId, Delivery, Kind, Message, Port, PortRef, Ticks};
use serde::Serialize;

use super::{Awaited, Core};
use crate::batch::Output;
use crate::builder::Settings;
use crate::{HypervisorError, Line, Receipt, Sent, keys};

/// What an exo-interface sees of the hypervisor.
pub(super) fn surroundings<'a>(
    id: ContainerId,
    settings: &'a Settings,
    state: &'a dyn StateReader,
    blocks: &'a dyn BlockReader,
    container_type: Option<&'a dyn ContainerType>,
    interrupt: Option<&'a Arc<AtomicBool>>,
) -> Surroundings<'a> {
    Surroundings {
        container_type,
        context: TypeContext { id, limits: &settings.limits, state, blocks },
        policy: Policy { savepoint_turns: settings.savepoint_turns },
        interrupt,
        turn_cost: settings.turn_cost,
    }
}

/// What an exception says to the sender of the message that caused it.
#[derive(Serialize)]
struct ExceptionNotice<'a> {
    kind: everturn_exo_interface::ExceptionKind,
    text: &'a str,
    stack: &'a str,
    /// For a creation: the name under which the creator had bound the child, if it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Option<&'a str>>,
}

impl Core {
    /// The type of the container whose turn is next, if it is stored and its type was not registered yet. Nothing
    /// runs until it is: a turn that is skipped could not be made up for in order.
    pub(super) fn missing_type(&self) -> Option<String> {
        let (_, id) = self.schedule.first()?;
        let exo = self.running.get(id).filter(|exo| exo.record().born && !exo.is_loaded())?;
        let name = &exo.record().container_type;
        self.types.find(name).is_none().then(|| name.to_string())
    }

    /// Runs the next turn, and the collection that it made due. `false`: nothing waits that can run.
    pub(super) fn turn(&mut self) -> Result<bool, HypervisorError> {
        if self.missing_type().is_some() {
            return Ok(false);
        }
        let Some((at, id)) = self.schedule.pop_first() else { return Ok(false) };
        let lookahead = self.settings.lookahead.0.max(1);
        self.clock.window_end = Ticks((at.0 / lookahead).saturating_add(1).saturating_mul(lookahead));
        self.clock.latest = self.clock.latest.max(at);
        tracing::trace!(target: "everturn::path", container = %id, %at, "Scheduled");
        self.open.turns += 1;
        if let Some(stepped) = self.drive(id, ExoInterface::step)? {
            self.carry_out(id, stepped)?;
        }
        if let Some(stepped) = self.drive(id, ExoInterface::collect)? {
            self.carry_out(id, stepped)?;
        }
        self.reschedule(id);
        Ok(true)
    }

    fn drive(
        &mut self,
        id: ContainerId,
        run: impl FnOnce(
            &mut ExoInterface,
            &Surroundings<'_>,
        ) -> Result<Option<Stepped>, everturn_exo_interface::ExoError>,
    ) -> Result<Option<Stepped>, HypervisorError> {
        let Some(exo) = self.running.get_mut(&id) else { return Ok(None) };
        let container_type = match exo.is_loaded() {
            true => None,
            false => self.types.find(&exo.record().container_type),
        };
        let rows = keys::Rows { reader: &*self.store, id };
        let blocks = keys::Blocks { reader: &*self.store };
        let around = surroundings(
            id,
            &self.settings,
            &rows,
            &blocks,
            container_type.as_deref(),
            Some(&self.interrupt),
        );
        Ok(run(exo, &around)?)
    }

    /// Puts a container at its place in the schedule: its next delivery tick, if anything waits.
    pub(super) fn reschedule(&mut self, id: ContainerId) {
        if let Some(head) = self.running.get(&id).and_then(|exo| exo.ports().next()) {
            self.schedule.insert((head.at, id));
        }
    }

    fn carry_out(&mut self, id: ContainerId, stepped: Stepped) -> Result<(), HypervisorError> {
        tracing::trace!(target: "everturn::path", container = %id, burnt = %stepped.burnt, "Carried out");
        self.open.touched.insert(id);
        let delivery = stepped.taken.as_ref().map(|(_, delivery)| delivery.clone());
        let mut sent = Vec::new();
        let outcome = match stepped.outcome {
            Ok((effects, bindings)) => {
                let (answer, effects) = split(effects);
                self.bind(id, bindings, stepped.ticks, &effects)?;
                for effect in effects {
                    self.effect(id, effect, &mut sent)?;
                }
                Ok(answer)
            }
            Err(exception) => {
                if let Some(delivery) = &delivery {
                    self.tell_sender(id, delivery, &exception, stepped.ticks)?;
                }
                Err(exception)
            }
        };
        if let Some(awaited) = delivery.and_then(|d| d.receipt).and_then(|r| self.receipts.remove(&r)) {
            let receipt = Receipt {
                outcome: outcome
                    .map(|answer| answer.and_then(|bytes| everturn_dag::node::decode(&bytes).ok())),
                burnt: stepped.burnt,
                ticks: stepped.ticks,
                sent,
            };
            self.hand_out(id, awaited, receipt);
        }
        Ok(())
    }

    fn hand_out(&mut self, id: ContainerId, awaited: Awaited, receipt: Receipt) {
        self.open.outputs.push(match awaited {
            Awaited::Receipt(reply) => Output::Receipt(reply, receipt),
            Awaited::Creation(reply) => {
                let created = receipt.outcome.map(|_| id).map_err(HypervisorError::Exception);
                Output::Created(reply, created)
            }
        });
    }

    /// Applies what a turn did to its ports, and gives children that it bound their parent.
    fn bind(
        &mut self,
        id: ContainerId,
        bindings: Bindings,
        ticks: Ticks,
        effects: &[Effect],
    ) -> Result<(), HypervisorError> {
        for effect in effects {
            if let Effect::Create(creation) = effect {
                self.create(id, creation)?;
            }
        }
        let bound: Vec<PortRef> = bindings.changed.values().flatten().cloned().collect();
        self.open.floated.extend(bound.iter().map(|port| port.id));
        for name in bindings.changed.keys() {
            let was = self.running.get(&id).and_then(|exo| exo.ports().get(name));
            self.open.floated.extend(was.map(|port| port.id));
        }
        if let Some(exo) = self.running.get_mut(&id) {
            let earliest = ticks.after(self.settings.lookahead);
            exo.ports_mut().apply(bindings, &mut self.floating, earliest);
        }
        for port in bound {
            if let Some(child) = self.running.get_mut(&port.id)
                && child.record().parent != Some(id)
            {
                child.set_parent(Some(id));
                self.open.touched.insert(port.id);
            }
        }
        Ok(())
    }

    fn effect(
        &mut self,
        id: ContainerId,
        effect: Effect,
        sent: &mut Vec<Sent>,
    ) -> Result<(), HypervisorError> {
        match effect {
            Effect::Send(sending) => {
                sent.push(Sent { to: sending.to, at: sending.at.after(self.settings.lookahead) });
                self.send(id, sending)?;
            }
            Effect::Delete(port) => self.delete(port.id),
            Effect::Log { level, text } => {
                self.open.outputs.push(Output::Line(Line { from: id, level, text }))
            }
            // Carried out before the ports were bound.
            _ => {}
        }
        Ok(())
    }

    fn create(&mut self, creator: ContainerId, creation: &Creation) -> Result<(), HypervisorError> {
        let reference = creation.reference.clone();
        let (id, node) = (reference.id, creator.child_node(creation.nonce));
        keys::keep_id(&mut self.open.batch, id, node);
        let exo = ExoInterface::create(id, reference.container_type.clone(), Some(creator));
        self.running.insert(id, exo);
        self.floating.insert(id, Port::new(reference));
        self.open.floated.insert(id);
        let at = creation.at.after(self.settings.lookahead);
        let message = Message { data: creation.data.clone(), ..Message::default() };
        self.put(id, self.stamp(creator, Kind::Create, message, at));
        Ok(())
    }

    fn send(&mut self, from: ContainerId, sending: Sending) -> Result<(), HypervisorError> {
        let at = sending.at.after(self.settings.lookahead);
        let message = Message { data: sending.data, ports: sending.ports, priority: sending.priority };
        self.route(from, sending.to, self.stamp(from, Kind::Message, message, at));
        Ok(())
    }

    fn stamp(&self, from: ContainerId, kind: Kind, message: Message, at: Ticks) -> Delivery {
        let date_ms = self.running.get(&from).map_or(0, |exo| exo.record().date_ms);
        Delivery { kind, message, from: Some(from), at, date_ms, receipt: None }
    }

    /// Puts a message where it is to wait: in the entry port of a child, or in the port that leads from the
    /// parent to the sender, also while that port floats. One for a container that is gone goes with its ports.
    fn route(&mut self, from: ContainerId, to: ContainerId, delivery: Delivery) {
        let upward = self.running.get(&from).is_some_and(|exo| exo.record().parent == Some(to));
        let moved: Vec<ContainerId> = delivery.message.ports.iter().map(|port| port.id).collect();
        if !upward {
            if self.running.contains_key(&to) {
                return self.put(to, delivery);
            }
        } else if let Some(port) = self.floating.get_mut(&from) {
            port.queue.push_back(delivery);
            self.open.floated.insert(from);
            return;
        } else if let Some(parent) = self.running.get_mut(&to) {
            self.schedule.remove(&(parent.ports().next().map_or(Ticks::MAX, |head| head.at), to));
            let pushed = parent.ports_mut().push_child(from, delivery);
            self.open.touched.insert(to);
            self.reschedule(to);
            if pushed.is_ok() {
                return;
            }
        }
        for id in moved {
            self.delete(id);
        }
    }

    /// Puts a message into a container's entry port.
    pub(super) fn put(&mut self, to: ContainerId, delivery: Delivery) {
        let Some(exo) = self.running.get_mut(&to) else { return };
        if let Some(head) = exo.ports().next() {
            self.schedule.remove(&(head.at, to));
        }
        tracing::trace!(target: "everturn::path", container = %to, at = %delivery.at, "Queued");
        exo.ports_mut().push_entry(delivery);
        self.open.touched.insert(to);
        self.reschedule(to);
    }

    /// Tells the sender of a message that its turn failed, and returns the ports. With nobody to tell, the ports are
    /// deleted (design, section 5).
    fn tell_sender(
        &mut self,
        id: ContainerId,
        delivery: &Delivery,
        exception: &Exception,
        ticks: Ticks,
    ) -> Result<(), HypervisorError> {
        tracing::debug!(container = %id, kind = ?delivery.kind, %exception, "a turn was discarded");
        let Some(sender) = delivery.from.filter(|_| delivery.kind != Kind::Exception) else {
            delivery.message.ports.iter().for_each(|port| self.delete(port.id));
            if delivery.kind == Kind::Create {
                self.delete(id);
            }
            return Ok(());
        };
        let at = ticks.after(self.settings.lookahead);
        if delivery.kind == Kind::Create {
            return self.take_back(id, sender, exception, at);
        }
        let data = notice(exception, None)?;
        let message = Message { data, ports: delivery.message.ports.clone(), priority: 0 };
        self.route(id, sender, self.stamp(id, Kind::Exception, message, at));
        Ok(())
    }

    /// A creation that failed takes its container with it, and the port to it; so its creator learns of it by the
    /// entry port.
    fn take_back(
        &mut self,
        id: ContainerId,
        creator: ContainerId,
        exception: &Exception,
        at: Ticks,
    ) -> Result<(), HypervisorError> {
        let name = self.running.get(&creator).and_then(|exo| exo.ports().name_of(id));
        let data = notice(exception, Some(name.map(|name| name.as_str())))?;
        let delivery = self.stamp(id, Kind::Exception, Message { data, ..Message::default() }, at);
        self.delete(id);
        self.put(creator, delivery);
        Ok(())
    }

    /// Deletes a container and all that it owns.
    pub(super) fn delete(&mut self, id: ContainerId) {
        let mut doomed = vec![id];
        while let Some(id) = doomed.pop() {
            let floating = self.floating.remove(&id);
            self.open.floated.insert(id);
            doomed.extend(
                floating.iter().flat_map(|port| &port.queue).flat_map(|d| &d.message.ports).map(|p| p.id),
            );
            let Some(exo) = self.running.remove(&id) else { continue };
            if let Some(head) = exo.ports().next() {
                self.schedule.remove(&(head.at, id));
            }
            doomed.extend(exo.ports().owned());
            for receipt in exo.ports().receipts() {
                // Dropping the sender tells the host that the container is gone.
                self.receipts.remove(&receipt);
            }
            self.forget_in_parent(id, exo.record().parent);
            self.open.touched.remove(&id);
            self.newest.remove(&id);
            self.open.deleted.push(id);
        }
    }

    fn forget_in_parent(&mut self, id: ContainerId, parent: Option<ContainerId>) {
        let Some((parent, exo)) = parent.and_then(|parent| Some((parent, self.running.get_mut(&parent)?)))
        else {
            return;
        };
        if exo.ports().name_of(id).is_none() {
            return;
        }
        if let Some(head) = exo.ports().next() {
            self.schedule.remove(&(head.at, parent));
        }
        exo.ports_mut().forget(id);
        self.open.touched.insert(parent);
        self.reschedule(parent);
    }

    /// Lowers the flag with which a person discards a running turn.
    pub(super) fn lower_interrupt(&self) {
        self.interrupt.store(false, Ordering::Relaxed);
    }
}

fn notice(exception: &Exception, created: Option<Option<&str>>) -> Result<Vec<u8>, HypervisorError> {
    let notice =
        ExceptionNotice { kind: exception.kind, text: &exception.text, stack: &exception.stack, created };
    Ok(keys::encode("an exception", &notice)?)
}

fn split(mut effects: Effects) -> (Option<Vec<u8>>, Vec<Effect>) {
    let answer = effects.answer.take();
    (answer, effects.take())
}
