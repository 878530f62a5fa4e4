//! Health and metrics, for those who run the server, on a socket of their own.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::Answer;
use super::body::Body;
use super::exchange::Handler;
use super::inside::Inside;
use super::metrics::Metrics;
use super::own::{last, plain};
use super::request::Scheme;

/// The media type of Prometheus' text form.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers those who look after a server.
pub(super) struct Admin {
    inside: Arc<dyn Inside>,
    metrics: Arc<Metrics>,
}

impl Admin {
    pub(super) fn new(inside: Arc<dyn Inside>, metrics: Arc<Metrics>) -> Admin {
        Admin { inside, metrics }
    }

    async fn health(&self) -> Answer {
        match self.inside.measures().await {
            Ok(_) => plain(StatusCode::OK, ""),
            Err(failure) => plain(StatusCode::SERVICE_UNAVAILABLE, &failure.to_string()),
        }
    }

    /// What this side counted is told also when there is no inside any more.
    async fn metrics(&self) -> Answer {
        let inside = self.inside.measures().await.unwrap_or_default();
        let mut answer = Response::new(Body::from(Bytes::from(self.metrics.text(&inside))));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
        answer
    }
}

impl Handler for Admin {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Scheme) -> Answer {
        let answer = match (request.method(), request.uri().path()) {
            (&Method::GET, "/-/health") => self.health().await,
            (&Method::GET, "/-/metrics") => self.metrics().await,
            (_, "/-/health" | "/-/metrics") => plain(StatusCode::METHOD_NOT_ALLOWED, ""),
            _ => plain(StatusCode::NOT_FOUND, "there are /-/health and /-/metrics"),
        };
        // Whoever asks with a body gets an answer without its being read.
        if hyper::body::Body::is_end_stream(request.body()) { answer } else { last(answer) }
    }
}
