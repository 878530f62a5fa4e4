//! The durable half of outbound HTTP: a container that keeps each request, and the way back to who made it, until there is an
//! answer.
//!
//! Invariants:
//! 1. A request's number and its key are given once, in the turn that takes it; whoever sends it again sends the same.
//! 2. A request is owed until its answer was passed on, or nobody waits for that any more. What is owed is in the state; the way
//!    back is bound as `reply:` and the number.
//! 3. It does not know what can be reached, nor whether a request has left already.

use everturn_containers::native::{Checked, Incoming, Native};
use everturn_dag::address::node_cid;
use everturn_dag::{Ipld, node};
use everturn_exo_interface::{Exception, Handle, Turn};
use everturn_port_manager::{Kind, Source};
use serde::{Deserialize, Serialize};

use crate::driver::{answer_held, encoded, hold, let_go, passed, thrown};

/// Requests that are owed at once.
const REQUESTS_MAX: usize = 1_024;
/// What they may take, in bytes.
const BYTES_MAX: usize = 16 << 20;
/// What goes out at once, in bytes: one larger request goes alone.
const HANDED_BYTES_MAX: usize = 4 << 20;
/// Under which name the way back to the outer half is bound while that waits for a request.
const NEXT: &str = "next";
/// The same, while somebody waits for all to be answered.
const IDLE: &str = "idle";
const REPLY: &str = "reply:";

/// What is owed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Outbox {
    /// Drawn when this was made: two stores give no two requests one key.
    #[serde(with = "serde_bytes")]
    salt: Vec<u8>,
    /// How many requests were taken.
    taken: u64,
    owed: Vec<Owed>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Owed {
    number: u64,
    key: String,
    /// As it came: dag-cbor.
    #[serde(with = "serde_bytes")]
    request: Vec<u8>,
}

/// A request as it goes out.
#[derive(Serialize, Deserialize)]
pub(super) struct Handed {
    pub(super) number: u64,
    pub(super) key: String,
    pub(super) request: Ipld,
}

/// What the outer half says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said {
    /// It wants requests with a number above this one, now or when there are some.
    Next(u64),
    /// A request was answered.
    Done(u64, Ipld),
    /// A request has no answer, and why.
    Failed(u64, String),
    /// Somebody wants to know when nothing is owed.
    Idle,
}

impl Native for Outbox {
    const CHECKED: Checked = Checked::Never;
    const HEARS_EXCEPTIONS: bool = false;

    fn create(_: &mut Turn, init: Ipld) -> Result<Outbox, Exception> {
        match init {
            Ipld::Bytes(salt) => Ok(Outbox { salt, taken: 0, owed: Vec::new() }),
            _ => Err(thrown("an outbox begins with bytes that no other has")),
        }
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        match (message.source, message.kind) {
            (Source::Named(name), Kind::Close) => self.forget(turn, name.as_str()),
            (Source::Named(name), _) if name.starts_with(REPLY) => Ok(()),
            (Source::Named(_), Kind::Request) => self.take(turn, message.bytes),
            (Source::Named(_), Kind::Message) => {
                Err(thrown("TypeError: this port takes requests: fetch(url), or port.fetch(url)"))
            }
            (Source::Parent, Kind::Message) => match node::decode(message.bytes) {
                Ok(said) => self.hear(turn, said),
                Err(_) => Err(thrown("an outbox does not know what that means")),
            },
            _ => Ok(()),
        }
    }
}

impl Outbox {
    fn take(&mut self, turn: &mut Turn, request: &[u8]) -> Result<(), Exception> {
        let Some(reply) = turn.reply_port() else {
            return Err(thrown("TypeError: nobody waits for the answer of this request"));
        };
        let bytes: usize = self.owed.iter().map(|owed| owed.request.len()).sum();
        if self.owed.len() >= REQUESTS_MAX || bytes + request.len() > BYTES_MAX {
            let (number, most) = (self.owed.len(), BYTES_MAX >> 20);
            return Err(thrown(format!(
                "TypeError: {number} requests wait for their answers; there may be {REQUESTS_MAX} of {most} MiB together"
            )));
        }
        let number = self.taken + 1;
        turn.bind(&format!("{REPLY}{number}"), reply)?;
        self.owed.push(Owed { number, key: self.key(turn), request: request.to_vec() });
        self.taken = number;
        self.hand_over(turn, number - 1)
    }

    /// A key that no other request has, of this store or another: the hash of the salt, the container, its ticks and date, and
    /// the number.
    fn key(&self, turn: &mut Turn) -> String {
        let mut unique = self.salt.clone();
        unique.extend_from_slice(turn.id().as_bytes());
        for number in [turn.ticks().0, turn.date_ms(), self.taken + 1] {
            unique.extend_from_slice(&number.to_be_bytes());
        }
        node_cid(&unique).to_string()
    }

    fn hear(&mut self, turn: &mut Turn, said: Said) -> Result<(), Exception> {
        match said {
            Said::Next(after) => {
                hold(turn, NEXT)?;
                self.hand_over(turn, after)
            }
            Said::Idle => {
                hold(turn, IDLE)?;
                self.tell_idle(turn)
            }
            Said::Done(number, answer) => {
                self.settle(turn, number, |turn, reply| passed(turn.send(reply, &encoded(&answer)?, &[], 0)))
            }
            Said::Failed(number, text) => self.settle(turn, number, |turn, reply| {
                passed(turn.reject(reply, &encoded(&thrown(format!("TypeError: {text}")))?))
            }),
        }
    }

    /// Gives requests above a number to the outer half, if it waits for some.
    fn hand_over(&self, turn: &mut Turn, after: u64) -> Result<(), Exception> {
        if turn.get(NEXT).is_err() {
            return Ok(());
        }
        let (mut handed, mut bytes) = (Vec::new(), 0);
        for owed in self.owed.iter().filter(|owed| owed.number > after) {
            bytes += owed.request.len();
            if bytes > HANDED_BYTES_MAX && !handed.is_empty() {
                break;
            }
            let request = node::decode(&owed.request).unwrap_or(Ipld::Null);
            handed.push(Handed { number: owed.number, key: owed.key.clone(), request });
        }
        if handed.is_empty() {
            return Ok(());
        }
        answer_held(turn, NEXT, &handed)
    }

    /// Passes an answer on. One that nobody waits for any more, or that came twice, goes nowhere.
    fn settle(
        &mut self,
        turn: &mut Turn,
        number: u64,
        pass: impl FnOnce(&mut Turn, Handle) -> Result<(), Exception>,
    ) -> Result<(), Exception> {
        let name = format!("{REPLY}{number}");
        if let Ok(reply) = turn.get(&name) {
            pass(turn, reply)?;
        }
        self.forget(turn, &name)
    }

    /// A way back is of no use any more.
    fn forget(&mut self, turn: &mut Turn, name: &str) -> Result<(), Exception> {
        let Some(number) = name.strip_prefix(REPLY).and_then(|number| number.parse::<u64>().ok()) else {
            return Ok(());
        };
        self.owed.retain(|owed| owed.number != number);
        let_go(turn, name)?;
        self.tell_idle(turn)
    }

    fn tell_idle(&self, turn: &mut Turn) -> Result<(), Exception> {
        if self.owed.is_empty() { answer_held(turn, IDLE, &self.taken) } else { Ok(()) }
    }
}
