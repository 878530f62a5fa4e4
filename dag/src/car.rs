//! CARv1: blocks in a row, so that a state can leave a store and enter another
//! (<https://ipld.io/specs/transport/car/carv1/>).
//!
//! Both directions stream: one block is in memory at a time. A reader believes nothing: every block is hashed and
//! compared with its address before it is handed out, every length is bounded, and memory grows with the bytes that
//! really come. Which blocks belong together is not known here.
//!
//! ```text
//! | header bytes: varint | header: dag-cbor {roots: [link], version: 1} |
//! | section bytes: varint | CID | block |  ...
//! ```

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::address::{self, Verdict};
use crate::{Cid, NodeError, node};

/// The longest header that is read, in bytes: some 25,000 roots.
pub const HEADER_BYTES_MAX: u64 = 1 << 20;
/// The longest block that is read or written, in bytes, its CID included.
pub const SECTION_BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    roots: Vec<Cid>,
    version: u64,
}

/// Writes a CAR.
#[derive(Debug)]
pub struct CarWriter<W> {
    output: W,
}

impl<W: Write> CarWriter<W> {
    /// Starts a CAR with its roots.
    ///
    /// # Errors
    /// If the output refuses, or the roots are more than a reader takes.
    pub fn new(mut output: W, roots: &[Cid]) -> Result<Self, CarError> {
        let header = node::encode(&Header { roots: roots.to_vec(), version: 1 }).map_err(CarError::Header)?;
        let bytes = header.len() as u64;
        if bytes > HEADER_BYTES_MAX {
            return Err(CarError::TooLarge { at: 0, bytes, most: HEADER_BYTES_MAX });
        }
        output.write_all(&varint(bytes)).map_err(CarError::Io)?;
        output.write_all(&header).map_err(CarError::Io)?;
        Ok(CarWriter { output })
    }

    /// Adds a block. That it has this address is the caller's word; a reader will check.
    ///
    /// # Errors
    /// If the output refuses, or the block is longer than a reader takes.
    pub fn write(&mut self, cid: &Cid, block: &[u8]) -> Result<(), CarError> {
        let cid = cid.to_bytes();
        let bytes = (cid.len() + block.len()) as u64;
        if bytes > SECTION_BYTES_MAX {
            return Err(CarError::TooLarge { at: 0, bytes, most: SECTION_BYTES_MAX });
        }
        for part in [&varint(bytes), &cid, block] {
            self.output.write_all(part).map_err(CarError::Io)?;
        }
        Ok(())
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// If the output refuses.
    pub fn finish(mut self) -> Result<W, CarError> {
        self.output.flush().map_err(CarError::Io)?;
        Ok(self.output)
    }
}

/// Reads a CAR, block by block. After an error it gives nothing more.
#[derive(Debug)]
pub struct CarReader<R> {
    input: R,
    /// Bytes read so far.
    at: u64,
    roots: Vec<Cid>,
    is_over: bool,
}

impl<R: Read> CarReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If this is no CARv1.
    pub fn new(input: R) -> Result<Self, CarError> {
        let mut reader = CarReader { input, at: 0, roots: Vec::new(), is_over: false };
        let Some(bytes) = reader.varint()? else { return Err(CarError::Truncated { at: 0 }) };
        let header = reader.part(bytes, HEADER_BYTES_MAX)?;
        reader.roots = roots(&header)?;
        Ok(reader)
    }

    /// The addresses that the CAR is about.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// Bytes read so far: right after a block was given out, where it ended.
    pub fn position(&self) -> u64 {
        self.at
    }

    fn section(&mut self) -> Result<Option<(Cid, Vec<u8>)>, CarError> {
        let at = self.at;
        let Some(bytes) = self.varint()? else { return Ok(None) };
        let mut section = self.part(bytes, SECTION_BYTES_MAX)?;
        let mut rest = &*section;
        let cid = Cid::read_bytes(&mut rest).map_err(|_| CarError::BadCid { at })?;
        let cid_bytes = section.len() - rest.len();
        if cid.encoded_len() != cid_bytes {
            return Err(CarError::BadCid { at });
        }
        section.drain(..cid_bytes);
        match address::check(&cid, &section) {
            Verdict::Right => Ok(Some((cid, section))),
            Verdict::Wrong => Err(CarError::WrongBlock { at, cid }),
            Verdict::UnknownHash => Err(CarError::UnknownHash { at, cid }),
        }
    }

    /// Reads that many bytes, without trusting that they will come.
    fn part(&mut self, bytes: u64, most: u64) -> Result<Vec<u8>, CarError> {
        if bytes > most {
            return Err(CarError::TooLarge { at: self.at, bytes, most });
        }
        let mut part = Vec::new();
        (&mut self.input).take(bytes).read_to_end(&mut part).map_err(CarError::Io)?;
        self.at += part.len() as u64;
        match part.len() as u64 == bytes {
            true => Ok(part),
            false => Err(CarError::Truncated { at: self.at }),
        }
    }

    /// A length, in the least bytes; `None` if the input ends before it.
    fn varint(&mut self) -> Result<Option<u64>, CarError> {
        let (start, mut number) = (self.at, 0);
        for shift in (0..63).step_by(7) {
            let mut byte = [0];
            match self.input.read_exact(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && shift == 0 => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(CarError::Truncated { at: self.at });
                }
                other => other.map_err(CarError::Io)?,
            }
            self.at += 1;
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                let is_least = byte[0] != 0 || shift == 0;
                return if is_least { Ok(Some(number)) } else { Err(CarError::BadLength { at: start }) };
            }
        }
        Err(CarError::BadLength { at: start })
    }
}

impl<R: Read> Iterator for CarReader<R> {
    type Item = Result<(Cid, Vec<u8>), CarError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let section = self.section().transpose();
        self.is_over = !matches!(section, Some(Ok(_)));
        section
    }
}

fn roots(header: &[u8]) -> Result<Vec<Cid>, CarError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let Version { version } = node::decode(header).map_err(CarError::Header)?;
    if version != 1 {
        return Err(CarError::Version(version));
    }
    let Header { roots, .. } = node::decode(header).map_err(CarError::Header)?;
    Ok(roots)
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Why a CAR cannot be read or written. Offsets count bytes from its start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// The input or the output failed.
    #[error("the CAR cannot be read or written: {0}")]
    Io(#[source] io::Error),
    /// The header is no dag-cbor, or not a header.
    #[error("this is no CAR, its header is wrong: {0}")]
    Header(#[source] NodeError),
    /// A version that is not read here.
    #[error("the CAR has version {0}, only 1 is read")]
    Version(u64),
    /// The input ends within a section.
    #[error("the CAR ends too early, at byte {at}")]
    Truncated {
        /// Where the missing bytes should be.
        at: u64,
    },
    /// A length takes more bytes than it needs, or than any length does.
    #[error("the length at byte {at} of the CAR is not well formed")]
    BadLength {
        /// Where.
        at: u64,
    },
    /// A length that is more than is read or written.
    #[error("a section of the CAR, at byte {at}, has {bytes} bytes; {most} are the most")]
    TooLarge {
        /// Where.
        at: u64,
        /// Its length.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// A section does not start with a CID.
    #[error("the section at byte {at} of the CAR does not start with a CID")]
    BadCid {
        /// Where.
        at: u64,
    },
    /// A block is not what its address says.
    #[error("the block at byte {at} of the CAR is not the one that {cid} names")]
    WrongBlock {
        /// Where.
        at: u64,
        /// The address.
        cid: Cid,
    },
    /// A block's address uses a hash that is not known here, so the block cannot be checked.
    #[error("the block at byte {at} of the CAR, {cid}, has a hash that is not known here")]
    UnknownHash {
        /// Where.
        at: u64,
        /// The address.
        cid: Cid,
    },
}

#[cfg(test)]
mod tests;
