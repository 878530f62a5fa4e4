//! Bounds: what a container may use, for all, for a type, for one.
//!
//! Three layers, each above the next: the hypervisor's [`Limits`]; those of a container type, which a host may set higher
//! or lower; and what was lowered for one container when it was made. What a creator lowered holds for all that the
//! child will ever own, so that nobody gets out of a bound by making children.
//!
//! Everything here can change an outcome. The first two layers are part of the configuration, the third of the
//! container's runtime record.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Bounds that can change an outcome; part of the configuration. Passing one is a refusal or an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel of one turn; 2,000,000,000 by default, about half a second of JavaScript (AMD EPYC). Past it the turn ends with an
    /// exception of kind [`Fuel`](crate::ExceptionKind::Fuel).
    pub turn_fuel: u64,
    /// Fuel of one turn of the cycle collector, per byte of heap; 1,000 by default. A collection that does not fit is put
    /// off.
    pub collect_fuel_per_byte: u64,
    /// Largest heap or state, in bytes; 1 GiB by default. Memory does not grow past it, which a program may handle; else
    /// the turn ends with an exception of kind [`OutOfMemory`](crate::ExceptionKind::OutOfMemory).
    pub heap_bytes_max: u64,
    /// Largest message that a container may send or answer, or a host send it, in bytes; 16 MiB by default. Past it
    /// [`MessageTooLarge`](crate::Refusal::MessageTooLarge).
    pub message_bytes_max: usize,
    /// Ports that one container may bind; 100,000 by default. Past it [`TooManyPorts`](crate::Refusal::TooManyPorts).
    pub ports_max: usize,
    /// Effects that one turn may record, lines among them; 100,000 by default. Past it
    /// [`TooManyEffects`](crate::Refusal::TooManyEffects).
    pub effects_max: usize,
    /// What one turn may let out, in bytes: data of messages and creations, lines, its answer; 64 MiB by default. Past it
    /// [`OutboxFull`](crate::Refusal::OutboxFull).
    pub outbox_bytes_max: u64,
    /// Timers that one container may have; 10,000 by default. Past it [`TooManyTimers`](crate::Refusal::TooManyTimers).
    pub timers_max: usize,
    /// How far from a root a container may be made; a root is at 0; 1,000 by default. Past it
    /// [`TooDeep`](crate::Refusal::TooDeep).
    pub depth_max: u32,
    /// Messages of one sender that may wait in one queue; exceptions, closes and answers come on top; 4,096 by default.
    /// Past it [`QueueFull`](crate::Refusal::QueueFull).
    pub queue_places_max: u64,
    /// Fuel that one container may burn in its whole life; without bound by default. A turn gets what is left, and with
    /// nothing left it ends with an exception of kind [`Fuel`](crate::ExceptionKind::Fuel).
    pub container_fuel: u64,
    /// Containers that containers have made and that are alive at once in the whole hypervisor; 2,000,000 by default. One
    /// more is not made: its creator gets an exception of kind
    /// [`TooManyContainers`](crate::ExceptionKind::TooManyContainers), as for a creation that fails. Roots, which hosts
    /// make, do not count. The only bound that is nobody's own: it cannot be set for a type or lowered for a container.
    pub containers_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            turn_fuel: 2_000_000_000,
            collect_fuel_per_byte: 1_000,
            heap_bytes_max: 1 << 30,
            message_bytes_max: 16 << 20,
            ports_max: 100_000,
            effects_max: 100_000,
            outbox_bytes_max: 64 << 20,
            timers_max: 10_000,
            depth_max: 1_000,
            queue_places_max: 4_096,
            container_fuel: u64::MAX,
            containers_max: 2_000_000,
        }
    }
}

/// One of the bounds that can be a type's or a container's own; see [`Limits`] for what each says. Codes and names are part
/// of the guest interface and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::turn_fuel`].
    TurnFuel = 1,
    /// [`Limits::container_fuel`].
    ContainerFuel = 2,
    /// [`Limits::heap_bytes_max`].
    HeapBytesMax = 3,
    /// [`Limits::message_bytes_max`].
    MessageBytesMax = 4,
    /// [`Limits::ports_max`].
    PortsMax = 5,
    /// [`Limits::effects_max`].
    EffectsMax = 6,
    /// [`Limits::outbox_bytes_max`].
    OutboxBytesMax = 7,
    /// [`Limits::queue_places_max`].
    QueuePlacesMax = 8,
    /// [`Limits::depth_max`].
    DepthMax = 9,
    /// [`Limits::timers_max`].
    TimersMax = 10,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Limit {
    /// Every one, by code.
    pub const ALL: [Limit; 10] = [
        Limit::TurnFuel,
        Limit::ContainerFuel,
        Limit::HeapBytesMax,
        Limit::MessageBytesMax,
        Limit::PortsMax,
        Limit::EffectsMax,
        Limit::OutboxBytesMax,
        Limit::QueuePlacesMax,
        Limit::DepthMax,
        Limit::TimersMax,
    ];

    /// The number by which a guest names it.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// Its name, under which it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Limit::TurnFuel => "turn_fuel",
            Limit::ContainerFuel => "container_fuel",
            Limit::HeapBytesMax => "heap_bytes_max",
            Limit::MessageBytesMax => "message_bytes_max",
            Limit::PortsMax => "ports_max",
            Limit::EffectsMax => "effects_max",
            Limit::OutboxBytesMax => "outbox_bytes_max",
            Limit::QueuePlacesMax => "queue_places_max",
            Limit::DepthMax => "depth_max",
            Limit::TimersMax => "timers_max",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Limit> {
        Limit::ALL.into_iter().find(|limit| limit.name() == name)
    }

    /// The one with this number.
    pub fn from_code(code: u32) -> Option<Limit> {
        Limit::ALL.into_iter().find(|limit| limit.code() == code)
    }
}

/// Bounds that are a type's or a container's own. The others are those of the layer above.
pub type OwnLimits = BTreeMap<Limit, u64>;

/// Lowers bounds by more of them: of two for the same thing the lower one stands.
pub fn lower(bounds: &mut OwnLimits, by: &OwnLimits) {
    for (limit, most) in by {
        let bound = bounds.entry(*limit).or_insert(*most);
        *bound = (*bound).min(*most);
    }
}

impl Limits {
    /// One of them.
    pub fn get(&self, limit: Limit) -> u64 {
        match limit {
            Limit::TurnFuel => self.turn_fuel,
            Limit::ContainerFuel => self.container_fuel,
            Limit::HeapBytesMax => self.heap_bytes_max,
            Limit::MessageBytesMax => self.message_bytes_max as u64,
            Limit::PortsMax => self.ports_max as u64,
            Limit::EffectsMax => self.effects_max as u64,
            Limit::OutboxBytesMax => self.outbox_bytes_max,
            Limit::QueuePlacesMax => self.queue_places_max,
            Limit::DepthMax => self.depth_max.into(),
            Limit::TimersMax => self.timers_max as u64,
        }
    }

    /// These with one changed.
    #[must_use]
    pub fn with(mut self, limit: Limit, most: u64) -> Limits {
        let count = usize::try_from(most).unwrap_or(usize::MAX);
        match limit {
            Limit::TurnFuel => self.turn_fuel = most,
            Limit::ContainerFuel => self.container_fuel = most,
            Limit::HeapBytesMax => self.heap_bytes_max = most,
            Limit::MessageBytesMax => self.message_bytes_max = count,
            Limit::PortsMax => self.ports_max = count,
            Limit::EffectsMax => self.effects_max = count,
            Limit::OutboxBytesMax => self.outbox_bytes_max = most,
            Limit::QueuePlacesMax => self.queue_places_max = most,
            Limit::DepthMax => self.depth_max = u32::try_from(most).unwrap_or(u32::MAX),
            Limit::TimersMax => self.timers_max = count,
        }
        self
    }

    /// These with a type's own in place of them.
    #[must_use]
    pub fn of_type(self, own: &OwnLimits) -> Limits {
        own.iter().fold(self, |limits, (limit, most)| limits.with(*limit, *most))
    }

    /// These, where not lowered for a container.
    #[must_use]
    pub fn lowered(self, by: &OwnLimits) -> Limits {
        by.iter().fold(self, |limits, (limit, most)| limits.with(*limit, (*most).min(limits.get(*limit))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_can_be_set_and_read_and_has_its_own_place() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            let most = 100 + index as u64;
            let changed = Limits::default().with(limit, most);
            assert_eq!(changed.get(limit), most);
            let others = Limit::ALL.into_iter().filter(|other| *other != limit);
            for other in others {
                assert_eq!(changed.get(other), Limits::default().get(other), "{limit:?} is not {other:?}");
            }
            assert_eq!(Limit::from_code(limit.code()), Some(limit));
            assert_eq!(Limit::from_name(limit.name()), Some(limit));
        }
        assert_eq!(Limit::from_name("turn_fuels"), None);
        assert_eq!(Limit::from_code(0), None);
    }

    #[test]
    fn a_type_may_have_more_and_a_container_only_less() {
        let own = OwnLimits::from([(Limit::PortsMax, 200_000), (Limit::TurnFuel, 5)]);
        let of_type = Limits::default().of_type(&own);
        assert_eq!((of_type.ports_max, of_type.turn_fuel), (200_000, 5));
        let lowered = of_type.lowered(&OwnLimits::from([(Limit::PortsMax, 7), (Limit::TurnFuel, 6)]));
        assert_eq!((lowered.ports_max, lowered.turn_fuel), (7, 5));
    }

    #[test]
    fn what_was_lowered_before_stays_so() {
        let mut bounds = OwnLimits::from([(Limit::PortsMax, 7), (Limit::DepthMax, 2)]);
        lower(
            &mut bounds,
            &OwnLimits::from([(Limit::PortsMax, 9), (Limit::DepthMax, 1), (Limit::TurnFuel, 3)]),
        );
        let expected = [(Limit::TurnFuel, 3), (Limit::PortsMax, 7), (Limit::DepthMax, 1)];
        assert_eq!(bounds, OwnLimits::from(expected));
    }

    #[test]
    fn they_are_stored_by_name() {
        let own: OwnLimits = Limit::ALL.into_iter().map(|limit| (limit, limit.code().into())).collect();
        let bytes = everturn_dag::node::encode(&own).unwrap();
        let read: BTreeMap<String, u32> = everturn_dag::node::decode(&bytes).unwrap();
        assert_eq!(read, Limit::ALL.into_iter().map(|limit| (limit.to_string(), limit.code())).collect());
        assert_eq!(everturn_dag::node::decode::<OwnLimits>(&bytes).unwrap(), own);
    }
}
