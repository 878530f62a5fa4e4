//! `everturn peers`: which other hypervisors a data folder knows.

use std::sync::Arc;

use everturn::HypervisorError;
use everturn::link::{Links, Peer, Resolution};
use serde_json::json;

use crate::arguments::{Globals, PeersArguments, PeersCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Local};

pub(crate) async fn run(
    globals: &Globals,
    arguments: &PeersArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let session = Local::open(globals, Folder::MayBeNew, output).await?;
    let done = async {
        let links = Links::open(&session.hypervisor).await?;
        obey(&links, &arguments.command, output).await
    };
    let done = done.await.map_err(|error| match error {
        // It says itself what is wrong with what was asked.
        HypervisorError::Exception(exception) => Failure::Usage(exception.text),
        error => error.into(),
    });
    session.close(done).await?;
    Ok(Exit::Success)
}

async fn obey(links: &Links, command: &PeersCommand, output: &Output) -> Result<(), HypervisorError> {
    match command {
        PeersCommand::Add { address, key } => links.add(address, *key).await,
        PeersCommand::Remove { address } => links.remove(address).await,
        PeersCommand::Resolve { address, drop } => {
            let resolution = if *drop { Resolution::Drop } else { Resolution::SendAgain };
            links.resolve(address, resolution).await
        }
        PeersCommand::List => {
            for peer in links.list().await? {
                say(links, &peer, output).await?;
            }
            Ok(())
        }
    }
}

async fn say(links: &Links, peer: &Peer, output: &Output) -> Result<(), HypervisorError> {
    let positions = links.positions(&peer.address).await?;
    let (sent, acknowledged) = (positions.sent.number, positions.acknowledged.number);
    let received = positions.received.number;
    let key = peer.key.map_or_else(|| "no key yet".to_owned(), |key| key.to_string());
    let stopped = peer.stopped.as_ref().map(|why| format!("\n  stopped: {why}")).unwrap_or_default();
    let text = format!(
        "{} {key}: sent {sent}, acknowledged {acknowledged}, received {received}{stopped}",
        peer.address
    );
    output.say(&text, || {
        json!({
            "event": "peer", "address": peer.address, "key": peer.key.map(|key| key.to_string()),
            "sent": sent, "acknowledged": acknowledged, "received": received, "stopped": peer.stopped,
        })
    });
    Ok(())
}
