//! Where the helpers of a flush run: on other processors than the thread that they help.
//!
//! A woken thread may be put on the processor of who woke it, when the others do not look free, and those of a virtual machine that
//! sleep do not: the host has taken them off. There it waits until the flush is done. (Measured on two virtual processors: in half
//! of the runs a helper began after the last share was done, and so in every flush of the run.) What it works on and what comes of
//! it is the same wherever it runs.

use std::sync::{Mutex, PoisonError};

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The threads that help.
#[derive(Default)]
pub(super) struct Helpers(Mutex<Vec<Helper>>);

struct Helper {
    thread: Pid,
    /// The processor that it was told to stay off.
    off: Option<usize>,
}

impl Helpers {
    /// This thread is one of them.
    pub(super) fn join(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Helper { thread: gettid(), off: None });
    }

    /// Keeps them off the processor that this thread is on, as far as the system lets us and there are others that this thread may
    /// be on as well.
    pub(super) fn keep_off(&self) {
        let here = sched_getcpu();
        let mut helpers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if here >= CpuSet::MAX_CPU || helpers.iter().all(|helper| helper.off == Some(here)) {
            return;
        }
        let Ok(mut others) = sched_getaffinity(None) else { return };
        others.unset(here);
        if others.count() == 0 {
            return;
        }
        for helper in &mut *helpers {
            // It would only be slower.
            let _ = sched_setaffinity(Some(helper.thread), &others);
            helper.off = Some(here);
        }
    }
}
