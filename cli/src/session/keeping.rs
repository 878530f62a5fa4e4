//! Keeping what comes from outside, so that it can be run again.

use std::sync::Arc;

use everturn::Kept;
use serde_json::{Value, json};

use super::Session;
use crate::arguments::KeepArguments;
use crate::failure::Failure;
use crate::output::Output;

impl Session {
    /// Begins to keep inputs, if that is wanted and the folder does not keep them already.
    ///
    /// # Errors
    /// If it is wanted of a folder that another process has; then this session is ended in order.
    pub(crate) async fn keeping(self, keep: KeepArguments, output: &Arc<Output>) -> Result<Session, Failure> {
        if !keep.keep_inputs {
            return Ok(self);
        }
        let begun = match &self {
            Session::Local(local) => begin(&local.hypervisor, output).await,
            Session::Attached(_) => Err(Failure::Usage(
                "this folder is served by another process; give --keep-inputs to that".into(),
            )),
        };
        match begun {
            Ok(()) => Ok(self),
            Err(failure) => self.close(Err(failure)).await,
        }
    }

    /// What is kept, where this process has the folder.
    pub(crate) async fn kept(&self) -> Result<Option<Kept>, Failure> {
        match self {
            Session::Local(local) => Ok(local.hypervisor.kept_inputs().await?),
            Session::Attached(_) => Ok(None),
        }
    }
}

async fn begin(hypervisor: &everturn::Hypervisor, output: &Output) -> Result<(), Failure> {
    let kept = match hypervisor.kept_inputs().await? {
        Some(kept) => kept,
        None => hypervisor.keep_inputs().await?,
    };
    output.mention(&kept_text(&kept), || kept_event(&kept));
    Ok(())
}

/// What is kept, for people.
pub(crate) fn kept_text(kept: &Kept) -> String {
    let Kept { checkpoint, rows, turns, bytes } = kept;
    format!("inputs are kept from {checkpoint} on: {rows} rows of {turns} turns, {bytes} bytes")
}

/// What is kept, for programs.
pub(crate) fn kept_event(kept: &Kept) -> Value {
    let Kept { checkpoint, rows, turns, bytes } = kept;
    json!({"event": "kept", "from": checkpoint.to_string(), "rows": rows, "turns": turns, "bytes": bytes})
}
