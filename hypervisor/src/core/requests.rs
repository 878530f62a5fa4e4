//! What hosts and the committer ask of the core.

use std::sync::Arc;

use everturn_dag::Cid;
use everturn_exo_interface::{ExoInterface, Footprint, OwnLimits, Unload};
use everturn_port_manager::{ContainerId, Delivery, Kind, Message, PortId, ReceiptId, Ticks};

use super::again::Again;
use super::effects::{Sender, null_message, stamp};
use super::{Allowance, Awaited, Connecting, Core, Pending, Place, Question};
use crate::batch::{Errand, Output, Repeated, Reply};
use crate::builder::TurnsBy;
use crate::handle::Inspection;
use crate::kept::Kept;
use crate::{Budget, HypervisorError, Once, Ran, keys, restore};

/// What a root container is made of.
pub(crate) struct RootCreation {
    pub(crate) container_type: String,
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    pub(crate) lowered: OwnLimits,
    /// When it is made: the date of its first turn.
    pub(crate) date_ms: u64,
}

/// A request. Its answer leaves with the batch that is open when it is met.
pub(crate) enum Command {
    Create {
        creation: RootCreation,
        or_get: bool,
        reply: Reply<ContainerId>,
    },
    /// A channel between two root containers.
    Connect {
        places: [Place; 2],
        reply: Reply<Connecting>,
    },
    Post {
        to: ContainerId,
        kind: Kind,
        message: Message,
        date_ms: u64,
        awaited: Awaited,
    },
    /// A request that is done once, however often it comes.
    Once {
        to: ContainerId,
        data: Vec<u8>,
        once: Once,
        date_ms: u64,
        reply: Reply<Repeated>,
    },
    /// A request that only looks, if the container has an answer to such.
    Query {
        to: ContainerId,
        question: Question,
    },
    Wait {
        id: ContainerId,
        threshold: Ticks,
        reply: Reply<Ticks>,
    },
    Root {
        id: ContainerId,
        ticks: Ticks,
        reply: Reply<Cid>,
    },
    Restore {
        id: ContainerId,
        root: Cid,
        reply: Reply<()>,
    },
    /// A host that owns the loop lets turns run.
    Run {
        budget: Budget,
        reply: Reply<Ran>,
    },
    /// A host says what time it is.
    Fire {
        now_ms: u64,
        reply: Reply<()>,
    },
    /// Nothing later than these ticks runs until they are raised.
    Hold {
        ticks: Ticks,
        reply: Reply<()>,
    },
    Complete {
        id: ContainerId,
        text: String,
        reply: Reply<Vec<String>>,
    },
    Inspect {
        reply: Reply<Vec<Inspection>>,
    },
    IsAlive {
        id: ContainerId,
        reply: Reply<bool>,
    },
    /// A root container from a state root.
    Revive {
        container_type: String,
        name: String,
        root: Cid,
        reply: Reply<ContainerId>,
    },
    /// Inputs are kept from here on.
    Keep {
        reply: Reply<Kept>,
    },
    /// What is kept of inputs goes, and no more are kept.
    Forget {
        reply: Reply<()>,
    },
    /// A kept input comes again.
    Again(Again),
    /// Work for the writer.
    Errand(Errand, Joined),
    /// A type was registered: turns that waited for it may run.
    Registered,
    Settled {
        number: u64,
        touched: Vec<(ContainerId, Option<Footprint>)>,
    },
    Failed(String),
    /// Makes everything done so far durable and ends; nobody may be waiting for it.
    Stop(Option<Reply<()>>),
}

/// When an errand is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// With the batch that is open, whatever else joins it.
    Batch,
    /// On exactly what is done now.
    Now,
}

impl Pending {
    fn refuse(self, error: HypervisorError) {
        match self {
            Pending::Wait(_, _, reply) => drop(reply.send(Err(error))),
            Pending::Root(_, _, reply) => drop(reply.send(Err(error))),
            Pending::Question(_, _, question) => drop(question.reply.send(Err(error))),
        }
    }
}

impl Core {
    pub(super) fn obey(&mut self, command: Command) -> Result<(), HypervisorError> {
        match command {
            Command::Create { creation, or_get, reply } => {
                self.create_root(creation, or_get, reply);
            }
            Command::Connect { places, reply } => self.connect(&places, reply),
            Command::Post { to, kind, message, date_ms, awaited } => {
                self.post(to, kind, message, date_ms, awaited);
            }
            Command::Once { to, data, once, date_ms, reply } => self.once(to, data, once, date_ms, reply)?,
            Command::Query { to, question } => self.query(to, question)?,
            Command::Wait { id, threshold, reply } => self.pending.push(Pending::Wait(threshold, id, reply)),
            Command::Root { id, ticks, reply } => self.pending.push(Pending::Root(ticks, id, reply)),
            Command::Restore { id, root, reply } => self.restore(id, root, reply)?,
            Command::Revive { container_type, name, root, reply } => {
                self.revive(container_type, &name, root, reply)?;
            }
            Command::Errand(errand, joined) => {
                self.open.outputs.push(Output::Errand(errand));
                if joined == Joined::Now {
                    self.cut()?;
                }
            }
            Command::Fire { now_ms, reply } => {
                self.fire(now_ms);
                self.open.outputs.push(Output::Done(reply));
            }
            Command::Keep { reply } => self.keep_inputs(reply)?,
            Command::Forget { reply } => self.forget_inputs(reply)?,
            Command::Again(again) => self.again(again)?,
            Command::Run { budget, reply } => self.allow(budget, reply),
            Command::Hold { ticks, reply } => self.hold(ticks, reply),
            Command::Complete { id, text, reply } => self.complete(id, &text, reply)?,
            Command::Inspect { reply } => drop(reply.send(Ok(self.inspect()))),
            Command::IsAlive { id, reply } => drop(reply.send(Ok(self.running.contains_key(&id)))),
            Command::Settled { number, touched } => self.settled(number, touched),
            Command::Failed(why) => return Err(HypervisorError::Stopped(why)),
            // Woken up is all it needs to be. A stop is taken by the caller: it ends the loop.
            Command::Registered | Command::Stop(_) => {}
        }
        Ok(())
    }

    pub(super) fn create_root(&mut self, creation: RootCreation, or_get: bool, reply: Reply<ContainerId>) {
        let RootCreation { container_type, name, data, lowered, date_ms } = creation;
        let id = ContainerId::root(&name);
        if let Some(exo) = self.running.get(&id) {
            let same = *exo.record().container_type == *container_type;
            let answer = if or_get && same {
                Ok(id)
            } else {
                let container_type = exo.record().container_type.to_string();
                Err(HypervisorError::NameInUse { name, container_type })
            };
            self.open.outputs.push(Output::Created(reply, answer));
            return;
        }
        let message = Message { data, ..Message::default() };
        let known = self.runner.types.get(&container_type).map(|_| ());
        let exo = ExoInterface::create(id, container_type.into(), None);
        let exo = exo.lowered((!lowered.is_empty()).then(|| Arc::new(lowered)));
        if let Err(error) = known.and_then(|()| self.check(&exo, &message)) {
            return drop(reply.send(Err(error)));
        }
        self.keep_creation(
            &exo.record().container_type.clone(),
            &name,
            &message.data,
            exo.record().lowered.as_deref(),
            date_ms,
        );
        keys::keep_id(&mut self.open.batch, id, ContainerId::root_node(&name));
        self.running.insert(id, Box::new(exo));
        let receipt = self.await_receipt(Awaited::Creation(reply));
        self.put_input(id, Kind::Create, message, date_ms, Some(receipt));
    }

    pub(super) fn post(
        &mut self,
        to: ContainerId,
        kind: Kind,
        message: Message,
        date_ms: u64,
        awaited: Awaited,
    ) {
        let Some(exo) = self.running.get(&to).filter(|exo| exo.record().holder.is_none()) else {
            return self.refuse(awaited, HypervisorError::NoSuchContainer(to.to_string()));
        };
        let known = self.runner.types.get(&exo.record().container_type);
        let fits = known.and_then(|_| self.check(exo, &message)).and_then(|()| self.has_place());
        if let Err(error) = fits {
            return self.refuse(awaited, error);
        }
        self.lower_interrupt();
        let receipt = self.await_receipt(awaited);
        self.note_sent(receipt);
        self.put_input(to, kind, message, date_ms, Some(receipt));
    }

    /// Holds a host's message to what a container's has to keep.
    pub(super) fn check(&self, to: &ExoInterface, message: &Message) -> Result<(), HypervisorError> {
        let (bytes, bytes_max) = (message.data.len(), self.runner.limits(to).message_bytes_max);
        if bytes > bytes_max {
            return Err(HypervisorError::Message(format!("it has {bytes} bytes, the limit is {bytes_max}")));
        }
        if !message.ports.is_empty() {
            return Err(HypervisorError::Message("a host holds no ports that it could move".into()));
        }
        everturn_dag::node::validate(&message.data)
            .map_err(|error| HypervisorError::Message(error.to_string()))
    }

    /// Whether one more input of a host may wait for its turn.
    fn has_place(&self) -> Result<(), HypervisorError> {
        let (waiting, inputs_max) = (self.receipts.len(), self.runner.settings.inputs_max);
        if waiting < inputs_max { Ok(()) } else { Err(HypervisorError::Busy { waiting }) }
    }

    fn await_receipt(&mut self, awaited: Awaited) -> ReceiptId {
        self.next_receipt += 1;
        let receipt = ReceiptId(self.next_receipt);
        self.receipts.insert(receipt, awaited);
        receipt
    }

    /// Stamps an input from outside with the greatest of: the end of the last window begun, the receiver's ticks, and what every
    /// message has that waits already and may run (decision 0024). So load from outside starves nothing.
    pub(super) fn put_input(
        &mut self,
        to: ContainerId,
        kind: Kind,
        message: Message,
        date_ms: u64,
        receipt: Option<ReceiptId>,
    ) {
        let ticks = self.running.get(&to).map_or(Ticks::ZERO, |exo| exo.record().ticks);
        let at = self.clock.window_end.max(ticks).max(self.foremost());
        tracing::trace!(target: "everturn::path", container = %to, %at, "Stamped");
        self.open.bytes += message.data.len() as u64;
        self.put(to, Delivery { kind, message, from: None, at, date_ms, receipt });
    }

    /// The highest delivery tick that waits or has run, or what is held at: beyond that nothing can be overtaken, since nothing runs.
    pub(super) fn foremost(&self) -> Ticks {
        self.clock.foremost.min(self.hold)
    }

    /// Answers requests whose tick the schedule has passed.
    pub(super) fn answer_pending(&mut self) -> Result<(), HypervisorError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let next = self.schedule.first().map(|(at, _)| *at);
        let missing = self.missing_type();
        let mut roots = false;
        for pending in std::mem::take(&mut self.pending) {
            let ticks = pending.ticks();
            if next.is_some_and(|next| next <= ticks) {
                match &missing {
                    Some(name) => pending.refuse(HypervisorError::UnknownType(name.clone())),
                    None => self.pending.push(pending),
                }
                continue;
            }
            roots |= matches!(pending, Pending::Root(..));
            self.answer(pending)?;
        }
        // The root is of exactly what is done now, so nothing more may join the batch.
        if roots { self.cut() } else { Ok(()) }
    }

    fn answer(&mut self, pending: Pending) -> Result<(), HypervisorError> {
        let (Pending::Wait(_, id, _) | Pending::Root(_, id, _) | Pending::Question(_, id, _)) = &pending;
        let ticks = self.running.get(id).map(|exo| exo.record().ticks);
        match (pending, ticks) {
            (Pending::Question(_, to, question), _) => self.query(to, question)?,
            (Pending::Wait(_, _, reply), Some(ticks)) => self.open.outputs.push(Output::Waited(reply, ticks)),
            (Pending::Root(at, _, reply), Some(_)) if at < self.clock.latest => {
                let earliest = self.clock.latest;
                drop(reply.send(Err(HypervisorError::CutPassed { earliest })));
            }
            (Pending::Root(_, id, reply), Some(ticks)) => {
                let marking = self.marking(id, ticks);
                self.open.outputs.push(Output::Root(reply, id, marking));
            }
            (pending @ (Pending::Wait(_, id, _) | Pending::Root(_, id, _)), None) => {
                pending.refuse(HypervisorError::NoSuchContainer(id.to_string()));
            }
        }
        Ok(())
    }

    pub(super) fn restore(
        &mut self,
        id: ContainerId,
        root: Cid,
        reply: Reply<()>,
    ) -> Result<(), HypervisorError> {
        let root_container = self.running.get(&id).filter(|exo| exo.record().holder.is_none());
        let Some(container_type) = root_container.map(|exo| exo.record().container_type.clone()) else {
            drop(reply.send(Err(HypervisorError::NoSuchContainer(id.to_string()))));
            return Ok(());
        };
        let store = &*self.runner.store;
        let minted = restore::id_node(&keys::Blocks { reader: store }, id);
        let plan = minted
            .and_then(|minted| restore::plan(store, &self.runner.types, (id, minted), container_type, root));
        // What it takes the place of is not gone yet, and counts.
        match plan.and_then(|plan| self.has_room(&plan).map(|()| plan)) {
            Ok(mut plan) => {
                let record = self.running.get(&id).map(|exo| exo.record());
                plan.lower(record.and_then(|record| record.lowered.clone()));
                let ticks = self.running.get(&id).map_or(Ticks::ZERO, |exo| exo.record().ticks);
                self.keep_restoring(id, root);
                self.remove_tree(id);
                self.adopt(plan, ticks);
                self.open.outputs.push(Output::Done(reply));
                self.cut_arrival()
            }
            Err(error) => {
                drop(reply.send(Err(error)));
                Ok(())
            }
        }
    }

    pub(super) fn revive(
        &mut self,
        container_type: String,
        name: &str,
        root: Cid,
        reply: Reply<ContainerId>,
    ) -> Result<(), HypervisorError> {
        let id = ContainerId::root(name);
        if let Some(exo) = self.running.get(&id) {
            let container_type = exo.record().container_type.to_string();
            drop(reply.send(Err(HypervisorError::NameInUse { name: name.to_owned(), container_type })));
            return Ok(());
        }
        let (minted, type_name) = ((id, ContainerId::root_node(name)), container_type.clone());
        let (store, types) = (&*self.runner.store, &self.runner.types);
        let plan = restore::plan(store, types, minted, container_type.into(), root);
        match plan.and_then(|plan| self.has_room(&plan).map(|()| plan)) {
            Err(error) => drop(reply.send(Err(error))),
            Ok(plan) => match self.alive_of(&plan) {
                Some(id) => drop(reply.send(Err(HypervisorError::Alive(id.to_string())))),
                None => {
                    self.keep_revival(&type_name, name, root);
                    self.adopt(plan, self.clock.window_end);
                    self.open.outputs.push(Output::Created(reply, Ok(id)));
                    self.cut_arrival()?;
                }
            },
        }
        Ok(())
    }

    /// Whether so many more containers may be alive.
    fn has_room(&self, plan: &restore::Plan) -> Result<(), HypervisorError> {
        let (owned, alive) = (plan.owned(), self.owned);
        let containers_max = self.runner.settings.limits.containers_max;
        match owned.checked_add(alive) {
            Some(all) if all <= containers_max => Ok(()),
            _ => Err(HypervisorError::TooManyContainers { owned, alive, containers_max }),
        }
    }

    /// Cuts the batch that brings containers. They run when the store has them: it is where their states are read from.
    fn cut_arrival(&mut self) -> Result<(), HypervisorError> {
        self.cut()?;
        self.arriving = Some(self.cut);
        Ok(())
    }

    /// Something of a state that is alive here: a container, or an end of a channel.
    fn alive_of(&self, plan: &restore::Plan) -> Option<ContainerId> {
        plan.records.iter().find_map(|(id, record)| {
            let ports = record.ports.iter().map(|(_, port)| port.reference.port_id());
            let ends: Vec<PortId> = ports.filter(|port| port.end.is_some()).collect();
            let end = ends.into_iter().find(|end| self.exists(*end)).map(|end| end.of);
            end.or(Some(*id).filter(|id| self.running.contains_key(id)))
        })
    }

    /// Takes in containers as a state root has them. Their ticks go on from where time is.
    fn adopt(&mut self, plan: restore::Plan, ticks: Ticks) {
        self.open.batch.append(plan.batch);
        let mut ends = Vec::new();
        for (id, mut record) in plan.records {
            record.ticks = ticks;
            self.open.touched.insert(id);
            let ports = record.ports.iter().map(|(_, port)| port.reference.port_id());
            ends.extend(ports.filter(|port| port.end.is_some()).map(|port| (port, id)));
            self.owned += u64::from(record.holder.is_some());
            self.running.insert(id, Box::new(ExoInterface::resume(id, record)));
        }
        self.join(ends);
        self.join_gauges();
    }

    /// Takes in ends of channels. One whose other end is nowhere is closed.
    fn join(&mut self, ends: Vec<(PortId, ContainerId)>) {
        self.ends.extend(ends.iter().copied());
        for (end, _) in ends {
            if !end.peer().is_some_and(|peer| self.exists(peer)) {
                let nobody = Sender { id: end.of, date_ms: 0 };
                let close = stamp(nobody, Kind::Close, null_message(), self.clock.window_end);
                self.push_through(end, close);
            }
        }
    }

    /// Lets a host that owns the loop run turns.
    fn allow(&mut self, budget: Budget, reply: Reply<Ran>) {
        if self.runner.settings.turns_by == TurnsBy::Background || self.allowance.is_some() {
            let why = match self.allowance {
                Some(_) => "another run is under way; await it first",
                None => "this hypervisor runs turns by itself; build it with turns_by = TurnsBy::Host",
            };
            return drop(reply.send(Err(HypervisorError::Message(why.into()))));
        }
        let end = budget.ticks.map_or(Ticks::MAX, |ticks| {
            let last = self.clock.window_end.after(ticks).0.saturating_sub(1);
            self.runner.window_end(Ticks(last))
        });
        let turns_left = budget.turns.unwrap_or(u64::MAX);
        self.allowance = Some(Allowance { turns_left, end, ran: 0, reply });
    }

    fn hold(&mut self, ticks: Ticks, reply: Reply<()>) {
        if ticks < self.clock.latest {
            let earliest = self.clock.latest;
            return drop(reply.send(Err(HypervisorError::CutPassed { earliest })));
        }
        self.hold = ticks;
        drop(reply.send(Ok(())));
    }

    fn complete(
        &mut self,
        id: ContainerId,
        text: &str,
        reply: Reply<Vec<String>>,
    ) -> Result<(), HypervisorError> {
        let Some(exo) = self.running.get_mut(&id) else {
            drop(reply.send(Err(HypervisorError::NoSuchContainer(id.to_string()))));
            return Ok(());
        };
        let was_loaded = exo.is_loaded();
        let names = self.runner.complete(exo, text)?;
        if !was_loaded {
            // Nobody counts what a question has woken.
            exo.settled(Unload::Now);
        }
        drop(reply.send(Ok(names)));
        Ok(())
    }

    fn heap_bytes(&self, exo: &ExoInterface) -> Option<u64> {
        if let Some(container) = exo.container() {
            return Some(container.footprint().heap_bytes);
        }
        let container_type =
            self.runner.types.find(&exo.record().container_type).filter(|_| exo.record().born)?;
        // What cannot be read here will be told by whoever needs it.
        container_type.heap_bytes(&keys::Rows { reader: &*self.runner.store, id: exo.id() }).ok().flatten()
    }

    fn inspect(&self) -> Vec<Inspection> {
        let inspect = |exo: &ExoInterface| Inspection {
            id: exo.id(),
            container_type: exo.record().container_type.to_string(),
            parent: exo.record().holder,
            ticks: exo.record().ticks,
            queued: exo.ports().queued(),
            ports: exo.ports().iter().map(|(name, port)| (name.to_string(), port.reference.id)).collect(),
            heap_bytes: self.heap_bytes(exo),
            footprint: exo.container().map(|container| container.footprint()),
        };
        self.running.values().map(|exo| inspect(exo)).collect()
    }
}
