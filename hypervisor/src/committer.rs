//! The output gate: writes a batch, syncs, and only then lets its outputs leave.
//!
//! The only writer of the store. After a failure nothing is accepted: later commits are dropped with their
//! outputs, whose receivers learn that the hypervisor has stopped (design, 6.4). Why is known before the first of them is dropped.

use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError};
use std::sync::{Arc, OnceLock};

use everturn_dag::{Batch, Cid, StoreError};

use crate::batch::{Answer, Commit, Output, Reply};
use crate::core::{Command, Connecting, mark};
use crate::lines::Lines;
use crate::metrics::{Counters, Stopwatch, add};
use crate::writer::Writer;
use crate::{HypervisorError, Line};

pub(crate) type Observer = Arc<dyn Fn(&Line) + Send + Sync>;

pub(crate) struct Committer {
    pub(crate) writer: Writer,
    pub(crate) lines: Lines,
    pub(crate) failure: Arc<OnceLock<String>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stopwatch: Option<Stopwatch>,
}

/// Notes why the hypervisor stops, before a reply is dropped whose receiver asks.
pub(crate) fn noted(failure: &OnceLock<String>, error: StoreError) -> StoreError {
    // The first failure is the one that counts.
    let _ = failure.set(error.to_string());
    error
}

impl Committer {
    /// Runs until the core hangs up or the store fails.
    pub(crate) fn run(mut self, commits: &Receiver<Commit>, core: &Sender<Command>) {
        if let Err(error) = self.serve(commits, core) {
            tracing::error!(%error, "a commit failed; the hypervisor stops");
            let _ = self.failure.set(error.to_string());
            let _ = core.send(Command::Failed(error.to_string()));
        }
    }

    /// One commit, one step of what is to be reclaimed; while there is no commit, the other steps.
    fn serve(&mut self, commits: &Receiver<Commit>, core: &Sender<Command>) -> Result<(), StoreError> {
        self.lines.begin();
        while let Ok(mut commit) = self.next(commits)? {
            let (number, touched) = (commit.number, std::mem::take(&mut commit.touched));
            self.commit(commit)?;
            let _ = core.send(Command::Settled { number, touched });
            self.writer.reclaim()?;
        }
        let mut last = Batch::new();
        self.lines.forget_told(&mut last);
        self.writer.write(last)?;
        self.writer.sync()
    }

    fn next(&mut self, commits: &Receiver<Commit>) -> Result<Result<Commit, RecvError>, StoreError> {
        loop {
            match commits.try_recv() {
                Ok(commit) => return Ok(Ok(commit)),
                Err(TryRecvError::Disconnected) => return Ok(Err(RecvError)),
                Err(TryRecvError::Empty) => {}
            }
            if !self.writer.reclaim()? {
                return Ok(commits.recv());
            }
        }
    }

    /// Notes why nothing more is done.
    fn failed(&self, error: StoreError) -> StoreError {
        noted(&self.failure, error)
    }

    fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        let begun = self.now_ns();
        // Removals come first: a container may be gone and there again in one batch (a restore).
        let mut batch = Batch::new();
        let Commit { number, turns, batch: changes, deleted, mut outputs, .. } = commit;
        let written = deleted.iter().try_for_each(|id| self.writer.remove(*id, &mut batch));
        batch.append(changes);
        let written = written.and_then(|()| self.lines.join(&mut batch, &mut outputs));
        written.and_then(|()| self.writer.write(batch)).map_err(|error| self.failed(error))?;
        // Roots and errands write more; one sync is for all of it.
        let mut leaving = Vec::with_capacity(outputs.len());
        for output in outputs {
            leaving.push(self.prepare(output).map_err(|error| self.failed(error))?);
        }
        let written = self.now_ns();
        self.writer.sync().map_err(|error| self.failed(error))?;
        let synced = self.now_ns();
        add(&self.counters.batches, 1);
        add(&self.counters.batch_turns, turns.into());
        add(&self.counters.sync_ns, synced.saturating_sub(written));
        add(&self.counters.commit_ns, synced.saturating_sub(begun));
        tracing::trace!(target: "everturn::path", batch = number, "Durable");
        for leaving in leaving {
            tracing::trace!(target: "everturn::path", batch = number, "Released");
            self.release(leaving)?;
        }
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.stopwatch.as_ref().map_or(0, |stopwatch| stopwatch())
    }

    fn prepare(&mut self, output: Output) -> Result<Leaving, StoreError> {
        match output {
            Output::Root(reply, id, marking) => {
                let root = match self.writer.state_root(id) {
                    Err(HypervisorError::Store(error)) => return Err(self.failed(error)),
                    root => root,
                };
                if let (Ok(root), Some(marking)) = (&root, marking) {
                    let mark = mark(&marking, *root);
                    self.writer.note_mark(marking.0, &mark).map_err(|error| self.failed(error))?;
                }
                Ok(Leaving::Root(reply, root))
            }
            Output::Errand(errand) => errand(&mut self.writer).map(Leaving::Answer),
            output => Ok(Leaving::Output(output)),
        }
    }

    fn release(&mut self, leaving: Leaving) -> Result<(), StoreError> {
        match leaving {
            Leaving::Output(output) => self.release_output(output),
            Leaving::Answer(answer) => answer(),
            Leaving::Root(reply, root) => {
                // Whoever gave up waiting will not release it.
                if let Err(Ok(cid)) = reply.send(root)
                    && let Err(HypervisorError::Store(error)) = self.writer.release(&cid)
                {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn release_output(&mut self, output: Output) {
        match output {
            Output::Receipt(reply, receipt) => drop(reply.send(Ok(receipt))),
            Output::Answer(reply, answer) => drop(reply.send(answer)),
            Output::Repeated(reply, answer) => drop(reply.send(answer)),
            Output::Created(reply, created) => drop(reply.send(created)),
            Output::Waited(reply, ticks) => drop(reply.send(Ok(ticks))),
            Output::Ran(reply, ran) => drop(reply.send(Ok(ran))),
            Output::Done(reply) => drop(reply.send(Ok(()))),
            Output::Connected(reply) => drop(reply.send(Ok(Connecting::Done))),
            Output::Line(line) => self.lines.tell(&line),
            // Prepared before.
            Output::Root(..) | Output::Errand(_) => {}
        }
    }
}

/// An output whose work is done.
enum Leaving {
    Output(Output),
    Root(Reply<Cid>, Result<Cid, HypervisorError>),
    Answer(Answer),
}
