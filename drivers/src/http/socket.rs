//! WebSockets (RFC 6455): a connection that goes on, message by message, in both directions.
//!
//! Invariants:
//! 1. Each message is bounded, and the next one is read when the inside has durably taken the one before.
//! 2. What waits for a client is bounded, in messages and in bytes: one that is too slow loses its connection.
//! 3. However a connection ends, the inside is told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use everturn_dag::Ipld;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tracing::debug;

use super::Answer;
use super::connection::{Stopping, Terms};
use super::own::plain;
use super::request::named_by_connection;
use super::trouble::{Trouble, Troubles};

/// What may wait for one client.
const FRAMES_MAX: usize = 1_024;
const BYTES_MAX: usize = 4 << 20;
/// How long the end of a connection may take.
const ENDING: Duration = Duration::from_secs(1);
/// What a connection has for reading and writing, in bytes; there may be many.
const BUFFER_BYTES: usize = 4_096;
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is with the program, durably.
    Taken,
    /// It cannot be taken.
    Refused,
    /// There is nobody any more who could take it.
    Ended,
}

/// The inside of a socket.
#[async_trait]
pub trait Socket: Send + Sync {
    /// Hands over a message; it is durable when this returns.
    async fn take(&self, frame: Frame) -> Taken;

    /// The connection has ended.
    async fn closed(&self);
}

/// What the inside says to a client that wants a socket.
pub enum Welcome {
    /// There are no sockets here.
    None,
    /// It gets an answer instead.
    Answered(Ipld),
    /// It is open: where its messages go, and what waits for it.
    Opened(Box<dyn Socket>, Waiting),
}

/// How much waits for a client.
#[derive(Debug, Default)]
struct Load {
    bytes: AtomicUsize,
    /// Something did not fit any more.
    is_full: AtomicBool,
}

/// The way to a client. When it is dropped, the connection ends after what was given.
#[derive(Debug)]
pub struct Outgoing {
    frames: mpsc::Sender<Frame>,
    load: Arc<Load>,
}

/// What waits for a client.
#[derive(Debug)]
pub struct Waiting {
    frames: mpsc::Receiver<Frame>,
    load: Arc<Load>,
}

impl Outgoing {
    /// A way to a client and its other end.
    pub fn new() -> (Outgoing, Waiting) {
        let ((sender, receiver), load) = (mpsc::channel(FRAMES_MAX), Arc::<Load>::default());
        (Outgoing { frames: sender, load: load.clone() }, Waiting { frames: receiver, load })
    }

    /// Lets a message wait for the client; `false` if too much does, or the client has gone. One for whom too much waits is told so
    /// after what was given before.
    pub fn give(&self, frame: Frame) -> bool {
        let bytes = frame.bytes();
        let fits = self.load.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= BYTES_MAX;
        let is_given = fits && self.frames.try_send(frame).is_ok();
        if !is_given {
            // Before the way is dropped, by which the other side learns of it.
            self.load.is_full.store(true, Ordering::Release);
        }
        is_given
    }
}

impl Waiting {
    async fn next(&mut self) -> Option<Frame> {
        let frame = self.frames.recv().await?;
        self.load.bytes.fetch_sub(frame.bytes(), Ordering::Relaxed);
        Some(frame)
    }

    /// Whether it has ended because too much waited.
    fn is_full(&self) -> bool {
        self.load.is_full.load(Ordering::Acquire)
    }
}

impl Frame {
    fn bytes(&self) -> usize {
        match self {
            Frame::Text(text) => text.len(),
            Frame::Bytes(bytes) => bytes.len(),
        }
    }
}

impl From<Frame> for Message {
    fn from(frame: Frame) -> Message {
        match frame {
            Frame::Text(text) => Message::text(text),
            Frame::Bytes(bytes) => Message::binary(bytes),
        }
    }
}

/// Whether a request wants to become a socket.
pub(super) fn is_wanted(head: &Parts) -> bool {
    let upgrades =
        head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let is_first = head.version == Version::HTTP_11 && head.method == Method::GET;
    is_first && upgrades && named_by_connection(&head.headers).iter().any(|name| name == "upgrade")
}

/// The answer that opens a socket, with status 101; or another that says why there can be none.
pub(super) fn opening(head: &Parts) -> Answer {
    if head.headers.get(&VERSION).is_none_or(|version| version != "13") {
        let mut answer = plain(StatusCode::UPGRADE_REQUIRED, "version 13 of WebSocket is spoken here");
        answer.headers_mut().insert(VERSION, HeaderValue::from_static("13"));
        return answer;
    }
    let key = head.headers.get(&KEY).filter(|key| key.len() == 24);
    let accept = key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok());
    let Some(accept) = accept else {
        return plain(StatusCode::BAD_REQUEST, "a socket needs one Sec-WebSocket-Key");
    };
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().extend([
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (ACCEPT, accept),
    ]);
    answer
}

/// Puts what an opened socket needs with its opening answer.
pub(super) fn accept(mut answer: Answer, accepted: Accepted) -> Answer {
    answer.extensions_mut().insert(Slot(Arc::new(Mutex::new(Some(accepted)))));
    answer
}

/// Takes it from there.
pub(super) fn accepted(answer: &mut Answer) -> Option<Accepted> {
    let slot = answer.extensions_mut().remove::<Slot>()?;
    slot.0.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// What goes with an answer has to be clonable; nobody clones it.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<Accepted>>>);

/// A socket whose opening answer is on its way.
pub(super) struct Accepted {
    pub(super) socket: Box<dyn Socket>,
    pub(super) waiting: Waiting,
}

/// What happens on an open connection.
enum Event {
    Came(Result<Message, Error>),
    /// To the client; `None` is the end.
    Gives(Option<Frame>),
    Ticks,
}

async fn stop(stopping: &mut Stopping) {
    // Whoever could ask for it has gone: that is the end too.
    let _ = stopping.wait_for(|stops| *stops).await;
}

/// How a connection ends: with which word to the client, if it still hears one.
type End = Option<(CloseCode, &'static str)>;

impl Accepted {
    /// Carries messages until either side ends it. `read` came after the request already.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin, H>(
        mut self,
        stream: S,
        read: Vec<u8>,
        terms: &Terms<H>,
        stopping: Stopping,
    ) {
        let settings = &terms.settings;
        let most = Some(settings.socket_message_bytes_max);
        let config =
            WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
        let config = config.max_message_size(most).max_frame_size(most);
        let mut stream = WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await;
        let end = self.carry(&mut stream, settings.socket_ping, stopping, &terms.troubles).await;
        self.socket.closed().await;
        let ending = async {
            if let Some((code, reason)) = end {
                let frame = CloseFrame { code, reason: reason.into() };
                stream.close(Some(frame)).await?;
            }
            // The client says good-bye too; what it said before is lost.
            while let Some(Ok(_)) = stream.next().await {}
            // One that still sends what nobody wants is not reset while it reads why.
            stream.get_mut().shutdown().await?;
            let mut unread = [0; BUFFER_BYTES];
            while stream.get_mut().read(&mut unread).await? > 0 {}
            Ok::<_, Error>(())
        };
        // A client that has gone hears nothing, and need not.
        let _ = timeout(ENDING, ending).await;
    }

    async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut WebSocketStream<S>,
        ping: Duration,
        mut stopping: Stopping,
        troubles: &Troubles,
    ) -> End {
        let mut ticking = interval(ping);
        let mut is_heard = true;
        loop {
            let event = tokio::select! {
                came = stream.next() => Event::Came(came?),
                frame = self.waiting.next() => Event::Gives(frame),
                _ = ticking.tick() => Event::Ticks,
                () = stop(&mut stopping) => return Some((CloseCode::Away, "the server is stopping")),
            };
            let sent = match event {
                Event::Came(came) => {
                    is_heard = true;
                    match self.heard(came, troubles).await {
                        Ok(()) => Ok(()),
                        Err(end) => return end,
                    }
                }
                Event::Gives(Some(frame)) => stream.send(frame.into()).await,
                Event::Gives(None) if self.waiting.is_full() => {
                    let most = format_args!("at most {FRAMES_MAX} messages and {BYTES_MAX} bytes may");
                    troubles.tell(Trouble::SocketFull, &most);
                    return Some((CloseCode::Again, "too much waits for this client"));
                }
                Event::Gives(None) => return Some((CloseCode::Normal, "")),
                Event::Ticks if !std::mem::replace(&mut is_heard, false) => return None,
                Event::Ticks => stream.send(Message::Ping(Bytes::new())).await,
            };
            if let Err(error) = sent {
                match &error {
                    Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
                        troubles.tell(Trouble::Slow, &error);
                    }
                    _ => debug!(target: "everturn::http", %error, "a socket ended"),
                }
                return None;
            }
        }
    }

    async fn heard(&self, came: Result<Message, Error>, troubles: &Troubles) -> Result<(), End> {
        let frame = match came {
            Ok(Message::Text(text)) => Frame::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Frame::Bytes(bytes.to_vec()),
            // The good-bye is answered while the rest is read.
            Ok(Message::Close(_)) => return Err(None),
            Ok(_) => return Ok(()),
            Err(error) => {
                match &error {
                    // Clients go away without a word.
                    Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => {
                        debug!(target: "everturn::http", %error, "a socket ended");
                    }
                    _ => troubles.tell(Trouble::SocketRules, &error),
                }
                return Err(match error {
                    Error::Capacity(_) => Some((CloseCode::Size, "the message is too large")),
                    Error::Utf8(_) => Some((CloseCode::Invalid, "the text is no UTF-8")),
                    Error::Protocol(_) => Some((CloseCode::Protocol, "")),
                    _ => None,
                });
            }
        };
        match self.socket.take(frame).await {
            Taken::Taken => Ok(()),
            Taken::Refused => Err(Some((CloseCode::Again, "too much waits here"))),
            Taken::Ended => Err(Some((CloseCode::Away, "the server is stopping"))),
        }
    }
}
