//! What `everturn serve` can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use everturn::http::{Settings, Tls};

use super::{KeepArguments, NetArguments};
use crate::failure::Failure;
use crate::links::LinkArguments;

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The program
    pub(crate) file: PathBuf,

    /// Where to listen; port 0 is any that is free
    #[arg(long = "http", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) address: String,

    /// Tell health and metrics at another address: /-/health and /-/metrics
    #[arg(long = "admin", value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,

    /// Speak TLS, with this certificate and those above it (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Take up FILE when it is edited: before serving, and while it is served
    ///
    /// It is evaluated in the living heap, as one turn, which keeps what it holds. If it throws, that is told and what was there
    /// goes on.
    #[arg(long)]
    pub(crate) reload: bool,

    #[command(flatten)]
    pub(crate) net: NetArguments,

    #[command(flatten)]
    pub(crate) keep: KeepArguments,

    #[command(flatten)]
    pub(crate) links: LinkArguments,

    #[command(flatten)]
    bounds: Bounds,
}

/// What a request takes as a message beside its body and its head: the names of its parts, and how long each is.
const FRAME_BYTES: usize = 4_096;

/// What one server takes on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds")]
struct Bounds {
    /// Largest body of a request, of not quite 16 MiB; past it 413
    #[arg(long, value_name = "BYTES", default_value_t = Settings::default().body_bytes_max)]
    body_bytes_max: usize,

    /// Largest head of a request; past it 431
    #[arg(long, value_name = "BYTES", default_value_t = Settings::default().head_bytes_max)]
    head_bytes_max: usize,

    /// Requests under way at once; past it 503
    #[arg(long, value_name = "N", default_value_t = Settings::default().requests_max, value_parser = at_least_one)]
    requests_max: usize,

    /// Connections open at once; more wait
    #[arg(long, value_name = "N", default_value_t = Settings::default().connections_max, value_parser = at_least_one)]
    connections_max: usize,

    /// How long a client may take to send a head or a body, or to take in an answer; past it 408
    #[arg(long, value_name = "SECONDS", default_value_t = seconds(Settings::default().head_timeout), value_parser = time)]
    client_timeout: f64,

    /// How long the program may take for an answer; past it 504
    #[arg(long, value_name = "SECONDS", default_value_t = seconds(Settings::default().answer_timeout), value_parser = time)]
    answer_timeout: f64,

    /// How long the reply to a request with an Idempotency-Key is kept, as in 90s, 30m, 24h, 7d; 0: the header says nothing
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = long_time)]
    idempotency_time: Duration,

    /// How long requests under way may take after a signal
    #[arg(long, value_name = "SECONDS", default_value_t = seconds(Settings::default().stop_timeout), value_parser = time)]
    stop_timeout: f64,
}

impl ServeArguments {
    pub(crate) fn tls(&self) -> Option<Tls> {
        let (certificates, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        Some(Tls { certificates, key })
    }

    pub(crate) fn settings(&self) -> Settings {
        let bounds = &self.bounds;
        let client_timeout = Duration::from_secs_f64(bounds.client_timeout);
        Settings {
            body_bytes_max: bounds.body_bytes_max,
            head_bytes_max: bounds.head_bytes_max,
            requests_max: bounds.requests_max,
            connections_max: bounds.connections_max,
            head_timeout: client_timeout,
            body_timeout: client_timeout,
            write_timeout: client_timeout,
            idempotency_time: bounds.idempotency_time,
            answer_timeout: Duration::from_secs_f64(bounds.answer_timeout),
            stop_timeout: Duration::from_secs_f64(bounds.stop_timeout),
            ..Settings::default()
        }
    }
}

impl ServeArguments {
    /// What no option can know alone: a request is one message inside, body and head together. In a head a byte may take two.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let message_bytes_max = everturn::Settings::default().limits.message_bytes_max;
        let (body, head) = (self.bounds.body_bytes_max, self.bounds.head_bytes_max);
        let beside = head.saturating_mul(2).saturating_add(FRAME_BYTES);
        let most = message_bytes_max.saturating_sub(beside);
        if body <= most {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "--body-bytes-max {body} is too much: with --head-bytes-max {head} it can be {most} at most, since a request is one \
             message of at most {message_bytes_max} bytes"
        )))
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The longest time that can be asked for, in seconds: a day.
const TIME_S_MAX: f64 = 86_400.0;
/// The most of anything that can be asked for.
const NUMBER_MAX: usize = 1_000_000;

fn time(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=TIME_S_MAX).contains(seconds));
    seconds.ok_or_else(|| format!("this is no time in seconds from 0.001 to {TIME_S_MAX}"))
}

/// The longest time for which a reply can be kept, in days.
const DAYS_MAX: u64 = 366;

/// A whole number with a unit; seconds without.
fn long_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_s: Option<u64> = match &text[digits.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    let seconds = number.zip(unit_s).and_then(|(number, unit_s)| number.checked_mul(unit_s));
    let seconds = seconds.filter(|seconds| *seconds <= DAYS_MAX * 86_400);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("this is no time such as 90s, 30m, 24h or 7d, of at most {DAYS_MAX} days"))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number));
    number.ok_or_else(|| format!("this is no number from 1 to {NUMBER_MAX}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::arguments::{Arguments, Command};

    use super::*;

    fn parse(options: &[&str]) -> Result<ServeArguments, clap::Error> {
        let words = ["everturn", "serve", "a.js"].iter().chain(options);
        Arguments::try_parse_from(words).map(|arguments| match arguments.command {
            Command::Serve(serve) => serve,
            _ => panic!("this is serve"),
        })
    }

    #[test]
    fn unasked_the_bounds_are_those_of_the_server() {
        let serve = parse(&[]).unwrap();
        assert_eq!(serve.settings(), Settings::default());
        assert_eq!((serve.address.as_str(), serve.tls()), ("127.0.0.1:8080", None));
    }

    #[test]
    fn a_body_has_to_fit_a_message() {
        let check = |options: &[&str]| parse(options).unwrap().check().map_err(|error| error.to_string());
        check(&[]).unwrap();
        check(&["--body-bytes-max", "16707584"]).unwrap();
        for too_much in ["16707585", "16777216", "18446744073709551615"] {
            let told = check(&["--body-bytes-max", too_much]).unwrap_err();
            assert!(told.contains(too_much) && told.contains("16707584 at most"), "{told}");
        }
        check(&["--body-bytes-max", "1000", "--head-bytes-max", "99999999999999999"]).unwrap_err();
    }

    #[test]
    fn bounds_are_taken_over_and_checked() {
        let settings = parse(&["--body-bytes-max", "7", "--client-timeout", "0.5"]).unwrap().settings();
        assert_eq!((settings.body_bytes_max, settings.write_timeout), (7, Duration::from_millis(500)));
        for (text, seconds) in
            [("0", 0), ("90", 90), ("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800)]
        {
            let settings = parse(&["--idempotency-time", text]).unwrap().settings();
            assert_eq!(settings.idempotency_time, Duration::from_secs(seconds), "{text}");
        }
        for wrong in [
            ["--idempotency-time", "1w"],
            ["--idempotency-time", "h"],
            ["--idempotency-time", "1.5h"],
            ["--idempotency-time", "367d"],
            ["--idempotency-time", "99999999999999999999d"],
            ["--requests-max", "0"],
            ["--connections-max", "many"],
            ["--client-timeout", "0"],
            ["--answer-timeout", "NaN"],
            ["--stop-timeout", "inf"],
            ["--body-bytes-max", "-1"],
            ["--tls-cert", "cert.pem"],
            ["--tls-key", "key.pem"],
        ] {
            assert_eq!(parse(&wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
