//! The words that a person has used: what Tab completes where the container has no names of its own.
//!
//! Knows text only.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Words that every container knows.
const BEGIN: &str = "\
Array ArrayBuffer BigInt Boolean DataView Date Error FinalizationRegistry Float64Array Headers Infinity Int32Array JSON Map \
Math NaN Number Object Promise Proxy RangeError Reflect RegExp Request Response Set String Symbol SyntaxError \
TextDecoder TextEncoder TypeError URL Uint8Array WeakMap WeakRef WeakSet assert async await break case catch class console \
const continue debug debugger default delete dir entries error export extends false filter finally forEach for from function \
globalThis hrtime if import info instanceof isArray keys length let log map message new null of parse ports print prototype \
push queueMicrotask reduce return self send setInterval setTimeout slice splice static stringify structuredClone super \
switch then this throw toString true try typeof undefined values var void warn while with yield";

/// Words worth completing have at least this many bytes.
const WORD_BYTES_MIN: usize = 2;

/// Shared by the thread that reads and by whoever learns words.
#[derive(Clone)]
pub(crate) struct Vocabulary {
    words: Arc<Mutex<BTreeSet<String>>>,
}

impl Vocabulary {
    pub(super) fn new() -> Vocabulary {
        let vocabulary = Vocabulary { words: Arc::default() };
        vocabulary.learn(BEGIN);
        vocabulary
    }

    /// Takes in the words of a text.
    pub(super) fn learn(&self, text: &str) {
        let found = text.split(|letter| !is_part(letter));
        let found = found
            .filter(|word| word.len() >= WORD_BYTES_MIN && !word.starts_with(|c: char| c.is_ascii_digit()));
        self.words.lock().unwrap_or_else(PoisonError::into_inner).extend(found.map(str::to_owned));
    }

    /// The words that may stand in place of the last one of `a.b.c`.
    pub(super) fn completions(&self, path: &str) -> Vec<String> {
        let start = path.rsplit('.').next().unwrap_or(path);
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.range(start.to_owned()..).take_while(|word| word.starts_with(start)).cloned().collect()
    }
}

/// Whether a letter may be part of a name.
fn is_part(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_were_used_are_completed() {
        let vocabulary = Vocabulary::new();
        vocabulary.learn("var create_counter = function() { var counter = 0; };");
        assert_eq!(vocabulary.completions("create_c"), ["create_counter"]);
        assert_eq!(vocabulary.completions("a.cou"), ["counter"]);
        assert_eq!(vocabulary.completions("consol"), ["console"]);
        assert_eq!(vocabulary.completions("zz"), Vec::<String>::new());
    }

    #[test]
    fn numbers_and_single_letters_are_no_words() {
        let vocabulary = Vocabulary::new();
        vocabulary.learn("x 12ab q9 $");
        assert_eq!(vocabulary.completions("12"), Vec::<String>::new());
        assert_eq!(vocabulary.completions("q"), ["q9", "queueMicrotask"]);
    }
}
