//! The threads that share the work of a flush.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod processors;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

#[cfg(not(target_os = "linux"))]
use self::elsewhere::Helpers;
#[cfg(target_os = "linux")]
use self::processors::Helpers;
use crate::builder::THREAD_STACK_BYTES;

/// Nodes from which on it pays to share them: to wake a thread takes as long as some ten nodes (measured: 70 us).
const NODES_MIN: usize = 32;
/// Nodes that are worked on at once at most, and how often each thread comes for more at least, if there are nodes for that.
const AT_ONCE_MAX: usize = 16;
const ROUNDS_MIN: usize = 8;

/// A thread that flushes, and those that help it. They are started by the first flush that is worth it, and kept. (One that is
/// started anew each time is often put on the processor of who started it, and waits for it: measured.)
pub(crate) struct Crew {
    threads: NonZeroUsize,
    pool: OnceLock<Option<ThreadPool>>,
    helpers: Arc<Helpers>,
}

impl Crew {
    /// A thread and its helpers, so many together.
    pub(crate) fn new(threads: NonZeroUsize) -> Crew {
        Crew { threads, pool: OnceLock::new(), helpers: Arc::default() }
    }

    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Whether it pays to share so many nodes.
    pub(crate) fn pays_for(&self, nodes: usize) -> bool {
        self.threads.get() > 1 && nodes >= NODES_MIN
    }

    /// How many of so many nodes to work on at once, so that a thread that begins late does less.
    pub(crate) fn at_once(&self, nodes: usize) -> usize {
        (nodes / (self.threads.get() * ROUNDS_MIN)).clamp(1, AT_ONCE_MAX)
    }

    /// Does each job, on this thread and those of the pool: whoever is free takes the next.
    pub(crate) fn each<T: Send>(&self, jobs: &mut [T], work: impl Fn(&mut T) + Sync) {
        let Some(pool) = self.pool().filter(|_| jobs.len() > 1) else {
            return jobs.iter_mut().for_each(work);
        };
        let others = self.threads.get().min(jobs.len()) - 1;
        let left = Mutex::new(jobs.iter_mut());
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || std::iter::from_fn(next).for_each(&work);
        self.helpers.keep_off();
        pool.in_place_scope(|scope| {
            (0..others).for_each(|_| scope.spawn(|_| work()));
            work();
        });
    }

    /// None, if the system gives no threads.
    fn pool(&self) -> Option<&ThreadPool> {
        let start = || {
            let pool = ThreadPoolBuilder::new().num_threads(self.threads.get() - 1);
            let pool = pool.thread_name(|number| format!("everturn-flush-{number}"));
            let helpers = self.helpers.clone();
            let pool = pool.stack_size(THREAD_STACK_BYTES).start_handler(move |_| helpers.join()).build();
            pool.inspect_err(|error| tracing::warn!(%error, "no threads to help with state roots")).ok()
        };
        if self.threads.get() == 1 {
            return None;
        }
        self.pool.get_or_init(start).as_ref()
    }
}
