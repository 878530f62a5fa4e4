//! The output gate: writes a batch, syncs, and only then lets its outputs leave.
//!
//! The only writer of the store. After a failure nothing is accepted: later commits are dropped with their
//! outputs, whose receivers learn that the hypervisor has stopped (design, 6.4).

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, OnceLock};

use everturn_dag::{Batch, Space, Store, StoreError};
use everturn_port_manager::ContainerId;

use crate::batch::{Commit, Output};
use crate::core::{Command, Types};
use crate::{HypervisorError, Line, flush, keys};

pub(crate) type Observer = Arc<dyn Fn(&Line) + Send + Sync>;

pub(crate) struct Committer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) types: Types,
    pub(crate) observer: Option<Observer>,
    pub(crate) failure: Arc<OnceLock<String>>,
}

impl Committer {
    /// Runs until the core hangs up or the store fails.
    pub(crate) fn run(self, commits: &Receiver<Commit>, core: &Sender<Command>) {
        while let Ok(commit) = commits.recv() {
            let (number, touched) = (commit.number, commit.touched.clone());
            if let Err(error) = self.commit(commit) {
                tracing::error!(%error, "a commit failed; the hypervisor stops");
                let _ = self.failure.set(error.to_string());
                let _ = core.send(Command::Failed(error.to_string()));
                return;
            }
            let _ = core.send(Command::Settled { number, touched });
        }
    }

    fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        // Removals come first: a container may be gone and there again in one batch (a restore).
        let mut batch = Batch::new();
        for id in &commit.deleted {
            self.remove(*id, &mut batch)?;
        }
        batch.append(commit.batch);
        if !batch.is_empty() {
            self.store.write(batch)?;
            self.store.sync()?;
        }
        tracing::trace!(target: "everturn::path", batch = commit.number, "Durable");
        for output in commit.outputs {
            tracing::trace!(target: "everturn::path", batch = commit.number, "Released");
            self.release(output)?;
        }
        Ok(())
    }

    /// Adds the removal of all that a deleted container has in the store.
    fn remove(&self, id: ContainerId, batch: &mut Batch) -> Result<(), StoreError> {
        self.store.scan(Space::State, id.as_bytes(), &mut |key, _| {
            batch.delete(Space::State, key.to_vec());
            true
        })?;
        batch.delete(Space::Runtime, keys::record(id));
        batch.delete(Space::Runtime, keys::node(id));
        batch.delete(Space::Stale, keys::record(id));
        Ok(())
    }

    fn release(&self, output: Output) -> Result<(), StoreError> {
        match output {
            Output::Receipt(reply, receipt) => drop(reply.send(Ok(receipt))),
            Output::Created(reply, created) => drop(reply.send(created)),
            Output::Waited(reply, ticks) => drop(reply.send(Ok(ticks))),
            Output::Done(reply) => drop(reply.send(Ok(()))),
            Output::Line(line) => {
                if let Some(observer) = &self.observer {
                    observer(&line);
                }
            }
            Output::Root(reply, id) => match flush::state_root(&*self.store, &self.types, id) {
                Ok(cid) => drop(reply.send(Ok(cid))),
                Err(HypervisorError::Store(error)) => return Err(error),
                Err(error) => drop(reply.send(Err(error))),
            },
        }
        Ok(())
    }
}
