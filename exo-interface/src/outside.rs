//! What a turn has of its host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use everturn_port_manager::{ContainerId, Ticks};

use crate::Entropy;

/// What a host lends to every turn.
#[derive(Default)]
pub struct Outside {
    /// Raised by a person who wants the running turn discarded.
    pub interrupt: Arc<AtomicBool>,
    /// Where random bytes come from, if guests may have any.
    pub entropy: Option<Arc<dyn Entropy>>,
    /// Turns that a person interrupted once and that are run again, by whose they are and when they began: what they burnt.
    pub interrupted: BTreeMap<(ContainerId, Ticks), Ticks>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entropy = self.entropy.is_some();
        f.debug_struct("Outside").field("interrupt", &self.interrupt).field("entropy", &entropy).finish()
    }
}
