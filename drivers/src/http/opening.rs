//! The first bytes of a connection in the clear: they say which HTTP it speaks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// How every HTTP/2 connection begins (RFC 9113, 3.4), and no request of HTTP/1.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A stream whose first bytes have been looked at: they come again.
pub(super) struct Opened<S> {
    first: Bytes,
    stream: S,
}

impl<S> Opened<S> {
    /// A stream of which nothing was read.
    pub(super) fn untouched(stream: S) -> Opened<S> {
        Opened { first: Bytes::new(), stream }
    }
}

/// Reads until it is clear what is spoken. `read` has what was read so far, also if this is given up.
pub(super) async fn listen<S: AsyncRead + Unpin>(stream: &mut S, read: &mut Vec<u8>) -> io::Result<Protocol> {
    loop {
        let known = read.len().min(HTTP2.len());
        if read[..known] != HTTP2[..known] {
            return Ok(Protocol::Http1);
        }
        if known == HTTP2.len() {
            return Ok(Protocol::Http2);
        }
        if stream.read_buf(read).await? == 0 {
            // Whoever speaks HTTP/1 says what to do about an end that comes too early.
            return Ok(Protocol::Http1);
        }
    }
}

/// The stream as it was before anything was read of it.
pub(super) fn rewound<S>(stream: S, read: Vec<u8>) -> Opened<S> {
    Opened { first: Bytes::from(read), stream }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let taken = self.first.len().min(into.remaining());
        into.put_slice(&self.first[..taken]);
        self.first.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    /// What is heard in these pieces, and what the stream then gives.
    async fn heard(pieces: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let (mut client, mut server) = duplex(64);
        let all: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        tokio::spawn(async move {
            for piece in all {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let mut read = Vec::new();
        let protocol = listen(&mut server, &mut read).await.unwrap();
        let mut whole = Vec::new();
        rewound(server, read).read_to_end(&mut whole).await.unwrap();
        (protocol, whole)
    }

    #[tokio::test]
    async fn the_first_bytes_tell_and_come_again() {
        let two = [HTTP2, b"rest"].concat();
        assert_eq!(heard(&[&two]).await, (Protocol::Http2, two.clone()));
        let bytes: Vec<&[u8]> = two.chunks(1).collect();
        assert_eq!(heard(&bytes).await, (Protocol::Http2, two.clone()));
        for one in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"P", b"PRI * HTTP/1.1\r\n", b""] {
            assert_eq!(heard(&[one]).await, (Protocol::Http1, one.to_vec()));
        }
    }
}
