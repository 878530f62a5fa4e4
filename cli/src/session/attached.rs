//! A command's end of the control socket.
//!
//! Frames come in order, so a line that a turn wrote is printed before the turn's answer is told. The end of the other process,
//! however it comes, is the end of this session: whoever waits learns of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everturn::control::{Connection, Incoming, Outgoing};
use everturn::node;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::request::{Answer, Request, ToCommand, ToSession};
use crate::failure::Failure;
use crate::output::Output;

/// How long what was said last may take to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

const KILLED: &str = "it ended without a word";
const ENDED: &str = "it was asked to stop";

/// A session that another process has.
#[derive(Clone)]
pub(crate) struct Attached {
    said: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Arc<Mutex<Waiting>>,
    ended: watch::Receiver<Option<String>>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Who waits for which answer.
#[derive(Default)]
struct Waiting {
    next: u64,
    answers: BTreeMap<u64, oneshot::Sender<Result<Answer, Failure>>>,
    has_ended: bool,
}

impl Waiting {
    /// A place for one answer. After the end there is nobody to give it, and whoever waits learns so at once.
    fn enter(&mut self) -> (u64, oneshot::Receiver<Result<Answer, Failure>>) {
        let (tell, answer) = oneshot::channel();
        self.next += 1;
        if !self.has_ended {
            self.answers.insert(self.next, tell);
        }
        (self.next, answer)
    }
}

impl Attached {
    pub(super) fn new(connection: Connection, output: &Arc<Output>) -> Attached {
        let (said, to_say) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let writer = tokio::spawn(write(connection.outgoing, to_say));
        tokio::spawn(read(connection.incoming, waiting.clone(), output.clone(), end));
        Attached { said, waiting, ended, writer: Arc::new(Mutex::new(Some(writer))) }
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Answer, Failure> {
        let (number, answer) = lock(&self.waiting).enter();
        let ask = node::encode(&ToSession::Ask(number, request));
        let ask = ask.map_err(|error| Failure::Usage(format!("this cannot be sent: {error}")))?;
        // What cannot be said any more is not answered either.
        let _ = self.said.send(ask);
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.ended().await),
        }
    }

    pub(super) fn interrupt(&self) {
        if let Ok(interrupt) = node::encode(&ToSession::Interrupt) {
            let _ = self.said.send(interrupt);
        }
    }

    /// Resolves when the other process has ended.
    pub(super) async fn ended(&self) -> Failure {
        let mut ended = self.ended.clone();
        let why = match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone(),
            Err(_) => None,
        };
        Failure::Detached(why.unwrap_or_else(|| KILLED.to_owned()))
    }

    /// Lets what was said leave.
    pub(super) async fn close(self) {
        let writer = lock(&self.writer).take();
        drop(self.said);
        if let Some(writer) = writer {
            // Names are completed on a thread of its own, which may hold on to it: then it is cut off.
            let _ = timeout(LEAVE_TIMEOUT, writer).await;
        }
    }
}

async fn write(mut outgoing: Outgoing, mut to_say: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = to_say.recv().await {
        if outgoing.send(&frame).await.is_err() {
            // The reader learns of it.
            return;
        }
    }
}

async fn read(
    mut incoming: Incoming,
    waiting: Arc<Mutex<Waiting>>,
    output: Arc<Output>,
    end: watch::Sender<Option<String>>,
) {
    let mut why = KILLED.to_owned();
    while let Ok(Some(frame)) = incoming.next().await {
        match node::decode(&frame) {
            Ok(ToCommand::Answered(number, answer)) => tell(&waiting, number, Ok(answer)),
            Ok(ToCommand::Refused(number, refused)) => tell(&waiting, number, Err(refused.into())),
            Ok(ToCommand::Line(line)) => output.show(&output.line(&line.into())),
            Ok(ToCommand::Lost(count)) => output.mention(
                &format!("({count} lines were written faster than they could be shown)"),
                || json!({"event": "lost", "lines": count}),
            ),
            Ok(ToCommand::Ending) => ENDED.clone_into(&mut why),
            Err(error) => {
                why = format!("it says what cannot be understood: {error}");
                break;
            }
        }
    }
    end.send_replace(Some(why));
    let mut waiting = lock(&waiting);
    waiting.has_ended = true;
    waiting.answers.clear();
}

fn tell(waiting: &Mutex<Waiting>, number: u64, answer: Result<Answer, Failure>) {
    if let Some(tell) = lock(waiting).answers.remove(&number) {
        // Whoever gave up waiting needs no answer.
        let _ = tell.send(answer);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use everturn::control::{self, Listener};

    use super::*;
    use crate::arguments::{Globals, LogFormat};

    /// A line may be typed in the instant in which the other process ends: it is refused, not waited for.
    #[tokio::test]
    async fn what_is_asked_after_the_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let listener = Listener::open(folder.path()).unwrap();
        let accept = async { listener.accept().await.greet().await.unwrap() };
        let (theirs, ours) = tokio::join!(accept, control::connect(folder.path()));
        let output = Arc::new(Output::new(&Globals {
            data: folder.path().to_owned(),
            limits: Vec::new(),
            json: false,
            verbose: 0,
            log_format: LogFormat::Text,
        }));
        let attached = Attached::new(ours.unwrap().unwrap(), &output);
        let waiting = tokio::spawn({
            let attached = attached.clone();
            async move { attached.ask(Request::Settle).await }
        });
        tokio::task::yield_now().await;
        drop(theirs);
        assert!(matches!(waiting.await.unwrap(), Err(Failure::Detached(_))), "asked before");
        assert!(matches!(attached.ask(Request::Settle).await, Err(Failure::Detached(_))), "asked after");
        attached.close().await;
    }
}
