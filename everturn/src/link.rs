//! Links to other hypervisors: messages that arrive exactly once and in order, whatever is killed on the way.
//!
//! A root container of type [`LinkType`] keeps what lasts: for each peer, how many messages went and came, the chain over them, and
//! those that are not acknowledged. The driver ([`Endpoint`]) carries them and keeps nothing. So a link survives all that a
//! container survives; docs/links.md says what a program sees of it.
//!
//! Not known here: sockets, keys as files, time.

mod arrivals;
mod container;
mod hosts;
mod ledger;
mod letter;
mod requests;
mod tracked;
mod turns;

use std::sync::Arc;

use async_trait::async_trait;
use everturn_dag::Ipld;
use everturn_dag::node::Composer;
use everturn_drivers::link::{Compared, Dialer, Inside, Outgoing, Position, Stopped, Taking};
use everturn_hypervisor::{Hypervisor, HypervisorError};
use everturn_port_manager::ContainerId;

pub use container::LinkType;
pub use everturn_drivers::link::{
    Endpoint, Identity, LinkError, Listener, Peer, PeerKey, Peers, Positions, Settings, Strangers,
};
pub use ledger::Resolution;
use requests::Request;

use crate::driver::Durable;

/// The name under which the type is registered, that of the container, and that of the port by which a program reaches it.
pub const LINK: &str = "link";

/// The links of a hypervisor.
#[derive(Clone)]
pub struct Links(Durable);

impl Links {
    /// Those of a hypervisor in which [`LinkType`] is registered as [`LINK`]; begun if there are none.
    ///
    /// # Errors
    /// As [`Hypervisor::get_or_create_instance`].
    pub async fn open(hypervisor: &Hypervisor) -> Result<Links, HypervisorError> {
        let id = hypervisor.get_or_create_instance(LINK, LINK, Ipld::Null).await?;
        Ok(Links(Durable { hypervisor: hypervisor.clone(), id }))
    }

    /// The container that keeps them.
    pub fn container(&self) -> ContainerId {
        self.0.id
    }

    /// Makes another hypervisor known: what is sent to this address is for the owner of this key, and what comes from that
    /// owner comes from this address.
    ///
    /// # Errors
    /// [`HypervisorError::Exception`] if it is no address, or one of the two is known with another.
    pub async fn add(&self, address: &str, key: PeerKey) -> Result<(), HypervisorError> {
        self.0.ask(&Request::Add(address.to_owned(), key)).await
    }

    /// Forgets a peer, what waits for it, and the ports that were shared with it.
    ///
    /// # Errors
    /// [`HypervisorError::Exception`] if it is not known.
    pub async fn remove(&self, address: &str) -> Result<(), HypervisorError> {
        self.0.ask(&Request::Remove(address.to_owned())).await
    }

    /// Begins the link with a peer anew, after it has stopped. It goes on when the other side has done so too.
    ///
    /// # Errors
    /// [`HypervisorError::Exception`] if the peer is not known, or the link has not stopped.
    pub async fn resolve(&self, address: &str, resolution: Resolution) -> Result<(), HypervisorError> {
        self.0.ask(&Request::Resolve(address.to_owned(), resolution)).await
    }

    /// All peers.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn list(&self) -> Result<Vec<Peer>, HypervisorError> {
        let peers: Peers = self.0.ask(&Request::Peers(None)).await?;
        Ok(peers.list)
    }

    /// How much went and came over the link with a peer.
    ///
    /// # Errors
    /// [`HypervisorError::Exception`] if the peer is not known.
    pub async fn positions(&self, address: &str) -> Result<Positions, HypervisorError> {
        self.0.ask(&Request::Positions(address.to_owned())).await
    }

    /// Says whether strangers are welcome; it lasts until it is said otherwise.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn welcome(&self, strangers: Strangers) -> Result<(), HypervisorError> {
        self.0.ask(&Request::Open(strangers == Strangers::Welcome)).await
    }

    /// What an [`Endpoint`] speaks for.
    pub fn inside(&self) -> Arc<dyn Inside> {
        Arc::new(self.clone())
    }
}

fn stopped(error: HypervisorError) -> Stopped {
    Stopped(error.to_string())
}

#[async_trait]
impl Inside for Links {
    async fn peers(&self, known: Option<u64>) -> Result<Peers, Stopped> {
        self.0.ask(&Request::Peers(known)).await.map_err(stopped)
    }

    async fn admit(&self, key: PeerKey, address: &str) -> Result<Option<String>, Stopped> {
        self.0.ask(&Request::Admit(key, address.to_owned())).await.map_err(stopped)
    }

    async fn positions(&self, address: &str) -> Result<Positions, Stopped> {
        Links::positions(self, address).await.map_err(stopped)
    }

    async fn compare(&self, address: &str, dialer: Dialer, theirs: Positions) -> Result<Compared, Stopped> {
        self.0.ask(&Request::Compare(address.to_owned(), dialer, theirs)).await.map_err(stopped)
    }

    async fn next(&self, address: &str, epoch: u64, after: u64, bytes_max: u64) -> Result<Outgoing, Stopped> {
        self.0.ask(&Request::Next(address.to_owned(), epoch, after, bytes_max)).await.map_err(stopped)
    }

    async fn acknowledged(&self, address: &str, epoch: u64, position: Position) -> Result<Compared, Stopped> {
        self.0.ask(&Request::Acknowledged(address.to_owned(), epoch, position)).await.map_err(stopped)
    }

    fn take(&self, address: &str, epoch: u64, messages: &Outgoing) -> Taking {
        let taking = self.0.ask_encoded(take(address, epoch, messages));
        Box::pin(async move { taking.await.map_err(stopped) })
    }

    async fn stop(&self, address: &str, epoch: u64, why: &str) -> Result<(), Stopped> {
        self.0.ask(&Request::Stop(address.to_owned(), epoch, why.to_owned())).await.map_err(stopped)
    }
}

/// [`Request::Take`] as it is encoded, without a copy of the messages.
fn take(address: &str, epoch: u64, messages: &Outgoing) -> Vec<u8> {
    let bytes: usize = messages.messages.iter().map(|message| message.len() + 9).sum();
    let mut request = Composer::with_capacity(bytes + address.len() + 64);
    request.map(1).text("take").list(3).text(address).integer(epoch);
    request.map(2).text("first").integer(messages.first).text("messages").list(messages.messages.len());
    for message in &messages.messages {
        request.bytes(message);
    }
    request.finish()
}

#[cfg(test)]
mod tests {
    use everturn_dag::node;

    use super::*;

    #[test]
    fn what_is_composed_by_hand_is_what_serde_makes() {
        let messages = Outgoing { first: 7, messages: vec![b"a".to_vec().into(), vec![0; 300].into()] };
        let composed = take("host:1", 3, &messages);
        assert_eq!(composed, node::encode(&Request::Take("host:1".into(), 3, messages)).unwrap());
    }
}
