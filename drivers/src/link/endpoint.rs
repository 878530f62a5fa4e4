//! The socket of all links of one hypervisor: who comes in, and who is to be dialled.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Runtime, VarInt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::inside::{Inside, Peers, Stopped};
use super::key::Identity;
use super::settings::Settings;
use super::socket::Watched;
use super::{dial, receive, reset, tls};

/// How long the goodbye to all connections may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// Why there are no links.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The address is none, or cannot be had.
    #[error("cannot listen for links on {address}: {source}")]
    Address {
        /// As it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file with the key cannot be used.
    #[error("the key of this data folder, {}, cannot be used: {source}", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The library does not take what it was given.
    #[error("links cannot be secured: {0}")]
    Tls(String),
}

/// A place at which links are to be listened for: taken, and nobody is heard yet.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::UdpSocket,
    /// As it was given.
    address: String,
}

impl Listener {
    /// Takes an address, port 0 being any that is free.
    ///
    /// # Errors
    /// [`LinkError::Address`] if it is none, or cannot be had.
    pub async fn bind(address: &str) -> Result<Listener, LinkError> {
        let failed = |source| LinkError::Address { address: address.to_owned(), source };
        let at = tokio::net::lookup_host(address).await.map_err(failed)?.next();
        let at = at.ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
        let socket = std::net::UdpSocket::bind(at).map_err(failed)?;
        Ok(Listener { socket, address: address.to_owned() })
    }
}

/// What all connections of an endpoint share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) endpoint: quinn::Endpoint,
    pub(super) inside: Arc<dyn Inside>,
    pub(super) identity: Identity,
    pub(super) settings: Arc<Settings>,
    pub(super) peers: watch::Receiver<Peers>,
    pub(super) port: u16,
}

/// A socket that listens for links.
pub struct Endpoint {
    endpoint: quinn::Endpoint,
    identity: Identity,
    settings: Settings,
    peers: watch::Sender<Peers>,
    address: SocketAddr,
}

impl Endpoint {
    /// Listens at an address, as [`Listener::bind`] and [`Endpoint::on`].
    ///
    /// # Errors
    /// [`LinkError::Address`], or what is wrong with the key.
    pub async fn bind(address: &str, identity: Identity, settings: Settings) -> Result<Endpoint, LinkError> {
        Endpoint::on(Listener::bind(address).await?, identity, settings)
    }

    /// Listens where a place was taken. Nobody is heard before [`Endpoint::run`]. To be called within a runtime.
    ///
    /// # Errors
    /// [`LinkError::Address`], or what is wrong with the key.
    pub fn on(listener: Listener, identity: Identity, settings: Settings) -> Result<Endpoint, LinkError> {
        let Listener { socket, address } = listener;
        let failed = |source| LinkError::Address { address: address.clone(), source };
        let (peers, known) = watch::channel(Peers::default());
        let config = tls::listening(&identity, known, &settings)?;
        let (own, runtime) = (reset::endpoint(&identity), Arc::new(quinn::TokioRuntime));
        let socket = Watched::new(runtime.wrap_udp_socket(socket).map_err(failed)?);
        let endpoint = quinn::Endpoint::new_with_abstract_socket(own, Some(config), socket, runtime);
        let endpoint = endpoint.map_err(failed)?;
        let address = endpoint.local_addr().map_err(failed)?;
        Ok(Endpoint { endpoint, identity, settings, peers, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who it is to others.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Keeps the links until `until`, or until there is no inside any more.
    pub async fn run(self, inside: Arc<dyn Inside>, until: impl Future<Output = ()>) {
        let Endpoint { endpoint, identity, settings, peers, address } = self;
        let shared = Shared {
            endpoint: endpoint.clone(),
            inside,
            identity,
            settings: Arc::new(settings),
            peers: peers.subscribe(),
            port: address.port(),
        };
        tokio::select! {
            Err(Stopped(why)) = keep_peers(&shared, &peers) => tracing::debug!(why, "links end"),
            () = accept(&shared) => {}
            () = until => {}
        }
        endpoint.close(VarInt::from_u32(0), b"ended");
        // The other side finds out by itself too, only later.
        let _ = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
    }
}

/// Follows the list of peers, and has each dialled when there is something for it.
async fn keep_peers(shared: &Shared, list: &watch::Sender<Peers>) -> Result<(), Stopped> {
    let (mut dialled, mut tasks) = (BTreeSet::new(), JoinSet::new());
    let mut known = None;
    loop {
        let peers = shared.inside.peers(known).await?;
        known = Some(peers.version);
        for peer in &peers.list {
            if dialled.insert(peer.address.clone()) {
                tasks.spawn(dial::keep(shared.clone(), peer.address.clone()));
            }
        }
        list.send_replace(peers);
    }
}

async fn accept(shared: &Shared) {
    let room = Arc::new(Semaphore::new(shared.settings.connections_max));
    let mut tasks = JoinSet::new();
    while let Some(incoming) = shared.endpoint.accept().await {
        while tasks.try_join_next().is_some() {}
        let Ok(place) = room.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let shared = shared.clone();
        tasks.spawn(async move {
            receive::serve(&shared, incoming).await;
            drop(place);
        });
    }
}
