//! `--reload`: the file is looked at while it is served, and what was edited is taken up.
//!
//! Looking is by time and size: it works on every file system, also where nobody tells of changes. A file is taken up when
//! it has been the same for two looks, so that one which is being written is not read half. What throws changes nothing, and is not
//! tried again until it is edited again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;
use crate::program::Program;
use crate::session::Session;

/// How often the file is looked at.
const LOOK_EACH: Duration = Duration::from_millis(250);

/// What a look at the file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Looks {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// A file that is looked at.
pub(super) struct Watch {
    path: PathBuf,
    /// As it was when it was read last.
    read: Option<Looks>,
    /// As it was when it was looked at last.
    seen: Option<Looks>,
}

impl Watch {
    /// A file that has not been read yet.
    pub(super) fn of(path: &Path) -> Watch {
        Watch { path: path.to_owned(), read: None, seen: None }
    }

    /// Takes up what is edited, until it is dropped.
    pub(super) async fn keep(mut self, session: &Session, output: &Output) {
        loop {
            if self.is_due(look(&self.path)) {
                take_up(&self.path, session, output).await;
            }
            tokio::time::sleep(LOOK_EACH).await;
        }
    }

    /// Whether the file is to be read: it is another than the one that was read, and the same as at the last look.
    fn is_due(&mut self, looks: Option<Looks>) -> bool {
        let is_due = looks.is_some() && looks != self.read && looks == self.seen;
        if is_due {
            self.read.clone_from(&looks);
        }
        self.seen = looks;
        is_due
    }
}

/// One that is away may be on its way back: editors replace files.
fn look(path: &Path) -> Option<Looks> {
    let metadata = fs::metadata(path).ok()?;
    Some(Looks { modified: metadata.modified().ok(), bytes: metadata.len() })
}

/// Loads the file if the folder does not run it, and says what came of it. A failure leaves what was there.
async fn take_up(path: &Path, session: &Session, output: &Output) {
    let loaded = async {
        let program = Program::read(path)?;
        if session.known().await?.is(&program) {
            return Ok(None);
        }
        session.load(&program).await?;
        Ok(Some(program.name))
    };
    match loaded.await {
        Ok(None) => {}
        Ok(Some(name)) => {
            output.mention(&format!("took up {name}"), || json!({"event": "loaded", "file": name}));
        }
        Err(failure) => {
            let name = path.display();
            output.mention(
                &format!("{name} was edited and is not taken up; what was served before goes on:"),
                || json!({"event": "refused", "file": name.to_string()}),
            );
            match failure {
                Failure::Exception(exception) => output.exception(&exception),
                failure => output.failure(&failure),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_when_it_has_come_to_rest() {
        let looks = |bytes| Some(Looks { modified: Some(SystemTime::UNIX_EPOCH), bytes });
        let mut watch = Watch::of(Path::new("app.js"));
        let told: Vec<bool> =
            [looks(5), looks(5), looks(5), looks(7), looks(9), looks(9), looks(9), None, None]
                .into_iter()
                .chain([looks(9), looks(9), looks(3), looks(3)])
                .map(|looks| watch.is_due(looks))
                .collect();
        let due: Vec<usize> = told.iter().enumerate().filter(|(_, due)| **due).map(|(at, _)| at).collect();
        assert_eq!(
            due,
            [1, 5, 12],
            "not while it is written, not while it is away, not when it is back as it was"
        );
    }
}
