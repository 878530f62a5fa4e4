//! What a server counts, and how Prometheus reads it.
//!
//! Names are part of the interface ([docs/http.md](../../../docs/http.md)); they may be added to, not changed.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hyper::{Method, StatusCode};

use super::inside::{Measure, MeasureKind};

/// Methods that are counted by name; others are counted together, since a client can make up any number of them.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];
/// How long an answer took at most, in seconds: the steps of the histogram.
const STEPS_S: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// All that a status can be.
const STATUSES: usize = 1_000;

/// The counters of one server.
pub(super) struct Metrics {
    requests: [AtomicU64; METHODS.len() + 1],
    answers: Vec<AtomicU64>,
    steps: [AtomicU64; STEPS_S.len() + 1],
    answer_ns: AtomicU64,
    under_way: AtomicI64,
    connections: AtomicI64,
    connections_total: AtomicU64,
}

/// Counts one thing for as long as it lasts.
pub(super) struct Lasting<'a>(&'a AtomicI64);

impl Drop for Lasting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        Metrics {
            requests: Default::default(),
            answers: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            steps: Default::default(),
            answer_ns: AtomicU64::new(0),
            under_way: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            connections_total: AtomicU64::new(0),
        }
    }

    /// A connection, until it ends.
    pub(super) fn connected(&self) -> Lasting<'_> {
        self.connections_total.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
        Lasting(&self.connections)
    }

    /// A request whose head is here, until it is answered.
    pub(super) fn requested(&self, method: &Method) -> Lasting<'_> {
        let place = METHODS.iter().position(|known| known == method).unwrap_or(METHODS.len());
        self.requests[place].fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Lasting(&self.under_way)
    }

    /// An answer, so long after its request.
    pub(super) fn answered(&self, status: StatusCode, after: Duration) {
        if let Some(count) = self.answers.get(usize::from(status.as_u16())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let seconds = after.as_secs_f64();
        let step = STEPS_S.iter().position(|most| seconds <= *most).unwrap_or(STEPS_S.len());
        self.steps[step].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.answer_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// All of it, in Prometheus' text form, with what was measured inside.
    pub(super) fn text(&self, inside: &[Measure]) -> String {
        let mut text = String::new();
        head(&mut text, "everturn_http_requests_total", "counter", "requests whose head has come, by method");
        let names = METHODS.iter().map(Method::as_str).chain(["other"]);
        for (name, count) in names.zip(&self.requests) {
            let count = count.load(Ordering::Relaxed);
            line(&mut text, &format!("everturn_http_requests_total{{method=\"{name}\"}}"), count);
        }
        head(&mut text, "everturn_http_answers_total", "counter", "answers, by status");
        for (status, count) in self.answers.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                line(&mut text, &format!("everturn_http_answers_total{{status=\"{status}\"}}"), count);
            }
        }
        self.times(&mut text);
        let gauges = [
            ("everturn_http_requests_under_way", "gauge", "requests not answered yet", &self.under_way),
            ("everturn_http_connections", "gauge", "open connections", &self.connections),
        ];
        for (name, kind, help, value) in gauges {
            head(&mut text, name, kind, help);
            line(&mut text, name, value.load(Ordering::Relaxed));
        }
        let name = "everturn_http_connections_total";
        head(&mut text, name, "counter", "connections that were let in");
        line(&mut text, name, self.connections_total.load(Ordering::Relaxed));
        for measure in inside {
            let kind = match measure.kind {
                MeasureKind::Counter => "counter",
                MeasureKind::Gauge => "gauge",
            };
            head(&mut text, measure.name, kind, measure.help);
            line(&mut text, measure.name, measure.value);
        }
        text
    }

    /// The histogram: each step counts what the ones before it counted, too.
    fn times(&self, text: &mut String) {
        let name = "everturn_http_answer_seconds";
        head(text, name, "histogram", "from a request's head to its durable answer");
        let mut total = 0;
        for (most, count) in STEPS_S.iter().zip(&self.steps) {
            total += count.load(Ordering::Relaxed);
            line(text, &format!("{name}_bucket{{le=\"{most}\"}}"), total);
        }
        total += self.steps[STEPS_S.len()].load(Ordering::Relaxed);
        line(text, &format!("{name}_bucket{{le=\"+Inf\"}}"), total);
        line(text, &format!("{name}_sum"), self.answer_ns.load(Ordering::Relaxed) as f64 / 1e9);
        line(text, &format!("{name}_count"), total);
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::new();
        let held = metrics.connected();
        drop(metrics.requested(&Method::GET));
        drop(metrics.requested(&Method::from_bytes(b"BREW").unwrap()));
        metrics.answered(StatusCode::OK, Duration::from_millis(3));
        metrics.answered(StatusCode::OK, Duration::from_secs(60));
        let measure =
            Measure { name: "everturn_containers", help: "alive", kind: MeasureKind::Gauge, value: 2.0 };
        let text = metrics.text(&[measure]);
        for expected in [
            "everturn_http_requests_total{method=\"GET\"} 1",
            "everturn_http_requests_total{method=\"other\"} 1",
            "everturn_http_answers_total{status=\"200\"} 2",
            "everturn_http_answer_seconds_bucket{le=\"0.002\"} 0",
            "everturn_http_answer_seconds_bucket{le=\"0.005\"} 1",
            "everturn_http_answer_seconds_bucket{le=\"10\"} 1",
            "everturn_http_answer_seconds_bucket{le=\"+Inf\"} 2",
            "everturn_http_answer_seconds_sum 60.003",
            "everturn_http_requests_under_way 0",
            "everturn_http_connections 1",
            "# TYPE everturn_containers gauge",
            "everturn_containers 2",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} in:\n{text}");
        }
        drop(held);
        assert!(metrics.text(&[]).contains("everturn_http_connections 0"));
    }
}
