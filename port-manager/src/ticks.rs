//! Logical time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in logical time, or a span of it. One tick is one unit of fuel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticks(pub u64);

impl Ticks {
    /// The beginning of time.
    pub const ZERO: Ticks = Ticks(0);
    /// Later than everything: "when idle".
    pub const MAX: Ticks = Ticks(u64::MAX);

    /// This point, `span` later; the end of time at the latest.
    #[must_use]
    pub fn after(self, span: Ticks) -> Ticks {
        Ticks(self.0.saturating_add(span.0))
    }
}

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
