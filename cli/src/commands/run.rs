//! `everturn run FILE`: a program from its beginning, or on from where it was.

use std::sync::Arc;

use everturn::{Ipld, Receipt, Ticks, node};
use serde_json::json;

use super::say_root;
use crate::arguments::{Globals, RunArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::to_json;
use crate::links::Linked;
use crate::output::Output;
use crate::program::{Code, Known, Program};
use crate::session::{Begun, Folder, Session};
use crate::signals::{Signals, unless_signalled};

/// Whether an edited program may take the place of the one that the folder runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edited {
    IsLoaded,
    /// By this command, which could have been told to load it.
    IsRefusedBy(&'static str),
}

impl Edited {
    /// As the option --reload of a command says.
    pub(super) fn by(reload: bool, command: &'static str) -> Edited {
        if reload { Edited::IsLoaded } else { Edited::IsRefusedBy(command) }
    }
}

pub(crate) async fn run(
    globals: &Globals,
    arguments: RunArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let program = Program::read(&arguments.file)?;
    let edited = Edited::by(arguments.reload, "run");
    let messages = arguments.messages.iter().map(encode).collect::<Result<Vec<Vec<u8>>, Failure>>()?;
    let listener = arguments.links.listen().await?;
    let session = Session::open(globals, Folder::MayBeNew, output).await?.reaching(&arguments.net)?;
    let session = session.keeping(arguments.keep, output).await?;
    let work = async {
        begin_or_wake(&session, &program, edited).await?;
        session.settle().await?;
        let linked = Linked::begin(&session, globals, &arguments.links, listener, output).await?;
        let linked = linked.map(|linked| linked.with_control(output));
        let exit = deliver(&session, messages, output).await?;
        Ok((linked, exit))
    };
    let ended = match unless_signalled(&session, work).await {
        Ok((linked, exit)) => listen(&session, linked, output).await.map(|()| exit),
        Err(failure) => Err(failure),
    };
    session.close(ended).await
}

/// With links, goes on until a signal; then says what has become of it all.
async fn listen(session: &Session, linked: Option<Linked>, output: &Output) -> Result<(), Failure> {
    if let Some(linked) = linked {
        let mut signals = Signals::take()?;
        signals.next().await;
        signals.end_at_the_next();
        linked.end().await;
        return say_root(session, Ticks::MAX, output).await;
    }
    unless_signalled(session, say_root(session, Ticks::MAX, output)).await
}

fn encode(data: &Ipld) -> Result<Vec<u8>, Failure> {
    node::encode(data).map_err(|error| Failure::Usage(format!("this cannot be a message: {error}")))
}

/// Begins the program in a new folder; in another it goes on, if it is that program.
pub(super) async fn begin_or_wake(
    session: &Session,
    program: &Program,
    edited: Edited,
) -> Result<(), Failure> {
    if let Some(local) = session.local()
        && local.begin_with(program).await? == Begun::Initialized
    {
        return Ok(());
    }
    let known = session.known().await?;
    match edited {
        _ if known.is(program) => Ok(()),
        Edited::IsLoaded => session.load(program).await,
        Edited::IsRefusedBy(command) => Err(refusal(program, &known, command)),
    }
}

fn refusal(program: &Program, known: &Known, command: &str) -> Failure {
    let name = &program.name;
    let runs = match known {
        Known::Nothing => "this data folder was begun without a program file".to_owned(),
        Known::Loading => "loading a program into this data folder was not finished".to_owned(),
        Known::Runs { file, .. } if file == name => {
            format!("{name} was edited since this data folder ran it")
        }
        Known::Runs { file, .. } => format!("this data folder runs {file}, which is another program"),
    };
    if let Code::Module(_) = program.code {
        return Failure::Usage(format!("{runs}; --data DIR begins {name} in another folder"));
    }
    Failure::Usage(format!(
        "{runs}; `everturn {command} --reload {name}` (or `everturn load {name}`) evaluates it in the living heap, \
         --data DIR chooses another folder"
    ))
}

/// Delivers the messages in order, each when all that the one before it caused is done: so what comes of them does
/// not depend on how fast they follow each other.
async fn deliver(session: &Session, messages: Vec<Vec<u8>>, output: &Output) -> Result<Exit, Failure> {
    let mut exit = Exit::Success;
    for (number, message) in messages.into_iter().enumerate() {
        let receipt = session.send(message).await?;
        session.settle().await?;
        say_answer(number, &receipt, output);
        if receipt.outcome.is_err() {
            exit = Exit::Exception;
        }
    }
    Ok(exit)
}

fn say_answer(number: usize, receipt: &Receipt, output: &Output) {
    let answer = match &receipt.outcome {
        Err(exception) => return output.exception(exception),
        Ok(answer) => answer.as_ref().map(to_json),
    };
    let event = || {
        json!({
            "event": "answer", "message": number, "answer": answer,
            "ticks": receipt.ticks.0, "burnt": receipt.burnt.0,
        })
    };
    match &answer {
        Some(answer) => output.say(&answer.to_string(), event),
        None => output.note(event),
    }
}
