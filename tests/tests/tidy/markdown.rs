//! Links and tables of a Markdown document, as far as ours use them.

use super::repository::Repository;

/// A link and the line it stands in, from 1.
#[derive(Debug, PartialEq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// The links outside of code, in order.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, written) in prose(text) {
        let shown = written.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let behind = shown.match_indices("](").filter_map(|(at, _)| shown[at + 2..].split([')', ' ']).next());
        let below = shown
            .split_once("]: ")
            .filter(|(name, _)| name.starts_with('['))
            .map(|(_, target)| target.trim());
        links.extend(behind.chain(below).map(|target| Link { line, target: target.to_owned() }));
    }
    links
}

/// The cells of all tables, without the head and the line under it.
pub(crate) fn table_rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut in_table = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            in_table = false;
        } else if in_table {
            rows.push(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        } else {
            let below = lines.next().unwrap_or_default();
            assert!(
                below.starts_with("|-") || below.starts_with("| -"),
                "a table without a line under its head: {line}"
            );
            in_table = true;
        }
    }
    rows
}

/// Whether a target leads somewhere; addresses of the net are not asked.
pub(crate) fn resolve(repository: &Repository, from: &str, text: &str, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let other;
    let text = if path.is_empty() {
        text
    } else {
        let path = join(from, path)?;
        if !repository.contains(&path) {
            return Err(format!("there is no {path}"));
        }
        if heading.is_empty() {
            return Ok(());
        }
        other = repository.read(&path);
        &other
    };
    let known = prose(text).filter_map(|(_, line)| anchor(line)).any(|anchor| anchor == heading);
    if known { Ok(()) } else { Err(format!("there is no heading #{heading}")) }
}

/// A path from the top, for one that a file names from where it lies.
fn join(from: &str, path: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or("it leaves the repository")?),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// What a heading is linked by: lower case, words joined by `-`, marks left out.
fn anchor(line: &str) -> Option<String> {
    let heading = line.trim_start_matches('#');
    if heading.len() == line.len() || !heading.starts_with(' ') {
        return None;
    }
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    Some(kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect())
}

/// The lines outside of fenced code, from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(place, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((place + 1, line))
    })
}

#[test]
fn links_are_found_outside_of_code() {
    let text =
        "[a](x.md) and [b](y/z.md#q \"title\")\n```\n[c](no.md)\n```\n`[d](no.md)` [e](f)\n[g]: h.md\n";
    let found: Vec<_> = links(text).into_iter().map(|link| (link.line, link.target)).collect();
    let expected = [(1, "x.md"), (1, "y/z.md#q"), (5, "f"), (6, "h.md")];
    assert_eq!(found, expected.map(|(line, target)| (line, target.to_owned())));
}

#[test]
fn a_link_to_nowhere_is_seen() {
    let repository = Repository::open();
    let text = "# Two words, `code`\n";
    let resolve = |target| resolve(&repository, "docs/a.md", text, target);
    for target in ["https://example.org/x", "../Cargo.toml", "decisions", "..", "#two-words-code"] {
        assert_eq!(resolve(target), Ok(()), "{target}");
    }
    for target in ["Cargo.toml", "../../shared/design.md", "#one-word", "../nowhere/"] {
        assert!(resolve(target).is_err(), "{target}");
    }
}

#[test]
fn a_table_is_its_rows() {
    let rows = table_rows("x\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\ny\n");
    assert_eq!(rows, [["1", "2"], ["3", "4"]]);
}
