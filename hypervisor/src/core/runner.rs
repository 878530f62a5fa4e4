//! Drives one container: what a worker thread and the core thread have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use everturn_dag::{Batch, Space, Store};
use everturn_exo_interface::{
    Asked, ContainerType, ExoError, ExoInterface, Life, Limits, Outside, OwnLimits, Policy, Stepped,
    Surroundings, TypeContext,
};
use everturn_port_manager::{ContainerId, Loose, Source, Ticks};

use super::Types;
use crate::builder::Settings;
use crate::{HypervisorError, keys};

/// All that running a container needs beside the container.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(super) store: Arc<dyn Store>,
    pub(super) types: Types,
    pub(super) settings: Settings,
    /// Of types that have limits of their own.
    type_limits: Arc<BTreeMap<String, Limits>>,
    pub(super) outside: Arc<Outside>,
}

impl Runner {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        types: Types,
        settings: Settings,
        own: &BTreeMap<String, OwnLimits>,
        outside: Arc<Outside>,
    ) -> Runner {
        let type_limits =
            own.iter().map(|(name, own)| (name.clone(), settings.limits.of_type(own))).collect();
        Runner { store, types, settings, type_limits: Arc::new(type_limits), outside }
    }

    /// A container's bounds.
    pub(super) fn limits(&self, exo: &ExoInterface) -> Limits {
        let record = exo.record();
        let limits = self.type_limits.get(&*record.container_type).unwrap_or(&self.settings.limits);
        record.lowered.as_ref().map_or(*limits, |by| limits.lowered(by))
    }

    /// Runs the next turn of a container and the collection that it made due, in this order.
    #[allow(clippy::vec_box, reason = "they come boxed, for they are handed on often")]
    pub(super) fn step(
        &self,
        exo: &mut ExoInterface,
        hand: &mut Loose,
        steps: &mut Vec<Box<Stepped>>,
    ) -> Result<(), HypervisorError> {
        let ticks = || exo.ports().next().map_or(exo.record().ticks, |head| exo.record().ticks.max(head.at));
        let coming = || exo.ports().next().map(|head| Coming(&head.source, head.at));
        let _turn = span_of_turn(exo.id(), ticks, coming).entered();
        self.around(exo, |exo, around| {
            let stepped = exo.step(around, hand)?;
            let lives = stepped.as_ref().is_some_and(|stepped| stepped.life == Life::GoesOn);
            steps.extend(stepped);
            if lives {
                steps.extend(exo.collect(around)?);
            }
            Ok(())
        })
    }

    /// Adds what changed of a container since its last commit.
    pub(super) fn commit(&self, exo: &mut ExoInterface, batch: &mut Batch) -> Result<(), HypervisorError> {
        let id = exo.id();
        for name in exo.take_touched_ports() {
            match exo.ports().get(&name) {
                Some(port) => {
                    batch.put(Space::Runtime, keys::port(id, &name), keys::encode("a port", port)?);
                }
                None => batch.delete(Space::Runtime, keys::port(id, &name)),
            }
        }
        for name in exo.ports_mut().take_rebound() {
            batch.put(Space::Stale, keys::stale_port(id, &name), []);
        }
        self.around(exo, |exo, around| exo.commit(around, &mut keys::RowChanges { batch, id }).map(|_| ()))?;
        batch.put(Space::Runtime, keys::record(id), keys::encode("a record", exo.record())?);
        Ok(())
    }

    /// The names that may stand in place of the last one of a text, in a container as it is now.
    pub(super) fn complete(
        &self,
        exo: &mut ExoInterface,
        text: &str,
    ) -> Result<Vec<String>, HypervisorError> {
        self.around(exo, |exo, around| exo.complete(around, text))
    }

    /// Asks a container to answer a request without a turn.
    pub(super) fn query(
        &self,
        exo: &mut ExoInterface,
        data: Vec<u8>,
        date_ms: u64,
    ) -> Result<Asked, HypervisorError> {
        self.around(exo, |exo, around| exo.query(around, data, date_ms))
    }

    /// The name of a container's type, if it is not registered and the container cannot run without.
    pub(super) fn missing_type(&self, exo: &ExoInterface) -> Option<String> {
        let name = &exo.record().container_type;
        let needed = exo.record().born && !exo.is_loaded();
        (needed && self.types.find(name).is_none()).then(|| name.to_string())
    }

    fn around<T>(
        &self,
        exo: &mut ExoInterface,
        run: impl FnOnce(&mut ExoInterface, &Surroundings<'_>) -> Result<T, ExoError>,
    ) -> Result<T, HypervisorError> {
        let id = exo.id();
        let container_type = match exo.is_loaded() {
            true => None,
            false => self.types.find(&exo.record().container_type),
        };
        let rows = keys::Rows { reader: &*self.store, id };
        let blocks = keys::Blocks { reader: &*self.store };
        let limits = self.limits(exo);
        let context = TypeContext { id, limits: &limits, state: &rows, blocks: &blocks };
        Ok(run(exo, &self.surroundings(context, container_type.as_deref()))?)
    }

    fn surroundings<'a>(
        &'a self,
        context: TypeContext<'a>,
        container_type: Option<&'a dyn ContainerType>,
    ) -> Surroundings<'a> {
        Surroundings {
            container_type,
            context,
            policy: Policy { savepoint_turns: self.settings.savepoint_turns },
            outside: Some(&self.outside),
            turn_cost: self.settings.turn_cost,
            lookahead: self.lookahead(),
        }
    }

    /// Ticks between a send and its delivery, and the length of a window.
    pub(super) fn lookahead(&self) -> Ticks {
        Ticks(self.settings.lookahead.0.max(1))
    }

    /// The end of the window that a delivery tick lies in.
    pub(super) fn window_end(&self, at: Ticks) -> Ticks {
        at.window_end(self.lookahead())
    }
}

/// What is traced of a turn says whose it is: the container, its ticks when the turn begins, and the message by the port through
/// which it comes and its delivery tick. Costs nothing where nobody looks.
pub(super) fn span_of_turn<'a>(
    container: ContainerId,
    ticks: impl FnOnce() -> Ticks,
    message: impl FnOnce() -> Option<Coming<'a>>,
) -> tracing::Span {
    tracing::debug_span!(
        target: "everturn::turn",
        "turn",
        %container,
        ticks = %ticks(),
        message = message().map(|coming| coming.to_string()),
    )
}

/// A message as people are told of it, such as `parent@12`.
pub(super) struct Coming<'a>(pub(super) &'a Source, pub(super) Ticks);

impl fmt::Display for Coming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.1;
        match self.0 {
            Source::Parent => write!(f, "parent@{at}"),
            Source::Notice(child) => write!(f, "notice:{child}@{at}"),
            Source::Named(name) => write!(f, "{name}@{at}"),
        }
    }
}
