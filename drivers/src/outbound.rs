//! Outbound HTTP: requests that are owed are sent, and their answers brought back.
//!
//! ```text
//! Outbox ─► pump ─► client ─► allowed? ─► connection ─► socket ─► answer ─► Outbox
//! ```
//! [`pump`] asks an [`Outbox`] for what is owed and has a [`Client`] send it. docs/fetch.md says what a program sees of it.
//!
//! Invariants:
//! 1. Only hosts that were allowed are spoken to, after a redirect too.
//! 2. An answer is bounded, in bytes and in time; what cannot be had is a failure with a text for the program.
//! 3. Nothing is kept: what was not brought back is owed still, and is sent again under the same key.
//!
//! It does not know who makes requests, nor which of them have left before.

mod allowed;
mod client;
mod connection;
mod request;
mod target;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use everturn_dag::Ipld;
use tokio::task::JoinSet;
use tokio_rustls::rustls::crypto::ring;
use tracing::warn;

pub use allowed::{AllowedHost, NotAHost};
pub use client::Client;

/// The bounds of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Requests under way at once; 64 by default. More wait.
    pub requests_max: usize,
    /// Largest body of an answer, in bytes; 8 MiB by default.
    pub body_bytes_max: usize,
    /// Redirects that are followed for one request; 20 by default.
    pub redirects_max: u32,
    /// How long it may take until a host is connected, TLS included; 10 s by default.
    pub connect_timeout: Duration,
    /// How long a request may take in all, redirects included; 60 s by default.
    pub answer_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            requests_max: 64,
            body_bytes_max: 8 << 20,
            redirects_max: 20,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
        }
    }
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// TLS cannot be spoken.
    #[error("TLS cannot be spoken: {0}")]
    Tls(String),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Entropy,
}

/// A request that is owed.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// Its number; later ones have higher ones.
    pub number: u64,
    /// What its `Idempotency-Key` says, if the program gave none.
    pub key: String,
    /// `{method, url, headers, body, redirect?}`, as docs/http.md and docs/fetch.md have them.
    pub request: Ipld,
}

/// `{status, statusText, headers, body, url, redirected}`, or why there is none.
pub type Answer = Result<Ipld, String>;

/// Who owes requests, and keeps them until they are answered.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Those with a number above this one, in their order, as soon as there are some; `None` when there will be no more.
    async fn next(&self, after: u64) -> Option<Vec<Owed>>;

    /// An answer; durable when this is `true`. `false` if it could not be taken.
    async fn done(&self, number: u64, answer: Answer) -> bool;
}

/// Bytes that nobody has had before.
///
/// # Errors
/// [`OutboundError::Entropy`].
pub fn salt() -> Result<[u8; 16], OutboundError> {
    let mut salt = [0; 16];
    ring::default_provider().secure_random.fill(&mut salt).map_err(|_| OutboundError::Entropy)?;
    Ok(salt)
}

/// Sends what is owed, from the first on, until there will be no more.
pub async fn pump(outbox: Arc<dyn Outbox>, client: Arc<Client>) {
    let (mut under_way, mut after) = (JoinSet::new(), 0);
    loop {
        while under_way.len() >= client.settings().requests_max {
            under_way.join_next().await;
        }
        let owed = tokio::select! {
            owed = outbox.next(after) => owed,
            Some(_) = under_way.join_next() => continue,
        };
        // What is under way then is owed still.
        let Some(owed) = owed else { return };
        for owed in owed {
            after = after.max(owed.number);
            while under_way.len() >= client.settings().requests_max {
                under_way.join_next().await;
            }
            under_way.spawn(send(outbox.clone(), client.clone(), owed));
        }
    }
}

async fn send(outbox: Arc<dyn Outbox>, client: Arc<Client>, owed: Owed) {
    let answer = client.fetch(owed.request, &owed.key).await;
    if outbox.done(owed.number, answer).await {
        return;
    }
    let failed = "the answer could not be passed on: it is larger than a message may be".to_owned();
    if !outbox.done(owed.number, Err(failed)).await {
        warn!(target: "everturn::outbound", number = owed.number, "an answer was not taken");
    }
}
