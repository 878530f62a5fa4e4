//! Where the shell's lines come from: a person at a terminal, or a pipe or file.
//!
//! Both read on a thread of their own, because reading blocks and signals must be heard meanwhile.

mod names;
mod pipe;
mod terminal;
mod vocabulary;

use std::io::{self, IsTerminal as _};

pub(crate) use names::Names;
pub(crate) use pipe::Pipe;
pub(crate) use terminal::Terminal;

/// Which line of a statement is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// The first.
    First,
    /// One that continues it.
    More,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Typed {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C at a text: it is to be forgotten.
    Cleared,
    /// Ctrl-C at nothing.
    Left,
    /// Ctrl-D, or the end of the pipe.
    End,
    /// It cannot be read any more.
    Failed(io::Error),
}

pub(crate) enum Input {
    Terminal(Terminal),
    Pipe(Pipe),
}

impl Input {
    /// Whether a person types, and sees what we write.
    pub(crate) fn is_terminal() -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// The next line. May be dropped and asked again without losing one.
    pub(crate) async fn next(&mut self, prompt: Prompt) -> Typed {
        match self {
            Input::Terminal(terminal) => terminal.next(prompt).await,
            Input::Pipe(pipe) => pipe.next().await,
        }
    }

    /// Adds a statement to the history.
    pub(crate) fn remember(&mut self, statement: &str) {
        if let Input::Terminal(terminal) = self {
            terminal.remember(statement);
        }
    }

    /// Whether Ctrl-C reaches us as a key rather than as a signal while a line is typed.
    pub(crate) fn takes_ctrl_c(&self) -> bool {
        matches!(self, Input::Terminal(terminal) if terminal.edits())
    }
}
