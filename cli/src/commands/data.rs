//! `everturn data export` and `everturn data import`: the instances of `everturn:data` as lines of JSON or CSV.
//!
//! The container does the work (`containers/engine/modules/data/exchange.js`): an export asks it for one page of rows after
//! the other, an import hands it the file in pieces and then has all rows taken in or none, which may take many turns.

use std::fs;
use std::sync::Arc;

use everturn::{Ipld, Receipt};
use serde_json::json;

use crate::arguments::{DataArguments, DataCommand, DataExport, DataImport, Globals, RowFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Session};

/// What stack traces call the lines that are evaluated for these commands.
const FILE: &str = "<data>";
/// How much of a file goes into the container with one turn.
const PIECE_CHARACTERS: usize = 128 * 1024;
/// Where a container keeps what these commands need, once it has imported the module.
pub(super) const TOOLS: &str = "globalThis[Symbol.for('everturn.data')]";

pub(crate) async fn run(
    globals: &Globals,
    arguments: &DataArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let session = Session::open(globals, Folder::HasSession, output).await?;
    let done = session
        .finish(async |session| {
            session.begin_to_talk(globals).await?;
            match &arguments.command {
                DataCommand::Export(arguments) => export(session, arguments, output).await,
                DataCommand::Import(arguments) => import(session, arguments, output).await,
            }
        })
        .await;
    match done {
        Err(Failure::Exception(exception)) => {
            output.exception(&exception);
            Ok(Exit::Exception)
        }
        done => done.map(|()| Exit::Success),
    }
}

async fn export(session: &Session, arguments: &DataExport, output: &Output) -> Result<(), Failure> {
    let models = match &arguments.model {
        Some(model) => vec![model.clone()],
        None => ask(session, "names()").await?.lines().map(str::to_owned).collect(),
    };
    for model in models {
        let mut from = "0".to_owned();
        while from != "null" {
            let call = format!("page({}, {}, {from})", json!(arguments.format.name()), json!(model));
            let page = ask(session, &call).await?;
            let (next, rows) = page.split_once('\n').unwrap_or((page.as_str(), ""));
            if !rows.is_empty() {
                output.say(rows, || json!({"event": "rows", "model": model, "rows": rows}));
            }
            output.check()?;
            from = next.to_owned();
        }
    }
    Ok(())
}

async fn import(session: &Session, arguments: &DataImport, output: &Output) -> Result<(), Failure> {
    let file = &arguments.file;
    let text = fs::read_to_string(file).map_err(|source| Failure::reading(file, source))?;
    ask(session, &format!("begin({}, {})", json!(arguments.format.name()), json!(arguments.model))).await?;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.char_indices().nth(PIECE_CHARACTERS).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        ask(session, &format!("stage({})", json!(piece))).await?;
        rest = after;
    }
    // Many rows take turns of their own, in which the container goes on by itself.
    let mut count = ask(session, "takeIn()").await?;
    while count.contains(' ') {
        session.settle().await?;
        output.check()?;
        count = ask(session, "taken()").await?;
    }
    let plural = if count == "1" { "" } else { "s" };
    output.say(&format!("{count} instance{plural}"), || json!({"event": "imported", "instances": count}));
    Ok(())
}

/// What one of the container's tools says.
async fn ask(session: &Session, call: &str) -> Result<String, Failure> {
    let line = format!(
        "if (!{TOOLS}) throw new Error('no program in this container has imported everturn:data, so there are no models'); \
         {TOOLS}.{call}"
    );
    text_of(session.evaluate(FILE, &line).await?)
}

fn text_of(receipt: Receipt) -> Result<String, Failure> {
    match receipt.outcome.map_err(Failure::Exception)? {
        Some(Ipld::Map(mut fields)) => match fields.remove("text") {
            Some(Ipld::String(text)) => Ok(text),
            _ => Ok(String::new()),
        },
        _ => Ok(String::new()),
    }
}

impl RowFormat {
    fn name(self) -> &'static str {
        match self {
            RowFormat::Json => "json",
            RowFormat::Csv => "csv",
        }
    }
}
