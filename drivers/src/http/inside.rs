//! What a server serves: something that takes a request and has, in the end, a durable answer.

use async_trait::async_trait;
use everturn_dag::Ipld;
use everturn_exo_interface::Exception;

use super::socket::Welcome;

/// The inside of a server. Who it is stays its own business.
#[async_trait]
pub trait Inside: Send + Sync + 'static {
    /// Hands over a request and waits for its answer, which is durable when this returns.
    ///
    /// The request is the dag-cbor map `{method: text, url: text, headers: [[name, value]...], body: bytes}`, the answer
    /// `{status: integer, statusText: text, headers: [[name, value]...], body: bytes}`. In a header's value each byte is one
    /// character up to U+00FF.
    ///
    /// # Errors
    /// See [`Failure`].
    async fn request(&self, request: Vec<u8>) -> Result<Ipld, Failure>;

    /// As [`Inside::request`], of a request that may come again and is done once.
    ///
    /// # Errors
    /// See [`Failure`].
    async fn request_once(&self, request: Vec<u8>, once: Once) -> Result<(Ipld, Given), Failure>;

    /// Hands over a request for a socket, as [`Inside::request`] does, and waits for what the program says.
    ///
    /// # Errors
    /// See [`Failure`].
    async fn open(&self, _request: Vec<u8>) -> Result<Welcome, Failure> {
        Ok(Welcome::None)
    }

    /// As [`Inside::request`], of a request that only looks (`GET`, `HEAD`): what can be answered without changing anything is answered
    /// so, at once, from what is durable.
    ///
    /// # Errors
    /// See [`Failure`].
    async fn query(&self, request: Vec<u8>) -> Result<Ipld, Failure> {
        self.request(request).await
    }

    /// The next piece of a body, which is durable when this returns; waits until there is one.
    ///
    /// # Errors
    /// See [`Failure`]; then nothing more will come.
    async fn piece(&self, _stream: &Stream) -> Result<Piece, Failure> {
        Err(Failure::Unanswered("there are no streams here".to_owned()))
    }

    /// Nobody takes any more of a body; that is durable when this returns.
    async fn cancel(&self, _stream: &Stream, _reason: &str) {}

    /// What can be measured inside, at this moment; asked for when somebody looks.
    ///
    /// # Errors
    /// [`Failure::Stopped`] if there is no inside any more.
    async fn measures(&self) -> Result<Vec<Measure>, Failure> {
        Ok(Vec::new())
    }
}

/// A body that comes piece by piece: an answer has its number under `stream`, beside a `body` without bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What was asked for: the inside knows by it who gives the stream.
    pub url: String,
    /// Which.
    pub number: u64,
}

/// Some of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The bytes; there may be none.
    pub bytes: Vec<u8>,
    /// Whether more follows.
    pub rest: Rest,
}

/// What comes after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// More.
    More,
    /// Nothing: it was the last one.
    Nothing,
}

/// What makes a request one that is done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// The digest of the client's key.
    pub key: [u8; 32],
    /// A digest of what the request is and whose: another one with the key is [`Failure::OtherRequest`].
    pub fingerprint: [u8; 32],
    /// How long the reply is kept, in milliseconds.
    pub kept_ms: u64,
}

/// Whether an answer is that of the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The request was carried out for it.
    First,
    /// It is what came of a request before.
    Again,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The program failed: 500.
    #[error("the program failed: {0}")]
    Exception(Exception),
    /// Too much is waiting already; it may be tried again: 503.
    #[error("too much is waiting")]
    Busy,
    /// The key was used for another request: 422.
    #[error("this Idempotency-Key was used for another request")]
    OtherRequest,
    /// So many replies are kept that no further one can be promised: 503.
    #[error("no further reply can be kept: {0}")]
    Full(String),
    /// There is no answer and there will be none: 500.
    #[error("{0}")]
    Unanswered(String),
    /// The request is larger than a message may be: 413.
    #[error("the request is too large: {0}")]
    TooLarge(String),
    /// The inside has ended, and with it the server: 503.
    #[error("{0}")]
    Stopped(String),
}

/// One number about the inside, as `/-/metrics` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name, as in `everturn_containers`.
    pub name: &'static str,
    /// What it counts, and in which unit.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MeasureKind,
    /// Its value.
    pub value: f64,
}

/// How a measure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}
