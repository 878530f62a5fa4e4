//! Ctrl-C and requests to stop.

use std::fmt;
use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// What the system asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGINT: a person pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: end, in order.
    Terminate,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Request::Interrupt => "SIGINT (Ctrl-C)",
            Request::Terminate => "SIGTERM",
        })
    }
}

/// The signals that we take ourselves from now on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to take signals; until then they end the process, which loses nothing.
    pub(crate) fn take() -> Result<Signals, Failure> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupt.recv() => Request::Interrupt,
            _ = self.terminate.recv() => Request::Terminate,
        }
    }

    /// From now on the next signal ends the process at once: what is durable stays so.
    pub(crate) fn end_at_the_next(mut self) {
        tokio::spawn(async move {
            let request = self.next().await;
            output::err(&format!(
                "everturn: {request} while stopping: ended at once; what is durable stays so"
            ));
            std::process::exit(Exit::Interrupted as i32);
        });
    }
}

/// Does the work, unless a signal comes first: then the turn that runs is discarded.
pub(crate) async fn unless_signalled<T>(
    session: &Session,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut signals = Signals::take()?;
    tokio::select! {
        done = work => done,
        _ = signals.next() => {
            session.interrupt();
            signals.end_at_the_next();
            Err(Failure::Interrupted)
        }
    }
}
