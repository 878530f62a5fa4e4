//! A container that waits: behind it messages gather, so that a clock may start when all of them are in the queue.
//!
//! A container must not wait, and a real one could not: it has nothing to wait with.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use everturn::native::{Incoming, Native};
use everturn::{Exception, Ipld, Turn};
use serde::{Deserialize, Serialize};

/// Longer than anybody fills a queue.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the waiting turn listens.
static CLOSED: Mutex<Option<mpsc::Receiver<()>>> = Mutex::new(None);

/// The container: any message makes it wait until the gate that was closed before is opened.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Gate;

impl Native for Gate {
    fn create(_: &mut Turn, _: Ipld) -> Result<Self, Exception> {
        Ok(Gate)
    }

    fn run(&mut self, _: &mut Turn, _: &Incoming<'_>) -> Result<(), Exception> {
        let opened = CLOSED.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(opened) = opened {
            // Both an opened gate and one that was forgotten let everybody through.
            let _ = opened.recv_timeout(PATIENCE);
        }
        Ok(())
    }
}

/// Closes the gate for the next turn of the container; what it gives opens it.
pub(crate) fn close() -> mpsc::Sender<()> {
    let (open, opened) = mpsc::channel();
    *CLOSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
    open
}
