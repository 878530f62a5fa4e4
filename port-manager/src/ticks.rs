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

    /// The end of the window of this length that the point lies in: windows are `[k * length, (k + 1) * length)`.
    #[must_use]
    pub fn window_end(self, length: Ticks) -> Ticks {
        let length = length.0.max(1);
        Ticks((self.0 / length).saturating_add(1).saturating_mul(length))
    }

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
