//! One container's stale children, shared among threads.
//!
//! Each takes every so-manieth child and makes its node and all below it, in a batch of its own. The shares are put together in
//! their order, so neither who was first nor how many there were shows in a node.

use std::num::NonZeroUsize;
use std::sync::OnceLock;

use everturn_dag::{Batch, StoreError};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{BATCH_BYTES, Flush, Reached, Sources, Stale};
use crate::HypervisorError;
use crate::builder::THREAD_STACK_BYTES;

/// Stale children from which on it pays to share them: to wake a thread takes as long as some ten nodes (measured: 70 us).
const CHILDREN_MIN: usize = 32;

/// The threads that help with flushes: started by the first that is worth it, and kept. (One that is started anew each time is
/// often put on the processor of who started it, and waits for it: measured.)
pub(crate) struct Helpers {
    threads: NonZeroUsize,
    pool: OnceLock<ThreadPool>,
}

impl Helpers {
    /// Helpers of a thread that flushes, so many with it.
    pub(crate) fn new(threads: NonZeroUsize) -> Helpers {
        Helpers { threads, pool: OnceLock::new() }
    }

    /// So many open children are shared.
    pub(super) fn children_min(&self) -> usize {
        if self.threads.get() > 1 { CHILDREN_MIN } else { usize::MAX }
    }

    fn pool(&self) -> Result<&ThreadPool, HypervisorError> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let pool = ThreadPoolBuilder::new().num_threads(self.threads.get() - 1);
        let pool = pool.thread_name(|number| format!("everturn-flush-{number}"));
        let pool = pool.stack_size(THREAD_STACK_BYTES).build();
        let pool = pool.map_err(|error| HypervisorError::Stopped(format!("no threads: {error}")))?;
        Ok(self.pool.get_or_init(|| pool))
    }
}

/// What one thread does.
struct Share<'a> {
    flush: Flush<'a>,
    /// Begins with the owner of the children, as if it had this share of them alone.
    path: Vec<Stale>,
    reached: Result<Reached, HypervisorError>,
}

impl Share<'_> {
    fn go_on(&mut self) {
        self.reached = self.flush.go_on(&mut self.path, usize::MAX);
    }
}

/// Makes the nodes of all open children of a container, and gives them to it and its flush. What would be too much for one
/// batch is written on the way.
pub(super) fn make<'a>(
    helpers: &Helpers,
    from: Sources<'a>,
    owner: &mut Stale,
    flush: &mut Flush<'a>,
    write: &mut dyn FnMut(Batch) -> Result<(), StoreError>,
) -> Result<(), HypervisorError> {
    let threads = helpers.threads;
    owner.children.reserve(owner.open.len());
    let mut open = vec![Vec::new(); threads.get()];
    for (number, child) in std::mem::take(&mut owner.open).into_iter().enumerate() {
        open[number % threads].push(child);
    }
    let share = |open| Share {
        flush: Flush::new(from, BATCH_BYTES / threads),
        path: vec![owner.sharing(open)],
        reached: Ok(Reached::Full),
    };
    let mut shares: Vec<Share<'_>> = open.into_iter().map(share).collect();
    while !go_on(helpers.pool()?, &mut shares)? {
        for share in &mut shares {
            write(share.flush.take())?;
        }
    }
    for Share { flush: share, path, .. } in shares {
        owner.children.extend(path.into_iter().flat_map(|stale| stale.children));
        flush.absorb(share);
    }
    Ok(())
}

/// Lets each share go on until it is done or full, the first on this thread; `true` if all are done.
fn go_on(pool: &ThreadPool, shares: &mut [Share<'_>]) -> Result<bool, HypervisorError> {
    pool.in_place_scope(|scope| {
        let (mine, others) = shares.split_at_mut(1);
        for share in others {
            scope.spawn(|_| share.go_on());
        }
        mine.iter_mut().for_each(Share::go_on);
    });
    let mut all = true;
    for share in shares {
        all &= matches!(std::mem::replace(&mut share.reached, Ok(Reached::Top))?, Reached::Top);
    }
    Ok(all)
}
