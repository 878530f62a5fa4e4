//! A letter: what one links' container writes to another, as the dag-cbor list `[act, to, data, ports]`.
//!
//! `to` is null (the program itself), a text (a port that it exports under this name) or `[side, number]`: a port that was sent
//! along with an earlier letter, numbered by the writer of this one (side 0) or by its reader (side 1). `ports` are the
//! numbers of those that are sent along now, all numbered by the writer.

use everturn_dag::node::{self, Composer, NodeError};

/// Ports that may be sent along with one letter.
pub(super) const PORTS_MAX: usize = 256;

/// What a letter asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A message.
    Tell = 0,
    /// A message whose last port is for the answer.
    Ask = 1,
    /// The same as a request.
    Request = 2,
    /// An exception in place of an answer.
    Reject = 3,
    /// The port is closed: nothing more comes through it.
    Close = 4,
}

impl Act {
    const ALL: [Act; 5] = [Act::Tell, Act::Ask, Act::Request, Act::Reject, Act::Close];
}

/// Who numbered a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Writer = 0,
    Reader = 1,
}

/// Where a letter is to go, on the side of its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To<'a> {
    Program,
    Exported(&'a str),
    Port(Side, u64),
}

/// A letter, its data as they are encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter<'a> {
    pub(super) act: Act,
    pub(super) to: To<'a>,
    pub(super) data: &'a [u8],
    pub(super) ports: Vec<u64>,
}

impl<'a> Letter<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut node = Composer::with_capacity(self.data.len() + 32);
        node.list(4).integer(self.act as u64);
        match self.to {
            To::Program => node.link(None),
            To::Exported(name) => node.text(name),
            To::Port(side, number) => node.list(2).integer(side as u64).integer(number),
        };
        node.encoded(self.data).list(self.ports.len());
        for port in &self.ports {
            node.integer(*port);
        }
        node.finish()
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Letter<'a>, NodeError> {
        let parts = node::items(bytes)?;
        let [act, to, data, ports] = parts[..] else { return Err(shape("a letter has four parts")) };
        let act: usize = node::decode(act)?;
        let act = *Act::ALL.get(act).ok_or_else(|| shape("an act that is not known"))?;
        let ports: Vec<u64> = node::decode(ports)?;
        if ports.len() > PORTS_MAX || (matches!(act, Act::Ask | Act::Request) && ports.is_empty()) {
            return Err(shape("ports too many or too few"));
        }
        Ok(Letter { act, to: to_of(to)?, data, ports })
    }
}

fn to_of(bytes: &[u8]) -> Result<To<'_>, NodeError> {
    match bytes.first().map_or(0, |head| head >> 5) {
        3 => node::decode(bytes).map(To::Exported),
        4 => match node::decode::<(u64, u64)>(bytes)? {
            (0, number) => Ok(To::Port(Side::Writer, number)),
            (1, number) => Ok(To::Port(Side::Reader, number)),
            _ => Err(shape("there are two sides")),
        },
        _ => node::decode::<()>(bytes).map(|()| To::Program),
    }
}

fn shape(what: &str) -> NodeError {
    NodeError::Shape(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back_as_they_were() {
        let data = node::encode(&"data").unwrap();
        for to in
            [To::Program, To::Exported("bank"), To::Port(Side::Writer, 7), To::Port(Side::Reader, 1 << 40)]
        {
            for act in Act::ALL {
                let letter = Letter { act, to, data: &data, ports: vec![1, 2, 1_000_000] };
                let bytes = letter.encode();
                assert_eq!(Letter::decode(&bytes).unwrap(), letter);
                assert!(node::validate(&bytes).is_ok());
            }
        }
    }

    #[test]
    fn what_is_no_letter_is_refused() {
        let data = node::encode(&"data").unwrap();
        let asked = Letter { act: Act::Ask, to: To::Program, data: &data, ports: vec![] };
        assert!(Letter::decode(&asked.encode()).is_err());
        let many = Letter { act: Act::Tell, to: To::Program, data: &data, ports: vec![1; PORTS_MAX + 1] };
        assert!(Letter::decode(&many.encode()).is_err());
        let good =
            Letter { act: Act::Tell, to: To::Port(Side::Writer, 9), data: &data, ports: vec![3] }.encode();
        for cut in 0..good.len() {
            assert!(Letter::decode(&good[..cut]).is_err());
        }
        for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let _ = Letter::decode(&bad);
        }
    }
}
