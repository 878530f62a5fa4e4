//! A session's end of the control socket: lets commands in and does what they ask.
//!
//! Invariants:
//! 1. What a command can do here it could do with the folder itself: only its owner is let in.
//! 2. Commands, what each has under way, and what waits to be said to it are bounded; lines are dropped, and counted, before
//!    anybody waits for a command that does not read.
//! 3. Nothing that comes in ends the session but for what it asks of the containers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use everturn::control::{Connection, Listener, Newcomer, Outgoing};
use everturn::{Line, node};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::local::Local;
use super::request::{Request, ToCommand, ToSession};
use crate::failure::Failure;
use crate::output::Output;

/// Commands attached at once; more wait outside.
const COMMANDS_MAX: usize = 64;
/// What one command may have under way.
const REQUESTS_MAX: usize = 16;
/// What waits to be said to one command, in frames, and the lines among them in bytes.
const FRAMES_MAX: usize = 1_024;
const LINE_BYTES_MAX: usize = 8 << 20;
/// How long the last words may take.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Lets commands in until it is ended.
pub(crate) struct Control {
    end: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Control {
    /// Begins to listen in the session's folder. Where that cannot be, the session goes on without.
    pub(crate) fn begin(local: &Local, output: &Output) -> Option<Control> {
        match Listener::open(&local.data) {
            Ok(listener) => {
                let (end, ending) = watch::channel(false);
                let serving = tokio::spawn(serve(listener, local.clone().serving(), ending));
                Some(Control { end, serving })
            }
            Err(error) => {
                let text = format!("commands cannot attach to this session: {}", Failure::Control(error));
                output.mention(&text, || json!({"event": "warning", "text": text}));
                None
            }
        }
    }

    /// Lets nobody in any more, and tells those who are.
    pub(crate) async fn end(self) {
        self.end.send_replace(true);
        let _ = timeout(END_TIMEOUT, self.serving).await;
    }
}

async fn serve(listener: Listener, local: Local, ending: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(COMMANDS_MAX));
    let mut commands = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            (newcomer, place) = next => {
                let (local, ending) = (local.clone(), ending.clone());
                commands.spawn(async move {
                    welcome(newcomer, local, ending).await;
                    drop(place);
                });
            }
            Some(_) = commands.join_next() => {}
            () = over(&ending) => break,
        }
    }
    drop(listener);
    while commands.join_next().await.is_some() {}
}

/// Resolves when nobody is to be let in any more.
async fn over(ending: &watch::Receiver<bool>) {
    // Whoever could say so being gone says it, too.
    let _ = ending.clone().wait_for(|is_over| *is_over).await;
}

async fn welcome(newcomer: Newcomer, local: Local, ending: watch::Receiver<bool>) {
    let greeted = tokio::select! {
        greeted = newcomer.greet() => greeted,
        () = over(&ending) => return,
    };
    match greeted {
        Ok(connection) => converse(connection, local, ending).await,
        Err(error) => tracing::warn!(target: "everturn::control", %error, "somebody was sent away"),
    }
}

/// Reads what a command asks, and answers as answers come.
async fn converse(connection: Connection, local: Local, ending: watch::Receiver<bool>) {
    let Connection { mut incoming, outgoing } = connection;
    let (say, to_say) = mpsc::channel(FRAMES_MAX);
    let line_bytes = Arc::default();
    let writer = tokio::spawn(write(outgoing, to_say, Arc::clone(&line_bytes)));
    local.lines.listen(listener(say.clone(), line_bytes));
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut answers = JoinSet::new();
    loop {
        let frame = tokio::select! {
            frame = incoming.next() => frame,
            () = over(&ending) => break,
        };
        let asked = match frame {
            Ok(Some(frame)) => node::decode::<ToSession>(&frame),
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(target: "everturn::control", %error, "a command broke off");
                break;
            }
        };
        match asked {
            Ok(ToSession::Interrupt) => local.hypervisor.interrupt(),
            Ok(ToSession::Ask(number, request)) => {
                let Ok(place) = places.clone().acquire_owned().await else { break };
                let (local, say) = (local.clone(), say.clone());
                answers.spawn(async move {
                    let answer = answer(&local, number, request).await;
                    drop(place);
                    // One that has gone needs no answer.
                    let _ = say.send(Frame { bytes: answer, line_bytes: 0 }).await;
                });
                while answers.try_join_next().is_some() {}
            }
            Err(error) => {
                tracing::warn!(target: "everturn::control", %error, "a command says what cannot be understood");
                break;
            }
        }
    }
    // What is under way goes on in the containers; nobody hears of it.
    answers.abort_all();
    if *ending.borrow() {
        let bytes = node::encode(&ToCommand::Ending).unwrap_or_default();
        let _ = say.send(Frame { bytes, line_bytes: 0 }).await;
    }
    drop(say);
    while answers.join_next().await.is_some() {}
    // Listeners hold a way to say lines until the next line; there is nothing after the last word.
    let _ = timeout(END_TIMEOUT / 2, writer).await;
}

async fn answer(local: &Local, number: u64, request: Request) -> Vec<u8> {
    let said = match local.perform(request).await {
        Ok(answer) => ToCommand::Answered(number, answer),
        Err(failure) => ToCommand::Refused(number, failure.into()),
    };
    node::encode(&said).unwrap_or_else(|error| {
        let failure = Failure::Usage(format!("the answer cannot be told: {error}"));
        node::encode(&ToCommand::Refused(number, failure.into())).unwrap_or_default()
    })
}

/// Something to be said.
struct Frame {
    bytes: Vec<u8>,
    /// How many of them count as lines.
    line_bytes: usize,
}

/// Tells a command each line, as long as it keeps up.
fn listener(say: mpsc::Sender<Frame>, line_bytes: Arc<AtomicUsize>) -> Box<dyn Fn(&Line) -> bool + Send> {
    let (say, lost) = (say.downgrade(), AtomicU64::new(0));
    Box::new(move |line| {
        let Some(say) = say.upgrade() else { return false };
        let tell = |what: &ToCommand| {
            let Ok(bytes) = node::encode(what) else { return false };
            let count = bytes.len();
            if line_bytes.load(Ordering::Relaxed) + count > LINE_BYTES_MAX {
                return false;
            }
            line_bytes.fetch_add(count, Ordering::Relaxed);
            let is_said = say.try_send(Frame { bytes, line_bytes: count }).is_ok();
            if !is_said {
                line_bytes.fetch_sub(count, Ordering::Relaxed);
            }
            is_said
        };
        let missed = lost.load(Ordering::Relaxed);
        if missed > 0 && tell(&ToCommand::Lost(missed)) {
            lost.store(0, Ordering::Relaxed);
        }
        if lost.load(Ordering::Relaxed) > 0 || !tell(&ToCommand::Line(line.into())) {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        !say.is_closed()
    })
}

async fn write(mut outgoing: Outgoing, mut to_say: mpsc::Receiver<Frame>, line_bytes: Arc<AtomicUsize>) {
    while let Some(frame) = to_say.recv().await {
        let sent = outgoing.send(&frame.bytes).await;
        line_bytes.fetch_sub(frame.line_bytes, Ordering::Relaxed);
        if sent.is_err() {
            return;
        }
    }
}
