//! `everturn serve` as its clients meet it: over a socket.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::world::{Talk, World};

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that listens.
pub(crate) struct Site {
    pub(crate) talk: Talk,
    pub(crate) address: String,
}

/// An answer: its status and its body.
pub(crate) type Heard = (u16, String);

/// A connection that is kept.
pub(crate) struct Visitor {
    stream: BufReader<TcpStream>,
}

impl World {
    /// Serves a file on a free port, and waits until it does.
    pub(crate) fn serve(&self, file: &str, options: &[&str]) -> Site {
        Site::begin(self.command(&[&["serve", file, "--http", "127.0.0.1:0"], options].concat()))
    }
}

impl Site {
    pub(crate) fn begin(command: Command) -> Site {
        let mut talk = Talk::begin(command);
        let told = talk.answer();
        let url = told.strip_prefix("listening on ").unwrap_or_else(|| panic!("{told}"));
        let address = url.split([',', ' ']).next().and_then(|url| url.split("://").nth(1));
        let address = address.unwrap_or_else(|| panic!("{told}")).to_owned();
        Site { talk, address }
    }

    pub(crate) fn visit(&self) -> Visitor {
        Visitor::connect(&self.address).expect("the server lets a client in")
    }

    pub(crate) fn get(&self, path: &str) -> Heard {
        self.visit().get(path).expect("the server answers")
    }
}

impl Visitor {
    pub(crate) fn connect(address: &str) -> io::Result<Visitor> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Visitor { stream: BufReader::new(stream) })
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Heard> {
        self.ask("GET", path, b"")
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Heard> {
        self.ask_with("", method, path, body)
    }

    /// Asks with more headers, each with the end of its line.
    pub(crate) fn ask_with(
        &mut self,
        headers: &str,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> io::Result<Heard> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: here\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(&[head.as_bytes(), body].concat())?;
        self.hear()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next answer; an end that comes before it is whole is an error.
    pub(crate) fn hear(&mut self) -> io::Result<Heard> {
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let Some(line) = line.strip_suffix("\r\n") else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if status.is_none() {
                status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
            } else if line.is_empty() {
                break;
            } else if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, body))
    }
}
