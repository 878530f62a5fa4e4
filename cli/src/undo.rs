//! The lines that `.undo` can take back: the file `undo` beside the store.
//!
//! Each step is a line and the state root before it. A step is noted before its line runs, and the root after it when
//! that is known, so after a kill at any instant the file and the store tell together how far the line came:
//! [`Undo::begin`] compares them. A power cut may cost the steps (the state never depends on them): two syncs a line
//! would be dear for that.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use everturn::Cid;
use serde::{Deserialize, Serialize};

use crate::draft::{self, Durability};
use crate::failure::Failure;

/// How many lines can be taken back.
const STEPS_MAX: usize = 100;
/// How much of a line is kept, in characters: enough to know it again.
const LINE_CHARS_MAX: usize = 200;
/// The line of a step that no shell made.
const OUTSIDE: &str = "(what was done outside the shell)";

/// One line, and where to go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The state root before it.
    before: String,
    /// What was typed.
    pub(crate) line: String,
}

impl Step {
    /// The state root before it.
    pub(crate) fn before(&self) -> Option<Cid> {
        self.before.parse().ok()
    }
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Steps {
    steps: VecDeque<Step>,
    /// The state root after the last step, where it is known.
    after: Option<String>,
}

/// The steps of one data folder.
#[derive(Debug)]
pub(crate) struct Undo {
    path: PathBuf,
    kept: Steps,
}

impl Undo {
    /// Reads the folder's steps. A file that cannot be understood holds none: it is a convenience, not state.
    pub(crate) fn in_folder(folder: &Path) -> Undo {
        let path = folder.join("undo");
        let kept =
            fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Undo { path, kept }
    }

    /// The state is at `root` now, before anything of this session, and `root` was pinned for it: fits the steps to it.
    /// `pinned` are the pins of the store; returns those that are too many.
    pub(crate) fn begin(&mut self, root: &Cid, pinned: BTreeMap<Cid, u64>) -> Vec<Cid> {
        self.fit(root);
        let mut released = Vec::new();
        for (cid, pins) in pinned {
            let wanted = self.roots().filter(|root| *root == cid).count() as u64;
            released.extend((wanted..pins).map(|_| cid));
        }
        released
    }

    /// Every root that the steps stand on.
    fn roots(&self) -> impl Iterator<Item = Cid> {
        let before = self.kept.steps.iter().map(|step| &step.before);
        before.chain(&self.kept.after).filter_map(|root| root.parse().ok())
    }

    fn fit(&mut self, root: &Cid) {
        let root = root.to_string();
        match self.kept.after.take() {
            Some(after) if after != root => self.push(after, OUTSIDE),
            Some(_) => {}
            // Killed within the last step's line: it may not have come to anything.
            None if self.kept.steps.back().is_some_and(|step| step.before == root) => {
                self.kept.steps.pop_back();
            }
            None => {}
        }
        self.kept.after = Some(root);
    }

    /// Notes a line that is about to run. Returns the roots of steps that are too far back now.
    pub(crate) fn enter(&mut self, line: &str) -> Result<Vec<Cid>, Failure> {
        if let Some(before) = self.kept.after.take() {
            self.push(before, line);
        }
        let mut released = Vec::new();
        while self.kept.steps.len() > STEPS_MAX {
            released.extend(self.kept.steps.pop_front().and_then(|step| step.before()));
        }
        self.write()?;
        Ok(released)
    }

    /// The line has been run; the state is at `root` now.
    pub(crate) fn leave(&mut self, root: &Cid) -> Result<(), Failure> {
        self.kept.after = Some(root.to_string());
        self.write()
    }

    /// The line that was entered last is none: it threw, or it was taken back. Returns the root after it, if it had one.
    pub(crate) fn forget(&mut self) -> Result<Option<Cid>, Failure> {
        let mut released = None;
        if let Some(step) = self.kept.steps.pop_back() {
            released = self.kept.after.replace(step.before);
        }
        self.write()?;
        Ok(released.and_then(|root| root.parse().ok()))
    }

    /// The step to take back next.
    pub(crate) fn last(&self) -> Option<&Step> {
        self.kept.steps.back()
    }

    fn push(&mut self, before: String, line: &str) {
        self.kept.steps.push_back(Step { before, line: shortened(line) });
    }

    fn write(&self) -> Result<(), Failure> {
        let text =
            serde_json::to_vec(&self.kept).map_err(|error| Failure::writing(&self.path, error.into()))?;
        draft::replace(&self.path, &text, Durability::Kill)
            .map_err(|source| Failure::writing(&self.path, source))
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((bytes, _)) => format!("{}...", &line[..bytes]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use everturn::address::raw_cid;

    use super::*;

    fn root(number: u8) -> Cid {
        raw_cid(&[number])
    }

    fn begin(undo: &mut Undo, number: u8) {
        assert_eq!(undo.begin(&root(number), BTreeMap::new()), []);
    }

    fn lines(undo: &Undo) -> Vec<&str> {
        undo.kept.steps.iter().map(|step| step.line.as_str()).collect()
    }

    #[test]
    fn steps_are_taken_back_in_turn_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 0);
        for (number, line) in [(1, "one"), (2, "two")] {
            undo.enter(line).unwrap();
            undo.leave(&root(number)).unwrap();
        }
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 2);
        assert_eq!(undo.last().and_then(Step::before), Some(root(1)));
        undo.forget().unwrap();
        assert_eq!(undo.last().map(|step| step.line.as_str()), Some("one"));
        undo.forget().unwrap();
        assert_eq!(undo.last(), None);
    }

    #[test]
    fn a_line_that_was_killed_before_its_commit_is_no_step() {
        let folder = tempfile::tempdir().unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 0);
        undo.enter("killed").unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 0);
        assert_eq!(undo.last(), None);
    }

    #[test]
    fn a_line_that_was_killed_after_its_commit_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 0);
        undo.enter("killed").unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 1);
        assert_eq!(lines(&undo), ["killed"]);
    }

    #[test]
    fn what_others_did_is_a_step_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 0);
        undo.enter("ours").unwrap();
        undo.leave(&root(1)).unwrap();
        begin(&mut undo, 2);
        assert_eq!(lines(&undo), ["ours", OUTSIDE]);
    }

    #[test]
    fn the_hundred_latest_are_kept_and_long_lines_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 0);
        for number in 0..=STEPS_MAX {
            let released = undo.enter(&format!("{number}{}", "é".repeat(300))).unwrap();
            assert_eq!(released, vec![root(0); usize::from(number == STEPS_MAX)]);
            undo.leave(&root(number as u8 + 1)).unwrap();
        }
        assert_eq!(undo.kept.steps.len(), STEPS_MAX);
        let oldest = &lines(&undo)[0];
        assert!(
            oldest.starts_with('1') && oldest.ends_with("...") && oldest.chars().count() == 203,
            "{oldest}"
        );
    }

    #[test]
    fn a_line_that_is_taken_back_needs_its_root_no_more_and_one_that_threw_had_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 0);
        undo.enter("one").unwrap();
        undo.leave(&root(1)).unwrap();
        undo.enter("throws").unwrap();
        assert_eq!(undo.forget().unwrap(), None);
        assert_eq!(undo.forget().unwrap(), Some(root(1)));
        assert_eq!(undo.forget().unwrap(), None);
    }

    #[test]
    fn pins_that_no_step_stands_on_are_found_at_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let mut undo = Undo::in_folder(folder.path());
        begin(&mut undo, 0);
        undo.enter("one").unwrap();
        undo.leave(&root(1)).unwrap();
        let mut undo = Undo::in_folder(folder.path());
        // The state is pinned for the session that ended and for the one that begins; root 7 was left by a kill.
        let released = undo.begin(&root(1), [(root(0), 1), (root(1), 2), (root(7), 2)].into());
        assert_eq!(released.len(), 3);
        assert!([root(1), root(7)].iter().all(|root| released.contains(root)));
    }

    #[test]
    fn a_damaged_file_holds_no_steps() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("undo"), "{\"steps\": [").unwrap();
        assert_eq!(Undo::in_folder(folder.path()).last(), None);
    }
}
