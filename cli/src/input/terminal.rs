//! Lines from a person: editing, history, completion.
//!
//! While a line is typed the terminal is in raw mode, so Ctrl-C is a key; between lines it is the signal SIGINT again.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as asking;

use nix::sys::termios::{self, SetArg, Termios};
use rustyline::config::Configurer as _;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Editor, Event, EventContext, EventHandler,
    ExternalPrinter, KeyEvent, RepeatCount,
};
use tokio::sync::mpsc;

use super::names::{Assistant, Names};
use super::vocabulary::Vocabulary;
use super::{Prompt, Typed};
use crate::failure::Failure;
use crate::output::Printer;

const HISTORY_LINES_MAX: usize = 1000;
/// Terminals that the editor cannot drive; on them lines are read as they come.
const WITHOUT_EDITING: [&str; 3] = ["dumb", "cons25", "emacs"];

enum Ask {
    Read(Prompt),
    Remember(String),
}

pub(crate) struct Terminal {
    asks: asking::Sender<Ask>,
    typed: mpsc::UnboundedReceiver<Typed>,
    is_asked: bool,
    /// How the terminal was before us; `None` if it cannot be told.
    before: Option<Termios>,
}

impl Terminal {
    /// Begins to drive the terminal; the printer writes above the line being typed. `living` are the names that the container
    /// has for a path such as `a.b`; where it has none, words that were used are completed.
    pub(crate) fn open(history: PathBuf, living: Names) -> Result<(Terminal, Option<Printer>), Failure> {
        let before = termios::tcgetattr(io::stdin()).ok();
        let (asks, asked) = asking::channel();
        let (to, typed) = mpsc::unbounded_channel();
        let mut reader = Reader::new(history, living)?;
        let printer = reader.printer();
        std::thread::spawn(move || reader.serve(&asked, &to));
        Ok((Terminal { asks, typed, is_asked: false, before }, printer))
    }

    pub(super) async fn next(&mut self, prompt: Prompt) -> Typed {
        if !self.is_asked {
            // If the reader is gone, so is its end of `typed`.
            let _ = self.asks.send(Ask::Read(prompt));
            self.is_asked = true;
        }
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        self.is_asked = false;
        typed
    }

    pub(super) fn remember(&mut self, statement: &str) {
        let _ = self.asks.send(Ask::Remember(statement.to_owned()));
    }

    pub(super) fn edits(&self) -> bool {
        let name = std::env::var("TERM").unwrap_or_default();
        !WITHOUT_EDITING.iter().any(|without| name.eq_ignore_ascii_case(without))
    }
}

impl Drop for Terminal {
    /// Gives the terminal back as it was, also when a line was being typed.
    fn drop(&mut self) {
        if let (true, Some(before)) = (self.is_asked, &self.before) {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
            // Ends bracketed paste, and the line that was being typed.
            let _ = io::stdout().lock().write_all(b"\x1b[?2004l\n");
        }
    }
}

/// The thread that reads.
struct Reader {
    editor: Editor<Assistant, DefaultHistory>,
    history: PathBuf,
    vocabulary: Vocabulary,
    had_text: Arc<AtomicBool>,
}

impl Reader {
    fn new(history: PathBuf, living: Names) -> Result<Reader, Failure> {
        let config = Config::builder().completion_type(CompletionType::List).build();
        let mut editor = Editor::with_history(config, DefaultHistory::new()).map_err(unreadable)?;
        editor.set_max_history_size(HISTORY_LINES_MAX).map_err(unreadable)?;
        let had_text = Arc::new(AtomicBool::new(false));
        let note = EventHandler::Conditional(Box::new(NoteText(had_text.clone())));
        editor.bind_sequence(KeyEvent::ctrl('C'), note);
        // Without its history, or with a damaged one, the shell works all the same.
        let _ = editor.load_history(&history);
        let vocabulary = Vocabulary::new();
        editor.history().iter().for_each(|statement| vocabulary.learn(statement));
        let words = vocabulary.clone();
        let names = move |path: &str| {
            let living = living(path);
            if living.is_empty() { words.completions(path) } else { living }
        };
        editor.set_helper(Some(Assistant { names: Box::new(names) }));
        Ok(Reader { editor, history, vocabulary, had_text })
    }

    fn printer(&mut self) -> Option<Printer> {
        let mut printer = self.editor.create_external_printer().ok()?;
        Some(Box::new(move |text| {
            // The terminal is gone; the shell will learn of it when it reads.
            let _ = printer.print(text);
        }))
    }

    fn serve(&mut self, asked: &asking::Receiver<Ask>, to: &mpsc::UnboundedSender<Typed>) {
        for ask in asked {
            match ask {
                Ask::Remember(statement) => self.remember(&statement),
                Ask::Read(prompt) => {
                    if to.send(self.read(prompt)).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn read(&mut self, prompt: Prompt) -> Typed {
        let text = match prompt {
            Prompt::First => "> ",
            Prompt::More => "... ",
        };
        loop {
            let read = self.editor.readline(text);
            return match read {
                Ok(line) => Typed::Line(line),
                Err(ReadlineError::Eof) => Typed::End,
                Err(ReadlineError::Interrupted) if self.had_text.load(Ordering::Relaxed) => Typed::Cleared,
                Err(ReadlineError::Interrupted) if prompt == Prompt::More => Typed::Cleared,
                Err(ReadlineError::Interrupted) => Typed::Left,
                Err(ReadlineError::Signal(_)) => continue,
                Err(error) => Typed::Failed(io::Error::other(error.to_string())),
            };
        }
    }

    /// A history that cannot be written is not worth a word to whoever is typing.
    fn remember(&mut self, statement: &str) {
        self.vocabulary.learn(statement);
        if self.editor.add_history_entry(statement).is_ok_and(|added| added) {
            let _ = self.editor.append_history(&self.history);
        }
    }
}

fn unreadable(error: ReadlineError) -> Failure {
    Failure::System(io::Error::other(format!("the terminal cannot be used: {error}")))
}

/// On Ctrl-C, notes whether there was anything to clear.
struct NoteText(Arc<AtomicBool>);

impl ConditionalEventHandler for NoteText {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        self.0.store(!context.line().is_empty(), Ordering::Relaxed);
        Some(Cmd::Interrupt)
    }
}
