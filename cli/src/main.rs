//! The `everturn` program: a shell on a container that never forgets, and the commands around it.
//!
//! Layer 4. Everything it does to containers it does through the crate `everturn`, as any other host would. `main`
//! parses, runs one of `commands` and turns its end into an exit code; each other module is one concern.
//!
//! Invariants:
//! 1. Standard output carries results only, standard error everything else.
//! 2. Every way out goes through [`exit::Exit`].
//! 3. Nothing here panics on what a person typed, a file held or a pipe did.

mod arguments;
mod commands;
mod draft;
mod engine;
mod exit;
mod failure;
mod input;
mod json;
mod links;
mod logging;
mod output;
mod program;
mod session;
mod signals;
mod statement;
mod undo;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use mimalloc::MiMalloc;

use crate::arguments::Arguments;
use crate::output::Output;

/// Blocks of a few KB that come and go by thousands, beside rows that stay, are what the system's allocator is slowest at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(&arguments.globals, logging::Unasked::of(&arguments.command));
    let output = Arc::new(Output::new(&arguments.globals));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(arguments, &output)),
        Err(error) => Err(error.into()),
    };
    output.end(ended).into()
}
