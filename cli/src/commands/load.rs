//! `everturn load FILE`: an edited program, evaluated in the living heap as one turn.

use std::sync::Arc;

use crate::arguments::{Globals, LoadArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::program::Program;
use crate::session::{Folder, Session};

pub(crate) async fn run(
    globals: &Globals,
    arguments: &LoadArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let program = Program::read(&arguments.file)?;
    let session = Session::open(globals, Folder::HasSession, output).await?;
    session.finish(async |session| session.load(&program).await).await?;
    Ok(Exit::Success)
}
