//! Clients of an HTTP server: as many connections as wanted, on one thread, one request under way on each.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Failure;

/// How long all connections may be silent.
const PATIENCE_MS: u16 = 10_000;

/// What came of many requests.
pub(crate) struct Answered {
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// How long each took.
    pub(crate) each: Vec<Duration>,
    /// The bodies.
    pub(crate) bodies: Vec<Vec<u8>>,
}

/// Connections that are kept.
pub(crate) struct Clients {
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    asked: Instant,
}

impl Clients {
    pub(crate) fn connect(address: &str, connections: usize) -> Result<Clients, Failure> {
        let connect = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(Connection { stream, read: Vec::with_capacity(1024), asked: Instant::now() })
        };
        let connections = (0..connections).map(|_| connect()).collect::<std::io::Result<_>>()?;
        Ok(Clients { connections })
    }

    /// Sends this request until there are so many answers; the next on a connection when the one before is answered.
    pub(crate) fn get(&mut self, path: &str, count: usize) -> Result<Answered, Failure> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let (mut sent, begun) = (0, Instant::now());
        let mut answered = Answered { seconds: 0.0, each: Vec::with_capacity(count), bodies: Vec::new() };
        for connection in self.connections.iter_mut().take(count) {
            connection.ask(request.as_bytes())?;
            sent += 1;
        }
        while answered.each.len() < count {
            for number in self.ready()? {
                let connection = &mut self.connections[number];
                connection.fill()?;
                while let Some(body) = connection.answer()? {
                    answered.each.push(connection.asked.elapsed());
                    answered.bodies.push(body);
                    if sent < count {
                        connection.ask(request.as_bytes())?;
                        sent += 1;
                    }
                }
            }
        }
        answered.seconds = begun.elapsed().as_secs_f64();
        Ok(answered)
    }

    /// The connections on which something has come.
    fn ready(&self) -> Result<Vec<usize>, Failure> {
        let mut polled: Vec<PollFd<'_>> = self
            .connections
            .iter()
            .map(|connection| PollFd::new(connection.stream.as_fd(), PollFlags::POLLIN))
            .collect();
        if poll(&mut polled, PollTimeout::from(PATIENCE_MS))? == 0 {
            return Err("the server answers no more".into());
        }
        let ready = polled.iter().enumerate().filter(|(_, polled)| polled.any().unwrap_or(true));
        Ok(ready.map(|(number, _)| number).collect())
    }
}

impl Connection {
    fn ask(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.asked = Instant::now();
        // A request is far smaller than what a socket takes at once.
        Ok(self.stream.write_all(request)?)
    }

    fn fill(&mut self) -> Result<(), Failure> {
        let mut part = [0; 4_096];
        match self.stream.read(&mut part) {
            Ok(0) => Err("the server hung up".into()),
            Ok(bytes) => {
                self.read.extend_from_slice(&part[..bytes]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The body of the next answer, once it is whole.
    fn answer(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(head) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&self.read[..head])?;
        if !text.starts_with("HTTP/1.1 200 ") {
            return Err(format!("the server says {text:?}").into());
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let end = head + 4 + length.ok_or("an answer has no length")?.parse::<usize>()?;
        if self.read.len() < end {
            return Ok(None);
        }
        let answer: Vec<u8> = self.read.drain(..end).collect();
        Ok(Some(answer[head + 4..].to_vec()))
    }
}
