//! `everturn root`: the address of all that the container is.

use std::sync::Arc;

use everturn::Ticks;

use super::say_root;
use crate::arguments::{Globals, RootArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Session};

pub(crate) async fn run(
    globals: &Globals,
    arguments: &RootArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let session = Session::open(globals, Folder::HasSession, output).await?;
    let ticks = arguments.ticks.map_or(Ticks::MAX, Ticks);
    session.finish(async |session| say_root(session, ticks, output).await).await?;
    Ok(Exit::Success)
}
