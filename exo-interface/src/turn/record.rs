//! What a turn asked and what it was told, so that it can be run again.

use everturn_port_manager::ContainerId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Refusal;

/// Which syscall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Ticks,
    Create,
    Lower,
    Channel,
    Bind,
    Unbind,
    Get,
    Delete,
    Drop,
    Names,
    IsValid,
    PortId,
    Parent,
    Send,
    Ask,
    Request,
    Reject,
    Answer,
    Log,
    After,
    Cancel,
    Entropy,
}

impl Call {
    /// Whether it has no effect but an answer, or a line for people.
    pub(super) fn only_looks(self) -> bool {
        match self {
            Call::Ticks | Call::Get | Call::Names | Call::IsValid | Call::PortId | Call::Parent => true,
            Call::Answer | Call::Log | Call::Entropy => true,
            Call::Create | Call::Lower | Call::Channel | Call::Bind | Call::Unbind | Call::Delete => false,
            Call::Drop | Call::Send | Call::Ask | Call::Request | Call::Reject => false,
            Call::After | Call::Cancel => false,
        }
    }
}

/// What it was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Number(i64),
    Refusal(Refusal),
    Names(Vec<String>),
    Id(ContainerId),
    Bytes(Vec<u8>),
}

/// One syscall: (call, digest of its arguments, answer).
type Called = (Call, u64, Answer);

/// The syscalls of one turn, in order. Most turns have one, their answer, which needs no list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    first: Option<Called>,
    more: Vec<Called>,
    /// Random bytes among the answers.
    drawn_bytes: usize,
    /// How often some were asked for.
    drawings: u32,
    /// Only what was drawn is kept.
    is_unkept: bool,
}

/// A list of calls longer than this is not kept for its memory.
const KEPT_CALLS_MAX: usize = 16;

/// The memory of a record's list, without its calls.
#[derive(Debug, Default)]
pub(crate) struct Emptied(Vec<Called>);

impl Record {
    /// A record without calls that uses the memory of one before.
    pub(crate) fn reusing(memory: Emptied) -> Record {
        Record { more: memory.0, ..Record::default() }
    }

    /// A record of a turn that is never run again: of what was drawn, for the hypervisor.
    pub(crate) fn unkept() -> Record {
        Record { is_unkept: true, ..Record::default() }
    }

    /// The memory of its list, if it is worth being kept.
    pub(crate) fn emptied(mut self) -> Option<Emptied> {
        self.more.clear();
        (1..=KEPT_CALLS_MAX).contains(&self.more.capacity()).then_some(Emptied(self.more))
    }

    pub(super) fn push(&mut self, call: Call, arguments: &[&[u8]], answer: &Answer) {
        if call == Call::Entropy {
            self.drawings += 1;
            self.drawn_bytes += if let Answer::Bytes(bytes) = answer { bytes.len() } else { 0 };
        } else if self.is_unkept {
            return;
        }
        let called = (call, digest(arguments), answer.clone());
        match &mut self.first {
            None => self.first = Some(called),
            Some(_) => self.more.push(called),
        }
    }

    fn get(&self, index: usize) -> Option<&Called> {
        match index {
            0 => self.first.as_ref(),
            _ => self.more.get(index - 1),
        }
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// Memory that the record takes, roughly, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Record>() + self.more.capacity() * size_of::<Called>() + self.drawn_bytes
    }

    /// What was drawn from the host's source, in order: `None` where it had nothing.
    fn drawn(&self) -> Vec<Option<Vec<u8>>> {
        if self.drawings == 0 {
            return Vec::new();
        }
        let drawings = self.first.iter().chain(&self.more).filter(|(call, ..)| *call == Call::Entropy);
        let drawn = drawings.filter_map(|(.., answer)| match answer {
            Answer::Bytes(bytes) => Some(Some(bytes.clone())),
            Answer::Refusal(Refusal::NoEntropy) => Some(None),
            _ => None,
        });
        drawn.collect()
    }
}

/// A keyless hash of the arguments one after the other, each with what came before as its seed.
fn digest(arguments: &[&[u8]]) -> u64 {
    arguments.iter().fold(0, |before, argument| xxh3_64_with_seed(argument, before))
}

/// How a turn is run.
#[derive(Debug)]
pub(crate) enum Mode {
    /// The first time: recorded.
    Live(Record),
    /// Once more, on the answers of the first time.
    Again(Again),
    /// Never again: a question, which has no effects.
    Question,
}

impl Mode {
    /// The record that was written, or read.
    pub(crate) fn into_record(self) -> Record {
        match self {
            Mode::Live(record) | Mode::Again(Again { record, .. }) => record,
            Mode::Question => Record::default(),
        }
    }

    /// What a turn that ran the first time drew from the host's source.
    pub(crate) fn drawn(&self) -> Vec<Option<Vec<u8>>> {
        match self {
            Mode::Live(record) => record.drawn(),
            Mode::Again(_) | Mode::Question => Vec::new(),
        }
    }

    /// The record that was read, and what a turn that was run again did otherwise.
    pub(crate) fn read(self) -> (Record, Option<String>) {
        match self {
            Mode::Live(record) => (record, None),
            Mode::Again(again) => again.read(),
            Mode::Question => (Record::default(), None),
        }
    }
}

/// A record being read.
#[derive(Debug)]
pub(crate) struct Again {
    record: Record,
    next: usize,
    diverged: Option<String>,
}

impl Again {
    pub(super) fn new(record: Record) -> Again {
        Again { record, next: 0, diverged: None }
    }

    pub(super) fn answer(&mut self, call: Call, arguments: &[&[u8]]) -> Answer {
        match self.record.get(self.next) {
            Some((was, of, answer)) if *was == call && *of == digest(arguments) => {
                self.next += 1;
                answer.clone()
            }
            Some((was, ..)) => self.diverge(format!("call {} was {was:?}, now {call:?}", self.next)),
            None => self.diverge(format!("{call:?} after its last call, number {}", self.next)),
        }
    }

    fn diverge(&mut self, what: String) -> Answer {
        self.diverged.get_or_insert(what);
        Answer::Refusal(Refusal::UnknownCall)
    }

    /// The record, and what differed from it, if anything did; a record not read to its end differs too.
    fn read(self) -> (Record, Option<String>) {
        let short = self.next < self.record.len();
        let diverged =
            self.diverged.or_else(|| short.then(|| format!("it stopped after {} calls", self.next)));
        (self.record, diverged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_turn_that_nobody_will_run_again_only_what_was_drawn_is_kept() {
        for (mut record, kept) in [(Record::default(), 3), (Record::unkept(), 2)] {
            record.push(Call::Ticks, &[], &Answer::Number(7));
            record.push(Call::Entropy, &[], &Answer::Bytes(vec![1, 2]));
            record.push(Call::Entropy, &[], &Answer::Refusal(Refusal::NoEntropy));
            assert_eq!(record.len(), kept);
            assert_eq!(record.drawn(), [Some(vec![1, 2]), None]);
        }
    }
}
