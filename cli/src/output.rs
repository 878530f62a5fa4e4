//! What the program says: results on standard output, the rest on standard error, for people or as JSON.
//!
//! Lines of containers come from the hypervisor's own thread, so everything here is shared. A reader that has gone is
//! noted, not an error: [`Output::check`] tells whoever goes on.

use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use everturn::{Exception, ExceptionKind, Ipld, Line, LogLevel, Receipt};
use serde_json::{Value, json};

use crate::arguments::Globals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::to_json;
use crate::logging::has_colours;
use crate::session::Stream;

/// For whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    People,
    Programs,
}

/// Writes a text above the prompt that a person is typing at.
pub(crate) type Printer = Box<dyn FnMut(String) + Send>;

/// A line of a container as it is shown, with its line break.
pub(crate) struct Shown {
    pub(crate) stream: Stream,
    pub(crate) text: String,
}

pub(crate) struct Output {
    reader: Reader,
    has_red: bool,
    lost: OnceLock<io::Error>,
    printer: Mutex<Option<Printer>>,
}

impl Output {
    pub(crate) fn new(globals: &Globals) -> Output {
        Output {
            reader: if globals.json { Reader::Programs } else { Reader::People },
            has_red: has_colours(),
            lost: OnceLock::new(),
            printer: Mutex::new(None),
        }
    }

    /// From now on lines of containers are written through this.
    pub(crate) fn set_printer(&self, printer: Printer) {
        *self.printer.lock().unwrap_or_else(PoisonError::into_inner) = Some(printer);
    }

    /// Fails once standard output is lost.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.lost.get() {
            None => Ok(()),
            Some(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::Unread),
            Some(error) => {
                Err(Failure::System(io::Error::new(error.kind(), format!("standard output: {error}"))))
            }
        }
    }

    /// One text for people, or one object for programs.
    pub(crate) fn say(&self, text: &str, event: impl FnOnce() -> Value) {
        match self.reader {
            Reader::People => self.out(text),
            Reader::Programs => self.out(&event().to_string()),
        }
    }

    /// An object for programs; people need not know.
    pub(crate) fn note(&self, event: impl FnOnce() -> Value) {
        if self.reader == Reader::Programs {
            self.out(&event().to_string());
        }
    }

    /// Something beside the results: on standard error, or an object for programs.
    pub(crate) fn mention(&self, text: &str, event: impl FnOnce() -> Value) {
        match self.reader {
            Reader::People => err(text),
            Reader::Programs => self.out(&event().to_string()),
        }
    }

    /// How a line that a container wrote is shown.
    pub(crate) fn line(&self, line: &Line) -> Shown {
        let (stream, text) = match (self.reader, line.level) {
            (Reader::Programs, _) => {
                let (number, from) = (line.number, line.from.to_string());
                let level = level(line.level);
                let event = json!({"event": "line", "number": number, "level": level, "from": from, "text": line.text});
                (Stream::Out, event.to_string())
            }
            (Reader::People, LogLevel::Debug | LogLevel::Info) => (Stream::Out, line.text.clone()),
            (Reader::People, LogLevel::Warning | LogLevel::Error) => (Stream::Err, line.text.clone()),
        };
        Shown { stream, text: text + "\n" }
    }

    /// Shows it: above the prompt, where there is one.
    pub(crate) fn show(&self, shown: &Shown) {
        let mut printer = self.printer.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *printer, shown.stream) {
            (Some(printer), _) => printer(shown.text.clone()),
            (None, Stream::Out) => self.write_out(&shown.text),
            (None, Stream::Err) => write_err(&shown.text),
        }
    }

    /// What an evaluated line came to.
    pub(crate) fn evaluated(&self, receipt: &Receipt) {
        let answer = match &receipt.outcome {
            Ok(answer) => answer,
            Err(exception) => return self.exception(exception),
        };
        let field = |name| match answer {
            Some(Ipld::Map(fields)) => fields.get(name),
            _ => None,
        };
        let text = match field("text") {
            Some(Ipld::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let event = || {
            let kind = field("type").map(to_json);
            json!({"event": "result", "text": text, "type": kind, "ticks": receipt.ticks.0, "burnt": receipt.burnt.0})
        };
        match text {
            Some(text) => self.say(text, event),
            None => self.note(event),
        }
    }

    /// What a turn was discarded for.
    pub(crate) fn exception(&self, exception: &Exception) {
        let text = uncaught(exception);
        let text = if self.has_red { format!("\x1b[31m{text}\x1b[0m") } else { text };
        self.mention(&text, || exception_event(exception));
    }

    /// The program's end: what is left to say, and the exit code.
    pub(crate) fn end(&self, ended: Result<Exit, Failure>) -> Exit {
        let failure = match ended.and_then(|exit| self.check().map(|()| exit)) {
            Ok(exit) => return exit,
            Err(failure) => failure,
        };
        match &failure {
            Failure::Unread | Failure::Interrupted => {}
            Failure::Exception(exception) => self.exception(exception),
            failure => self.failure(failure),
        }
        failure.exit()
    }

    /// A failure, with what to do about it.
    pub(crate) fn failure(&self, failure: &Failure) {
        let advice = failure.advice();
        let hint = advice.map(|advice| format!("\nhint: {advice}")).unwrap_or_default();
        let code = failure.exit() as u8;
        self.mention(
            &format!("everturn: {failure}{hint}"),
            || json!({"event": "error", "text": failure.to_string(), "advice": advice, "code": code}),
        );
    }

    fn out(&self, text: &str) {
        self.write_out(&format!("{text}\n"));
    }

    fn write_out(&self, text: &str) {
        if self.lost.get().is_some() {
            return;
        }
        let mut out = io::stdout().lock();
        if let Err(error) = write_text(&mut out, text) {
            // The first loss is the one that counts.
            let _ = self.lost.set(error);
        }
    }
}

/// Standard error is a courtesy: if it is gone there is nobody left to tell.
pub(crate) fn err(text: &str) {
    write_err(&format!("{text}\n"));
}

fn write_err(text: &str) {
    let _ = write_text(&mut io::stderr().lock(), text);
}

fn write_text(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}

fn uncaught(exception: &Exception) -> String {
    match exception.kind {
        ExceptionKind::Throw | ExceptionKind::StackOverflow | ExceptionKind::OutOfMemory => {
            format!("Uncaught {exception}")
        }
        ExceptionKind::Rejection => format!("Uncaught (in promise) {exception}"),
        _ => exception.to_string(),
    }
}

fn exception_event(exception: &Exception) -> Value {
    let kind = serde_json::to_value(exception.kind).unwrap_or_default();
    json!({"event": "exception", "kind": kind, "text": exception.text, "stack": exception.stack})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_thrown_is_said_with_its_stack() {
        let mut thrown = Exception::new(ExceptionKind::Throw, "TypeError: x is not a function");
        thrown.stack = "    at <shell>:1:1\n".into();
        assert_eq!(uncaught(&thrown), "Uncaught TypeError: x is not a function\n    at <shell>:1:1");
        let burnt = Exception::new(ExceptionKind::Fuel, "the turn burnt all of its fuel");
        assert_eq!(uncaught(&burnt), "the turn burnt all of its fuel");
    }

    #[test]
    fn an_exception_for_programs_names_its_kind() {
        let event = exception_event(&Exception::new(ExceptionKind::StackOverflow, "RangeError: deep"));
        assert_eq!(event["kind"], "stack-overflow");
        assert_eq!(event["event"], "exception");
    }
}
