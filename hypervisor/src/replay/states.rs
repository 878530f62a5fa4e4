//! What is compared in the end: the state root of every root container, and the ticks of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use everturn_dag::{Cid, Reader, Space, Store};
use everturn_port_manager::{ContainerId, Ticks};

use crate::checkpoint::Parts;
use crate::keys::{self, Clock, RuntimeKey};
use crate::writer::{Arrivals, Writer};
use crate::{Builder, HypervisorError};

/// The states of one instant.
pub(super) struct States {
    clock: Clock,
    /// Root containers, and where their states are.
    roots: BTreeMap<ContainerId, Option<Cid>>,
    /// All containers.
    ticks: BTreeMap<ContainerId, Ticks>,
}

/// A root container: its ticks then, its state root then and now.
type Beside = (ContainerId, Ticks, Option<Cid>, Option<Cid>);

impl States {
    /// Those of a store that nobody else has. It is written to.
    pub(super) fn of_store(store: &Arc<dyn Store>, builder: &Builder) -> Result<States, HypervisorError> {
        let mut writer = Writer::new(store.clone(), builder.types(), builder.threads(), Arrivals::default())?;
        let checkpoint = writer.checkpoint()?;
        writer.sync()?;
        States::of_checkpoint(&**store, &checkpoint)
    }

    /// Those of a checkpoint that was made in this store, whose containers are still as they were then.
    pub(super) fn of_checkpoint(store: &dyn Reader, checkpoint: &Cid) -> Result<States, HypervisorError> {
        let clock = match store.get(Space::Meta, keys::CLOCK)? {
            Some(bytes) => keys::decode("the clock", &bytes)?,
            None => Clock::default(),
        };
        let roots = Parts::read(&keys::Blocks { reader: store }, checkpoint)?.roots()?;
        let (mut ticks, mut failed) = (BTreeMap::new(), None);
        store.scan(Space::Runtime, &[], &mut |key, value| {
            if let Some(RuntimeKey::Record(id)) = keys::parse_runtime(key) {
                match keys::decode_record(id, value) {
                    Ok(record) => drop(ticks.insert(id, record.ticks)),
                    Err(error) => failed = Some(error),
                }
            }
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)?;
        Ok(States { clock, roots, ticks })
    }

    /// The end of the last window begun.
    pub(super) fn window_end(&self) -> Ticks {
        self.clock.window_end
    }

    /// Every root container of either, by id.
    pub(super) fn beside(&self, now: &States) -> Vec<Beside> {
        let mut ids: Vec<ContainerId> = self.roots.keys().chain(now.roots.keys()).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let ticks = |id| self.ticks.get(id).or(now.ticks.get(id)).copied().unwrap_or_default();
        let root = |states: &States, id| states.roots.get(id).copied().flatten();
        ids.iter().map(|id| (*id, ticks(id), root(self, id), root(now, id))).collect()
    }

    /// The first container that is there and has other ticks, with both.
    pub(super) fn first_other_ticks(&self, now: &States) -> Option<(ContainerId, Ticks, Ticks)> {
        let both = self.ticks.iter().filter_map(|(id, was)| Some((*id, *was, *now.ticks.get(id)?)));
        both.into_iter().find(|(_, was, is)| was != is)
    }
}
