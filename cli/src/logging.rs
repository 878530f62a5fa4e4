//! What `-v` shows: the tracing of all crates, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::arguments::{Command, Globals, LogFormat};

/// What is shown where nobody asked for anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// What a replay runs again was told when it ran first.
    Nothing,
    /// A command says itself what happened, except for turns of which nobody is told that they failed.
    Exceptions,
    /// A server runs for long, and what went wrong meanwhile is in its log alone.
    Warnings,
}

impl Unasked {
    pub(crate) fn of(command: &Command) -> Unasked {
        match command {
            Command::Replay(_) => Unasked::Nothing,
            Command::Serve(_) => Unasked::Warnings,
            Command::Run(run) if run.links.listen.is_some() => Unasked::Warnings,
            Command::Shell(shell) if shell.links.listen.is_some() => Unasked::Warnings,
            _ => Unasked::Exceptions,
        }
    }
}

/// Starts tracing, of what is asked for by `-v` (debug), `-vv` (trace), or in detail by `RUST_LOG`. The rest costs nothing.
pub(crate) fn start(globals: &Globals, unasked: Unasked) {
    let wanted = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = match (wanted, globals.verbose) {
        (Some(filter), _) => filter,
        (None, 0) if unasked == Unasked::Nothing => return,
        (None, 0) if unasked == Unasked::Exceptions => "everturn::turn=error".to_owned(),
        (None, 0) => "warn".to_owned(),
        (None, 1) => "info,everturn=debug".to_owned(),
        (None, _) => "info,everturn=trace".to_owned(),
    };
    let filter = EnvFilter::builder().parse_lossy(filter);
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(has_colours()).with_writer(io::stderr);
    // Fails only if tracing has been started already, which nothing here does.
    let _ = match globals.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).with_span_list(false).try_init(),
    };
}

/// Whether standard error may have colours: a terminal may, unless `NO_COLOR` says otherwise (<https://no-color.org>).
pub(crate) fn has_colours() -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !no_colour
}
