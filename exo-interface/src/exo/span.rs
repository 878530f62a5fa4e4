//! Turns since the newest savepoint: how many there may be, and the way back over them.

use std::sync::Arc;

use everturn_port_manager::Ticks;

use super::{ExoInterface, Surroundings};
use crate::turn::{Facts, Record, again};
use crate::{ExoError, Input, Turn, Verdict};

/// When savepoints are taken. Never part of an outcome, only of its cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Turns between savepoints; `None` adapts to how often the container throws.
    pub savepoint_turns: Option<u32>,
}

/// What going back may cost at most, in fuel of turns to run again (about 10 ms).
const SPAN_FUEL_MAX: u64 = 40_000_000;
/// What the records of a span may take, in bytes.
const SPAN_BYTES_MAX: usize = 1 << 20;

/// Records of whose memory is kept for those to come, at most.
const SPARE_MAX: usize = 16;

/// A turn that was done, kept until the next savepoint.
#[derive(Debug)]
pub(super) struct Since {
    pub(super) input: Input,
    pub(super) facts: Facts,
    pub(super) record: Record,
}

impl ExoInterface {
    /// Keeps a turn that was done, and takes a savepoint where the span has become long or dear.
    pub(super) fn note(
        &mut self,
        around: &Surroundings<'_>,
        since: Since,
        burnt: Ticks,
    ) -> Result<(), ExoError> {
        self.since_fuel = self.since_fuel.saturating_add(burnt.0);
        self.since_bytes +=
            since.record.bytes() + since.input.message().map_or(0, |message| message.data.len());
        self.since.push(since);
        self.calm_turns = self.calm_turns.saturating_add(1);
        let longest = self.longest_span_turns();
        self.span_turns = self.span_turns.min(longest);
        if self.calm_turns >= self.span_turns.saturating_mul(4) {
            self.span_turns = self.span_turns.saturating_mul(2).min(longest);
            self.calm_turns = 0;
        }
        let span_turns = around.policy.savepoint_turns.unwrap_or(self.span_turns);
        let long = self.since.len() >= span_turns as usize;
        let dear = self.since_fuel >= SPAN_FUEL_MAX || self.since_bytes >= SPAN_BYTES_MAX;
        let adaptive = around.policy.savepoint_turns.is_none();
        if long || (adaptive && dear) { self.savepoint(around) } else { Ok(()) }
    }

    /// What the container is now is what it goes back to from now on.
    pub(super) fn savepoint(&mut self, around: &Surroundings<'_>) -> Result<(), ExoError> {
        if let Some(container) = &mut self.container {
            container.savepoint(around.context.state)?;
        }
        if !self.since.is_empty() {
            let room = SPARE_MAX.saturating_sub(self.spare.len());
            self.spare.extend(self.since.drain(..).filter_map(|since| since.record.emptied()).take(room));
        }
        self.since_fuel = 0;
        self.since_bytes = 0;
        Ok(())
    }

    /// After a turn that failed: returns to the end of the last one that was done.
    pub(super) fn go_back(&mut self, around: &Surroundings<'_>) -> Result<(), ExoError> {
        self.take_back(around)?;
        if !self.since.is_empty() {
            self.savepoint(around)?;
        }
        self.span_turns = (self.span_turns.min(self.longest_span_turns()) / 4).max(1);
        self.calm_turns = 0;
        Ok(())
    }

    pub(super) fn longest_span_turns(&self) -> u32 {
        self.container.as_ref().map_or(1, |container| container.span_turns_max())
    }

    /// Makes the container what it was at the end of the last turn that was done.
    pub(super) fn take_back(&mut self, around: &Surroundings<'_>) -> Result<(), ExoError> {
        if let Some(container) = &mut self.container {
            container.rollback(around.context.state)?;
        }
        let mut since = std::mem::take(&mut self.since);
        let no_ports = Arc::default();
        for Since { input, facts, record } in &mut since {
            let ports = Arc::clone(&no_ports);
            let mut turn = Turn::open(*facts, ports, input.message(), again(std::mem::take(record)));
            let verdict = self.drive(&mut turn, input)?;
            let (was, diverged) = turn.close().mode.read();
            *record = was;
            let diverged = match verdict {
                Verdict::Done => diverged,
                Verdict::Exception(exception) => Some(format!("it failed: {exception}")),
            };
            if let Some(what) = diverged {
                return Err(ExoError::Diverged { container: self.id.to_string(), what });
            }
        }
        self.since = since;
        Ok(())
    }
}
