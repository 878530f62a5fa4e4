//! What two link drivers say to one another: a length of four bytes, most significant first, and one strict dag-cbor value.

use everturn_dag::node;
use quinn::{ReadExactError, RecvStream, SendStream};
use serde::{Deserialize, Serialize};

use super::inside::Outgoing;
use super::position::{Position, Positions};

/// The form of what is said; another one is not understood.
pub(super) const PROTOCOL: u64 = 1;
/// What a first frame has at most, in bytes: there is nothing large in it.
pub(super) const HELLO_BYTES_MAX: usize = 4_096;
/// A reason is for people.
const REASON_BYTES_MAX: usize = 1_024;
/// A frame is read into memory in steps, so that a length alone costs nothing.
const STEP_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Frame {
    /// The first, of either side.
    Hello(Hello),
    /// Messages, from the side that dialled.
    Messages(Outgoing),
    /// They are durable up to here.
    Acknowledged(Position),
    /// The link is not to go on, and why.
    Stop(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    pub(super) protocol: u64,
    /// Where the sender listens.
    pub(super) port: u16,
    pub(super) positions: Positions,
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the other side ended the stream")]
    Ended,
    #[error("{0}")]
    Lost(String),
    #[error("a frame of {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("a frame that cannot be read: {0}")]
    Malformed(String),
    #[error("not the frame that comes next: {0}")]
    OutOfTurn(&'static str),
    #[error("it speaks form {0} of links, this program form {PROTOCOL}")]
    Protocol(u64),
}

impl Frame {
    pub(super) fn stop(why: &str) -> Frame {
        let end = (0..=why.len().min(REASON_BYTES_MAX)).rev().find(|end| why.is_char_boundary(*end));
        Frame::Stop(why[..end.unwrap_or(0)].to_owned())
    }

    /// The frame as it travels.
    pub(super) fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let body = node::encode(self).map_err(|error| FrameError::Malformed(error.to_string()))?;
        let length = u32::try_from(body.len());
        let length = length.map_err(|_| FrameError::Malformed("it is too large".into()))?;
        Ok([&length.to_be_bytes()[..], &body].concat())
    }

    fn decode(body: &[u8]) -> Result<Frame, FrameError> {
        let frame = node::decode(body).map_err(|error| FrameError::Malformed(error.to_string()))?;
        match frame {
            Frame::Hello(Hello { protocol, .. }) if protocol != PROTOCOL => {
                Err(FrameError::Protocol(protocol))
            }
            Frame::Stop(why) if why.len() > REASON_BYTES_MAX => {
                Err(FrameError::Malformed("a reason that is too long".into()))
            }
            frame => Ok(frame),
        }
    }
}

pub(super) async fn write(stream: &mut SendStream, frame: &Frame) -> Result<(), FrameError> {
    let bytes = frame.encode()?;
    stream.write_all(&bytes).await.map_err(|error| FrameError::Lost(error.to_string()))
}

pub(super) async fn read(stream: &mut RecvStream, bytes_max: usize) -> Result<Frame, FrameError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.map_err(lost)?;
    let bytes = u32::from_be_bytes(length) as usize;
    if bytes > bytes_max {
        return Err(FrameError::TooLarge { bytes, bytes_max });
    }
    let mut body = Vec::new();
    while body.len() < bytes {
        let from = body.len();
        body.resize(bytes.min(from + STEP_BYTES), 0);
        stream.read_exact(&mut body[from..]).await.map_err(lost)?;
    }
    Frame::decode(&body)
}

/// The first frame of the other side.
pub(super) async fn read_hello(stream: &mut RecvStream) -> Result<Hello, FrameError> {
    match read(stream, HELLO_BYTES_MAX).await? {
        Frame::Hello(hello) => Ok(hello),
        _ => Err(FrameError::OutOfTurn("a link begins with a greeting")),
    }
}

fn lost(error: ReadExactError) -> FrameError {
    match error {
        ReadExactError::FinishedEarly(_) => FrameError::Ended,
        ReadExactError::ReadError(error) => FrameError::Lost(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_come_back_as_they_were() {
        let messages = vec![serde_bytes::ByteBuf::from(*b"one"), serde_bytes::ByteBuf::new()];
        let hello = Hello { protocol: PROTOCOL, port: 6001, positions: Positions::default() };
        for frame in [
            Frame::Hello(hello),
            Frame::Messages(Outgoing { first: 7, messages }),
            Frame::Acknowledged(Position::default().after(b"x")),
            Frame::stop(&"é".repeat(1_000)),
        ] {
            let bytes = frame.encode().unwrap();
            assert_eq!(Frame::decode(&bytes[4..]).unwrap(), frame);
        }
    }

    #[test]
    fn another_form_of_links_is_named() {
        let hello = Hello { protocol: 9, port: 1, positions: Positions::default() };
        let bytes = Frame::Hello(hello).encode().unwrap();
        assert!(Frame::decode(&bytes[4..]).unwrap_err().to_string().contains("form 9"));
    }

    proptest! {
        #[test]
        fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::decode(&bytes);
        }
    }
}
