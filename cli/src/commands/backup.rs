//! `everturn backup DIR`, and `.backup DIR` in a shell: a copy of a data folder while it lives.

use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::arguments::{BackupArguments, Globals};
use crate::draft;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Session, is_empty};

/// What lies beside the store and goes along.
const FILES: [&str; 3] = ["program", "undo", "history.txt"];

pub(crate) async fn run(
    globals: &Globals,
    arguments: &BackupArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let session = Session::open(globals, Folder::MustExist, output).await?;
    session.finish(async |session| backup(session, globals, &arguments.folder, output).await).await?;
    Ok(Exit::Success)
}

/// Makes the copy beside its place and renames it: a folder of this name is always whole.
pub(crate) async fn backup(
    session: &Session,
    globals: &Globals,
    folder: &Path,
    output: &Output,
) -> Result<(), Failure> {
    if !is_empty(folder)? {
        let source = Error::new(ErrorKind::AlreadyExists, "there is something in it; name a new folder");
        return Err(Failure::writing(folder, source));
    }
    let draft = draft::beside(folder);
    let failed = |source| Failure::writing(folder, source);
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    session.hypervisor.backup(&draft).await?;
    for name in FILES {
        match fs::copy(globals.data.join(name), draft.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    fs::rename(&draft, folder).and_then(|()| sync_parent(folder)).map_err(failed)?;
    let place = folder.display().to_string();
    output.say(&format!("a copy is in {place}"), || json!({"event": "backup", "folder": place}));
    Ok(())
}

fn sync_parent(folder: &Path) -> Result<(), Error> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all())
}
