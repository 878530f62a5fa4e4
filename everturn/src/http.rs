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

mod streams;

use std::sync::Arc;

use async_trait::async_trait;
use everturn_dag::Ipld;
pub use everturn_drivers::http::{
    Failure, Frame, Given, Inside, Measure, MeasureKind, Once, Outgoing, Piece, Rest, Server, ServerError,
    Settings, Socket, Stream, Taken, Tls, Waiting, Welcome,
};
use everturn_hypervisor::{Hypervisor, HypervisorError, Metrics};
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
    /// Streams of before are ended.
    begun: Arc<OnceCell<()>>,
}

impl Served {
    /// This container of this hypervisor.
    pub fn new(hypervisor: Hypervisor, container: ContainerId) -> Served {
        Served { hypervisor, container, sockets: Arc::default(), begun: Arc::default() }
    }

    /// Tells the program that nobody reads the streams any more that it has given to clients of an earlier server, if there are
    /// any. Happens before the first request, unless it was done before.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn begin(&self) -> Result<(), HypervisorError> {
        let begin = || streams::end_those_left(&self.hypervisor, &self.container);
        self.begun.get_or_try_init(begin).await.map(drop)
    }

    /// As [`Served::begin`], for who asks.
    async fn begun(&self) -> Result<(), Failure> {
        self.begin().await.map_err(failure)
    }
}

#[async_trait]
impl Inside for Served {
    async fn request(&self, request: Vec<u8>) -> Result<Ipld, Failure> {
        self.begun().await?;
        self.hypervisor.request(&self.container, request).await.map_err(failure)
    }

    async fn request_once(&self, request: Vec<u8>, once: Once) -> Result<(Ipld, Given), Failure> {
        self.begun().await?;
        let Once { key, fingerprint, kept_ms } = once;
        let once = everturn_hypervisor::Once { key, fingerprint, kept_ms };
        let answered = self.hypervisor.request_once(&self.container, request, once).await;
        let (answer, given) = answered.map_err(failure)?;
        let given = match given {
            everturn_hypervisor::Given::First => Given::First,
            everturn_hypervisor::Given::Again => Given::Again,
        };
        Ok((answer, given))
    }

    async fn open(&self, request: Vec<u8>) -> Result<Welcome, Failure> {
        self.begun().await?;
        let start = || Sockets::start(&self.hypervisor, &self.container);
        let sockets = self.sockets.get_or_try_init(start).await.map_err(failure)?;
        sockets.open(&request).await
    }

    async fn query(&self, request: Vec<u8>) -> Result<Ipld, Failure> {
        self.begun().await?;
        self.hypervisor.query(&self.container, request).await.map_err(failure)
    }

    async fn piece(&self, stream: &Stream) -> Result<Piece, Failure> {
        streams::piece(&self.hypervisor, &self.container, stream).await
    }

    async fn cancel(&self, stream: &Stream, reason: &str) {
        if let Err(error) = streams::cancel(&self.hypervisor, &self.container, stream, reason).await {
            tracing::debug!(target: "everturn::http", url = stream.url, %error, "a stream was not cancelled");
        }
    }

    /// The container's logical time, which can be told where turns run and become durable; and what the hypervisor counts.
    async fn measures(&self) -> Result<Vec<Measure>, Failure> {
        let ticks = self.hypervisor.wait(&self.container, Ticks(0)).await.map_err(failure)?;
        Ok(measures(ticks, &self.hypervisor.metrics()))
    }
}

fn measures(ticks: Ticks, metrics: &Metrics) -> Vec<Measure> {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let counters = [
        ("everturn_container_ticks", "logical time of the container that is served", ticks.0 as f64),
        ("everturn_turns_total", "turns taken, those that failed included", metrics.turns as f64),
        ("everturn_exceptions_total", "turns that were discarded", metrics.exceptions as f64),
        ("everturn_queries_total", "requests answered without a turn", metrics.queries as f64),
        ("everturn_fuel_total", "what turns have burnt, in ticks", metrics.burnt as f64),
        ("everturn_batches_total", "batches that are durable", metrics.batches as f64),
        ("everturn_batch_turns_total", "turns in them", metrics.batch_turns as f64),
        ("everturn_commit_seconds_total", "from a batch to its being durable", seconds(metrics.commit_ns)),
        ("everturn_sync_seconds_total", "how much of that was waiting for syncs", seconds(metrics.sync_ns)),
        (
            "everturn_dirty_pages_total",
            "pages of 4 KiB that batches found changed",
            metrics.dirty_pages as f64,
        ),
    ];
    let gauges = [
        ("everturn_inputs_waiting", "inputs whose turns were not taken yet", metrics.inputs_waiting),
        ("everturn_answers_waiting", "requests whose answers come in a later turn", metrics.answers_waiting),
        (
            "everturn_containers_waiting",
            "containers in whose ports something waits",
            metrics.containers_waiting,
        ),
        ("everturn_containers", "containers that are alive", metrics.containers),
        ("everturn_heap_bytes", "heaps and bookkeeping of containers in memory", metrics.heap_bytes),
    ];
    let counters =
        counters.map(|(name, help, value)| Measure { name, help, kind: MeasureKind::Counter, value });
    let gauges = gauges.map(|(name, help, value)| {
        let value = value as f64;
        Measure { name, help, kind: MeasureKind::Gauge, value }
    });
    counters.into_iter().chain(gauges).collect()
}

pub(crate) fn failure(error: HypervisorError) -> Failure {
    match error {
        HypervisorError::Exception(exception) => Failure::Exception(exception),
        HypervisorError::Message(why) => Failure::TooLarge(why),
        HypervisorError::Busy { .. } => Failure::Busy,
        HypervisorError::OtherRequest => Failure::OtherRequest,
        full @ HypervisorError::TooManyKept { .. } => Failure::Full(full.to_string()),
        error @ (HypervisorError::Unanswered | HypervisorError::NoSuchContainer(_)) => {
            Failure::Unanswered(error.to_string())
        }
        HypervisorError::Stopped(why) => Failure::Stopped(why),
        error => Failure::Stopped(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_hypervisor_is_busy_and_not_broken() {
        assert_eq!(failure(HypervisorError::Busy { waiting: 9 }), Failure::Busy);
        assert!(matches!(failure(HypervisorError::Stopped("why".into())), Failure::Stopped(_)));
    }
}
