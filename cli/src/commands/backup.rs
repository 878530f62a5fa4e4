//! `everturn backup DIR`, and `.backup DIR` in a shell: a copy of a data folder while it lives.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::arguments::{BackupArguments, Globals};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Session};

pub(crate) async fn run(
    globals: &Globals,
    arguments: &BackupArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let session = Session::open(globals, Folder::MustExist, output).await?;
    session.finish(async |session| backup(session, &arguments.folder, output).await).await?;
    Ok(Exit::Success)
}

pub(crate) async fn backup(session: &Session, folder: &Path, output: &Output) -> Result<(), Failure> {
    session.backup(folder).await?;
    let place = folder.display().to_string();
    output.say(&format!("a copy is in {place}"), || json!({"event": "backup", "folder": place}));
    Ok(())
}
