//! Rules for one Rust file.

/// Where `unsafe` may stand: memory shared with the system, and compiled code read back from our own cache.
const UNSAFE_PLACES: [&str; 5] = [
    "heap/src/region",
    "heap/src/tracker",
    "containers/src/wasm/memory.rs",
    "containers/src/wasm/cache.rs",
    // A guest's program: no part of the host.
    "containers/guest/examples/",
];

/// Words that say that something is not finished or not run.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "#[ignore"];

/// Crates whose outcome must not depend on when they run.
const NO_WALL_CLOCK: [&str; 6] = [
    "dag/src/",
    "port-manager/src/",
    "heap/src/",
    "exo-interface/src/",
    "hypervisor/src/",
    "containers/src/",
];

/// What in this file breaks the rules, one line each.
pub(crate) fn offences(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    if needs_head(path) && !source.trim_start().starts_with("//!") {
        found.push(format!("{path}: no head (`//!`) that says what it is for"));
    }
    for (place, line) in code(source).lines().enumerate() {
        let number = place + 1;
        for word in UNFINISHED {
            if line.contains(word) {
                found.push(format!("{path}:{number}: {word}"));
            }
        }
        if has_word(line, "unsafe") && !UNSAFE_PLACES.iter().any(|allowed| path.starts_with(allowed)) {
            found.push(format!("{path}:{number}: unsafe outside its places"));
        }
        if has_word(line, "SystemTime") && NO_WALL_CLOCK.iter().any(|folder| path.starts_with(folder)) {
            found.push(format!("{path}:{number}: the wall clock belongs to drivers"));
        }
    }
    found
}

/// A module of tests beside the code has the code's head to stand on.
fn needs_head(path: &str) -> bool {
    !(path.contains("/src/") && (path.ends_with("/tests.rs") || path.contains("/tests/")))
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The source with comments and the contents of literals taken out; lines stay where they were.
pub(crate) fn code(source: &str) -> String {
    let mut rest = source;
    let mut code = String::with_capacity(source.len());
    while let Some(first) = rest.chars().next() {
        let taken = match passage(rest) {
            Some(bytes) => {
                code.extend(rest[..bytes].chars().filter(|c| *c == '\n'));
                code.push(' ');
                bytes
            }
            None => {
                code.push(first);
                let ends_a_name = first.is_alphanumeric() || first == '_';
                // So that the `r` at the end of a name does not open a raw string.
                let name_bytes = if ends_a_name { name_length_bytes(rest) } else { first.len_utf8() };
                code.push_str(&rest[first.len_utf8()..name_bytes]);
                name_bytes
            }
        };
        rest = &rest[taken..];
    }
    code
}

fn name_length_bytes(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// The length in bytes of the comment or literal that begins here, if one does.
fn passage(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment_bytes(text));
    }
    if text.starts_with('\'') {
        return character_bytes(text);
    }
    raw_string_bytes(text).or_else(|| string_bytes(text))
}

/// Comments nest.
fn block_comment_bytes(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// `'a'`, `'\n'`, `'\''`; none if it is a lifetime.
fn character_bytes(text: &str) -> Option<usize> {
    let inside = &text[1..];
    if let Some(escaped) = inside.strip_prefix('\\') {
        let skipped = escaped.chars().next()?.len_utf8();
        return Some(2 + skipped + escaped[skipped..].find('\'')? + 1);
    }
    let bytes = inside.chars().next()?.len_utf8();
    inside[bytes..].starts_with('\'').then_some(1 + bytes + 1)
}

/// `"a"`, `b"a"`, `c"a"`.
fn string_bytes(text: &str) -> Option<usize> {
    let body = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('"')?;
    let opening_bytes = text.len() - body.len();
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(opening_bytes + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// `r"a"`, `r#"a"#`, `br"a"`, `cr"a"`; none if it is a raw name, `r#fn`.
fn raw_string_bytes(text: &str) -> Option<usize> {
    let behind_r = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let quoted = behind_r.trim_start_matches('#');
    let hashes = behind_r.len() - quoted.len();
    let body = quoted.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opening_bytes = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |at| opening_bytes + at + end.len()))
}

#[test]
fn code_is_what_is_left_without_comments_and_literals() {
    let cases = [
        ("a // unsafe\nb", "a  \nb"),
        ("a /* /* x */ unsafe */ b", "a   b"),
        (r#"f("unsafe \" still", 'x', '\'', b"y")"#, "f( ,  ,  ,  )"),
        ("r#\"unsafe \" \"# + br\"x\"", "  +  "),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("var\"x\" r#fn", "var  r#fn"),
        ("\"a\n\nb\" c", "\n\n  c"),
    ];
    for (source, expected) in cases {
        assert_eq!(code(source), expected, "{source}");
    }
}

#[test]
fn each_offence_is_seen_in_its_line() {
    let cases = [
        ("dag/src/a.rs", "fn f() {}", "dag/src/a.rs: no head"),
        ("dag/src/a.rs", "//! A.\nfn f() { todo!() }", "dag/src/a.rs:2: todo!"),
        ("dag/src/a.rs", "//! A.\n\n#[ignore = \"slow\"]", "dag/src/a.rs:3: #[ignore"),
        ("cli/src/a.rs", "//! A.\nunsafe { f() }", "cli/src/a.rs:2: unsafe"),
        ("heap/src/a.rs", "//! A.\nlet t = SystemTime::now();", "heap/src/a.rs:2: the wall clock"),
    ];
    for (path, source, expected) in cases {
        let found = offences(path, source);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{source}: {found:?}");
    }
}

#[test]
fn what_only_looks_like_an_offence_is_let_pass() {
    let cases = [
        ("dag/src/a.rs", "//! unsafe, todo!\n#![deny(unsafe_code)]\nlet s = \"unimplemented!\";"),
        ("dag/src/a/tests.rs", "use super::*;"),
        ("heap/src/region/linux.rs", "//! A.\nunsafe { f() }"),
        ("cli/src/a.rs", "//! A.\nlet t = SystemTime::now();"),
    ];
    for (path, source) in cases {
        assert_eq!(offences(path, source), Vec::<String>::new(), "{source}");
    }
}
