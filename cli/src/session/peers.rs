//! What a session is asked about other hypervisors.

use everturn::HypervisorError;
use everturn::link::{Links, Peer, PeerKey, Positions, Resolution};
use serde::{Deserialize, Serialize};

use super::Local;
use super::request::Answer;
use crate::failure::Failure;

/// What is asked; the answer is how the peers, or the one that was named, stand then.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum AboutPeers {
    List,
    Add(String, PeerKey),
    Remove(String),
    Resolve(String, Resolution),
}

impl Local {
    pub(super) async fn about_peers(&self, asked: AboutPeers) -> Result<Answer, Failure> {
        let done = async {
            let links = Links::open(&self.hypervisor).await?;
            match asked {
                AboutPeers::List => list(&links).await.map(Answer::Peers),
                AboutPeers::Add(address, key) => links.add(&address, key).await.map(|()| Answer::Done),
                AboutPeers::Remove(address) => links.remove(&address).await.map(|()| Answer::Done),
                AboutPeers::Resolve(address, resolution) => {
                    links.resolve(&address, resolution).await.map(|()| Answer::Done)
                }
            }
        };
        done.await.map_err(|error| match error {
            // It says itself what is wrong with what was asked.
            HypervisorError::Exception(exception) => Failure::Usage(exception.text),
            error => error.into(),
        })
    }
}

async fn list(links: &Links) -> Result<Vec<(Peer, Positions)>, HypervisorError> {
    let mut list = Vec::new();
    for peer in links.list().await? {
        let positions = links.positions(&peer.address).await?;
        list.push((peer, positions));
    }
    Ok(list)
}
