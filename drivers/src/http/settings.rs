//! How much a server takes on, and from where it has its certificate.

use std::path::PathBuf;
use std::time::Duration;

/// The bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Largest head of a request, its first line included, in bytes; 32 KiB by default. Past it 431.
    pub head_bytes_max: usize,
    /// Most header lines of a request; 100 by default. Past it 431. (HTTP/2 counts bytes alone.)
    pub headers_max: usize,
    /// Largest body of a request, in bytes; 1 MiB by default. Past it 413.
    pub body_bytes_max: usize,
    /// Requests under way at once, from their head to their answer; 1,024 by default. Past it 503.
    pub requests_max: usize,
    /// Connections open at once; 512 by default. More wait in the system's queue until one ends.
    pub connections_max: usize,
    /// Requests under way at once on one HTTP/2 connection; 128 by default.
    pub streams_max: u32,
    /// How long a client may take for the head of a request, from its connecting or from its last answer; 30 s by default. A
    /// connection that has sent nothing is closed then, one that has sent a part gets 408.
    pub head_timeout: Duration,
    /// How long a client may take for the body of a request; 30 s by default. Past it 408.
    pub body_timeout: Duration,
    /// How long the program may take to answer; 60 s by default. Past it 504. What it did stays done.
    pub answer_timeout: Duration,
    /// How long a client may take none of what it is sent; 30 s by default. Past it its connection is closed.
    pub write_timeout: Duration,
    /// How long the reply to a request with an `Idempotency-Key` is kept; 24 hours by default. Zero: the header says nothing.
    pub idempotency_time: Duration,
    /// Largest message of a socket, in bytes; 1 MiB by default. Past it the socket is closed.
    pub socket_message_bytes_max: usize,
    /// How often a socket is asked whether it is still there; 30 s by default. One that said nothing since is closed.
    pub socket_ping: Duration,
    /// How long requests under way may take after the server was asked to stop; 10 s by default.
    pub stop_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            head_bytes_max: 32 << 10,
            headers_max: 100,
            body_bytes_max: 1 << 20,
            requests_max: 1_024,
            connections_max: 512,
            streams_max: 128,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            idempotency_time: Duration::from_secs(24 * 60 * 60),
            socket_message_bytes_max: 1 << 20,
            socket_ping: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// Where a server's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// A file with the certificate and those above it, in PEM.
    pub certificates: PathBuf,
    /// A file with the certificate's private key, in PEM.
    pub key: PathBuf,
}
