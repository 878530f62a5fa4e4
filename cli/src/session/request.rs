//! What a session can be asked, and what it answers: as values here, as dag-cbor over the control socket.

use std::path::PathBuf;

use everturn::js::Completeness;
use everturn::link::{Peer, Positions};
use everturn::{
    Cid, ContainerId, Exception, Inspection, Ipld, Line, LogLevel, NodeError, Receipt, Ticks, node,
};
use serde::{Deserialize, Serialize};

use super::peers::AboutPeers;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::program::Known;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Every container.
    Inspect,
    /// Is this a whole statement?
    Judge {
        text: String,
    },
    /// Which names may stand in place of the last one?
    Complete {
        text: String,
    },
    /// A line, in the living heap.
    Evaluate {
        file: String,
        source: String,
    },
    /// An edited program, in the living heap.
    Load {
        name: String,
        source: String,
        cid: String,
    },
    /// A message: one dag-cbor value, as bytes.
    Send {
        data: Ipld,
    },
    /// Until what was woken is idle.
    Settle,
    /// The state root when the queues are empty up to a tick.
    Root {
        ticks: Ticks,
    },
    /// A copy of the folder in a new one.
    Backup {
        folder: PathBuf,
    },
    /// A state root or a checkpoint in a file.
    Export(Export),
    /// Which program the folder runs.
    Known,
    Peers(AboutPeers),
}

/// What is written, and where.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Export {
    /// A root that is there already; else a new one is made.
    pub(crate) root: Option<Cid>,
    pub(crate) what: Exportable,
    pub(crate) file: PathBuf,
}

/// What a new root is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Exportable {
    State,
    Checkpoint,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Containers(Vec<Inspection>),
    Judged(Judged),
    Names(Vec<String>),
    Took(Took),
    Root(Cid),
    Exported { root: Cid, blocks: u64, bytes: u64 },
    Known(Known),
    Peers(Vec<(Peer, Positions)>),
}

impl Answer {
    /// The failure of having got an answer to another question.
    pub(super) fn unfit(self) -> Failure {
        Failure::Detached("it answered what was not asked".into())
    }
}

/// [`Completeness`], as it is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Judged {
    Complete,
    Incomplete,
    SyntaxError,
}

impl From<Completeness> for Judged {
    fn from(completeness: Completeness) -> Judged {
        match completeness {
            Completeness::Complete => Judged::Complete,
            Completeness::Incomplete => Judged::Incomplete,
            Completeness::SyntaxError => Judged::SyntaxError,
        }
    }
}

impl From<Judged> for Completeness {
    fn from(judged: Judged) -> Completeness {
        match judged {
            Judged::Complete => Completeness::Complete,
            Judged::Incomplete => Completeness::Incomplete,
            Judged::SyntaxError => Completeness::SyntaxError,
        }
    }
}

/// A receipt, as it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Took {
    /// The answer as dag-cbor, in bytes: it may nest as deep as data may.
    answer: Option<Ipld>,
    exception: Option<Exception>,
    burnt: Ticks,
    ticks: Ticks,
}

impl Took {
    pub(super) fn of(receipt: &Receipt) -> Result<Took, NodeError> {
        let (answer, exception) = match &receipt.outcome {
            Ok(answer) => (answer.as_ref().map(node::encode).transpose()?, None),
            Err(exception) => (None, Some(exception.clone())),
        };
        let answer = answer.map(Ipld::Bytes);
        Ok(Took { answer, exception, burnt: receipt.burnt, ticks: receipt.ticks })
    }

    pub(super) fn receipt(self) -> Result<Receipt, Failure> {
        let outcome = match (self.exception, self.answer) {
            (Some(exception), _) => Err(exception),
            (None, Some(Ipld::Bytes(answer))) => match node::decode(&answer) {
                Ok(answer) => Ok(Some(answer)),
                Err(error) => return Err(Failure::Detached(error.to_string())),
            },
            (None, _) => Ok(None),
        };
        Ok(Receipt { outcome, burnt: self.burnt, ticks: self.ticks, sent: Vec::new() })
    }
}

/// A failure, as it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    text: String,
    advice: Option<String>,
    code: u8,
    exception: Option<Exception>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused {
            text: failure.to_string(),
            advice: failure.advice().map(str::to_owned),
            code: failure.exit() as u8,
            exception: match failure {
                Failure::Exception(exception) => Some(exception),
                _ => None,
            },
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        let Refused { text, advice, code, exception } = refused;
        let exits = [Exit::Success, Exit::Exception, Exit::Usage, Exit::Interrupted];
        let exit = exits.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Exit::Host);
        exception.map_or(Failure::Told { text, advice, exit }, Failure::Exception)
    }
}

/// What a command says to a session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToSession {
    /// Answer this, under this number.
    Ask(u64, Request),
    /// Discard the turn that runs now.
    Interrupt,
}

/// What a session says to a command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToCommand {
    Answered(u64, Answer),
    Refused(u64, Refused),
    /// A container wrote something.
    Line(Told),
    /// So many lines were written faster than they were taken.
    Lost(u64),
    /// There is nobody any more.
    Ending,
}

/// A line, as it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    number: Option<u64>,
    from: ContainerId,
    level: i32,
    text: String,
}

impl From<&Line> for Told {
    fn from(line: &Line) -> Told {
        Told { number: line.number, from: line.from, level: line.level as i32, text: line.text.clone() }
    }
}

impl From<Told> for Line {
    fn from(told: Told) -> Line {
        let level = LogLevel::from_number(told.level);
        Line { number: told.number, from: told.from, level, text: told.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(receipt: &Receipt) -> Receipt {
        let bytes = node::encode(&Answer::Took(Took::of(receipt).unwrap())).unwrap();
        match node::decode(&bytes).unwrap() {
            Answer::Took(took) => took.receipt().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_receipt_is_the_same_at_the_other_end() {
        let deep = (0..90).fold(Ipld::Null, |inner, _| Ipld::List(vec![inner]));
        let thrown = Exception::new(everturn::ExceptionKind::Throw, "Error: x");
        for outcome in [Ok(None), Ok(Some(Ipld::Null)), Ok(Some(deep)), Err(thrown)] {
            let receipt = Receipt { outcome, burnt: Ticks(3), ticks: Ticks::MAX, sent: Vec::new() };
            assert_eq!(again(&receipt), receipt);
        }
    }

    #[test]
    fn a_failure_keeps_its_words_its_advice_and_its_code() {
        let failure = Failure::NoSession("d".into());
        let (text, advice) = (failure.to_string(), failure.advice().map(str::to_owned));
        let bytes = node::encode(&ToCommand::Refused(1, failure.into())).unwrap();
        let ToCommand::Refused(1, refused) = node::decode(&bytes).unwrap() else { panic!("it is one") };
        let failure = Failure::from(refused);
        assert_eq!((failure.to_string(), failure.advice().map(str::to_owned)), (text, advice));
        assert_eq!(failure.exit(), Exit::Host);
    }

    #[test]
    fn every_level_of_a_line_arrives() {
        for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Warning, LogLevel::Error] {
            let line = Line { number: Some(7), from: ContainerId::ROOT, level, text: "x".into() };
            assert_eq!(Line::from(Told::from(&line)), line);
        }
    }
}
