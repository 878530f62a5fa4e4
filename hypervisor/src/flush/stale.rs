//! A container whose state node is older than its state.

use std::collections::BTreeSet;

use everturn_dag::{Cid, Reader, Space, StoreError, references};
use everturn_port_manager::{ContainerId, PortName};

use crate::keys::{self, StaleKey, Summary};
use crate::port_map::Keyed;

/// A container whose node is made anew, when those of its children are.
pub(super) struct Stale {
    pub(super) id: ContainerId,
    pub(super) record: Summary,
    /// The name of its owner's port to it, if the mark said one.
    pub(super) name: Option<PortName>,
    /// Its newest state node.
    pub(super) before: Option<Cid>,
    /// Marks that are done with when the node is.
    pub(super) marks: Vec<Vec<u8>>,
    /// Children that were marked and not looked at yet, each with the name of its port.
    pub(super) open: Vec<(ContainerId, Option<PortName>)>,
    /// Children that are done with, each once.
    pub(super) children: Vec<(ContainerId, Done)>,
    /// Names whose port has to be looked at.
    pub(super) rebound: BTreeSet<PortName>,
}

/// A child that was marked, when it has been looked at.
pub(super) struct Done {
    /// The port to it, if the mark said its name.
    pub(super) port: Option<Keyed>,
    /// Its node, made anew; none, if it is gone.
    pub(super) cid: Option<Cid>,
}

impl Done {
    pub(super) fn new(name: Option<PortName>, cid: Option<Cid>) -> Done {
        Done { port: name.map(Keyed::from), cid }
    }
}

impl Stale {
    /// What the marks say of a container; `None` if there is no such container.
    pub(super) fn read(store: &dyn Reader, id: ContainerId) -> Result<Option<Stale>, StoreError> {
        let Some(record) = keys::read_summary(store, id)? else { return Ok(None) };
        let before = references::held(store, &keys::newest_node(id))?;
        let (marks, open, children) = (Vec::new(), Vec::new(), Vec::new());
        let (name, rebound) = (None, BTreeSet::new());
        let mut stale = Stale { id, record, name, before, marks, open, children, rebound };
        let mut damaged = false;
        store.scan(Space::Stale, id.as_bytes(), &mut |key, value| {
            match keys::parse_stale(key) {
                Some((_, StaleKey::Own)) => {}
                Some((_, StaleKey::Child(child))) => {
                    let name = std::str::from_utf8(value).ok().and_then(|name| PortName::new(name).ok());
                    stale.open.push((child, name));
                }
                Some((_, StaleKey::Port(name))) => drop(stale.rebound.insert(name)),
                None => damaged = true,
            }
            stale.marks.push(key.to_vec());
            !damaged
        })?;
        match damaged {
            true => {
                Err(StoreError::Damaged { place: "the stale space".into(), what: "a key is no mark".into() })
            }
            false => Ok(Some(stale)),
        }
    }

    /// Whether a container's node is as old as it says.
    pub(super) fn is_fresh(&self, store: &dyn Reader) -> Result<bool, StoreError> {
        let marked = match self.record.holder {
            Some(owner) => store.has(Space::Stale, &keys::stale_child(owner, self.id))?,
            None => false,
        };
        Ok(self.marks.is_empty() && !marked)
    }

    /// The same container with some of its open children, and nothing else to do.
    pub(super) fn sharing(&self, open: Vec<(ContainerId, Option<PortName>)>) -> Stale {
        let (marks, children, rebound) = (Vec::new(), Vec::with_capacity(open.len()), BTreeSet::new());
        let (record, name) = (self.record.clone(), None);
        Stale { id: self.id, record, name, before: self.before, marks, open, children, rebound }
    }
}
