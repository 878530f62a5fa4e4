//! `everturn id`: who a data folder is to others.

use std::sync::Arc;

use serde_json::json;

use crate::arguments::Globals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::links::{self, KEY_FILE};
use crate::output::Output;
use crate::session::{Folder, Local};

pub(crate) async fn run(globals: &Globals, output: &Arc<Output>) -> Result<Exit, Failure> {
    if !globals.data.join(KEY_FILE).try_exists()? {
        // The key goes into a folder that is one.
        Local::open(globals, Folder::MayBeNew, output).await?.close(Ok(())).await?;
    }
    let identity = links::identity(&globals.data)?;
    let key = identity.key().to_string();
    output.say(&key, || json!({"event": "id", "key": key}));
    Ok(Exit::Success)
}
