//! `everturn eval EXPR`: one line of the shell.

use std::sync::Arc;

use crate::arguments::{EvalArguments, Globals};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Session};

/// What stack traces call the expression.
const FILE: &str = "<eval>";

pub(crate) async fn run(
    globals: &Globals,
    arguments: &EvalArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let session = Session::open(globals, Folder::MayBeNew, output).await?.reaching(&arguments.net)?;
    session.finish(async |session| evaluate(session, globals, &arguments.expression, output).await).await
}

async fn evaluate(
    session: &Session,
    globals: &Globals,
    expression: &str,
    output: &Output,
) -> Result<Exit, Failure> {
    session.begin_to_talk(globals).await?;
    let receipt = session.evaluate(FILE, expression).await?;
    session.settle().await?;
    output.evaluated(&receipt);
    Ok(if receipt.outcome.is_ok() { Exit::Success } else { Exit::Exception })
}
