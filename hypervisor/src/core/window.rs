//! Containers of one window, side by side.
//!
//! All that the turns of a window send is delivered in a later one, so each container takes its messages of the window
//! in order and the others cannot tell when it did. What the turns want is carried out when all of them are done,
//! in the order (delivery tick, container id) that one thread would have run them in; so outputs have that order too.
//!
//! Whether a window is run so never shows in an outcome; it is decided by what its containers burnt lately.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use everturn_exo_interface::{ExoInterface, Life, Stepped};
use everturn_port_manager::{ContainerId, Loose, Ticks};

use super::Core;
use super::runner::Runner;
use crate::HypervisorError;
use crate::builder::{SideBySide, THREAD_STACK_BYTES};

/// What a window's turns must be expected to burn, in ticks, to be worth the hand-over to other threads (measured: about
/// 20 us for two threads, at some 500 ticks a microsecond).
const WORTH_TICKS: u64 = 20_000;

/// One container with the ports that come with its messages of the window.
struct Job {
    exo: Box<ExoInterface>,
    hand: Loose,
    /// Delivery ticks below this one are run.
    end: Ticks,
    steps: Vec<(Ticks, Box<Stepped>)>,
}

/// Containers to run, and those that have run.
#[derive(Default)]
struct Work {
    waiting: Mutex<Vec<Job>>,
    finished: Mutex<Vec<Result<Job, HypervisorError>>>,
}

/// The worker threads. They have ended when the pool is dropped: they read the store, which whoever waited for the end
/// may open again at once.
pub(super) struct Pool {
    workers: Vec<Worker>,
    rested: Receiver<()>,
    /// Ticks that a turn burnt lately, on the average.
    turn_ticks: u64,
    /// The window that had too little to do, and the turns until it is looked at again.
    looked: (Ticks, usize),
}

struct Worker {
    work: Sender<Arc<Work>>,
    thread: JoinHandle<()>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        // All are told before any is waited for.
        let threads: Vec<_> = self.workers.drain(..).map(|Worker { work: _, thread }| thread).collect();
        for thread in threads {
            // One that panicked was noticed by the window that it ran in.
            let _ = thread.join();
        }
    }
}

impl Pool {
    /// Starts the threads beside the core's own.
    pub(super) fn start(runner: &Runner, threads: NonZeroUsize) -> Result<Pool, HypervisorError> {
        let (rest, rested) = channel();
        let start = |number: usize| {
            let (work, to_do) = channel::<Arc<Work>>();
            let (runner, rest) = (runner.clone(), rest.clone());
            let serve = move || {
                while let Ok(work) = to_do.recv() {
                    runner.work_through(&work);
                    drop(work);
                    let _ = rest.send(());
                }
            };
            let thread = std::thread::Builder::new().name(format!("everturn-worker-{number}"));
            let thread = thread.stack_size(THREAD_STACK_BYTES).spawn(serve)?;
            Ok(Worker { work, thread })
        };
        let workers = (1..threads.get()).map(start).collect::<std::io::Result<_>>();
        let workers = workers.map_err(|error| HypervisorError::Stopped(format!("no thread: {error}")))?;
        Ok(Pool { workers, rested, turn_ticks: 0, looked: (Ticks::ZERO, 0) })
    }

    /// Has all jobs run, the calling thread helping, and gives them back.
    fn run(&mut self, runner: &Runner, jobs: Vec<Job>) -> Result<Vec<Job>, HypervisorError> {
        let helpers = self.workers.len().min(jobs.len() - 1);
        let work = Arc::new(Work { waiting: Mutex::new(jobs), ..Work::default() });
        for worker in &self.workers[..helpers] {
            let _ = worker.work.send(work.clone());
        }
        runner.work_through(&work);
        for _ in 0..helpers {
            self.rested.recv().map_err(|_| HypervisorError::Stopped("a worker thread is gone".into()))?;
        }
        let finished = std::mem::take(&mut *lock(&work.finished));
        finished.into_iter().collect()
    }

    /// Whether it is time to look how much a window has to do: what that costs is spread over as many turns.
    fn looks(&mut self, window_end: Ticks) -> bool {
        match &mut self.looked {
            (window, turns @ 1..) if *window == window_end => {
                *turns -= 1;
                false
            }
            _ => true,
        }
    }

    /// A window has too little to do. It is looked at again when so many turns have run, or it is the next one.
    fn looks_again(&mut self, window_end: Ticks, turns: usize) {
        self.looked = (window_end, turns);
    }

    /// Notes what a turn burnt.
    pub(super) fn learn(&mut self, burnt: Ticks) {
        self.turn_ticks = self.turn_ticks - self.turn_ticks / 8 + burnt.0 / 8;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    fn work_through(&self, work: &Work) {
        loop {
            let Some(job) = lock(&work.waiting).pop() else { return };
            let finished = self.run_window(job);
            lock(&work.finished).push(finished);
        }
    }

    /// Runs all of a container's turns of a window.
    fn run_window(&self, mut job: Job) -> Result<Job, HypervisorError> {
        let mut steps = Vec::new();
        while let Some(at) = job.exo.ports().next().map(|head| head.at).filter(|at| *at < job.end) {
            if self.missing_type(&job.exo).is_some() {
                break;
            }
            tracing::trace!(target: "everturn::path", container = %job.exo.id(), %at, "Scheduled");
            self.step(&mut job.exo, &mut job.hand, &mut steps)?;
            let ended = steps.iter().any(|stepped| stepped.life == Life::Ended);
            job.steps.extend(steps.drain(..).map(|stepped| (at, stepped)));
            if ended {
                break;
            }
        }
        Ok(job)
    }
}

impl Core {
    /// Runs what is left of a window on all threads, if that is worth it. `false`: nothing was done.
    pub(super) fn side_by_side(&mut self, window_end: Ticks) -> Result<bool, HypervisorError> {
        // Turns that are counted are run one by one.
        let counted = self.allowance.as_ref().is_some_and(|allowance| allowance.turns_left < u64::MAX);
        if self.pool.workers.is_empty() || counted {
            return Ok(false);
        }
        if !self.pool.looks(window_end) {
            return Ok(false);
        }
        let end = window_end.min(self.limit().after(Ticks(1)));
        let due = self.schedule.iter().take_while(|(at, _)| *at < end).map(|(_, id)| *id);
        let ids: Vec<ContainerId> = due.collect();
        let registered = |id: &ContainerId| {
            self.running.get(id).is_some_and(|exo| self.runner.missing_type(exo).is_none())
        };
        let worth = match self.runner.settings.side_by_side {
            SideBySide::WhenWorth => self.pool.turn_ticks.saturating_mul(ids.len() as u64) >= WORTH_TICKS,
            SideBySide::Always => true,
        };
        if !worth {
            self.pool.looks_again(window_end, ids.len() / 2);
        }
        if ids.len() < 2 || !worth || !ids.iter().all(registered) {
            return Ok(false);
        }
        let jobs = ids.iter().filter_map(|id| self.take_job(*id, end)).collect();
        let mut steps = Vec::new();
        for job in self.pool.run(&self.runner, jobs)? {
            self.put_job_back(job, &mut steps);
        }
        // A stable sort: the steps of one container stay in their order.
        steps.sort_by_key(|(at, id, _)| (*at, *id));
        self.finish_window(ids, steps)?;
        Ok(true)
    }

    fn take_job(&mut self, id: ContainerId, end: Ticks) -> Option<Job> {
        self.unschedule(id);
        let exo = self.running.remove(&id)?;
        let mut hand = Loose::default();
        for delivery in exo.ports().waiting().filter(|delivery| delivery.at < end) {
            hand.take_those_of(delivery, &mut self.loose);
        }
        Some(Job { exo, hand, end, steps: Vec::new() })
    }

    fn put_job_back(&mut self, job: Job, steps: &mut Vec<(Ticks, ContainerId, Box<Stepped>)>) {
        let id = job.exo.id();
        self.loose.append(job.hand);
        self.running.insert(id, job.exo);
        steps.extend(job.steps.into_iter().map(|(at, stepped)| (at, id, stepped)));
    }

    fn finish_window(
        &mut self,
        ids: Vec<ContainerId>,
        steps: Vec<(Ticks, ContainerId, Box<Stepped>)>,
    ) -> Result<(), HypervisorError> {
        // Where every port is must be known before anything is sent through one.
        for (_, id, stepped) in &steps {
            self.locate(*id, stepped);
        }
        for (at, id, stepped) in steps {
            self.pool.learn(stepped.burnt);
            self.clock.latest = self.clock.latest.max(at);
            self.count(u32::from(stepped.taken.is_some()));
            self.carry_out(id, stepped)?;
        }
        for id in ids {
            self.reschedule(id);
        }
        Ok(())
    }
}
