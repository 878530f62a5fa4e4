//! `everturn export FILE`: a state root or a checkpoint as a CAR.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use everturn::{Cid, Exported, Ticks};
use serde_json::json;

use crate::arguments::{ExportArguments, Globals};
use crate::draft;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Session};

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
    let hypervisor = &session.hypervisor;
    let (root, is_ours) = match (arguments.root, arguments.checkpoint) {
        (Some(root), _) => (root, false),
        (None, true) => (hypervisor.checkpoint().await?, true),
        (None, false) => (hypervisor.create_state_root(&session.main, Ticks::MAX).await?, true),
    };
    let written = write(session, &root, &arguments.file).await;
    if is_ours {
        hypervisor.release_root(&root).await?;
    }
    let Exported { blocks, bytes, .. } = written?;
    let file = arguments.file.display().to_string();
    output.say(
        &root.to_string(),
        || json!({"event": "exported", "root": root.to_string(), "file": file, "blocks": blocks, "bytes": bytes}),
    );
    Ok(())
}

/// Writes a draft and renames it: a file of this name is always whole.
async fn write(session: &Session, root: &Cid, file: &Path) -> Result<Exported, Failure> {
    let draft = draft::beside(file);
    let failed = |source| Failure::writing(file, source);
    let target = File::create(&draft).map_err(failed)?;
    let synced = target.try_clone().map_err(failed)?;
    let exported = session.hypervisor.export_root(root, target).await;
    let placed = exported.map_err(Failure::from).and_then(|exported| {
        synced.sync_all().and_then(|()| fs::rename(&draft, file)).map_err(failed)?;
        Ok(exported)
    });
    if placed.is_err() {
        // The draft is of no use; that it stays is no second failure.
        let _ = fs::remove_file(&draft);
    }
    placed
}
