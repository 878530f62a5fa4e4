//! Completion with Tab: the shell's own commands, and names.

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

/// The names that may stand in place of the last one of `a.b.c`.
pub(crate) type Names = Box<dyn Fn(&str) -> Vec<String> + Send>;

/// The shell's own commands, as they are typed.
pub(crate) const COMMANDS: [&str; 9] =
    [".exit", ".heap", ".help", ".load", ".models", ".ports", ".root", ".schema", ".undo"];

/// What the editor asks about the text being typed.
pub(super) struct Assistant {
    pub(super) names: Names,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..pos).unwrap_or(line);
        if is_command(typed) {
            let found = COMMANDS.iter().filter(|command| command.starts_with(typed));
            return Ok((0, found.map(|command| (*command).to_owned()).collect()));
        }
        let path = path_at_end(typed);
        // Nothing typed yet: every name there is would help nobody.
        if path.is_empty() {
            return Ok((pos, Vec::new()));
        }
        let last_bytes = path.rsplit('.').next().map_or(0, str::len);
        Ok((typed.len() - last_bytes, (self.names)(path)))
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}
impl Validator for Assistant {}
impl Helper for Assistant {}

fn is_command(typed: &str) -> bool {
    typed.strip_prefix('.').is_some_and(|name| name.chars().all(|letter| letter.is_ascii_lowercase()))
}

/// The names with points between them at the end of a text: `a.b` of `f(a.b`.
fn path_at_end(text: &str) -> &str {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$' | '.');
    let bytes: usize = text.chars().rev().take_while(|letter| is_part(*letter)).map(char::len_utf8).sum();
    &text[text.len() - bytes..]
}

#[cfg(test)]
mod tests {
    use rustyline::history::DefaultHistory;

    use super::*;

    fn complete(line: &str) -> (usize, Vec<String>) {
        let names: Names = Box::new(|path| vec![format!("<{path}>")]);
        let history = DefaultHistory::new();
        Assistant { names }.complete(line, line.len(), &Context::new(&history)).unwrap()
    }

    #[test]
    fn the_last_name_of_a_path_is_completed() {
        assert_eq!(complete("f(a.be"), (4, vec!["<a.be>".into()]));
        assert_eq!(complete("é + ü"), (5, vec!["<ü>".into()]));
        assert_eq!(complete("console."), (8, vec!["<console.>".into()]));
    }

    #[test]
    fn the_shells_own_commands_are_completed() {
        assert_eq!(complete(".he"), (0, vec![".heap".into(), ".help".into()]));
        assert_eq!(complete("."), (0, COMMANDS.map(str::to_owned).to_vec()));
    }

    #[test]
    fn nothing_is_completed_after_nothing() {
        assert_eq!(complete("f("), (2, Vec::new()));
        assert_eq!(complete(""), (0, Vec::new()));
    }
}
