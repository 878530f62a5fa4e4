//! `everturn export FILE`: a state root or a checkpoint as a CAR.

use std::sync::Arc;

use serde_json::json;

use crate::arguments::{ExportArguments, Globals};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Export, Exportable, Folder, Session};

pub(crate) async fn run(
    globals: &Globals,
    arguments: &ExportArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let session = Session::open(globals, Folder::HasSession, output).await?;
    session.finish(async |session| export(session, arguments, output).await).await?;
    Ok(Exit::Success)
}

async fn export(session: &Session, arguments: &ExportArguments, output: &Output) -> Result<(), Failure> {
    let what = if arguments.checkpoint { Exportable::Checkpoint } else { Exportable::State };
    let file =
        std::path::absolute(&arguments.file).map_err(|source| Failure::writing(&arguments.file, source))?;
    let (root, exported) = session.export(Export { root: arguments.root, what, file }).await?;
    let file = arguments.file.display().to_string();
    output.say(&root.to_string(), || {
        json!({
            "event": "exported", "root": root.to_string(), "file": file, "blocks": exported.blocks,
            "bytes": exported.bytes,
        })
    });
    Ok(())
}
