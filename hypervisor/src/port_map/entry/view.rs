//! A port in a state node, looked at without being built: for one that leads to a container, with addresses of the usual form.
//! Every other is left to [`PortEntry::decode`](super::PortEntry::decode).

use everturn_dag::node::Composer;
use everturn_dag::{Cid, address};
use everturn_port_manager::ContainerId;

/// A link up to its address: tag 42, 37 bytes, the multibase zero.
const LINK_HEAD: [u8; 5] = [0xd8, 0x2a, 0x58, 0x25, 0x00];
const NULL: u8 = 0xf6;

/// The parts of a port that leads to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::port_map) struct View<'a> {
    /// Its id, as the bytes of an address.
    id: &'a [u8],
    /// What stands before where it leads to, and after.
    around: (&'a [u8], &'a [u8]),
    pub(in crate::port_map) name: Option<&'a str>,
}

impl<'a> View<'a> {
    /// Looks at the bytes of a port.
    pub(in crate::port_map) fn of(port: &'a [u8]) -> Option<View<'a>> {
        let (head, rest) = port.split_first()?;
        let (id, rest) = link(rest.strip_prefix(b"\x62id")?)?;
        let to = rest.strip_prefix(b"\x64link")?;
        let after = match to.split_first()? {
            (&NULL, after) => after,
            _ => link(to)?.1,
        };
        let (name, rest) = match head {
            0xa4 => (None, after),
            0xa5 => text(after.strip_prefix(b"\x64name")?).map(|(name, rest)| (Some(name), rest))?,
            _ => return None,
        };
        let (_, rest) = text(rest.strip_prefix(b"\x64type")?)?;
        let around = (&port[..port.len() - to.len()], after);
        (rest == b"\x68messages\x80").then_some(View { id, around, name })
    }

    /// Whether it leads to this container.
    pub(in crate::port_map) fn is_of(&self, id: ContainerId) -> bool {
        id.cid().is_some_and(|cid| *address::to_bytes(&cid) == *self.id)
    }

    /// Writes the same port, to another state of the container.
    pub(in crate::port_map) fn write_leading_to(&self, to: Option<&Cid>, into: &mut Composer) {
        let (before, after) = self.around;
        into.encoded(before).link(to).encoded(after);
    }

    /// The same port, to another state of the container.
    pub(in crate::port_map) fn leading_to(&self, to: Option<&Cid>) -> Vec<u8> {
        let mut port = Composer::with_capacity(self.around.0.len() + self.around.1.len() + 48);
        self.write_leading_to(to, &mut port);
        port.finish()
    }
}

/// The address that a link to one of the usual form has, and what follows it.
fn link(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = bytes.strip_prefix(&LINK_HEAD)?;
    let (address, rest) = inside.split_at_checked(address::USUAL_BYTES)?;
    address::is_usual(address).then_some((address, rest))
}

/// A text of up to 255 bytes, and what follows it.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = match bytes {
        [head @ 0x60..=0x77, rest @ ..] => (head - 0x60, rest),
        [0x78, length @ 24..=0xff, rest @ ..] => (*length, rest),
        _ => return None,
    };
    let (text, rest) = rest.split_at_checked(length.into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use everturn_dag::address::{node_cid, raw_cid};
    use everturn_port_manager::{End, Nonce, PortRef};
    use proptest::prelude::*;

    use super::super::{Leads, PortEntry};
    use super::*;

    fn child(number: u64) -> ContainerId {
        ContainerId::ROOT.child(Nonce(number))
    }

    #[test]
    fn other_ports_are_left_to_others() {
        for port in [
            PortEntry::new(&PortRef::channel(child(1), End::First), None),
            PortEntry::new(&PortRef::container(ContainerId::ROOT, "js"), None),
            PortEntry::new(&PortRef::container(child(1), "t".repeat(256)), None),
        ] {
            assert_eq!(View::of(&port.encode(None)), None, "{port:?}");
        }
        let identity = Cid::try_from([1, 0x55, 0, 1, 7].as_slice()).unwrap();
        assert_eq!(
            View::of(&PortEntry::new(&PortRef::container(child(1), "js"), Some(identity)).encode(None)),
            None
        );
    }

    proptest! {
        #[test]
        fn a_view_is_the_port(name in prop::option::of(".{1,60}"), kind in ".{0,30}", states in [0..3u8, 0..3u8]) {
            let [was, is] = states.map(|state| [None, Some(node_cid(b"a")), Some(raw_cid(b"b"))][usize::from(state)]);
            let port = |to| PortEntry::new(&PortRef::container(child(1), kind.as_str()), to);
            let bytes = port(was).encode(name.as_deref());
            let view = View::of(&bytes).unwrap();
            prop_assert_eq!(view.name, name.as_deref());
            prop_assert!(view.is_of(child(1)) && !view.is_of(child(2)) && !view.is_of(ContainerId::ROOT));
            let is_now = PortEntry { leads: Leads::To(is), ..port(was) };
            prop_assert_eq!(view.leading_to(is.as_ref()), is_now.encode(name.as_deref()));
        }

        #[test]
        fn what_is_viewed_is_a_port(at: prop::sample::Index, to: u8, cut in 0..3usize) {
            let mut bytes = PortEntry::new(&PortRef::container(child(1), "js"), Some(node_cid(b"a"))).encode(Some("n"));
            let at = at.index(bytes.len());
            bytes[at] = to;
            bytes.truncate(bytes.len() - cut);
            if let Some(view) = View::of(&bytes) {
                let (name, _) = PortEntry::decode(&bytes).unwrap();
                prop_assert_eq!(view.name, name);
            }
        }
    }
}
