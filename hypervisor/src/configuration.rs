//! All that can change an outcome and is fixed with a store.
//!
//! Whatever is added to [`Limits`] or here has to be stored, compared and named: each place that lists the fields takes
//! the whole struct apart, and does not compile without the new one.

use std::collections::BTreeMap;
use std::fmt;

use everturn_dag::{Batch, Space, Store};
use everturn_exo_interface::{Limits, OwnLimits};
use everturn_port_manager::Ticks;
use serde::{Deserialize, Serialize};

use crate::{HypervisorError, Settings, keys};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    lookahead: Ticks,
    turn_cost: Ticks,
    turn_fuel: u64,
    collect_fuel_per_byte: u64,
    heap_bytes_max: u64,
    message_bytes_max: u64,
    ports_max: u64,
    effects_max: u64,
    depth_max: u32,
    queue_places_max: u64,
    container_fuel: u64,
    outbox_bytes_max: u64,
    containers_max: u64,
    timers_max: u64,
    /// What types have in place of these.
    types: BTreeMap<String, OwnLimits>,
}

/// What a field holds, to compare and to show.
#[derive(PartialEq, Eq)]
enum Fact<'a> {
    Number(u64),
    Types(&'a BTreeMap<String, OwnLimits>),
}

impl Configuration {
    /// What these settings fix, with the limits that types have of their own.
    pub(crate) fn new(settings: &Settings, types: &BTreeMap<String, OwnLimits>) -> Configuration {
        let Limits {
            turn_fuel,
            collect_fuel_per_byte,
            heap_bytes_max,
            message_bytes_max,
            ports_max,
            effects_max,
            outbox_bytes_max,
            depth_max,
            queue_places_max,
            container_fuel,
            containers_max,
            timers_max,
        } = settings.limits;
        Configuration {
            lookahead: settings.lookahead,
            turn_cost: settings.turn_cost,
            turn_fuel,
            collect_fuel_per_byte,
            heap_bytes_max,
            message_bytes_max: message_bytes_max as u64,
            ports_max: ports_max as u64,
            effects_max: effects_max as u64,
            depth_max,
            queue_places_max,
            container_fuel,
            outbox_bytes_max,
            containers_max,
            timers_max: timers_max as u64,
            types: types.clone(),
        }
    }

    /// The one that a store was made with; none of a new one.
    pub(crate) fn stored(store: &dyn Store) -> Result<Option<Configuration>, HypervisorError> {
        let bytes = store.get(Space::Meta, keys::CONFIGURATION)?;
        Ok(bytes.map(|bytes| keys::decode("the configuration", &bytes)).transpose()?)
    }

    /// The settings that fix this: what is not fixed is taken from others.
    pub(crate) fn settings(self, others: &Settings) -> (Settings, BTreeMap<String, OwnLimits>) {
        let count = |most| usize::try_from(most).unwrap_or(usize::MAX);
        let limits = Limits {
            turn_fuel: self.turn_fuel,
            collect_fuel_per_byte: self.collect_fuel_per_byte,
            heap_bytes_max: self.heap_bytes_max,
            message_bytes_max: count(self.message_bytes_max),
            ports_max: count(self.ports_max),
            effects_max: count(self.effects_max),
            outbox_bytes_max: self.outbox_bytes_max,
            depth_max: self.depth_max,
            queue_places_max: self.queue_places_max,
            container_fuel: self.container_fuel,
            containers_max: self.containers_max,
            timers_max: count(self.timers_max),
        };
        (Settings { lookahead: self.lookahead, turn_cost: self.turn_cost, limits, ..*others }, self.types)
    }

    /// Fixes the configuration of a new store, or holds an old one to its own.
    pub(crate) fn fix(&self, store: &dyn Store) -> Result<(), HypervisorError> {
        if let Some(stored) = Configuration::stored(store)? {
            return self.check(&stored);
        }
        let mut batch = Batch::new();
        batch.put(Space::Meta, keys::CONFIGURATION, keys::encode("the configuration", self)?);
        store.write(batch)?;
        Ok(store.sync()?)
    }

    /// Names the first field in which what was stored differs from this.
    pub(crate) fn check(&self, stored: &Configuration) -> Result<(), HypervisorError> {
        let mut fields = stored.fields().into_iter().zip(self.fields());
        match fields.find(|((_, stored), (_, given))| stored != given) {
            Some(((field, stored), (_, given))) => Err(HypervisorError::Configuration {
                field,
                stored: stored.to_string(),
                given: given.to_string(),
            }),
            None => Ok(()),
        }
    }

    fn fields(&self) -> [(&'static str, Fact<'_>); 15] {
        let Configuration {
            lookahead,
            turn_cost,
            turn_fuel,
            collect_fuel_per_byte,
            heap_bytes_max,
            message_bytes_max,
            ports_max,
            effects_max,
            depth_max,
            queue_places_max,
            container_fuel,
            outbox_bytes_max,
            containers_max,
            timers_max,
            types,
        } = self;
        [
            ("lookahead", Fact::Number(lookahead.0)),
            ("turn_cost", Fact::Number(turn_cost.0)),
            ("turn_fuel", Fact::Number(*turn_fuel)),
            ("collect_fuel_per_byte", Fact::Number(*collect_fuel_per_byte)),
            ("heap_bytes_max", Fact::Number(*heap_bytes_max)),
            ("message_bytes_max", Fact::Number(*message_bytes_max)),
            ("ports_max", Fact::Number(*ports_max)),
            ("effects_max", Fact::Number(*effects_max)),
            ("depth_max", Fact::Number((*depth_max).into())),
            ("queue_places_max", Fact::Number(*queue_places_max)),
            ("container_fuel", Fact::Number(*container_fuel)),
            ("outbox_bytes_max", Fact::Number(*outbox_bytes_max)),
            ("containers_max", Fact::Number(*containers_max)),
            ("timers_max", Fact::Number(*timers_max)),
            ("limits of types", Fact::Types(types)),
        ]
    }
}

impl fmt::Display for Fact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = match self {
            Fact::Number(number) => return write!(f, "{number}"),
            Fact::Types(types) => types,
        };
        let one = |(name, own): (&String, &OwnLimits)| {
            let own: Vec<String> = own.iter().map(|(limit, most)| format!("{limit}: {most}")).collect();
            format!("{name}: {{{}}}", own.join(", "))
        };
        write!(f, "{{{}}}", types.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}
