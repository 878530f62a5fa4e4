//! `everturn peers`: which other hypervisors a data folder knows.

use std::sync::Arc;

use everturn::link::{Peer, Positions, Resolution};
use serde_json::json;

use crate::arguments::{Globals, PeersArguments, PeersCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{AboutPeers, Folder, Session};

pub(crate) async fn run(
    globals: &Globals,
    arguments: PeersArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let session = Session::open(globals, Folder::MayBeNew, output).await?;
    session.finish(async |session| obey(session, arguments.command, output).await).await?;
    Ok(Exit::Success)
}

async fn obey(session: &Session, command: PeersCommand, output: &Output) -> Result<(), Failure> {
    match command {
        PeersCommand::Add { address, key } => session.change_peers(AboutPeers::Add(address, key)).await,
        PeersCommand::Remove { address } => session.change_peers(AboutPeers::Remove(address)).await,
        PeersCommand::Resolve { address, drop } => {
            let resolution = if drop { Resolution::Drop } else { Resolution::SendAgain };
            session.change_peers(AboutPeers::Resolve(address, resolution)).await
        }
        PeersCommand::List => {
            for (peer, positions) in session.peers().await? {
                say(&peer, &positions, output);
            }
            Ok(())
        }
    }
}

fn say(peer: &Peer, positions: &Positions, output: &Output) {
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
}
