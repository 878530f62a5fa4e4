//! The socket under the links, which tells of datagrams that are none of theirs: the library drops them without a word.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::quiet::Quiet;

/// No QUIC packet is shorter: RFC 9000, 10.3.
const PACKET_BYTES_MIN: usize = 21;
/// Set in the first byte of each packet, as long as this side does not say that it need not be (RFC 9287): [`super::reset`] does not.
const FIXED: u8 = 0x40;
/// Set in the first byte of packets with a long header (RFC 8999, 5.1), whose next four bytes are the version.
const LONG: u8 = 0x80;
/// RFC 9000, and what says which versions there are.
const VERSIONS: [u32; 2] = [1, 0];

/// What a datagram is that is no QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stray {
    Short(usize),
    Unmarked,
    Version(u32),
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stray::Short(bytes) => write!(f, "{bytes} bytes are too few"),
            Stray::Unmarked => f.write_str("its first byte is none of a packet"),
            Stray::Version(version) => {
                write!(f, "a version of QUIC that is not spoken here, {version:#010x}")
            }
        }
    }
}

impl Stray {
    /// What is wrong with a datagram, from what can be seen without keys.
    fn of(datagram: &[u8]) -> Option<Stray> {
        let (Some(first), Some(version)) = (datagram.first(), datagram.get(1..5)) else {
            return Some(Stray::Short(datagram.len()));
        };
        if datagram.len() < PACKET_BYTES_MIN {
            return Some(Stray::Short(datagram.len()));
        }
        let version = version.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        if first & LONG != 0 && !VERSIONS.contains(&version) {
            return Some(Stray::Version(version));
        }
        // What says which versions there are may have any first byte (RFC 8999, 6).
        let is_negotiation = first & LONG != 0 && version == 0;
        (first & FIXED == 0 && !is_negotiation).then_some(Stray::Unmarked)
    }
}

/// A socket whose datagrams are looked at as they come.
#[derive(Debug)]
pub(super) struct Watched {
    socket: Arc<dyn AsyncUdpSocket>,
    strays: Quiet,
}

impl Watched {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>) -> Arc<Watched> {
        Arc::new(Watched { socket, strays: Quiet::default() })
    }

    fn look_at(&self, received: &[u8], meta: &RecvMeta) {
        for datagram in received.chunks(meta.stride.max(1)) {
            if let Some(stray) = Stray::of(datagram) {
                self.tell(stray, meta.addr);
            }
        }
    }

    fn tell(&self, stray: Stray, from: SocketAddr) {
        if self.strays.may_tell(|more| tracing::warn!("datagrams that are no QUIC: {more} more")) {
            tracing::warn!(%from, "a datagram that is no QUIC: {stray}");
        } else {
            tracing::debug!(%from, "a datagram that is no QUIC: {stray}");
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(more) = self.strays.untold() {
            tracing::warn!("datagrams that are no QUIC: {more} more");
        }
    }
}

impl AsyncUdpSocket for Watched {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let came = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        for (received, meta) in bufs.iter().zip(meta.iter()).take(came) {
            self.look_at(received.get(..meta.len).unwrap_or(received), meta);
        }
        Poll::Ready(Ok(came))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_quic_is_told_from_what_may_be() {
        let datagram = |first: u8, version: u32| {
            let mut bytes = vec![0x5a; PACKET_BYTES_MIN];
            bytes[0] = first;
            bytes[1..5].copy_from_slice(&version.to_be_bytes());
            bytes
        };
        let negotiation = datagram(0x80, 0);
        for quic in [datagram(0xc0, 1), datagram(0x43, 0xdead_beef), negotiation] {
            assert_eq!(Stray::of(&quic), None, "{quic:02x?}");
        }
        assert_eq!(Stray::of(&[]), Some(Stray::Short(0)));
        assert_eq!(Stray::of(&[0x40; PACKET_BYTES_MIN - 1]), Some(Stray::Short(20)));
        assert_eq!(Stray::of(&datagram(0x03, 1)), Some(Stray::Unmarked));
        assert_eq!(Stray::of(&datagram(0x80, 1)), Some(Stray::Unmarked));
        assert_eq!(Stray::of(&datagram(0xc0, 0xdead_beef)), Some(Stray::Version(0xdead_beef)));
    }
}
