//! The durable half of sockets: a container that has an end of a channel for each, and what is on its way to them.
//!
//! Invariants:
//! 1. A socket's port is bound as `socket:` and its number; numbers are given once.
//! 2. A socket that is not bound is closed, for both sides.
//! 3. What the program sends is kept until the outer half takes it, in its order, and no longer: what it took may still be lost
//!    with the connection.

use everturn_containers::native::{Checked, Incoming, Native};
use everturn_dag::{Ipld, node};
use everturn_exo_interface::{Exception, Turn};
use everturn_port_manager::{Kind, Source};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::driver::{answer_held, encoded, hold, let_go, passed, thrown};

/// What may wait for the outer half, in bytes and in messages.
const BYTES_MAX: usize = 16 << 20;
const MESSAGES_MAX: usize = 65_536;
/// What goes out at once, in bytes: one larger message goes alone.
const GIVEN_BYTES_MAX: usize = 4 << 20;
const NEXT: &str = "next";
const SOCKET: &str = "socket:";
/// Where the program's word comes from whether it opens a socket, and where that goes.
const OPENING: &str = "opening:";
const ASKING: &str = "asking:";

/// What is on its way to sockets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// How many were asked for.
    asked: u64,
    /// Not ready before their connection is: what is sent to them waits.
    new: Vec<u64>,
    sending: Vec<(u64, Given)>,
    /// What these take, about. A folder of before has none, and nothing waits when it is opened.
    #[serde(default)]
    sending_bytes: usize,
}

/// What goes over a socket.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Given {
    Text(String),
    Bytes(ByteBuf),
    Closed,
}

/// What the outer half says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said {
    /// It has just begun: there are no connections.
    Begin,
    /// A client wants a socket: the port that leads to the program, and the request.
    Open(String, Ipld),
    /// The connection is there.
    Ready(u64),
    /// Something came over a socket, or it closed.
    Came(u64, Given),
    /// It wants what is sent to sockets, now or when there is something.
    Next,
}

/// What became of a client's wish.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Opened {
    Socket(u64),
    /// The program's answer instead.
    Refused(Ipld),
    Failed(Exception),
}

impl Native for Waiting {
    const CHECKED: Checked = Checked::Never;
    const HEARS_EXCEPTIONS: bool = false;

    fn create(_: &mut Turn, _: Ipld) -> Result<Waiting, Exception> {
        Ok(Waiting { asked: 0, new: Vec::new(), sending: Vec::new(), sending_bytes: 0 })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let Source::Named(name) = message.source else {
            return match (message.kind, node::decode(message.bytes)) {
                (Kind::Message, Ok(said)) => self.hear(turn, said),
                _ => Ok(()),
            };
        };
        if let Some(number) = number_of(name.as_str(), SOCKET) {
            return self.send(turn, number, message);
        }
        if let Some(number) = number_of(name.as_str(), OPENING) {
            return self.answer(turn, number, message);
        }
        match message.kind {
            Kind::Message | Kind::Request => {
                Err(thrown("sockets come by this port; nothing is sent through it"))
            }
            _ => Ok(()),
        }
    }
}

impl Waiting {
    fn hear(&mut self, turn: &mut Turn, said: Said) -> Result<(), Exception> {
        match said {
            Said::Begin => {
                self.sending.clear();
                self.sending_bytes = 0;
                self.new.clear();
                let is_left =
                    |name: &String| [SOCKET, OPENING, ASKING].iter().any(|kind| name.starts_with(kind));
                turn.names().into_iter().filter(is_left).try_for_each(|name| let_go(turn, &name))
            }
            Said::Open(program, request) => self.open(turn, &program, request),
            Said::Ready(number) => {
                self.new.retain(|new| *new != number);
                self.give(turn)
            }
            Said::Came(number, given) => self.pass_on(turn, number, given),
            Said::Next => {
                hold(turn, NEXT)?;
                self.give(turn)
            }
        }
    }

    /// Asks the program, which gets the other end of the socket's channel.
    fn open(&mut self, turn: &mut Turn, program: &str, request: Ipld) -> Result<(), Exception> {
        let Some(asking) = turn.reply_port() else { return Ok(()) };
        let number = self.asked + 1;
        let Ipld::Map(mut request) = request else { return Err(thrown("a request is a map")) };
        request.insert("socket".to_owned(), Ipld::Integer(number.into()));
        let request = encoded(&Ipld::Map(request))?;
        let program = turn.get(program)?;
        let (socket, theirs) = turn.channel()?;
        let (opening, reply) = turn.channel()?;
        for (kind, port) in [(SOCKET, socket), (OPENING, opening), (ASKING, asking)] {
            turn.bind(&format!("{kind}{number}"), port)?;
        }
        turn.request_port(program, &request, &[theirs, reply], 0)?;
        self.asked = number;
        self.new.push(number);
        Ok(())
    }

    /// The program has answered whether it opens a socket.
    fn answer(&mut self, turn: &mut Turn, number: u64, message: &Incoming<'_>) -> Result<(), Exception> {
        let opened = match message.kind {
            Kind::Exception => {
                Opened::Failed(node::decode(message.bytes).unwrap_or_else(|_| thrown("it failed")))
            }
            Kind::Close => Opened::Failed(thrown("the program gave no answer")),
            _ => match message.data() {
                Ipld::Map(fields) if fields.get("status") == Some(&Ipld::Integer(101)) => {
                    Opened::Socket(number)
                }
                answer => Opened::Refused(answer),
            },
        };
        if !matches!(opened, Opened::Socket(_)) {
            self.new.retain(|new| *new != number);
            let_go(turn, &format!("{SOCKET}{number}"))?;
        }
        let_go(turn, &format!("{OPENING}{number}"))?;
        answer_held(turn, &format!("{ASKING}{number}"), &opened)
    }

    /// The program sends something over a socket, or lets it go.
    fn send(&mut self, turn: &mut Turn, number: u64, message: &Incoming<'_>) -> Result<(), Exception> {
        let given = match (message.kind, message.data()) {
            (Kind::Close, _) => {
                let_go(turn, &format!("{SOCKET}{number}"))?;
                Given::Closed
            }
            (Kind::Message, Ipld::String(text)) => Given::Text(text),
            (Kind::Message, Ipld::Bytes(bytes)) => Given::Bytes(bytes.into()),
            (Kind::Exception, _) => return Ok(()),
            _ => {
                return Err(thrown(
                    "TypeError: what goes over a socket is text or bytes; JSON.stringify the rest",
                ));
            }
        };
        let waiting = self.sending_bytes + given.bytes();
        if waiting > BYTES_MAX || self.sending.len() >= MESSAGES_MAX {
            return Err(thrown("too much waits to be sent over sockets"));
        }
        self.sending_bytes = waiting;
        self.sending.push((number, given));
        self.give(turn)
    }

    /// Something came from a client.
    fn pass_on(&mut self, turn: &mut Turn, number: u64, given: Given) -> Result<(), Exception> {
        let name = format!("{SOCKET}{number}");
        let Ok(socket) = turn.get(&name) else { return Ok(()) };
        let data = match given {
            Given::Text(text) => encoded(&text)?,
            Given::Bytes(bytes) => encoded(&Ipld::Bytes(bytes.into_vec()))?,
            Given::Closed => {
                self.keep(|other| other != number);
                return let_go(turn, &name);
            }
        };
        passed(turn.send(socket, &data, &[], 0))
    }

    /// Keeps what is to be sent to some of the sockets.
    fn keep(&mut self, is_kept: impl Fn(u64) -> bool) {
        self.sending.retain(|(number, _)| is_kept(*number));
        self.sending_bytes = self.sending.iter().map(|(_, given)| given.bytes()).sum();
    }

    /// Gives what is to be sent to the outer half, if that waits for it.
    fn give(&mut self, turn: &mut Turn) -> Result<(), Exception> {
        if turn.get(NEXT).is_err() {
            return Ok(());
        }
        let (mut given, mut kept, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (number, one) in std::mem::take(&mut self.sending) {
            bytes += one.bytes();
            let is_large = bytes > GIVEN_BYTES_MAX && !given.is_empty();
            match self.new.contains(&number) || is_large {
                true => kept.push((number, one)),
                false => given.push((number, one)),
            }
        }
        self.sending_bytes = kept.iter().map(|(_, one)| one.bytes()).sum();
        self.sending = kept;
        if given.is_empty() {
            return Ok(());
        }
        answer_held(turn, NEXT, &given)
    }
}

impl Given {
    /// What it takes, about.
    fn bytes(&self) -> usize {
        match self {
            Given::Text(text) => text.len(),
            Given::Bytes(bytes) => bytes.len(),
            Given::Closed => 0,
        }
    }
}

fn number_of(name: &str, kind: &str) -> Option<u64> {
    name.strip_prefix(kind)?.parse().ok()
}
