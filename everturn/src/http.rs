//! HTTP in front of a container.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use everturn::http::{Served, Server, Settings};
//!
//! # async fn serve(hypervisor: everturn::Hypervisor, app: everturn::ContainerId) -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind("127.0.0.1:8080", Settings::default()).await?;
//! let until = async { _ = tokio::signal::ctrl_c().await };
//! server.serve(Arc::new(Served::new(hypervisor.clone(), app)), until).await?;
//! hypervisor.stop().await?; // what was answered is durable already
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use async_trait::async_trait;
use everturn_dag::Ipld;
pub use everturn_drivers::http::{
    Failure, Frame, Inside, Measure, MeasureKind, Outgoing, Server, ServerError, Settings, Socket, Taken,
    Tls, Waiting, Welcome,
};
use everturn_hypervisor::{Hypervisor, HypervisorError};
use everturn_port_manager::{ContainerId, Ticks};
use tokio::sync::OnceCell;

use crate::socket::Sockets;

/// A root container that answers requests.
#[derive(Clone)]
pub struct Served {
    hypervisor: Hypervisor,
    container: ContainerId,
    /// Once the first client wants one.
    sockets: Arc<OnceCell<Sockets>>,
}

impl Served {
    /// This container of this hypervisor.
    pub fn new(hypervisor: Hypervisor, container: ContainerId) -> Served {
        Served { hypervisor, container, sockets: Arc::default() }
    }
}

#[async_trait]
impl Inside for Served {
    async fn request(&self, request: Vec<u8>) -> Result<Ipld, Failure> {
        self.hypervisor.request(&self.container, request).await.map_err(failure)
    }

    async fn open(&self, request: Vec<u8>) -> Result<Welcome, Failure> {
        let start = || Sockets::start(&self.hypervisor, &self.container);
        let sockets = self.sockets.get_or_try_init(start).await.map_err(failure)?;
        sockets.open(&request).await
    }

    /// The container's logical time; that it can be told shows that turns run and become durable.
    async fn measures(&self) -> Result<Vec<Measure>, Failure> {
        let ticks = self.hypervisor.wait(&self.container, Ticks(0)).await.map_err(failure)?;
        Ok(vec![Measure {
            name: "everturn_container_ticks",
            help: "logical time of the container that is served",
            kind: MeasureKind::Counter,
            value: ticks.0 as f64,
        }])
    }
}

pub(crate) fn failure(error: HypervisorError) -> Failure {
    match error {
        HypervisorError::Exception(exception) => Failure::Exception(exception),
        HypervisorError::Message(why) => Failure::TooLarge(why),
        error @ (HypervisorError::Unanswered | HypervisorError::NoSuchContainer(_)) => {
            Failure::Unanswered(error.to_string())
        }
        error => Failure::Stopped(error.to_string()),
    }
}
