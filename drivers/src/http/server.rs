//! A server: its sockets, who is let in, and how it ends.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

use super::admin::Admin;
use super::connection::{self, Stopping, Terms};
use super::exchange::{Exchange, Handler};
use super::inside::{Failure, Inside};
use super::metrics::Metrics;
use super::settings::{Settings, Tls};
use super::tls;
use super::trouble::Troubles;

/// How long to wait when the system lets nobody in, for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections of those who look at health and metrics.
const ADMIN_CONNECTIONS_MAX: usize = 16;

/// Why a server could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Nobody can listen there.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// What was asked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold in PEM what it should.
    #[error("{} cannot be used: {what}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate and key do not make a server.
    #[error("the certificate in {} and the key in {} cannot be used: {what}", certificate.display(), key.display())]
    Certificate {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// What is wrong with them.
        what: String,
    },
}

/// An HTTP server that has its sockets, and serves nobody yet: who connects waits.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    admin: Option<(TcpListener, SocketAddr)>,
    tls: Option<TlsAcceptor>,
    settings: Settings,
}

impl Server {
    /// Takes an address, `HOST:PORT`; port 0 is any that is free.
    ///
    /// # Errors
    /// [`ServerError::Address`].
    pub async fn bind(address: &str, settings: Settings) -> Result<Server, ServerError> {
        let (listener, address) = bind(address).await?;
        Ok(Server { listener, address, admin: None, tls: None, settings })
    }

    /// Speaks TLS, and nothing else, to its clients.
    ///
    /// # Errors
    /// If certificate and key cannot be read or do not fit.
    pub fn with_tls(mut self, tls: &Tls) -> Result<Server, ServerError> {
        self.tls = Some(tls::acceptor(tls)?);
        Ok(self)
    }

    /// Tells its health and its metrics at another address, in the clear: `/-/health`, `/-/metrics`.
    ///
    /// # Errors
    /// [`ServerError::Address`].
    pub async fn with_admin(mut self, address: &str) -> Result<Server, ServerError> {
        self.admin = Some(bind(address).await?);
        Ok(self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it tells its health, if it does.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `stop` is ready. Then nobody is let in any more, and what is under way has
    /// [`Settings::stop_timeout`] to end.
    ///
    /// # Errors
    /// [`Failure::Stopped`] if the inside ended first.
    pub async fn serve(self, inside: Arc<dyn Inside>, stop: impl Future<Output = ()>) -> Result<(), Failure> {
        let metrics = Arc::new(Metrics::new());
        let (tell_end, mut ended) = watch::channel(None);
        let (tell_stop, stopping) = watch::channel(false);
        let (mut listeners, troubles) = (JoinSet::new(), Troubles::default());
        if let Some((listener, _)) = self.admin {
            let handler = Arc::new(Admin::new(inside.clone(), metrics.clone()));
            let settings = Settings { connections_max: ADMIN_CONNECTIONS_MAX, ..Settings::default() };
            // What is said here does not count as what was served.
            let terms = Terms {
                handler,
                settings,
                metrics: Arc::new(Metrics::new()),
                tls: None,
                troubles: troubles.clone(),
            };
            listeners.spawn(listen(listener, Arc::new(terms), stopping.clone()));
        }
        let handler = Exchange::new(
            inside,
            self.settings,
            metrics.clone(),
            tell_end,
            stopping.clone(),
            troubles.clone(),
        );
        let handler = Arc::new(handler);
        let terms =
            Terms { handler, settings: self.settings, metrics, tls: self.tls, troubles: troubles.clone() };
        listeners.spawn(listen(self.listener, Arc::new(terms), stopping));
        let failed = tokio::select! {
            () = stop => None,
            failed = ended.wait_for(Option::is_some) => failed.ok().and_then(|failed| failed.clone()),
        };
        tell_stop.send_replace(true);
        while listeners.join_next().await.is_some() {}
        troubles.end();
        failed.map_or(Ok(()), Err)
    }
}

async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Address { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Lets connections in until the server is asked to stop, and sees them end.
async fn listen<H: Handler>(listener: TcpListener, terms: Arc<Terms<H>>, mut stopping: Stopping) {
    let places = Arc::new(Semaphore::new(terms.settings.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let (stream, place) = tokio::select! {
            next = next(&listener, &places) => next,
            _ = stopping.wait_for(|stops| *stops) => break,
        };
        while let Some(ended) = connections.try_join_next() {
            note(ended);
        }
        let (terms, stopping) = (terms.clone(), stopping.clone());
        connections.spawn(async move {
            connection::serve(stream, terms, stopping).await;
            drop(place);
        });
    }
    drop(listener);
    let ending = async {
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
    };
    if timeout(terms.settings.stop_timeout, ending).await.is_err() {
        warn!(target: "everturn::http", "{} connections did not end in time", connections.len());
    }
    connections.shutdown().await;
}

/// The next connection, as soon as there is a place for it.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            // Nobody closes this semaphore.
            std::future::pending().await
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                debug!(target: "everturn::http", %from, "connected");
                return (stream, place);
            }
            // It went away while it waited.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(target: "everturn::http", %error, "nobody can be let in for the moment");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(target: "everturn::http", %error, "a connection failed");
    }
}
