//! When timers are due. The core has no clock: a host that has one says what time it is.

use std::collections::{BTreeMap, BTreeSet};

use everturn_port_manager::{ContainerId, Kind, Message};
use tokio::sync::watch;

use super::Core;

/// Nobody is woken more often for replies that were kept long enough, in milliseconds.
const KEPT_STEP_MS: u64 = 60_000;

/// The first date of every container that has timers. Made from the records, kept in step with them.
pub(super) struct Alarms {
    by_date: BTreeSet<(u64, ContainerId)>,
    dates: BTreeMap<ContainerId, u64>,
    /// When the first of the replies that are kept goes.
    kept: Option<u64>,
    /// The least of them, for whoever keeps the time.
    next: watch::Sender<Option<u64>>,
}

impl Alarms {
    pub(super) fn new(next: watch::Sender<Option<u64>>) -> Alarms {
        Alarms { by_date: BTreeSet::new(), dates: BTreeMap::new(), kept: None, next }
    }

    /// When a container's first timer is due now; `None` for none.
    pub(super) fn note(&mut self, id: ContainerId, due_ms: Option<u64>) {
        let before = match due_ms {
            Some(due_ms) => self.dates.insert(id, due_ms),
            None => self.dates.remove(&id),
        };
        if before == due_ms {
            return;
        }
        self.by_date.extend(due_ms.map(|due_ms| (due_ms, id)));
        before.map(|before| self.by_date.remove(&(before, id)));
        self.tell_next();
    }

    /// Until when the first of the replies is kept.
    pub(super) fn note_kept(&mut self, until_ms: Option<u64>) {
        let due_ms = until_ms.map(|until_ms| until_ms.div_ceil(KEPT_STEP_MS).saturating_mul(KEPT_STEP_MS));
        if std::mem::replace(&mut self.kept, due_ms) != due_ms {
            self.tell_next();
        }
    }

    fn tell_next(&self) {
        let first = self.by_date.first().map(|(due_ms, _)| *due_ms);
        let next = first.into_iter().chain(self.kept).min();
        self.next.send_if_modified(|known| std::mem::replace(known, next) != next);
    }

    fn first_due(&self, now_ms: u64) -> Option<ContainerId> {
        self.by_date.first().filter(|(due_ms, _)| *due_ms <= now_ms).map(|(_, id)| *id)
    }
}

impl Core {
    /// A container's timers are not what they were.
    pub(super) fn note_timers(&mut self, id: ContainerId) {
        self.alarms.note(id, self.running.get(&id).and_then(|exo| exo.first_due_ms()));
    }

    /// It is `now_ms`: what is due becomes input, by date and within one date by container and number.
    pub(super) fn fire(&mut self, now_ms: u64) {
        self.expire_kept(now_ms);
        if self.alarms.first_due(now_ms).is_some() {
            self.keep_firing(now_ms);
        }
        while let Some(id) = self.alarms.first_due(now_ms) {
            let data = self.running.get_mut(&id).and_then(|exo| exo.take_due(now_ms));
            self.note_timers(id);
            if let Some(data) = data {
                let message = Message { data, ..Message::default() };
                self.put_input(id, Kind::Timer, message, now_ms, None);
            }
        }
    }
}
