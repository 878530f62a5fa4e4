//! The table that is printed: one line a figure.

use std::fmt;

use crate::durations::figure;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It is told, no more.
    None,
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    what: String,
    target: Target,
    measured: f64,
    unit: &'static str,
    raw: String,
    note: String,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, target: Target, measured: f64, unit: &'static str) -> Row {
        Row { what: what.into(), target, measured, unit, raw: String::new(), note: String::new() }
    }

    /// What the disk alone did in this run, and what that asks for.
    pub(crate) fn raw(mut self, raw: impl Into<String>) -> Row {
        self.raw = raw.into();
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Row {
        self.note = note.into();
        self
    }

    fn verdict(&self) -> &'static str {
        let is_met = match self.target {
            Target::None => return "",
            Target::AtMost(most) => self.measured <= most,
            Target::AtLeast(least) => self.measured >= least,
        };
        if is_met { "yes" } else { "**no**" }
    }

    fn target(&self) -> String {
        match self.target {
            Target::None => String::new(),
            Target::AtMost(most) => format!("at most {} {}", figure(most), self.unit),
            Target::AtLeast(least) => format!("at least {} {}", figure(least), self.unit),
        }
    }
}

/// All figures, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("  {}: {} {} {}", row.what, figure(row.measured), row.unit, row.note);
        self.rows.push(row);
    }

    /// Notes that a figure could not be had, and why.
    pub(crate) fn failed(&mut self, what: &str, why: &str) {
        eprintln!("  {what}: not measured: {why}");
        self.failures.push(format!("{what}: not measured: {why}"));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | target | measured (median) | met | the disk alone, same run | note |")?;
        writeln!(f, "|---|---|---:|---|---|---|")?;
        for row in &self.rows {
            let Row { what, unit, raw, note, .. } = row;
            let (target, verdict, measured) = (row.target(), row.verdict(), figure(row.measured));
            writeln!(f, "| {what} | {target} | {measured} {unit} | {verdict} | {raw} | {note} |")?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "\n{failure}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whether_its_target_is_met() {
        let mut table = Table::default();
        table.add(Row::new("a", Target::AtMost(2.0), 1.5, "us"));
        table.add(Row::new("b", Target::AtLeast(200_000.0), 1234.0, "turns/s").raw("r").note("n"));
        table.add(Row::new("c", Target::None, 3.0, "KB"));
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "| a | at most 2.00 us | 1.50 us | yes |  |  |");
        assert_eq!(lines[1], "| b | at least 200,000 turns/s | 1,234 turns/s | **no** | r | n |");
        assert_eq!(lines[2], "| c |  | 3.00 KB |  |  |  |");
    }
}
