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
    pub(crate) async fn feed<E>(
        &mut self,
        line: &str,
        judge: impl AsyncFn(&str) -> Result<Completeness, E>,
    ) -> Result<Fed, E> {
        if self.is_empty() && line.trim().is_empty() {
            return Ok(Fed::Nothing);
        }
        if !self.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        if wants_more(&self.text, &judge).await? {
            return Ok(Fed::Incomplete);
        }
        Ok(Fed::Whole(std::mem::take(&mut self.text)))
    }

    /// What is there when no more lines come.
    pub(crate) fn take(&mut self) -> Option<String> {
        if self.is_empty() { None } else { Some(std::mem::take(&mut self.text)) }
    }
}

/// A line that begins with a brace may be an object, which is judged as one: `{ a: 1, b:` is wrong only as a block.
async fn wants_more<E>(text: &str, judge: &impl AsyncFn(&str) -> Result<Completeness, E>) -> Result<bool, E> {
    Ok(match judge(text).await? {
        Completeness::Complete => false,
        Completeness::Incomplete => true,
        Completeness::SyntaxError if text.trim_start().starts_with('{') => {
            matches!(judge(&format!("({text}")).await?, Completeness::Incomplete)
                && !matches!(judge(&format!("({text})")).await?, Completeness::Complete)
        }
        Completeness::SyntaxError => false,
    })
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

    /// Feeds a line to a judge that never fails.
    async fn feed(statement: &mut Statement, line: &str, judge: impl Fn(&str) -> Completeness) -> Fed {
        let judged = async |text: &str| Ok::<_, std::convert::Infallible>(judge(text));
        let Ok(fed) = statement.feed(line, judged).await;
        fed
    }

    #[tokio::test]
    async fn lines_are_gathered_until_they_are_whole() {
        let mut statement = Statement::default();
        assert_eq!(feed(&mut statement, "function f() {", judge).await, Fed::Incomplete);
        assert_eq!(feed(&mut statement, "", judge).await, Fed::Incomplete);
        assert_eq!(feed(&mut statement, "}", judge).await, Fed::Whole("function f() {\n\n}".into()));
        assert!(statement.is_empty());
    }

    #[tokio::test]
    async fn blank_lines_are_nothing_and_wrong_ones_are_whole() {
        let mut statement = Statement::default();
        assert_eq!(feed(&mut statement, "  ", judge).await, Fed::Nothing);
        assert_eq!(feed(&mut statement, "}", judge).await, Fed::Whole("}".into()));
    }

    #[tokio::test]
    async fn what_is_left_can_be_taken_once() {
        let mut statement = Statement::default();
        assert_eq!(feed(&mut statement, "f(", judge).await, Fed::Incomplete);
        assert_eq!(statement.take(), Some("f(".into()));
        assert_eq!(statement.take(), None);
    }

    #[tokio::test]
    async fn an_object_over_several_lines_is_not_taken_for_a_wrong_block() {
        let as_script = |text: &str| match text {
            "{ a: 1, b:" => Completeness::SyntaxError,
            "({ a: 1, b:" | "({ a: 1, b:)" => Completeness::Incomplete,
            _ => Completeness::SyntaxError,
        };
        assert_eq!(feed(&mut Statement::default(), "{ a: 1, b:", as_script).await, Fed::Incomplete);
    }
}
