//! Lines of input until they are a whole statement.

use everturn::js::Completeness;

/// What a line did to the statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// There is nothing to evaluate.
    Nothing,
    /// It wants more lines.
    Incomplete,
    /// It is whole, or so wrong that more lines would not help.
    Whole(String),
}

/// The lines so far of a statement that is not whole yet.
#[derive(Debug, Default)]
pub(crate) struct Statement {
    text: String,
}

impl Statement {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }

    /// Adds a line; `judge` knows the language.
    pub(crate) fn feed(&mut self, line: &str, mut judge: impl FnMut(&str) -> Completeness) -> Fed {
        if self.is_empty() && line.trim().is_empty() {
            return Fed::Nothing;
        }
        if !self.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        if wants_more(&self.text, &mut judge) {
            return Fed::Incomplete;
        }
        Fed::Whole(std::mem::take(&mut self.text))
    }

    /// What is there when no more lines come.
    pub(crate) fn take(&mut self) -> Option<String> {
        if self.is_empty() { None } else { Some(std::mem::take(&mut self.text)) }
    }
}

/// A line that begins with a brace may be an object, which is judged as one: `{ a: 1, b:` is wrong only as a block.
fn wants_more(text: &str, judge: &mut impl FnMut(&str) -> Completeness) -> bool {
    match judge(text) {
        Completeness::Complete => false,
        Completeness::Incomplete => true,
        Completeness::SyntaxError if text.trim_start().starts_with('{') => {
            matches!(judge(&format!("({text}")), Completeness::Incomplete)
                && !matches!(judge(&format!("({text})")), Completeness::Complete)
        }
        Completeness::SyntaxError => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Complete when the braces are even, wrong when they close too often.
    fn judge(text: &str) -> Completeness {
        let depth = text.chars().fold(0_i32, |depth, letter| match letter {
            '{' | '(' => depth + 1,
            '}' | ')' => depth - 1,
            _ => depth,
        });
        match depth {
            0 => Completeness::Complete,
            1.. => Completeness::Incomplete,
            _ => Completeness::SyntaxError,
        }
    }

    #[test]
    fn lines_are_gathered_until_they_are_whole() {
        let mut statement = Statement::default();
        assert_eq!(statement.feed("function f() {", judge), Fed::Incomplete);
        assert_eq!(statement.feed("", judge), Fed::Incomplete);
        assert_eq!(statement.feed("}", judge), Fed::Whole("function f() {\n\n}".into()));
        assert!(statement.is_empty());
    }

    #[test]
    fn blank_lines_are_nothing_and_wrong_ones_are_whole() {
        let mut statement = Statement::default();
        assert_eq!(statement.feed("  ", judge), Fed::Nothing);
        assert_eq!(statement.feed("}", judge), Fed::Whole("}".into()));
    }

    #[test]
    fn what_is_left_can_be_taken_once() {
        let mut statement = Statement::default();
        assert_eq!(statement.feed("f(", judge), Fed::Incomplete);
        assert_eq!(statement.take(), Some("f(".into()));
        assert_eq!(statement.take(), None);
    }

    #[test]
    fn an_object_over_several_lines_is_not_taken_for_a_wrong_block() {
        let as_script = |text: &str| match text {
            "{ a: 1, b:" => Completeness::SyntaxError,
            "({ a: 1, b:" | "({ a: 1, b:)" => Completeness::Incomplete,
            _ => Completeness::SyntaxError,
        };
        assert_eq!(Statement::default().feed("{ a: 1, b:", as_script), Fed::Incomplete);
    }
}
