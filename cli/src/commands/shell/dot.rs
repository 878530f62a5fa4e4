//! The shell's own commands: lines that begin with a point, and v8-ken's `load("file")`.

use std::path::{Path, PathBuf};

use everturn::{Inspection, Ticks};
use serde_json::json;

use super::{Shell, Waited};
use crate::commands::backup::backup;
use crate::commands::data::TOOLS;
use crate::commands::say_root;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::program::Program;

const HELP: &str = "\
.backup DIR copy the data folder, as it is now, to a new one
.exit       leave (as Ctrl-D does)
.heap       what the container costs in memory
.help       this list
.load FILE  evaluate a file in the living heap, as one turn
.models     the models of everturn:data, with how many instances they have
.ports      the container's ports, and where they lead
.root       the state root: the address of all that the container is
.schema M   the fields of a model
.undo       take back the last line (up to 100, also of earlier sessions)
Ctrl-C clears a line, discards a turn that is running, and leaves at an empty line.";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dot {
    Backup(PathBuf),
    Exit,
    Heap,
    Help,
    Load(PathBuf),
    Models,
    Ports,
    Root,
    Schema(String),
    Undo,
    Unknown(String),
}

/// The command that a line is, if it is one; JavaScript such as `.5 + 1` is none.
pub(super) fn parse(line: &str) -> Option<Dot> {
    let line = line.trim();
    if let Some(file) = loaded_file(line) {
        return Some(Dot::Load(file));
    }
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let word = name.strip_prefix('.')?;
    if word.is_empty() || !word.chars().all(|letter| letter.is_ascii_alphabetic()) {
        return None;
    }
    Some(match (word, rest.trim()) {
        ("backup", folder) if !folder.is_empty() => Dot::Backup(folder.into()),
        ("exit", "") => Dot::Exit,
        ("heap", "") => Dot::Heap,
        ("help", "") => Dot::Help,
        ("load", file) if !file.is_empty() => Dot::Load(file.into()),
        ("models", "") => Dot::Models,
        ("ports", "") => Dot::Ports,
        ("root", "") => Dot::Root,
        ("schema", model) if !model.is_empty() => Dot::Schema(model.to_owned()),
        ("undo", "") => Dot::Undo,
        _ => Dot::Unknown(line.to_owned()),
    })
}

/// The file of a line that is `load("file")` and nothing else. A container cannot read files; the shell can.
fn loaded_file(line: &str) -> Option<PathBuf> {
    let inside = line.strip_prefix("load(")?.trim_end_matches(';').trim_end().strip_suffix(')')?.trim();
    let quote = inside.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let file = inside.strip_prefix(quote)?.strip_suffix(quote)?;
    let is_plain = !file.is_empty() && !file.contains([quote, '\\']);
    is_plain.then(|| file.into())
}

impl Shell<'_> {
    pub(super) async fn obey(&mut self, command: Dot) -> Result<Option<Exit>, Failure> {
        match command {
            Dot::Exit => return Ok(Some(self.exit())),
            Dot::Help => self.output.say(HELP, || json!({"event": "help", "text": HELP})),
            Dot::Unknown(line) => {
                let text = format!("there is no command {line}; .help lists them");
                self.output
                    .mention(&text, || json!({"event": "error", "text": text, "code": Exit::Usage as u8}));
                self.has_thrown = true;
            }
            Dot::Backup(folder) => {
                let (session, output) = (self.session, self.output);
                if let Err(failure) = self.or_give_up(backup(session, &folder, output)).await {
                    self.could_not(failure)?;
                }
            }
            Dot::Root => self.root().await?,
            Dot::Heap => self.heap().await?,
            Dot::Ports => self.ports().await?,
            Dot::Models => self.evaluate(&format!("{TOOLS}?.models() ?? 'no models'")).await?,
            Dot::Schema(model) => {
                let named = format!("{TOOLS}?.schema({}) ?? 'no models'", json!(model));
                self.evaluate(&named).await?;
            }
            Dot::Undo => self.undo().await?,
            Dot::Load(file) => self.load(&file).await?,
        }
        Ok(None)
    }

    async fn root(&mut self) -> Result<(), Failure> {
        let (session, output) = (self.session, self.output);
        self.or_give_up(say_root(session, Ticks::MAX, output)).await?;
        Ok(())
    }

    async fn inspect(&self) -> Result<Option<Inspection>, Failure> {
        self.session.main().await
    }

    async fn heap(&mut self) -> Result<(), Failure> {
        let Some(main) = self.inspect().await? else { return Ok(()) };
        let (heap, bookkeeping) = match main.footprint {
            Some(footprint) => (Some(footprint.heap_bytes), Some(footprint.bookkeeping_bytes)),
            None => (None, None),
        };
        let size =
            |bytes: Option<u64>| bytes.map_or("not in memory yet: nothing has run".to_owned(), in_units);
        let (first, second) = (size(heap), size(bookkeeping));
        let text = format!(
            "heap         {first}\nbookkeeping  {second}\nticks        {}\nqueued       {}",
            main.ticks, main.queued
        );
        self.output.say(&text, || {
            json!({
                "event": "heap", "heap_bytes": heap, "bookkeeping_bytes": bookkeeping,
                "ticks": main.ticks.0, "queued": main.queued,
            })
        });
        Ok(())
    }

    async fn ports(&mut self) -> Result<(), Failure> {
        let ports = self.inspect().await?.map(|main| main.ports).unwrap_or_default();
        if ports.is_empty() {
            self.output.mention("no ports", || json!({"event": "ports", "count": 0}));
        }
        for (name, id) in ports {
            self.output.say(
                &format!("{name}  {id}"),
                || json!({"event": "port", "name": name, "id": id.to_string()}),
            );
        }
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), Failure> {
        let Some(mut steps) = self.steps.take() else {
            let why = match self.session.local() {
                Some(_) => "no undo points are kept (--no-undo)",
                None => "no undo points are kept in a shell that is attached: others change the state, too",
            };
            self.output.mention(why, || json!({"event": "undone", "line": null}));
            return Ok(());
        };
        let settled = self.or_give_up(steps.settle()).await?;
        let step = steps.last().filter(|_| matches!(settled, Waited::Done(()))).cloned();
        if let Some(step) = &step {
            if let Some(before) = step.before() {
                steps.go_back(&before).await?;
                if let Some(linked) = self.linked {
                    linked.connect().await?;
                }
            }
            steps.forget()?;
        }
        self.steps = Some(steps);
        match step {
            Some(step) => {
                let line = step.line;
                self.output.say(&format!("took back: {line}"), || json!({"event": "undone", "line": line}));
            }
            None => self
                .output
                .mention("there is nothing to take back", || json!({"event": "undone", "line": null})),
        }
        Ok(())
    }

    async fn load(&mut self, file: &Path) -> Result<(), Failure> {
        let program = match Program::read(file) {
            Ok(program) => program,
            Err(failure) => return self.could_not(failure),
        };
        self.enter(&format!(".load {}", file.display())).await?;
        let session = self.session;
        let loaded = self.see_through(session.load(&program)).await;
        let is_done = loaded.is_ok();
        if let Err(failure) = loaded {
            self.could_not(failure)?;
        }
        self.left(is_done).await
    }

    /// A command that failed for a reason of its own leaves the shell going.
    fn could_not(&mut self, failure: Failure) -> Result<(), Failure> {
        self.has_thrown = true;
        match failure {
            Failure::Exception(exception) => self.output.exception(&exception),
            Failure::File { .. } | Failure::Usage(_) | Failure::Told { .. } => self.output.failure(&failure),
            failure => return Err(failure),
        }
        Ok(())
    }
}

fn in_units(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_lines_that_begin_with_a_point_and_a_word() {
        assert_eq!(parse(".root"), Some(Dot::Root));
        assert_eq!(parse("  .exit "), Some(Dot::Exit));
        assert_eq!(parse(".load my file.js"), Some(Dot::Load("my file.js".into())));
        assert_eq!(parse(".load"), Some(Dot::Unknown(".load".into())));
        assert_eq!(parse(".rot"), Some(Dot::Unknown(".rot".into())));
        for javascript in [".5 + 1", ".b()", "a.root", "root", "", "."] {
            assert_eq!(parse(javascript), None, "{javascript}");
        }
    }

    #[test]
    fn a_line_that_loads_a_plain_file_name_is_one_too() {
        assert_eq!(parse("load(\"a.js\");"), Some(Dot::Load("a.js".into())));
        assert_eq!(parse("load( 'a b.js' )"), Some(Dot::Load("a b.js".into())));
        for javascript in ["load(a)", "load(\"a\" + \"b\")", "load(\"a\\n\")", "load(\"\")", "load('a'); 1"] {
            assert_eq!(parse(javascript), None, "{javascript}");
        }
    }

    #[test]
    fn sizes_are_in_units_that_fit() {
        assert_eq!(in_units(12), "12 bytes");
        assert_eq!(in_units(2 << 20), "2.0 MiB");
        assert_eq!(in_units(1536), "1.5 KiB");
    }
}
