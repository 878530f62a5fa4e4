//! Keeps the time for a hypervisor: its timers come when they are due.

use async_trait::async_trait;
use everturn_drivers::clock::{self, Timers};
use everturn_hypervisor::{DueTimers, Hypervisor};
use tokio::task::JoinHandle;

pub use everturn_drivers::clock::{now_ms, stopwatch};

struct Kept(DueTimers);

#[async_trait]
impl Timers for Kept {
    fn next_ms(&mut self) -> Option<u64> {
        self.0.next_ms()
    }

    async fn changed(&mut self) -> bool {
        self.0.changed().await
    }

    async fn fire(&mut self, now_ms: u64) -> bool {
        self.0.fire(now_ms).await
    }
}

/// Keeps the time by the machine's clock, in a task that ends with the hypervisor and does not hold it. What became due while
/// nobody did comes at once. Belongs to a host whose hypervisor is built with [`now_ms`] as its clock.
pub fn keep(hypervisor: &Hypervisor) -> JoinHandle<()> {
    tokio::spawn(clock::keep(Kept(hypervisor.timers()), now_ms))
}
