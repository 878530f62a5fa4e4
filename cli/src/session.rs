//! What commands work on: a data folder that this process has open, or the session of another process that has it.
//!
//! A command says what it wants as a [`Request`]. [`Local`] does it; [`Attached`] has whoever serves the folder do it, by the
//! same function, over the control socket. So a command hardly knows which way it works.

mod attached;
mod console;
mod control;
mod keeping;
mod lines;
mod local;
mod outside;
mod peers;
mod perform;
mod request;

use std::sync::Arc;
use std::time::Duration;

use everturn::control::Connection;
use everturn::js::Completeness;
use everturn::link::{Peer, Positions};
use everturn::{Cid, Exported, HypervisorError, Inspection, Ipld, Receipt, StoreError, Ticks};

use self::attached::Attached;
use self::request::{Answer, Request, Took};
use crate::arguments::Globals;
use crate::failure::Failure;
use crate::input::Names;
use crate::output::Output;
use crate::program::{Known, Program};
use crate::signals::unless_signalled;

pub(crate) use self::console::Stream;
pub(crate) use self::control::Control;
pub(crate) use self::keeping::{kept_event, kept_text};
pub(crate) use self::local::{Begun, Folder, JS, Local, WASM, is_empty, with_types};
pub(crate) use self::peers::AboutPeers;
pub(crate) use self::request::{Export, Exportable};

/// A folder may be held by a server that does not listen yet: how often we look, and how long between.
const LOOKS: u32 = 5;
const LOOK_EACH: Duration = Duration::from_millis(100);

/// A session, wherever it is.
#[expect(clippy::large_enum_variant, reason = "a process has one")]
pub(crate) enum Session {
    /// This process has the folder.
    Local(Local),
    /// Another one has it, and does what it is asked to.
    Attached(Attached),
}

impl Session {
    /// Attaches to the session of whoever serves the folder; where nobody does, opens it.
    pub(crate) async fn open(
        globals: &Globals,
        folder: Folder,
        output: &Arc<Output>,
    ) -> Result<Session, Failure> {
        if let Some(connection) = reach(globals).await? {
            return attached(globals, connection, output);
        }
        let in_use = match Local::open(globals, folder, output).await {
            Err(Failure::Hypervisor(error @ HypervisorError::Store(StoreError::InUse { .. }))) => error,
            opened => return Ok(Session::Local(opened?)),
        };
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK_EACH).await;
            if let Some(connection) = reach(globals).await? {
                return attached(globals, connection, output);
            }
        }
        Err(Failure::Hypervisor(in_use))
    }

    /// The folder, where this process has it.
    pub(crate) fn local(&self) -> Option<&Local> {
        match self {
            Session::Local(local) => Some(local),
            Session::Attached(_) => None,
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer, Failure> {
        match self {
            Session::Local(local) => local.perform(request).await,
            Session::Attached(attached) => attached.ask(request).await,
        }
    }

    /// Makes the container if it is not there, with an empty program, to evaluate lines in.
    ///
    /// # Errors
    /// If it is one that no line can be evaluated in.
    pub(crate) async fn begin_to_talk(&self, globals: &Globals) -> Result<Begun, Failure> {
        match self {
            Session::Local(local) => local.begin_to_talk(globals).await,
            Session::Attached(_) => {
                local::can_talk(self.main().await?.as_ref(), globals)?;
                Ok(Begun::Attached)
            }
        }
    }

    /// Every container.
    pub(crate) async fn inspect(&self) -> Result<Vec<Inspection>, Failure> {
        match self.ask(Request::Inspect).await? {
            Answer::Containers(containers) => Ok(containers),
            other => Err(other.unfit()),
        }
    }

    /// The container that commands speak to, if it is there.
    pub(crate) async fn main(&self) -> Result<Option<Inspection>, Failure> {
        Ok(self.inspect().await?.into_iter().find(|container| container.id == Local::main()))
    }

    /// Whether this text is a whole statement.
    pub(crate) async fn judge(&self, text: &str) -> Result<Completeness, Failure> {
        match self.ask(Request::Judge { text: text.to_owned() }).await? {
            Answer::Judged(judged) => Ok(judged.into()),
            other => Err(other.unfit()),
        }
    }

    /// Evaluates a line in the living heap.
    pub(crate) async fn evaluate(&self, file: &str, source: &str) -> Result<Receipt, Failure> {
        self.took(Request::Evaluate { file: file.to_owned(), source: source.to_owned() }).await
    }

    /// Delivers a message, one dag-cbor value.
    pub(crate) async fn send(&self, data: Vec<u8>) -> Result<Receipt, Failure> {
        self.took(Request::Send { data: Ipld::Bytes(data) }).await
    }

    async fn took(&self, request: Request) -> Result<Receipt, Failure> {
        match self.ask(request).await? {
            Answer::Took(took) => Took::receipt(took),
            other => Err(other.unfit()),
        }
    }

    /// Evaluates an edited program in the living heap; the folder runs it from now on.
    pub(crate) async fn load(&self, program: &Program) -> Result<(), Failure> {
        let (name, cid) = (program.name.clone(), program.cid.to_string());
        let source = program.script()?.to_owned();
        self.done(Request::Load { name, source, cid }).await
    }

    /// Lets what was woken run until it is idle; a server, which may never be, for a while.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        self.done(Request::Settle).await
    }

    /// The state root of what is there when the queues are empty up to this tick.
    pub(crate) async fn root(&self, ticks: Ticks) -> Result<Cid, Failure> {
        match self.ask(Request::Root { ticks }).await? {
            Answer::Root(root) => Ok(root),
            other => Err(other.unfit()),
        }
    }

    /// Copies the folder to a new one.
    pub(crate) async fn backup(&self, folder: &std::path::Path) -> Result<(), Failure> {
        let folder = std::path::absolute(folder).map_err(|source| Failure::writing(folder, source))?;
        self.done(Request::Backup { folder }).await
    }

    /// Writes a state root or a checkpoint to a file.
    pub(crate) async fn export(&self, export: Export) -> Result<(Cid, Exported), Failure> {
        match self.ask(Request::Export(export)).await? {
            Answer::Exported { root, blocks, bytes } => Ok((root, Exported { blocks, bytes })),
            other => Err(other.unfit()),
        }
    }

    /// Which program the folder runs.
    pub(crate) async fn known(&self) -> Result<Known, Failure> {
        match self.ask(Request::Known).await? {
            Answer::Known(known) => Ok(known),
            other => Err(other.unfit()),
        }
    }

    /// The other hypervisors that the folder knows, and how far the link with each is.
    pub(crate) async fn peers(&self) -> Result<Vec<(Peer, Positions)>, Failure> {
        match self.ask(Request::Peers(AboutPeers::List)).await? {
            Answer::Peers(peers) => Ok(peers),
            other => Err(other.unfit()),
        }
    }

    /// Changes something about them.
    pub(crate) async fn change_peers(&self, change: AboutPeers) -> Result<(), Failure> {
        self.done(Request::Peers(change)).await
    }

    async fn done(&self, request: Request) -> Result<(), Failure> {
        match self.ask(request).await? {
            Answer::Done => Ok(()),
            other => Err(other.unfit()),
        }
    }

    /// Completes names, for a thread that may wait.
    pub(crate) fn names(&self) -> Names {
        let runtime = tokio::runtime::Handle::current();
        let ask: Box<dyn Fn(Request) -> Result<Answer, Failure> + Send> = match self {
            Session::Local(local) => {
                let local = local.clone();
                Box::new(move |request| runtime.block_on(local.perform(request)))
            }
            Session::Attached(attached) => {
                let attached = attached.clone();
                Box::new(move |request| runtime.block_on(attached.ask(request)))
            }
        };
        // A container that cannot be asked leaves the words that were used.
        Box::new(move |path| match ask(Request::Complete { text: path.to_owned() }) {
            Ok(Answer::Names(names)) => names,
            _ => Vec::new(),
        })
    }

    /// Discards the turn that is running now, if it can be.
    pub(crate) fn interrupt(&self) {
        match self {
            Session::Local(local) => local.hypervisor.interrupt(),
            Session::Attached(attached) => attached.interrupt(),
        }
    }

    /// Resolves when a session that we are attached to has ended.
    pub(crate) async fn ended(&self) -> Failure {
        match self {
            Session::Local(_) => std::future::pending().await,
            Session::Attached(attached) => attached.ended().await,
        }
    }

    /// Does a command's work, unless a signal comes first, and ends in order.
    pub(crate) async fn finish<T>(
        self,
        work: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let done = unless_signalled(&self, work(&self)).await;
        self.close(done).await
    }

    /// Ends in order: everything done is durable. What the command came to counts more than how the end went.
    pub(crate) async fn close<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        match self {
            Session::Local(local) => local.close(done).await,
            Session::Attached(attached) => {
                attached.close().await;
                done
            }
        }
    }
}

/// Another process's session: its bounds are what they are.
fn attached(globals: &Globals, connection: Connection, output: &Arc<Output>) -> Result<Session, Failure> {
    match globals.limits.is_empty() {
        true => Ok(Session::Attached(Attached::new(connection, output))),
        false => {
            Err(Failure::Usage("--limit is for a folder that is new, and this one is being served".into()))
        }
    }
}

async fn reach(globals: &Globals) -> Result<Option<Connection>, Failure> {
    everturn::control::connect(&globals.data).await.map_err(Failure::Control)
}
