//! Timers as whoever keeps the time sees them: when the first one is due, and that it is.

use std::sync::Weak;

use tokio::sync::{oneshot, watch};

use crate::core::Command;
use crate::handle::Commands;

/// When timers of a hypervisor are due, and the way to say that it is time.
pub struct DueTimers {
    pub(crate) commands: Weak<Commands>,
    pub(crate) next_ms: watch::Receiver<Option<u64>>,
}

impl DueTimers {
    /// When the first timer is due, in milliseconds since 1970, as far as is known; `None` when there is none.
    pub fn next_ms(&mut self) -> Option<u64> {
        *self.next_ms.borrow_and_update()
    }

    /// Resolves when that has changed since it was last asked for; `false` when the hypervisor is gone.
    pub async fn changed(&mut self) -> bool {
        self.next_ms.changed().await.is_ok()
    }

    /// It is so late: what is due becomes input. Resolves when that is durable; `false` when the hypervisor is gone.
    pub async fn fire(&self, now_ms: u64) -> bool {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.upgrade().is_some_and(|commands| {
            let fire = Command::Fire { now_ms, reply };
            commands.0.send(fire).is_ok()
        });
        sent && matches!(answer.await, Ok(Ok(())))
    }
}
