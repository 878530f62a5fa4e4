//! Looking at all of a store: blocks, counts, records, and whether what is needed is there.

use std::collections::{BTreeMap, BTreeSet};

use everturn_dag::references::{self, Audit};
use everturn_dag::{Cid, Reader, Space, blocks};
use everturn_exo_interface::RuntimeRecord;
use everturn_port_manager::{ContainerId, Life, Port, PortId};

use crate::HypervisorError;
use crate::archive::parts::{self, Kind, Part};
use crate::archive::{self, walk_from};
use crate::configuration::Configuration;
use crate::keys::{self, Clock, RuntimeKey};
use crate::lines;
use crate::once::Row;

/// Hashes every block, counts every reference anew, reads every record, and follows every owner and every root to its
/// end. Changes nothing. A store that a hypervisor has open is checked by a snapshot of it.
pub fn check(reader: &dyn Reader) -> Audit {
    let mut audit = references::audit(reader);
    let records = Records::read(reader, &mut audit);
    records.judge(&mut audit);
    check_facts(reader, &mut audit);
    check_rows(reader, &records, &mut audit);
    check_ids(reader, &records, &mut audit);
    check_roots(reader, &records, &mut audit);
    audit
}

/// What the runtime space says.
#[derive(Default)]
struct Records {
    records: BTreeMap<ContainerId, RuntimeRecord>,
    /// Every port, and who has it; nobody has one that is in flight.
    ports: BTreeMap<PortId, Vec<Option<ContainerId>>>,
    /// Ports that lead nowhere and have nothing more to say.
    dead_ends: Vec<(PortId, ContainerId)>,
}

impl Records {
    fn read(reader: &dyn Reader, audit: &mut Audit) -> Records {
        let mut records = Records::default();
        let scanned = reader.scan(Space::Runtime, &[], &mut |key, value| {
            if let Err(what) = records.read_one(key, value) {
                audit.problem(what);
            }
            true
        });
        audit.note(scanned);
        records
    }

    fn read_one(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match keys::parse_runtime(key) {
            Some(RuntimeKey::Record(id)) => {
                let record = keys::decode_record(id, value);
                self.records.insert(id, record.map_err(|error| error.to_string())?);
            }
            Some(RuntimeKey::Port(id, name)) => {
                let port = keys::decode(format_args!("port {name} of container {id}"), value);
                self.note(port.map_err(|error| error.to_string())?, Some(id));
            }
            Some(RuntimeKey::Once(id, _)) => {
                let row = keys::decode::<Row>(format_args!("a reply of container {id}"), value);
                row.map_err(|error| error.to_string())?;
            }
            Some(RuntimeKey::Loose) => {
                self.note(keys::decode("a port in flight", value).map_err(|error| error.to_string())?, None);
            }
            None => return Err(format!("a key of {} bytes in the runtime space means nothing", key.len())),
        }
        Ok(())
    }

    fn note(&mut self, port: Port, holder: Option<ContainerId>) {
        let id = port.reference.port_id();
        self.ports.entry(id).or_default().push(holder);
        if let Some(holder) = holder.filter(|_| port.life == Life::Open && port.queue.is_empty()) {
            self.dead_ends.push((id, holder));
        }
    }

    /// Every port is in one place, every chain of owners ends at a root, and nothing is without an owner for good.
    fn judge(&self, audit: &mut Audit) {
        for (port, holders) in &self.ports {
            let id = port.of;
            if holders.len() > 1 {
                audit.problem(format!("a port to {id} is in {} places", holders.len()));
            }
            for holder in holders.iter().flatten().filter(|holder| !self.records.contains_key(holder)) {
                audit.problem(format!("a port to {id} is bound in {holder}, which is not there"));
            }
        }
        for (port, holder) in &self.dead_ends {
            if port.end.is_none() && !self.records.contains_key(&port.of) {
                audit.problem(format!("a port of {holder} leads to {}, which is not there", port.of));
            }
        }
        for (id, record) in &self.records {
            let Some(holder) = record.holder else { continue };
            if !self.ends_at_a_root(*id) {
                audit.problem(format!("the owners of container {id} go in a circle or end nowhere"));
            }
            // One whose end is stamped runs what comes before it.
            let is_ending = record.ports.next().is_some();
            if !self.ports.contains_key(&PortId::container(*id)) && !is_ending {
                audit.problem(format!("container {id}, made for {holder}, has no port that leads to it"));
            }
        }
    }

    fn ends_at_a_root(&self, id: ContainerId) -> bool {
        let mut next = Some(id);
        for _ in 0..=self.records.len() {
            let Some(id) = next else { return true };
            match self.records.get(&id) {
                Some(record) => next = record.holder,
                None => return false,
            }
        }
        false
    }
}

fn check_facts(reader: &dyn Reader, audit: &mut Audit) {
    let read = |key| reader.get(Space::Meta, key);
    let clock = read(keys::CLOCK).and_then(|bytes| match bytes {
        Some(bytes) => keys::decode::<Clock>("the clock", &bytes).map(drop),
        None => Ok(()),
    });
    audit.note(clock);
    let configuration = read(keys::CONFIGURATION).and_then(|bytes| match bytes {
        Some(bytes) => keys::decode::<Configuration>("the configuration", &bytes).map(drop),
        None => Ok(()),
    });
    audit.note(configuration);
    audit.note(lines::scan(reader, &mut |_, _| {}));
}

/// State and marks belong to containers that are there, and marks are marks.
fn check_rows(reader: &dyn Reader, records: &Records, audit: &mut Audit) {
    for space in [Space::State, Space::Stale] {
        let mut lost = BTreeSet::new();
        let scanned = reader.scan(space, &[], &mut |key, _| {
            let id = key.first_chunk::<32>().map(|id| ContainerId::from_bytes(*id));
            if id.is_none_or(|id| !records.records.contains_key(&id)) {
                lost.insert(id);
            }
            if space == Space::Stale && keys::parse_stale(key).is_none() {
                audit.problem(format!("a key of {} bytes in stale marks nothing", key.len()));
            }
            true
        });
        audit.note(scanned);
        for id in lost {
            let whose = id.map_or("nobody".to_owned(), |id| format!("container {id}, which is not there"));
            audit.problem(format!("rows in {} belong to {whose}", space.name()));
        }
    }
}

/// The nodes of ids are kept: of those that containers and ports have, and of no others.
fn check_ids(reader: &dyn Reader, records: &Records, audit: &mut Audit) {
    let ports = records.ports.keys().map(|port| port.of);
    let mut had: BTreeSet<ContainerId> = records.records.keys().copied().chain(ports).collect();
    had.remove(&ContainerId::ROOT);
    for id in &had {
        match references::held(reader, &keys::id_kept(*id)) {
            Ok(kept) if kept == id.cid() => {}
            Ok(_) => audit.problem(format!("nothing keeps the node of which {id} is the address")),
            Err(error) => audit.problem(error.to_string()),
        }
    }
    for id in keys::kept_ids(reader).unwrap_or_default() {
        if !had.contains(&id) {
            audit.problem(format!("the node of which {id} is the address is kept for nobody"));
        }
    }
}

/// Everything that a container's newest node or a pin needs is there and has the form of its role.
fn check_roots(reader: &dyn Reader, records: &Records, audit: &mut Audit) {
    let mut seen = BTreeSet::new();
    let load = |cid: &Cid| -> Result<Vec<u8>, HypervisorError> {
        Ok(blocks::get(reader, cid)?.ok_or_else(|| blocks::missing(cid))?)
    };
    let mut follow = |part: Result<Part, HypervisorError>| {
        part.and_then(|part| walk_from(part, &mut seen, &load, &mut |_, _| Ok(()))).map_err(archive::in_store)
    };
    for id in records.records.keys() {
        let node = references::held(reader, &keys::newest_node(*id));
        let walked = match node {
            Ok(Some(cid)) => follow(Ok(Part { kind: Kind::State, cid })),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = walked {
            audit.problem(format!("the state of container {id} is not whole: {error}"));
        }
    }
    for cid in references::pins(reader).unwrap_or_default().into_keys() {
        let kind = load(&cid).and_then(|block| Ok(parts::kind_of_root(&cid, &block)?));
        if let Err(error) = follow(kind.map(|kind| Part { kind, cid })) {
            audit.problem(format!("the root {cid} is not whole: {error}"));
        }
    }
}
