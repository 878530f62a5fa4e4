//! One port as it stands in a state node.

mod view;

use everturn_dag::node::{self, Composer};
use everturn_dag::{Cid, Ipld, StoreError};
use everturn_port_manager::{ContainerId, End, PortRef};

use super::damaged;
pub(super) use view::View;

/// A port in a state node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortEntry {
    /// The address of its id.
    pub(crate) id: Option<Cid>,
    pub(crate) leads: Leads,
    pub(crate) container_type: String,
}

/// Where a port leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To a container of this state; none, if it is gone.
    To(Option<Cid>),
    /// To the other end of a channel.
    Channel(End),
}

impl PortEntry {
    /// A port that leads to a container whose state is at `to`, or an end of a channel.
    pub(crate) fn new(port: &PortRef, to: Option<Cid>) -> PortEntry {
        PortEntry {
            id: port.id.cid(),
            leads: port.end.map_or(Leads::To(to), Leads::Channel),
            container_type: port.container_type.to_string(),
        }
    }

    /// What it is a reference to.
    pub(crate) fn reference(&self) -> Option<PortRef> {
        let id = ContainerId::from_cid(self.id.as_ref()?)?;
        Some(match self.leads {
            Leads::To(_) => PortRef::container(id, self.container_type.as_str()),
            Leads::Channel(end) => PortRef::channel(id, end),
        })
    }

    /// As dag-cbor, with its name where that stands inside.
    pub(crate) fn encode(&self, name: Option<&str>) -> Vec<u8> {
        let mut node = Composer::with_capacity(128 + self.container_type.len() + name.map_or(0, str::len));
        node.map(4 + usize::from(name.is_some())).text("id").link(self.id.as_ref());
        match self.leads {
            Leads::Channel(end) => node.text("end").integer(u8::from(end).into()),
            Leads::To(to) => node.text("link").link(to.as_ref()),
        };
        if let Some(name) = name {
            node.text("name").text(name);
        }
        node.text("type").text(&self.container_type).text("messages").list(0);
        node.finish()
    }

    /// Reads what [`PortEntry::encode`] writes, and nothing else.
    pub(crate) fn decode(port: &[u8]) -> Result<(Option<&str>, PortEntry), StoreError> {
        let (mut id, mut leads, mut container_type, mut name) = (None, None, None, None);
        for (field, value) in node::entries(port).map_err(damaged)? {
            match field {
                "id" => id = Some(link(value)?),
                "link" => leads = Some(Leads::To(link(value)?)),
                "end" => leads = Some(Leads::Channel(node::decode(value).map_err(damaged)?)),
                "type" => container_type = Some(node::decode::<&str>(value).map_err(damaged)?),
                "name" => name = Some(node::decode::<&str>(value).map_err(damaged)?),
                _ => {}
            }
        }
        let (Some(id), Some(leads), Some(container_type)) = (id, leads, container_type) else {
            return Err(damaged("a port has no id, no type, or leads nowhere"));
        };
        let entry = PortEntry { id, leads, container_type: container_type.to_owned() };
        match entry.encode(name) == port {
            true => Ok((name, entry)),
            false => Err(damaged("a port has other fields than a port has")),
        }
    }
}

fn link(value: &[u8]) -> Result<Option<Cid>, StoreError> {
    match node::decode(value).map_err(damaged)? {
        Ipld::Link(cid) => Ok(Some(cid)),
        Ipld::Null => Ok(None),
        _ => Err(damaged("what a port leads to is no link")),
    }
}
