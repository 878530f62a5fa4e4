//! One container's stale children, shared among threads.
//!
//! They lie in shares of a few. Each thread takes the next one that nobody has, makes the nodes of its children and all below
//! them, in a batch of the share's own, and comes back for another: one that starts late does less. The shares are put together
//! in their order, so neither who was first nor how many there were shows in a node.

use std::num::NonZeroUsize;
use std::slice::IterMut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use everturn_dag::{Batch, StoreError};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{BATCH_BYTES, Flush, Reached, Sources, Stale};
use crate::HypervisorError;
use crate::builder::THREAD_STACK_BYTES;

/// Stale children from which on it pays to share them: to wake a thread takes as long as some ten nodes (measured: 70 us).
const CHILDREN_MIN: usize = 32;
/// Children of a share at most, and shares that there are for each thread at least, if there are children for them.
const SHARE_CHILDREN_MAX: usize = 16;
const THREAD_SHARES_MIN: usize = 8;

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

/// What one thread does at once.
struct Share<'a> {
    flush: Flush<'a>,
    /// Begins with the owner of the children, as if it had this share of them alone.
    path: Vec<Stale>,
    reached: Result<Reached, HypervisorError>,
}

impl Share<'_> {
    fn is_done(&self) -> bool {
        matches!(self.reached, Ok(Reached::Top))
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
    let (pool, threads) = (helpers.pool()?, helpers.threads.get());
    let mut open = std::mem::take(&mut owner.open);
    owner.children.reserve(open.len());
    let at_once = (open.len() / (threads * THREAD_SHARES_MIN)).clamp(1, SHARE_CHILDREN_MAX);
    let mut shares = Vec::with_capacity(open.len().div_ceil(at_once));
    while !open.is_empty() {
        let rest = open.split_off(at_once.min(open.len()));
        shares.push(Share {
            flush: Flush::new(from, BATCH_BYTES / threads),
            path: vec![owner.sharing(std::mem::replace(&mut open, rest))],
            reached: Ok(Reached::Full),
        });
    }
    while !go_on(pool, threads, &mut shares)? {
        for share in shares.iter_mut().filter(|share| share.flush.bytes() > 0) {
            write(share.flush.take())?;
        }
    }
    for Share { flush: mut share, path, .. } in shares {
        owner.children.extend(path.into_iter().flat_map(|stale| stale.children));
        flush.batch.append(share.take());
    }
    Ok(())
}

/// Lets the threads take shares until all are done or so much was made that it is to be written; `true` if all are done.
fn go_on(pool: &ThreadPool, threads: usize, shares: &mut [Share<'_>]) -> Result<bool, HypervisorError> {
    let (left, bytes) = (Mutex::new(shares.iter_mut()), AtomicUsize::new(0));
    pool.in_place_scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| take_shares(&left, &bytes)));
        take_shares(&left, &bytes);
    });
    let mut all = true;
    for share in shares {
        match &mut share.reached {
            Ok(Reached::Top) => {}
            Ok(_) => all = false,
            Err(_) => drop(std::mem::replace(&mut share.reached, Ok(Reached::Full))?),
        }
    }
    Ok(all)
}

/// What one thread does: one share after the other. `bytes` is what all of them have made.
fn take_shares(left: &Mutex<IterMut<'_, Share<'_>>>, bytes: &AtomicUsize) {
    while bytes.load(Ordering::Relaxed) < BATCH_BYTES {
        let next = left.lock().unwrap_or_else(PoisonError::into_inner).find(|share| !share.is_done());
        let Some(share) = next else { return };
        share.reached = share.flush.go_on(&mut share.path, usize::MAX);
        bytes.fetch_add(share.flush.bytes(), Ordering::Relaxed);
    }
}
