//! `everturn import FILE`: a state root brought to life, or a checkpoint gone on from.

use std::fs::File;
use std::sync::Arc;

use everturn::{Cid, ImportLimits};
use serde_json::json;

use crate::arguments::{Globals, ImportArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, JS, Session};
use crate::signals::unless_signalled;

/// What there was in the file.
enum Imported {
    State,
    Checkpoint(Cid),
}

pub(crate) async fn run(
    globals: &Globals,
    arguments: &ImportArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let file = File::open(&arguments.file).map_err(|source| Failure::reading(&arguments.file, source))?;
    let session = Session::open(globals, Folder::MayBeNew, output).await?;
    let imported = unless_signalled(&session.hypervisor, import(&session, file, arguments, output)).await;
    let engine = session.engine.clone();
    if let Imported::Checkpoint(root) = session.close(imported).await? {
        let resumed = Session::resume(globals, &root, engine.clone(), output).await;
        let (session, failed) = match resumed {
            Ok(session) => (session, None),
            Err(failure) => (Session::open_with(globals, engine, output).await?, Some(failure)),
        };
        // The containers hold what they need; the checkpoint itself was only the way here.
        let released = session.hypervisor.release_root(&root).await.map_err(Failure::from);
        session.close(failed.map_or(released, Err)).await?;
        say(&root, "checkpoint", None, output);
    }
    Ok(Exit::Success)
}

async fn import(
    session: &Session,
    file: File,
    arguments: &ImportArguments,
    output: &Output,
) -> Result<Imported, Failure> {
    let hypervisor = &session.hypervisor;
    let defaults = ImportLimits::default();
    let limits = ImportLimits {
        blocks_max: arguments.blocks_max.unwrap_or(defaults.blocks_max),
        bytes_max: arguments.bytes_max.unwrap_or(defaults.bytes_max),
    };
    let root = hypervisor.import_root(file, limits).await?;
    if hypervisor.is_checkpoint(&root).await? {
        if hypervisor.inspect().await?.is_empty() {
            return Ok(Imported::Checkpoint(root));
        }
        hypervisor.release_root(&root).await?;
        return Err(Failure::Usage(
            "this is a checkpoint, and the data folder is in use already; name a new one with --data".into(),
        ));
    }
    let revived = hypervisor.revive_instance(JS, &arguments.name, &root).await;
    hypervisor.release_root(&root).await?;
    let id = revived?;
    say(&root, "state", Some((arguments.name.as_str(), id.to_string())), output);
    Ok(Imported::State)
}

fn say(root: &Cid, what: &str, container: Option<(&str, String)>, output: &Output) {
    let (name, id) = container.unzip();
    output.say(
        &root.to_string(),
        || json!({"event": "imported", "root": root.to_string(), "what": what, "name": name, "id": id}),
    );
}
