//! Bodies that a program gives piece by piece. Each piece is asked for by a request and is the answer to it, so it leaves when the turn
//! that made it is durable; nothing is kept here.
//!
//! A program with open streams has a port named [`MARK`]: so those that an earlier life of the server has left are found without
//! asking anybody.

use std::collections::BTreeMap;

use everturn_dag::{Ipld, node};
use everturn_drivers::http::{Failure, Piece, Rest, Stream};
use everturn_hypervisor::{Hypervisor, HypervisorError, Inspection};
use everturn_port_manager::ContainerId;

use super::failure;

const MARK: &str = "stream:open";

/// A request of ours, which no client can make.
fn request(
    url: &str,
    more: impl IntoIterator<Item = (&'static str, Ipld)>,
) -> Result<Vec<u8>, HypervisorError> {
    let fields = [
        ("url", url.into()),
        ("body", Ipld::Bytes(Vec::new())),
        ("method", "GET".into()),
        ("headers", Ipld::List(Vec::new())),
    ];
    let fields = fields.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value));
    node::encode(&Ipld::Map(fields.collect())).map_err(|error| HypervisorError::Message(error.to_string()))
}

/// The next piece of a stream.
pub(super) async fn piece(
    hypervisor: &Hypervisor,
    program: &ContainerId,
    stream: &Stream,
) -> Result<Piece, Failure> {
    let wants = [("stream", Ipld::Integer(stream.number.into())), ("wants", "next".into())];
    let asked = request(&stream.url, wants).map_err(failure)?;
    let answer = hypervisor.request(program, asked).await.map_err(failure)?;
    let wrong = || Failure::Unanswered("a piece of a stream is no map of body and more".to_owned());
    let Ipld::Map(mut fields) = answer else { return Err(wrong()) };
    match (fields.remove("body"), fields.remove("more")) {
        (Some(Ipld::Bytes(bytes)), Some(Ipld::Bool(more))) => {
            Ok(Piece { bytes, rest: if more { Rest::More } else { Rest::Nothing } })
        }
        _ => Err(wrong()),
    }
}

/// Nobody takes more of a stream.
pub(super) async fn cancel(
    hypervisor: &Hypervisor,
    program: &ContainerId,
    stream: &Stream,
    reason: &str,
) -> Result<(), HypervisorError> {
    let number = Ipld::Integer(stream.number.into());
    let wants = [("stream", number), ("wants", "cancel".into()), ("reason", reason.into())];
    hypervisor.request(program, request(&stream.url, wants)?).await.map(drop)
}

/// Tells a program, and what it owns, that nobody reads the streams that an earlier life of the server has left.
pub(super) async fn end_those_left(
    hypervisor: &Hypervisor,
    program: &ContainerId,
) -> Result<(), HypervisorError> {
    let containers = hypervisor.inspect().await?;
    let containers: BTreeMap<ContainerId, &Inspection> =
        containers.iter().map(|container| (container.id, container)).collect();
    let is_left = |container: &&&Inspection| container.ports.iter().any(|(name, _)| name == MARK);
    let left = containers.values().filter(is_left);
    let paths: Vec<Ipld> = left.filter_map(|container| path(&containers, program, container.id)).collect();
    if paths.is_empty() {
        return Ok(());
    }
    match hypervisor.request(program, request("", [("streams", Ipld::List(paths))])?).await {
        Err(HypervisorError::Exception(exception)) => {
            tracing::warn!(target: "everturn::http", %exception, "streams of before were not ended");
            Ok(())
        }
        told => told.map(drop),
    }
}

/// The names of the ports that lead from a program to a container that it owns.
fn path(
    containers: &BTreeMap<ContainerId, &Inspection>,
    program: &ContainerId,
    mut id: ContainerId,
) -> Option<Ipld> {
    let mut names = Vec::new();
    while id != *program {
        let owner = containers.get(&containers.get(&id)?.parent?)?;
        let (name, _) = owner.ports.iter().find(|(_, leads_to)| *leads_to == id)?;
        names.push(Ipld::String(name.clone()));
        id = owner.id;
    }
    names.reverse();
    Some(Ipld::List(names))
}
