//! What clients do wrong, told to whoever runs the server: of each kind as often as [`Quiet`] lets it.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use tracing::{debug, warn};

use crate::quiet::Quiet;

/// What a client has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Malformed,
    HeadTooLarge,
    BodyTooLarge,
    BrokenOff,
    Slow,
    Handshake,
    SocketRules,
    SocketFull,
}

const KINDS: usize = 8;

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Malformed => "malformed HTTP",
            Trouble::HeadTooLarge => "a head that is too large",
            Trouble::BodyTooLarge => "a body that is too large",
            Trouble::BrokenOff => "a request that breaks off",
            Trouble::Slow => "a client that is too slow",
            Trouble::Handshake => "a TLS handshake that failed",
            Trouble::SocketRules => "a message that a WebSocket does not take",
            Trouble::SocketFull => "a WebSocket for which too much waits",
        })
    }
}

/// The log of a server's troubles.
#[derive(Clone, Default)]
pub(super) struct Troubles(Arc<[Quiet; KINDS]>);

impl Troubles {
    /// Tells a trouble, or counts it.
    pub(super) fn tell(&self, trouble: Trouble, what: &dyn fmt::Display) {
        if self.0[trouble as usize].may_tell(move |more| tell_more(trouble, more)) {
            warn!(target: "everturn::http", "{trouble}: {what}");
        } else {
            debug!(target: "everturn::http", "{trouble}: {what}");
        }
    }

    /// Tells what a connection ended for, if that was the client's doing.
    pub(super) fn tell_end(&self, broken: &Broken, from: Option<SocketAddr>) {
        let from = from.map(|from| format!(", from {from}")).unwrap_or_default();
        let what = format!("{}{from}", with_causes(&*broken.error));
        match broken.trouble {
            Some(trouble) => self.tell(trouble, &what),
            None => debug!(target: "everturn::http", "a connection ended: {what}"),
        }
    }

    /// Nobody is served any more.
    pub(super) fn end(&self) {
        for trouble in ALL {
            if let Some(more) = self.0[trouble as usize].untold() {
                tell_more(trouble, more);
            }
        }
    }
}

fn tell_more(trouble: Trouble, more: u64) {
    warn!(target: "everturn::http", "{trouble}: {more} more");
}

const ALL: [Trouble; KINDS] = [
    Trouble::Malformed,
    Trouble::HeadTooLarge,
    Trouble::BodyTooLarge,
    Trouble::BrokenOff,
    Trouble::Slow,
    Trouble::Handshake,
    Trouble::SocketRules,
    Trouble::SocketFull,
];

/// Why a connection ended that was not over.
pub(super) struct Broken {
    /// What the client did, if it is to be told.
    pub(super) trouble: Option<Trouble>,
    pub(super) error: Box<dyn Error + Send + Sync>,
}

impl Broken {
    pub(super) fn of(
        trouble: impl Into<Option<Trouble>>,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Broken {
        Broken { trouble: trouble.into(), error: error.into() }
    }

    /// What HTTP/1 ended for, after a part of a head, or between two requests, where a client may well be silent or go.
    pub(super) fn of_http1(error: hyper::Error, in_head: bool) -> Broken {
        let trouble = match &error {
            error if error.is_parse_too_large() => Some(Trouble::HeadTooLarge),
            error if error.is_parse() => Some(Trouble::Malformed),
            error if error.is_timeout() && in_head => Some(Trouble::Slow),
            error if error.is_incomplete_message() && in_head => Some(Trouble::BrokenOff),
            error => of_stream(error),
        };
        Broken::of(trouble, error)
    }

    /// What HTTP/2 ended for: hyper tells the client's errors by no method, so it is what does not come of the stream.
    pub(super) fn of_http2(error: hyper::Error) -> Broken {
        let is_of_stream = error.source().is_none_or(|cause| {
            let text = cause.to_string();
            text.contains("os error") || text.contains("broken pipe") || text.contains("unexpected end")
        });
        let trouble = of_stream(&error).or((!is_of_stream).then_some(Trouble::Malformed));
        Broken::of(trouble, error)
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::of(of_stream(&error), error)
    }
}

/// A write that took too long, however deep it lies.
fn of_stream(error: &(dyn Error + 'static)) -> Option<Trouble> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::TimedOut) {
            return Some(Trouble::Slow);
        }
        cause = error.source();
    }
    None
}

fn with_causes(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;
    use crate::quiet::QUIET;

    /// Keeps the warnings.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == "message" {
                self.0 = format!("{value:?}");
            }
        }
    }

    impl Subscriber for Log {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::WARN
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_flood_is_two_lines_and_its_number_is_told() {
        let log = Log::default();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        tracing::subscriber::with_default(log.clone(), || {
            runtime.block_on(async {
                let troubles = Troubles::default();
                for number in 0..1_000 {
                    troubles.tell(Trouble::Malformed, &number);
                }
                troubles.tell(Trouble::Slow, &"a head");
                tokio::time::sleep(3 * QUIET).await;
                troubles.tell(Trouble::Malformed, &"once more");
                troubles.tell(Trouble::Malformed, &"and again");
                troubles.end();
            });
        });
        let told = log.0.lock().unwrap().clone();
        assert_eq!(
            told,
            [
                "malformed HTTP: 0",
                "a client that is too slow: a head",
                "malformed HTTP: 999 more",
                "malformed HTTP: once more",
                "malformed HTTP: 1 more",
            ]
        );
    }

    #[test]
    fn all_kinds_have_a_place() {
        for (place, trouble) in ALL.into_iter().enumerate() {
            assert_eq!(trouble as usize, place, "{trouble}");
        }
    }
}
