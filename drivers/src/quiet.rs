//! A bound for lines of the log about what others do to a driver.
//!
//! Invariants:
//! 1. There is at most one line in [`QUIET`], whatever others do: a flood of troubles is no flood of lines.
//! 2. What is not told at once is counted, and its number told: when [`QUIET`] is over, or when the driver ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// For how long nothing more is said after a line.
pub(crate) const QUIET: Duration = Duration::from_secs(1);

/// How it stands with lines of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quiet(Arc<Mutex<Standing>>);

#[derive(Debug, Default)]
struct Standing {
    until: Option<Instant>,
    /// What came since the last line and was not told.
    more: u64,
}

impl Quiet {
    /// Whether there is to be a line now. If not, one more is counted, and `sum_up` says later how many that were. To be called
    /// within a runtime.
    pub(crate) fn may_tell(&self, sum_up: impl FnOnce(u64) + Send + 'static) -> bool {
        let mut standing = self.standing();
        let now = Instant::now();
        let Some(until) = standing.until.filter(|until| *until > now) else {
            standing.until = Some(now + QUIET);
            return true;
        };
        standing.more += 1;
        if standing.more == 1 {
            let quiet = self.clone();
            drop(tokio::spawn(async move {
                sleep_until(until).await;
                if let Some(more) = quiet.untold() {
                    sum_up(more);
                }
            }));
        }
        false
    }

    /// How many were not told; from now on they are.
    pub(crate) fn untold(&self) -> Option<u64> {
        let mut standing = self.standing();
        let more = std::mem::take(&mut standing.more);
        if more == 0 {
            return None;
        }
        standing.until = Some(Instant::now() + QUIET);
        Some(more)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
