//! Frames: four bytes that say how long, the highest first, and so many bytes.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The longest frame, in bytes: a message at its limit, and room around it.
pub const FRAME_BYTES_MAX: usize = 32 << 20;

/// What the other end says.
pub struct Incoming(BufReader<OwnedReadHalf>);

/// What we say.
pub struct Outgoing(OwnedWriteHalf);

impl Incoming {
    pub(super) fn new(half: OwnedReadHalf) -> Incoming {
        Incoming(BufReader::new(half))
    }

    /// The next frame; `None` at the end. Not to be dropped while it waits, unless nothing more is read.
    ///
    /// # Errors
    /// If the other end breaks off, or announces a frame that is too long.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; 4];
        match self.0.read(&mut head[..1]).await? {
            0 => return Ok(None),
            _ => self.0.read_exact(&mut head[1..]).await?,
        };
        let bytes = u32::from_be_bytes(head) as usize;
        check(bytes)?;
        let mut frame = Vec::new();
        if (&mut self.0).take(bytes as u64).read_to_end(&mut frame).await? < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(frame))
    }
}

impl Outgoing {
    pub(super) fn new(half: OwnedWriteHalf) -> Outgoing {
        Outgoing(half)
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// If it is too long, or the other end is gone.
    pub async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        check(frame.len())?;
        let bytes = (frame.len() as u32).to_be_bytes();
        self.0.write_all(&bytes).await?;
        self.0.write_all(frame).await
    }

    #[cfg(test)]
    pub(super) fn raw(&mut self) -> &mut OwnedWriteHalf {
        &mut self.0
    }
}

fn check(bytes: usize) -> io::Result<()> {
    if bytes > FRAME_BYTES_MAX {
        let why = format!("a frame of {bytes} bytes, where {FRAME_BYTES_MAX} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(())
}
