//! The program's later start, from its spawning to what it says before its prompt.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::durations::{figure, median_time, millis};
use crate::process::program;
use crate::table::{Row, Table, Target};
use crate::world::Bed;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let program = program()?;
    let folder = tempfile::Builder::new().prefix("session-").tempdir_in(&bed.folder)?;
    let cache = bed.folder.join("modules");
    let start = || Start::once(&program, folder.path(), &cache);
    // The first makes the session, the second finds it.
    start()?;
    let again = start()?;
    if !again.said.contains("Restored") {
        return Err(format!("a later start says {:?}", again.said).into());
    }
    let starts = (0..bed.effort.of(20)).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    let of = |time: fn(&Start) -> Duration| millis(median_time(&starts.iter().map(time).collect::<Vec<_>>()));
    let note = format!(
        "until it says {:?}, before it reads a line; with its end {} ms (aim: 50 ms)",
        again.said,
        figure(of(|start| start.whole))
    );
    let what = "a later start of everturn shell, to its prompt";
    table.add(Row::new(what, Target::AtMost(100.0), of(|start| start.to_prompt), "ms").note(note));
    Ok(())
}

struct Start {
    to_prompt: Duration,
    whole: Duration,
    said: String,
}

impl Start {
    fn once(program: &Path, data: &Path, cache: &Path) -> Result<Start, Failure> {
        let begun = Instant::now();
        let mut child = Command::new(program)
            .arg("--data")
            .arg(data)
            .arg("shell")
            .env("EVERTURN_CACHE", cache)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("its output cannot be read")?);
        let mut said = String::new();
        output.read_line(&mut said)?;
        let to_prompt = begun.elapsed();
        output.read_to_string(&mut String::new())?;
        let status = child.wait()?;
        let whole = begun.elapsed();
        match status.success() {
            true => Ok(Start { to_prompt, whole, said: said.trim().to_owned() }),
            false => Err(format!("everturn shell ended with {status}").into()),
        }
    }
}
