//! `everturn shell`: each statement a turn, each result a line.
//!
//! A line goes: read ([`Input`]), gathered until it is a [`Statement`], noted for `.undo` ([`Steps`]), evaluated,
//! then the containers that it woke run until they are idle, so that all they print comes before the result; then the
//! result is printed. Lines that begin with a point are [`dot`] commands.

mod dot;
mod steps;

use std::future::Future;
use std::sync::Arc;

use everturn::link::Listener;
use serde_json::json;

use self::steps::Steps;
use crate::arguments::{Globals, ShellArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input::{Input, Pipe, Prompt, Terminal, Typed};
use crate::links::Linked;
use crate::output::Output;
use crate::session::{Begun, Folder, Session};
use crate::signals::{Request, Signals};
use crate::statement::{Fed, Statement};

/// What stack traces call a line. The same for each, so that the same lines make the same state.
const FILE: &str = "<shell>";

pub(crate) async fn run(
    globals: &Globals,
    arguments: &ShellArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let listener = arguments.links.listen().await?;
    let session = Session::open(globals, Folder::MayBeNew, output).await?.reaching(&arguments.net)?;
    let session = session.keeping(arguments.keep, output).await?;
    let ended = converse(&session, globals, arguments, listener, output).await;
    session.close(ended).await
}

async fn converse(
    session: &Session,
    globals: &Globals,
    arguments: &ShellArguments,
    listener: Option<Listener>,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let begun = session.begin_to_talk(globals).await?;
    let signals = Signals::take()?;
    let (text, state) = match begun {
        Begun::Initialized => ("Initialized session", "initialized"),
        Begun::Restored => ("Restored session", "restored"),
        Begun::Attached => ("Attached to the session that is being served", "attached"),
    };
    output.say(text, || json!({"event": "session", "state": state}));
    let linked = Linked::begin(session, globals, &arguments.links, listener, output).await?;
    let linked = linked.map(|linked| linked.with_control(output));
    let input = open_input(session, globals, output)?;
    // Beside a shell that is attached others change the state, too: there is no line to take back alone.
    let steps =
        session.local().filter(|_| !arguments.no_undo).map(|local| Steps::begin(&globals.data, local));
    let statement = Statement::default();
    let mut shell = Shell {
        session,
        output,
        signals,
        input,
        linked: linked.as_ref(),
        steps,
        statement,
        has_thrown: false,
        leaving: None,
    };
    let ended = shell.talk().await;
    shell.settle().await;
    if let Some(linked) = linked {
        linked.end().await;
    }
    ended
}

fn open_input(session: &Session, globals: &Globals, output: &Output) -> Result<Input, Failure> {
    if !Input::is_terminal() {
        return Ok(Input::Pipe(Pipe::open()));
    }
    let (terminal, printer) = Terminal::open(globals.data.join("history.txt"), session.names())?;
    if let Some(printer) = printer {
        output.set_printer(printer);
    }
    Ok(Input::Terminal(terminal))
}

struct Shell<'a> {
    session: &'a Session,
    output: &'a Output,
    signals: Signals,
    input: Input,
    linked: Option<&'a Linked>,
    /// What `.undo` can take back; `None` if it was not wanted.
    steps: Option<Steps>,
    statement: Statement,
    has_thrown: bool,
    /// Set when we were asked to end while a turn was running.
    leaving: Option<Exit>,
}

/// Whether a wait came to its end.
enum Waited<T> {
    Done(T),
    GivenUp,
}

impl Shell<'_> {
    async fn talk(&mut self) -> Result<Exit, Failure> {
        loop {
            self.output.check()?;
            if let Some(exit) = self.leaving {
                return Ok(exit);
            }
            match self.next().await? {
                Typed::Line(line) => {
                    if let Some(exit) = self.take(&line).await? {
                        return Ok(exit);
                    }
                }
                Typed::Cleared => self.statement.clear(),
                Typed::Left => return Ok(Exit::Interrupted),
                Typed::End => return self.end().await,
                Typed::Failed(error) => return Err(error.into()),
            }
        }
    }

    /// The next line, or what a signal makes of it.
    async fn next(&mut self) -> Result<Typed, Failure> {
        let prompt = if self.statement.is_empty() { Prompt::First } else { Prompt::More };
        loop {
            tokio::select! {
                typed = self.input.next(prompt) => return Ok(typed),
                failure = self.session.ended() => return Err(failure),
                request = self.signals.next() => match request {
                    // Meant for a turn that has just ended.
                    Request::Interrupt if self.input.takes_ctrl_c() => {}
                    Request::Interrupt => return Ok(Typed::Left),
                    Request::Terminate => {
                        self.statement.clear();
                        return Ok(Typed::End);
                    }
                },
            }
        }
    }

    async fn take(&mut self, line: &str) -> Result<Option<Exit>, Failure> {
        if self.statement.is_empty()
            && let Some(command) = dot::parse(line)
        {
            self.input.remember(line);
            return self.obey(command).await;
        }
        let session = self.session;
        let fed = self.statement.feed(line, async |text: &str| session.judge(text).await).await?;
        if let Fed::Whole(statement) = fed {
            self.input.remember(&statement);
            self.evaluate(&statement).await?;
        }
        Ok(None)
    }

    /// No more lines come.
    async fn end(&mut self) -> Result<Exit, Failure> {
        if let Some(statement) = self.statement.take() {
            self.evaluate(&statement).await?;
        }
        Ok(self.exit())
    }

    /// A person has seen each error; a script wants to know that there was one.
    fn exit(&self) -> Exit {
        match self.has_thrown && matches!(self.input, Input::Pipe(_)) {
            true => Exit::Exception,
            false => Exit::Success,
        }
    }

    async fn evaluate(&mut self, statement: &str) -> Result<(), Failure> {
        self.enter(statement).await?;
        let session = self.session;
        let receipt = self.see_through(session.evaluate(FILE, statement)).await?;
        self.left(receipt.outcome.is_ok()).await?;
        self.output.evaluated(&receipt);
        Ok(())
    }

    /// Notes a line that is about to run.
    async fn enter(&mut self, line: &str) -> Result<(), Failure> {
        let Some(mut steps) = self.steps.take() else { return Ok(()) };
        self.or_give_up(steps.settle()).await?;
        steps.enter(line)?;
        self.steps = Some(steps);
        Ok(())
    }

    /// Lets what a line woke run until it is idle, and notes the line's end.
    async fn left(&mut self, is_done: bool) -> Result<(), Failure> {
        self.has_thrown |= !is_done;
        let session = self.session;
        if is_done {
            self.or_give_up(session.settle()).await?;
        }
        match &mut self.steps {
            Some(steps) if is_done => steps.leave(),
            Some(steps) => steps.forget()?,
            None => {}
        }
        Ok(())
    }

    /// Before the end: lets the steps be fitted to the state, so that what others do next is told from the last line.
    async fn settle(&mut self) {
        if let Some(mut steps) = self.steps.take() {
            // A step that is lost costs a convenience, and whatever failed has been said.
            let _ = self.or_give_up(steps.settle()).await;
        }
    }

    /// Waits for a turn's end; Ctrl-C discards the turn, which then ends.
    async fn see_through<T, E: Into<Failure>>(
        &mut self,
        turn: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        tokio::pin!(turn);
        loop {
            tokio::select! {
                ended = &mut turn => return ended.map_err(Into::into),
                request = self.signals.next() => self.heed(request),
            }
        }
    }

    /// Waits for something that need not come to an end: Ctrl-C gives it up.
    async fn or_give_up<T>(
        &mut self,
        wait: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Waited<T>, Failure> {
        tokio::pin!(wait);
        tokio::select! {
            done = &mut wait => Ok(Waited::Done(done?)),
            request = self.signals.next() => {
                self.heed(request);
                Ok(Waited::GivenUp)
            }
        }
    }

    fn heed(&mut self, request: Request) {
        match request {
            Request::Interrupt => {
                self.session.interrupt();
                match self.input {
                    Input::Pipe(_) => self.leaving = Some(Exit::Interrupted),
                    // Ends the line on which the terminal showed ^C.
                    Input::Terminal(_) => self.output.say("", || json!({"event": "interrupted"})),
                }
            }
            Request::Terminate => self.leaving = Some(Exit::Success),
        }
    }
}
