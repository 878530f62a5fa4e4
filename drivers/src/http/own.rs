//! What the server says itself, where no program has its say.

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::Answer;
use super::body::Body;

/// How long a client should wait before it asks a busy server again, in seconds.
const RETRY_AFTER_S: &str = "1";

/// The status in words, and why.
pub(super) fn plain(status: StatusCode, why: &str) -> Answer {
    let name = status.canonical_reason().unwrap_or_default();
    let text = if why.is_empty() { format!("{name}\n") } else { format!("{name}: {why}\n") };
    let mut answer = Response::new(Body::from(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// Come back later.
pub(super) fn busy(why: &str) -> Answer {
    let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, why);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    answer
}

/// The same, and the end of the connection: what the client has still to send will not be read.
pub(super) fn last(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// The bytes of an answer to a client whose head never became whole, so that no request was there to answer.
pub(super) const HEAD_TIMED_OUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
