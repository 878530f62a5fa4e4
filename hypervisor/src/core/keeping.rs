//! Writing down what comes from outside, in the batch of what it causes.

use std::collections::BTreeMap;

use everturn_dag::{Batch, Cid, Space, StoreError, references};
use everturn_exo_interface::{ExceptionKind, OwnLimits, Stepped};
use everturn_port_manager::{ContainerId, Delivery, Kind, ReceiptId, Ticks};
use serde_bytes::ByteBuf;

use super::{Core, connect};
use crate::batch::{Answer, Output, Reply};
use crate::kept::{self, Kept, Mark, Place, Row, Standing, What};
use crate::writer::Writer;
use crate::{HypervisorError, keys};

/// What the core has to know of it.
#[derive(Default)]
pub(super) struct Keeping {
    standing: Standing,
    /// Messages that wait: the number that the next row had when they were sent.
    sent: BTreeMap<ReceiptId, u64>,
    /// Whether the store has another standing.
    changed: bool,
}

impl Keeping {
    pub(super) fn read(reader: &dyn everturn_dag::Reader) -> Result<Option<Keeping>, StoreError> {
        let read = kept::read(reader)?;
        Ok(read.map(|(_, standing)| Keeping { standing, ..Keeping::default() }))
    }
}

/// Where a state root is noted that is being made.
pub(crate) type Marking = (Vec<u8>, Place, Ticks);

impl Core {
    /// Begins to keep inputs from here on, or anew.
    pub(super) fn keep_inputs(&mut self, reply: Reply<Kept>) -> Result<(), HypervisorError> {
        let begin = move |writer: &mut Writer| match writer.begin_keeping() {
            Err(HypervisorError::Store(error)) => Err(error),
            begun => Ok(Box::new(move || drop(reply.send(begun))) as Answer),
        };
        self.open.outputs.push(Output::Errand(Box::new(begin)));
        // Exactly what is done now is the beginning.
        self.cut()?;
        self.keeping = Some(Box::default());
        Ok(())
    }

    /// Ends it, and removes what was kept.
    pub(super) fn forget_inputs(&mut self, reply: Reply<()>) -> Result<(), HypervisorError> {
        let forget = move |writer: &mut Writer| match writer.forget_inputs() {
            Err(HypervisorError::Store(error)) => Err(error),
            forgotten => Ok(Box::new(move || drop(reply.send(forgotten))) as Answer),
        };
        self.open.outputs.push(Output::Errand(Box::new(forget)));
        self.cut()?;
        self.keeping = None;
        Ok(())
    }

    fn keep_row(&mut self, what: What) {
        let window_end = self.clock.window_end;
        let Some(keeping) = &mut self.keeping else { return };
        let row = Row { place: Place { turns: keeping.standing.turns, window_end }, what };
        let (key, number) = (kept::row_key(keeping.standing.next), keeping.standing.next);
        if let What::Restore { root, .. } | What::Revive { root, .. } = &row.what {
            references::hold(&mut self.open.batch, &kept::held_by(number), root);
        }
        match keys::encode("a kept input", &row) {
            Ok(value) => {
                let bytes = (key.len() + value.len()) as u64;
                keeping.standing.bytes += bytes;
                keeping.standing.next += 1;
                keeping.changed = true;
                self.open.bytes += bytes;
                self.open.batch.put(Space::Inputs, key, value);
            }
            Err(error) => self.unkept = Some(error),
        }
    }

    pub(super) fn keep_creation(
        &mut self,
        container_type: &str,
        name: &str,
        data: &[u8],
        lowered: Option<&OwnLimits>,
        date_ms: u64,
    ) {
        if self.keeping.is_some() {
            let (container_type, name) = (container_type.to_owned(), name.to_owned());
            let data = ByteBuf::from(data);
            self.keep_row(What::Create {
                container_type,
                name,
                data,
                lowered: lowered.cloned().unwrap_or_default(),
                foremost: self.foremost(),
                date_ms,
            });
        }
    }

    pub(super) fn keep_connection(&mut self, places: &[connect::Place; 2]) {
        if self.keeping.is_some() {
            let ends = places.each_ref().map(|(id, name)| (*id, name.to_string()));
            self.keep_row(What::Connect { ends });
        }
    }

    pub(super) fn keep_restoring(&mut self, id: ContainerId, root: Cid) {
        self.keep_row(What::Restore { id, root });
    }

    pub(super) fn keep_revival(&mut self, container_type: &str, name: &str, root: Cid) {
        if self.keeping.is_some() {
            self.keep_row(What::Revive { container_type: container_type.into(), name: name.into(), root });
        }
    }

    pub(super) fn keep_firing(&mut self, now_ms: u64) {
        self.keep_row(What::Fire { now_ms, foremost: self.foremost() });
    }

    /// A message of a host's waits. It is kept when a turn takes it.
    pub(super) fn note_sent(&mut self, receipt: ReceiptId) {
        if let Some(keeping) = &mut self.keeping {
            keeping.sent.insert(receipt, keeping.standing.next);
        }
    }

    /// Messages that nobody will take.
    pub(super) fn note_lost(&mut self, receipt: ReceiptId) {
        if let Some(keeping) = &mut self.keeping {
            keeping.sent.remove(&receipt);
        }
    }

    /// Turns were run.
    pub(super) fn count_kept(&mut self, turns: u32) {
        if let Some(keeping) = &mut self.keeping {
            keeping.standing.turns += u64::from(turns);
            keeping.changed = true;
        }
    }

    /// Keeps what a turn got from outside: its message, what it drew, that it was interrupted.
    pub(super) fn keep_turn(&mut self, id: ContainerId, stepped: &mut Stepped) {
        if self.keeping.is_none() {
            return;
        }
        if let Some(taken) = stepped.taken.as_ref().filter(|taken| is_sent(taken)) {
            let keeping = self.keeping.as_mut();
            let sent =
                keeping.zip(taken.receipt).and_then(|(keeping, receipt)| keeping.sent.remove(&receipt));
            let delivery = Delivery::clone(taken);
            self.keep_row(What::Take { to: id, delivery, sent: sent.unwrap_or_default() });
        }
        let began = Ticks(stepped.ticks.0.saturating_sub(stepped.burnt.0));
        if !stepped.drawn.is_empty() {
            let drawn = std::mem::take(&mut stepped.drawn);
            let drawn = drawn.into_iter().map(|drawn| drawn.map(ByteBuf::from)).collect();
            self.keep_row(What::Draw { container: id, ticks: began, drawn });
        }
        if let Err(exception) = &stepped.outcome
            && exception.kind == ExceptionKind::Interrupted
        {
            self.keep_row(What::Interrupt { container: id, ticks: began, burnt: stepped.burnt });
        }
    }

    /// Where the state root of a container is to be noted that is made of what is done now.
    pub(super) fn marking(&self, id: ContainerId, ticks: Ticks) -> Option<Marking> {
        let keeping = self.keeping.as_ref()?;
        let place = Place { turns: keeping.standing.turns, window_end: self.clock.window_end };
        Some((kept::mark_key(keeping.standing.next, id), place, ticks))
    }

    /// Adds how far the rows go, if that is not what the store has.
    pub(super) fn write_standing(&mut self, batch: &mut Batch) -> Result<(), HypervisorError> {
        if let Some(error) = self.unkept.take() {
            return Err(error.into());
        }
        if let Some(keeping) = self.keeping.as_mut().filter(|keeping| keeping.changed) {
            batch.put(Space::Inputs, kept::STANDING, keys::encode("a standing", &keeping.standing)?);
            keeping.changed = false;
        }
        Ok(())
    }
}

/// Whether a delivery is what a host sent to a container that was there. Creations and timers are kept when they are put.
fn is_sent(delivery: &Delivery) -> bool {
    delivery.receipt.is_some() && delivery.kind != Kind::Create
}

/// What a mark says of a root that was made.
pub(crate) fn mark((_, place, ticks): &Marking, root: Cid) -> Mark {
    Mark { place: *place, ticks: *ticks, root }
}
