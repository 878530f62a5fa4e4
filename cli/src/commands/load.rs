//! `everturn load FILE`: an edited program, evaluated in the living heap as one turn.

use std::sync::Arc;

use everturn::Ticks;

use crate::arguments::{Globals, LoadArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::program::{Known, Note, Program};
use crate::session::{Folder, Session};

pub(crate) async fn run(
    globals: &Globals,
    arguments: &LoadArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let program = Program::read(&arguments.file)?;
    let session = Session::open(globals, Folder::HasSession, output).await?;
    let note = Note::in_folder(&globals.data);
    session.finish(async |session| load(session, &program, &note).await).await?;
    Ok(Exit::Success)
}

/// Loads a program and notes that the folder runs it now.
pub(super) async fn load(session: &Session, program: &Program, note: &Note) -> Result<(), Failure> {
    let script = program.script()?;
    let before = note.read()?;
    note.write(&Known::Loading)?;
    let receipt = session.hypervisor.load(&session.main, &program.name, script).await?;
    if let Err(exception) = receipt.outcome {
        note.write(&before)?;
        return Err(Failure::Exception(exception));
    }
    session.hypervisor.wait(&session.main, Ticks::MAX).await?;
    note.write(&Known::of(program))
}
