//! Random bytes: drawn from the host's source the first time, from the record afterwards.

use super::{Answer, Call, Turn};
use crate::{Drawing, ENTROPY_CALL_BYTES_MAX, ENTROPY_TURN_BYTES_MAX, EntropyError, Refusal};

/// What a turn has drawn so far.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    number: u32,
    bytes: usize,
    /// How the source failed.
    pub(super) failure: Option<String>,
}

impl Turn {
    /// Fills `into` with random bytes of the host's. They are recorded with the turn.
    ///
    /// # Errors
    /// [`Refusal::NoEntropy`] if the host gives none; [`Refusal::TooMuchEntropy`] for more than [`ENTROPY_CALL_BYTES_MAX`], or
    /// if the turn has drawn more than [`ENTROPY_TURN_BYTES_MAX`] with them. Nothing is filled then.
    pub fn entropy(&mut self, into: &mut [u8]) -> Result<(), Refusal> {
        let bytes = into.len();
        let answer = self.call(Call::Entropy, &[&(bytes as u64).to_le_bytes()], |turn| turn.draw(bytes));
        match answer {
            Answer::Bytes(drawn) if drawn.len() == bytes => {
                into.copy_from_slice(&drawn);
                Ok(())
            }
            Answer::Refusal(refusal) => Err(refusal),
            _ => Err(Refusal::UnknownCall),
        }
    }

    fn draw(&mut self, bytes: usize) -> Answer {
        let drawn = &mut self.drawn;
        if bytes > ENTROPY_CALL_BYTES_MAX || drawn.bytes + bytes > ENTROPY_TURN_BYTES_MAX {
            return Answer::Refusal(Refusal::TooMuchEntropy);
        }
        let Some(source) = self.outside.as_ref().and_then(|outside| outside.entropy.as_ref()) else {
            return Answer::Refusal(Refusal::NoEntropy);
        };
        let mut into = vec![0; bytes];
        let (container, ticks) = (self.facts.id, self.facts.ticks);
        let drawing = Drawing { container, ticks, number: drawn.number };
        drawn.number += 1;
        drawn.bytes += bytes;
        match source.draw(&drawing, &mut into) {
            Ok(()) => return Answer::Bytes(into),
            Err(EntropyError::Refused) => {}
            Err(EntropyError::Failed(what)) => drawn.failure = Some(what),
        }
        Answer::Refusal(Refusal::NoEntropy)
    }
}
