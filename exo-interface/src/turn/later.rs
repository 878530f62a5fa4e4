//! What a turn wants to hear later: its timers.

use super::record::Call;
use super::{Effect, Turn};
use crate::{Refusal, Timer, TimerId};

impl Turn {
    /// Sends the container a message of kind [`Timer`](everturn_port_manager::Kind::Timer) when so many milliseconds have
    /// passed since this turn's date. Where nobody keeps the time it comes when somebody does; it outlives everything.
    ///
    /// # Errors
    /// [`Refusal::InvalidData`], [`Refusal::MessageTooLarge`], [`Refusal::TooManyEffects`], [`Refusal::OutboxFull`],
    /// [`Refusal::TooManyTimers`].
    pub fn after(&mut self, delay_ms: u64, data: &[u8]) -> Result<TimerId, Refusal> {
        self.set_timer(delay_ms, None, data)
    }

    /// As [`Turn::after`], and again and again, each time a period of so many milliseconds later, at least one. What was
    /// missed comes once.
    ///
    /// # Errors
    /// As [`Turn::after`].
    pub fn every(&mut self, delay_ms: u64, period_ms: u64, data: &[u8]) -> Result<TimerId, Refusal> {
        self.set_timer(delay_ms, Some(period_ms.max(1)), data)
    }

    /// Does not want a timer any more. One that is gone already, or never was, is none.
    ///
    /// # Errors
    /// [`Refusal::TooManyEffects`].
    pub fn cancel(&mut self, timer: TimerId) -> Result<(), Refusal> {
        self.number(Call::Cancel, &[&timer.0.to_le_bytes()], |turn| {
            turn.check_room(0)?;
            turn.effects.push(Effect::Cancel { timer });
            Ok(0)
        })
        .map(|_| ())
    }

    fn set_timer(&mut self, delay_ms: u64, every_ms: Option<u64>, data: &[u8]) -> Result<TimerId, Refusal> {
        let arguments = [&delay_ms.to_le_bytes()[..], &every_ms.unwrap_or(0).to_le_bytes(), data];
        let number = self.number(Call::After, &arguments, |turn| {
            turn.check_data(data)?;
            if turn.facts.timers >= turn.facts.limits.timers_max {
                return Err(Refusal::TooManyTimers);
            }
            turn.let_out(data.len());
            let id = turn.facts.next_timer;
            turn.facts.next_timer = TimerId(id.0 + 1);
            turn.facts.timers += 1;
            let due_ms = turn.facts.date_ms.saturating_add(delay_ms);
            turn.effects.push(Effect::After { id, timer: Timer { due_ms, every_ms, data: data.to_vec() } });
            Ok(id.0 as i64)
        })?;
        Ok(TimerId(number as u64))
    }
}
