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
    /// Does more of it; with the last of it, what would otherwise be left to the thread that puts the shares together.
    fn go_on(&mut self) {
        self.reached = self.flush.go_on(&mut self.path, None);
        if self.is_done() {
            self.flush.unstage();
            for port in
                self.path.iter().flat_map(|stale| &stale.children).filter_map(|(_, done)| done.port.as_ref())
            {
                port.key();
            }
        }
    }

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
        let mut mine: Vec<_> = open.by_ref().take(at_once).collect();
        // The last is looked at first; so they come in the order of their ids, as the references want them.
        mine.reverse();
        shares.push(Share {
            flush: Flush::new(from, BATCH_BYTES / threads),
            path: vec![owner.sharing(mine)],
            reached: Ok(Reached::Full),
        });
    }
    while !go_on(crew, &mut shares)? {
        write(together(shares.iter_mut().map(|share| share.flush.take()).collect(), 0))?;
    }
    let mut batches = vec![std::mem::take(&mut flush.batch)];
    for Share { flush: mut share, path, .. } in shares {
        path.into_iter().for_each(|mut stale| owner.children.append(&mut stale.children));
        batches.push(share.take());
    }
    // The owner's node will take its marks away, its ports have new blocks, and rows of the references come with them.
    flush.batch = together(batches, 3 * owner.marks.len());
    Ok(())
}

/// One batch of several, with room for more changes. Batches are large here, and to grow one costs as much as to fill it.
fn together(batches: Vec<Batch>, room: usize) -> Batch {
    let changes: usize = batches.iter().map(|batch| batch.changes().len()).sum();
    let mut all = Batch::with_capacity(changes + room);
    batches.into_iter().for_each(|batch| all.append(batch));
    all
}

/// Lets the shares go on until all are done or so much was made that it is to be written; `true` if all are done.
fn go_on(crew: &Crew, shares: &mut [Share<'_>]) -> Result<bool, HypervisorError> {
    let made = AtomicUsize::new(0);
    crew.each(shares, |share| {
        if !share.is_done() && made.load(Ordering::Relaxed) < BATCH_BYTES {
            share.go_on();
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
