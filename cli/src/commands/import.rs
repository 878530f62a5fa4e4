//! `everturn import FILE`: a state root brought to life, or a checkpoint gone on from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everturn::{Cid, ContainerId, Hypervisor, HypervisorError, ImportLimits};
use serde_json::json;

use crate::arguments::{Globals, ImportArguments, StateType};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, JS, Local, Session, WASM, is_empty};

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
    let made = Made::if_new(&globals.data)?;
    let imported = import_into(globals, arguments, file, output).await;
    if imported.is_err() {
        made.take_back();
    }
    imported
}

async fn import_into(
    globals: &Globals,
    arguments: &ImportArguments,
    file: File,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let local = Local::open(globals, Folder::MayBeNew, output).await?;
    let (engine, session) = (local.engine.clone(), Session::Local(local.clone()));
    let imported = session.finish(async |_| import(&local, file, arguments, output).await).await?;
    if let Imported::Checkpoint(root) = imported {
        let resumed = Local::resume(globals, &root, engine.clone(), output).await;
        let (session, failed) = match resumed {
            Ok(session) => (session, None),
            Err(failure) => (Local::open_with(globals, engine, output).await?, Some(failure)),
        };
        // The containers hold what they need; the checkpoint itself was only the way here.
        let released = session.hypervisor.release_root(&root).await.map_err(Failure::from);
        session.close(failed.map_or(released, Err)).await?;
        say(&root, "checkpoint", None, output);
    }
    Ok(Exit::Success)
}

async fn import(
    session: &Local,
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
    let revived = revive(hypervisor, arguments, &root).await;
    hypervisor.release_root(&root).await?;
    let id = revived?;
    say(&root, "state", Some((arguments.name.as_str(), id.to_string())), output);
    Ok(Imported::State)
}

/// Brings a state to life. Its node does not say of which type it is; but a heap is one of its module, and the engine of one type
/// is no module of the other, so the wrong type refuses it.
async fn revive(
    hypervisor: &Hypervisor,
    arguments: &ImportArguments,
    root: &Cid,
) -> Result<ContainerId, Failure> {
    let name = &arguments.name;
    match arguments.container_type {
        Some(StateType::Js) => return Ok(hypervisor.revive_instance(JS, name, root).await?),
        Some(StateType::Wasm) => return Ok(hypervisor.revive_instance(WASM, name, root).await?),
        None => {}
    }
    let no_js = match hypervisor.revive_instance(JS, name, root).await {
        Err(no_js @ (HypervisorError::Exo(_) | HypervisorError::Store(_))) => no_js,
        revived => return Ok(revived?),
    };
    match hypervisor.revive_instance(WASM, name, root).await {
        Err(no_wasm @ (HypervisorError::Exo(_) | HypervisorError::Store(_))) => Err(Failure::Usage(format!(
            "this state is neither JavaScript's ({no_js}) nor a WebAssembly module's ({no_wasm}); a host that has its type can \
             import it"
        ))),
        revived => Ok(revived?),
    }
}

/// What of a data folder this command has made.
enum Made {
    Nothing,
    /// All that is in it.
    Content(PathBuf),
    /// The folder, too.
    Folder(PathBuf),
}

impl Made {
    fn if_new(data: &Path) -> Result<Made, Failure> {
        Ok(match (is_empty(data)?, data.exists()) {
            (false, _) => Made::Nothing,
            (true, true) => Made::Content(data.to_owned()),
            (true, false) => Made::Folder(data.to_owned()),
        })
    }

    /// Leaves things as they were. What cannot be removed stays: the failure that led here counts more.
    fn take_back(self) {
        let (Made::Content(data) | Made::Folder(data)) = &self else { return };
        let _ = fs::remove_dir_all(data.join("store"));
        let _ = fs::remove_file(data.join("LOCK"));
        if let Made::Folder(data) = &self {
            // Not if somebody else has put something in it.
            let _ = fs::remove_dir(data);
        }
    }
}

fn say(root: &Cid, what: &str, container: Option<(&str, String)>, output: &Output) {
    let (name, id) = container.unzip();
    output.say(
        &root.to_string(),
        || json!({"event": "imported", "root": root.to_string(), "what": what, "name": name, "id": id}),
    );
}
