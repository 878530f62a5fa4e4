//! Which container runs next, and one turn after the other.

use std::sync::atomic::Ordering;

use everturn_port_manager::{ContainerId, PortManager, Ticks};

use super::Core;
use crate::batch::Output;
use crate::builder::TurnsBy;
use crate::{HypervisorError, Ran};

impl Core {
    /// The type of the container whose turn is next, if it is stored and its type was not registered yet. Nothing
    /// runs until it is: a turn that is skipped could not be made up for in order.
    pub(super) fn missing_type(&self) -> Option<String> {
        let (_, id) = self.schedule.first()?;
        self.running.get(id).and_then(|exo| self.runner.missing_type(exo))
    }

    /// Runs some of what waits. `false`: nothing waits that may run now.
    pub(super) fn work(&mut self) -> Result<bool, HypervisorError> {
        let next = self.schedule.first().map(|(at, _)| *at);
        let next = next.filter(|at| self.is_allowed(*at) && self.missing_type().is_none());
        let Some(at) = next else {
            self.finish_run();
            return Ok(false);
        };
        if at > self.limit() {
            return Ok(false);
        }
        let window_end = self.runner.window_end(at);
        self.clock.window_end = window_end;
        if self.side_by_side(window_end)? { Ok(true) } else { self.turn() }
    }

    /// The last delivery tick that may run now: the least one at which somebody wants to look.
    pub(super) fn limit(&self) -> Ticks {
        self.pending.iter().map(super::Pending::ticks).min().unwrap_or(Ticks::MAX).min(self.hold)
    }

    /// Whether whoever owns the loop lets a turn of this delivery tick run.
    fn is_allowed(&self, at: Ticks) -> bool {
        match (self.runner.settings.turns_by, &self.allowance) {
            (TurnsBy::Background, _) => true,
            (TurnsBy::Host, None) => false,
            (TurnsBy::Host, Some(allowance)) => allowance.turns_left > 0 && at < allowance.end,
        }
    }

    /// Answers a host that owns the loop: what it asked for is done, or nothing is left to do.
    fn finish_run(&mut self) {
        if let Some(allowance) = self.allowance.take() {
            let next = self.schedule.first().map(|(at, _)| *at);
            self.open.outputs.push(Output::Ran(allowance.reply, Ran { turns: allowance.ran, next }));
        }
    }

    /// Counts turns against what a host allowed.
    pub(super) fn count(&mut self, turns: u32) {
        self.open.turns += turns;
        self.count_kept(turns);
        if let Some(allowance) = &mut self.allowance {
            allowance.ran += u64::from(turns);
            if allowance.turns_left < u64::MAX {
                allowance.turns_left = allowance.turns_left.saturating_sub(turns.into());
            }
        }
    }

    /// Runs the turn that is first in the order (delivery tick, container id).
    fn turn(&mut self) -> Result<bool, HypervisorError> {
        let Some((at, id)) = self.schedule.pop_first() else { return Ok(false) };
        self.clock.latest = self.clock.latest.max(at);
        tracing::trace!(target: "everturn::path", container = %id, %at, "Scheduled");
        self.count(1);
        let mut steps = std::mem::take(&mut self.steps);
        if let Some(exo) = self.running.get_mut(&id) {
            self.runner.step(exo, &mut self.loose, &mut steps)?;
        }
        for stepped in steps.drain(..) {
            self.pool.learn(stepped.burnt);
            self.locate(id, &stepped);
            self.carry_out(id, stepped)?;
        }
        self.steps = steps;
        self.reschedule(id);
        Ok(true)
    }

    /// Puts a container at its place in the schedule: its next delivery tick, if anything waits.
    pub(super) fn reschedule(&mut self, id: ContainerId) {
        if let Some(head) = self.running.get(&id).and_then(|exo| exo.ports().next()) {
            self.schedule.insert((head.at, id));
        }
    }

    /// Changes what waits in a container, whose place in the schedule follows; `None` if there is no such container.
    pub(super) fn change_waiting<T>(
        &mut self,
        id: ContainerId,
        change: impl FnOnce(&mut PortManager) -> T,
    ) -> Option<T> {
        let exo = self.running.get_mut(&id)?;
        let before = exo.ports().next().map(|head| head.at);
        let changed = change(exo.ports_mut());
        let after = exo.ports().next().map(|head| head.at);
        // One whose turn is under way has no place, and gets it at the turn's end.
        if before != after {
            before.inspect(|at| self.schedule.remove(&(*at, id)));
            self.schedule.extend(after.map(|at| (at, id)));
        }
        self.open.touched.insert(id);
        Some(changed)
    }

    /// Takes a container out of the schedule, to be put back when its ports have changed.
    pub(super) fn unschedule(&mut self, id: ContainerId) {
        if let Some(head) = self.running.get(&id).and_then(|exo| exo.ports().next()) {
            self.schedule.remove(&(head.at, id));
        }
    }

    /// Lowers the flag with which a person discards a running turn.
    pub(super) fn lower_interrupt(&self) {
        self.runner.outside.interrupt.store(false, Ordering::Relaxed);
    }
}
