//! Questions: what a container says to a request that only looks, or to a person at a prompt.
//!
//! Invariants:
//! 1. A question leaves no mark: memory goes back to the savepoint, and nothing of the runtime record changes, ticks neither.
//! 2. Where the savepoint lies is no outcome, so that one is made before a question is none either.

use everturn_dag::Ipld;

use super::{ExoInterface, Surroundings, within};
use crate::turn::{Closed, Turn, live, question};
use crate::{Effect, Exception, ExceptionKind, ExoError, Input, LogLevel, Verdict};

/// What came of a question.
#[derive(Debug)]
pub enum Asked {
    /// The program answered, or threw.
    Answered {
        /// One dag-cbor value.
        answer: Result<Vec<u8>, Exception>,
        /// What it wrote for people.
        lines: Vec<(LogLevel, String)>,
    },
    /// It leaves the request, which is given back, to a turn.
    LeftToTurn(Vec<u8>),
    /// A child of its is to be asked instead.
    LedOn(LedOn),
}

/// Where a question goes on.
#[derive(Debug)]
pub struct LedOn {
    /// The name of the port that leads to the child.
    pub port: String,
    /// The answer if the child has none: one dag-cbor value. Without it the request becomes a turn.
    pub otherwise: Option<Vec<u8>>,
    /// The request, given back.
    pub data: Vec<u8>,
}

/// What the engine answers where a program has no part for questions: dag-cbor's `false`.
const NO_QUERIES: &[u8] = &[0xf4];
/// How an answer begins that leads on: dag-cbor's list of two.
const LEADS_ON: u8 = 0x82;

impl ExoInterface {
    /// Asks the program to answer a request without a turn. Nothing of the container is another afterwards, its ticks neither. The
    /// date is the request's; what is burnt is not charged, and bounded as a turn's is. Whether a program answers questions is
    /// looked for after it was evaluated.
    ///
    /// # Errors
    /// If the host fails.
    pub fn query(
        &mut self,
        around: &Surroundings<'_>,
        data: Vec<u8>,
        date_ms: u64,
    ) -> Result<Asked, ExoError> {
        // What keeps the container from waking is told by the turn.
        if !self.record.born || self.is_queryless || self.wake(around)?.is_err() {
            return Ok(Asked::LeftToTurn(data));
        }
        if !self.container.as_ref().is_some_and(|container| container.answers_queries()) {
            self.is_queryless = true;
            return Ok(Asked::LeftToTurn(data));
        }
        // To go back is to roll back then, and no turn has to be run again.
        self.savepoint(around)?;
        let (input, fuel) = (Input::Query(data), around.context.limits.turn_fuel);
        let mut facts = self.facts(around, &input, fuel);
        facts.date_ms = facts.date_ms.max(date_ms);
        let mut turn = Turn::open(facts, self.record.ports.clone(), None, question());
        turn.set_outside(around.outside);
        let verdict = self.drive(&mut turn, &input)?;
        let Closed { mut effects, burnt, .. } = turn.close();
        self.take_back(around)?;
        let answer = match (within(fuel, burnt, verdict), effects.answer.take()) {
            (Verdict::Exception(exception), _) => Some(Err(exception)),
            (Verdict::Done, Some(answer)) => Some(Ok(answer)),
            (Verdict::Done, None) => None,
        };
        self.is_queryless = match &answer {
            Some(Ok(answer)) => answer == NO_QUERIES,
            // An engine of before there were questions says that it was asked nonsense.
            Some(Err(exception)) => exception.kind == ExceptionKind::Invalid,
            None => false,
        };
        match (answer.filter(|_| !self.is_queryless), input) {
            (None, Input::Query(data)) => Ok(Asked::LeftToTurn(data)),
            (None, _) => Ok(Asked::LeftToTurn(Vec::new())),
            (Some(Ok(answer)), Input::Query(data)) if answer.first() == Some(&LEADS_ON) => {
                Ok(led_on(&answer, data))
            }
            (Some(answer), _) => {
                let lines = effects.take().into_iter().filter_map(|effect| match effect {
                    Effect::Log { level, text } => Some((level, text)),
                    _ => None,
                });
                Ok(Asked::Answered { answer, lines: lines.collect() })
            }
        }
    }

    /// The names that may stand in place of the last one of `text`, for a person at a prompt; none from a container that does
    /// not answer. No turn: nothing of the container is another afterwards, its ticks neither.
    ///
    /// # Errors
    /// If the host fails.
    pub fn complete(&mut self, around: &Surroundings<'_>, text: &str) -> Result<Vec<String>, ExoError> {
        if !self.record.born || self.wake(around)?.is_err() {
            return Ok(Vec::new());
        }
        let input = Input::Complete(text.into());
        let facts = self.facts(around, &input, around.context.limits.turn_fuel);
        let mut turn = Turn::open(facts, self.record.ports.clone(), None, live());
        let verdict = self.drive(&mut turn, &input)?;
        let Closed { effects, .. } = turn.close();
        effects.give_back();
        self.take_back(around)?;
        let answer = effects.answer.filter(|_| verdict == Verdict::Done);
        let names = answer.and_then(|answer| everturn_dag::node::decode(&answer).ok());
        Ok(names.unwrap_or_default())
    }
}

/// What does not say where leads nowhere, and the request becomes a turn.
fn led_on(answer: &[u8], data: Vec<u8>) -> Asked {
    let Ok((port, otherwise)) = everturn_dag::node::decode::<(String, Option<Ipld>)>(answer) else {
        return Asked::LeftToTurn(data);
    };
    let otherwise = otherwise.and_then(|answer| everturn_dag::node::encode(&answer).ok());
    Asked::LedOn(LedOn { port, otherwise, data })
}
