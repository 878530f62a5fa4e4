//! Lines from a pipe or a file.

use std::io::{self, BufRead as _, ErrorKind};

use tokio::sync::mpsc;

use super::Typed;

/// Lines that are read ahead.
const LINES_AHEAD: usize = 64;

pub(crate) struct Pipe {
    lines: mpsc::Receiver<Typed>,
}

impl Pipe {
    /// Begins to read standard input.
    pub(crate) fn open() -> Pipe {
        let (to, lines) = mpsc::channel(LINES_AHEAD);
        std::thread::spawn(move || {
            for (number, line) in (1..).zip(io::stdin().lock().lines()) {
                let typed = line.map_or_else(|error| Typed::Failed(located(error, number)), Typed::Line);
                let is_last = matches!(typed, Typed::Failed(_));
                if to.blocking_send(typed).is_err() || is_last {
                    return;
                }
            }
        });
        Pipe { lines }
    }

    pub(super) async fn next(&mut self) -> Typed {
        self.lines.recv().await.unwrap_or(Typed::End)
    }
}

fn located(error: io::Error, line: u64) -> io::Error {
    match error.kind() {
        ErrorKind::InvalidData => {
            io::Error::new(error.kind(), format!("line {line} of the input is not UTF-8 text"))
        }
        kind => io::Error::new(kind, format!("standard input cannot be read: {error}")),
    }
}
