//! One container's stale children, shared among threads.
//!
//! They lie in shares of a few. Each thread takes the next one that nobody has, makes the nodes of its children and all below
//! them, in a batch of the share's own, and comes back for another: one that starts late does less. The shares are put together
//! in their order, so neither who was first nor how many there were shows in a node.

use std::sync::atomic::{AtomicUsize, Ordering};

use everturn_dag::{Batch, StoreError};

use super::{BATCH_BYTES, Flush, Reached, Sources, Stale};
use crate::HypervisorError;
use crate::crew::Crew;

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
    crew: &Crew,
    from: Sources<'a>,
    owner: &mut Stale,
    flush: &mut Flush<'a>,
    write: &mut dyn FnMut(Batch) -> Result<(), StoreError>,
) -> Result<(), HypervisorError> {
    let (threads, mut open) = (crew.threads(), std::mem::take(&mut owner.open));
    owner.children.reserve(open.len());
    let at_once = crew.at_once(open.len());
    let mut shares = Vec::with_capacity(open.len().div_ceil(at_once));
    let mut open = open.drain(..);
    while !open.as_slice().is_empty() {
        shares.push(Share {
            flush: Flush::new(from, BATCH_BYTES / threads),
            path: vec![owner.sharing(open.by_ref().take(at_once).collect())],
            reached: Ok(Reached::Full),
        });
    }
    while !go_on(crew, &mut shares)? {
        let mut made = Batch::new();
        shares.iter_mut().for_each(|share| made.append(share.flush.take()));
        write(made)?;
    }
    for Share { flush: mut share, path, .. } in shares {
        path.into_iter().for_each(|mut stale| owner.children.append(&mut stale.children));
        flush.batch.append(share.take());
    }
    Ok(())
}

/// Lets the shares go on until all are done or so much was made that it is to be written; `true` if all are done.
fn go_on(crew: &Crew, shares: &mut [Share<'_>]) -> Result<bool, HypervisorError> {
    let made = AtomicUsize::new(0);
    crew.each(shares, |share| {
        if !share.is_done() && made.load(Ordering::Relaxed) < BATCH_BYTES {
            share.reached = share.flush.go_on(&mut share.path, None);
            made.fetch_add(share.flush.bytes(), Ordering::Relaxed);
        }
    });
    let mut all = true;
    for share in shares {
        if !share.is_done() {
            std::mem::replace(&mut share.reached, Ok(Reached::Full))?;
            all = false;
        }
    }
    Ok(all)
}
