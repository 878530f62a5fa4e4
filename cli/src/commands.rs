//! One module per command; each opens what it needs, does its work and ends in order.

mod backup;
mod check;
mod completions;
mod data;
mod eval;
mod export;
mod id;
mod import;
mod inspect;
mod load;
mod peers;
mod replay;
mod root;
mod run;
mod serve;
mod shell;
mod version;

use std::sync::Arc;

use everturn::Ticks;
use serde_json::json;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

pub(crate) async fn run(arguments: Arguments, output: &Arc<Output>) -> Result<Exit, Failure> {
    let globals = arguments.globals;
    match arguments.command {
        Command::Shell(shell) => shell::run(&globals, &shell, output).await,
        Command::Eval(eval) => eval::run(&globals, &eval, output).await,
        Command::Run(run) => run::run(&globals, run, output).await,
        Command::Serve(serve) => serve::run(&globals, &serve, output).await,
        Command::Load(load) => load::run(&globals, &load, output).await,
        Command::Root(root) => root::run(&globals, &root, output).await,
        Command::Inspect => inspect::run(&globals, output).await,
        Command::Check => check::run(&globals, output),
        Command::Backup(backup) => backup::run(&globals, &backup, output).await,
        Command::Export(export) => export::run(&globals, &export, output).await,
        Command::Import(import) => import::run(&globals, &import, output).await,
        Command::Replay(replay) => replay::run(&globals, &replay, output).await,
        Command::Data(data) => data::run(&globals, &data, output).await,
        Command::Id => id::run(&globals, output).await,
        Command::Peers(peers) => peers::run(&globals, peers, output).await,
        Command::Version => version::run(output).await,
        Command::Completions { shell } => completions::run(shell),
    }
}

/// Prints the state root of what is there when the queues are empty up to this tick.
async fn say_root(session: &Session, ticks: Ticks, output: &Output) -> Result<(), Failure> {
    let root = session.root(ticks).await?;
    output.say(&root.to_string(), || json!({"event": "root", "root": root.to_string()}));
    Ok(())
}
