//! `everturn check`: all of a data folder looked at, nothing changed.

use everturn::{Audit, DiskStore, StoreError};
use serde_json::json;

use crate::arguments::Globals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::is_empty;

pub(crate) fn run(globals: &Globals, output: &Output) -> Result<Exit, Failure> {
    if is_empty(&globals.data)? {
        return Err(Failure::NoSession(globals.data.clone()));
    }
    let store = DiskStore::open(&globals.data).map_err(|error| match error {
        error @ StoreError::InUse { .. } => Failure::Told {
            text: error.to_string(),
            advice: Some(
                "`everturn backup DIR` copies it while it is served, and the copy can be checked".into(),
            ),
            exit: Exit::Host,
        },
        error => error.into(),
    })?;
    let audit = everturn::check(&store);
    say(&audit, output);
    Ok(if audit.problems.is_empty() { Exit::Success } else { Exit::Host })
}

fn say(audit: &Audit, output: &Output) {
    let Audit { blocks, bytes, pins, doomed, problems, problems_more, .. } = audit;
    let mut text =
        format!("{blocks} blocks of {bytes} bytes, {pins} pinned roots, {doomed} blocks to be removed");
    for problem in problems {
        text.push_str(&format!("\nwrong: {problem}"));
    }
    if *problems_more > 0 {
        text.push_str(&format!("\nwrong: {problems_more} things more"));
    }
    text.push_str(if problems.is_empty() {
        "\neverything is right"
    } else {
        "\nkeep this folder as it is, and go back to a backup"
    });
    output.say(&text, || {
        json!({
            "event": "check", "right": problems.is_empty(), "blocks": blocks, "bytes": bytes, "pins": pins,
            "doomed": doomed, "problems": problems, "problems_more": problems_more,
        })
    });
}
