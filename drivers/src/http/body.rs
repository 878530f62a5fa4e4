//! What an answer carries: bytes that are there, or pieces that come as the inside gives them.
//!
//! Invariants:
//! 1. The next piece is asked for when the client has taken the one before: nothing piles up for who is slow.
//! 2. However a body ends before its last piece, the inside is told, and the client sees no clean end.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;
use tracing::{debug, error};

use super::connection::Stopping;
use super::inside::{Failure, Inside, Piece, Rest, Stream};

/// The body of an answer.
pub(super) struct Body {
    kind: Kind,
    /// What lasts as long as the body does.
    held: Option<Box<dyn Send + Sync>>,
}

enum Kind {
    Whole(Full<Bytes>),
    Pieces(mpsc::Receiver<Result<Bytes, Broken>>),
}

/// The rest of a body will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body broke off")]
pub(super) struct Broken;

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Whole(whole) => format!("{:?} bytes", whole.size_hint().exact()),
            Kind::Pieces(_) => "pieces".to_owned(),
        };
        formatter.debug_tuple("Body").field(&kind).finish()
    }
}

impl Default for Body {
    fn default() -> Body {
        Body::from(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body { kind: Kind::Whole(Full::new(bytes)), held: None }
    }
}

impl Body {
    /// Keeps something until the body has left, or will not.
    pub(super) fn holding(mut self, held: impl Send + Sync + 'static) -> Body {
        self.held = Some(Box::new(held));
        self
    }

    /// Pieces that the inside gives.
    pub(super) fn pieces(inside: Arc<dyn Inside>, stream: Stream, stopping: Stopping) -> Body {
        // One may wait for the connection, while nobody is asked for more.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(carry(inside, stream, sender, stopping));
        Body { kind: Kind::Pieces(receiver), held: None }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.kind {
            Kind::Whole(whole) => Pin::new(whole)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Kind::Pieces(pieces) => {
                pieces.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(whole) => whole.is_end_stream(),
            Kind::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(whole) => whole.size_hint(),
            Kind::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Why no further piece is asked for.
enum End {
    /// That was all.
    Whole,
    /// There is nobody who would take it.
    Gone,
    /// The server is stopping.
    Stopping,
    Failed(Failure),
}

/// Carries pieces to the connection, and tells the inside if they are not all wanted.
async fn carry(
    inside: Arc<dyn Inside>,
    stream: Stream,
    pieces: mpsc::Sender<Result<Bytes, Broken>>,
    stopping: Stopping,
) {
    let end = carry_all(&*inside, &stream, &pieces, stopping).await;
    let reason = match end {
        End::Whole => return,
        End::Gone => "the client has gone",
        End::Stopping => "the server is stopping",
        End::Failed(failure) => {
            error!(target: "everturn::http", url = stream.url, "a stream broke off: {failure}");
            "it failed"
        }
    };
    debug!(target: "everturn::http", url = stream.url, reason, "a stream is cancelled");
    inside.cancel(&stream, reason).await;
    // Without this it would look like a whole one. Nobody may be there to see it.
    let _ = pieces.send(Err(Broken)).await;
}

async fn carry_all(
    inside: &dyn Inside,
    stream: &Stream,
    pieces: &mpsc::Sender<Result<Bytes, Broken>>,
    mut stopping: Stopping,
) -> End {
    loop {
        let next = async {
            let Ok(place) = pieces.reserve().await else { return Err(End::Gone) };
            let Piece { bytes, rest } = inside.piece(stream).await.map_err(End::Failed)?;
            if !bytes.is_empty() {
                place.send(Ok(bytes.into()));
            }
            Ok(rest)
        };
        let rest = tokio::select! {
            rest = next => rest,
            () = pieces.closed() => Err(End::Gone),
            // Whoever could ask for it has gone: that is the end too.
            _ = stopping.wait_for(|stops| *stops) => Err(End::Stopping),
        };
        match rest {
            Ok(Rest::More) => {}
            Ok(Rest::Nothing) => return End::Whole,
            Err(end) => return end,
        }
    }
}
