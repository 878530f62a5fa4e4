//! A data folder that this process has open: its store, the hypervisor on it, and the one container that commands speak to.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use everturn::js::JsType;
use everturn::link::{LINK, LinkType};
use everturn::wasm::WasmType;
use everturn::{Builder, Cid, ContainerId, DiskStore, Hypervisor, HypervisorError, Inspection, Ipld, Ticks};
use tokio::sync::Mutex;

use crate::arguments::Globals;
use crate::engine;
use crate::failure::Failure;
use crate::output::Output;
use crate::program::{Code, Known, Note, Program};

use super::console::Console;
use super::lines::Lines;
use super::outside::{self, Reach};

/// The container that commands speak to: a root container of this name.
const MAIN: &str = "main";
/// The name under which the JavaScript type is registered.
pub(crate) const JS: &str = "js";
/// The name under which the WebAssembly type is registered.
pub(crate) const WASM: &str = "wasm";

/// Whether a command may begin with nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    /// A folder that is absent or empty is made.
    MayBeNew,
    /// There has to be one.
    MustExist,
    /// There has to be a session.
    HasSession,
}

/// How the container came to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It was made just now.
    Initialized,
    /// It was there.
    Restored,
    /// It is another process's.
    Attached,
}

/// An open data folder. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) hypervisor: Hypervisor,
    pub(crate) engine: JsType,
    /// The container that commands speak to. It may not have been made yet.
    pub(crate) main: ContainerId,
    pub(super) data: PathBuf,
    pub(super) note: Note,
    /// Where the lines of containers go.
    pub(super) lines: Lines,
    /// One program is loaded after the other.
    pub(super) loading: Arc<Mutex<()>>,
    /// How long to wait until all is idle; `None` is as long as it takes.
    pub(super) settle_most: Option<Duration>,
    /// What it may reach.
    pub(super) reach: Arc<Reach>,
}

/// How long a server, which may always have something to do, is given to become idle.
const SERVER_SETTLES: Duration = Duration::from_secs(1);

/// A hypervisor on a folder's store, with the bounds that the folder was made with. Others that were asked for are those of a new
/// folder, and an error for an old one.
fn on_store(globals: &Globals, store: DiskStore) -> Result<Builder, HypervisorError> {
    let builder = Hypervisor::builder().like(&store)?;
    let builder = globals.limits.iter().fold(builder, |builder, (limit, most)| builder.limit(*limit, *most));
    Ok(builder.store(store))
}

impl Local {
    /// Who the container is that commands speak to.
    pub(super) fn main() -> ContainerId {
        ContainerId::root(MAIN)
    }

    /// This session answers others too, and may never be idle.
    pub(crate) fn serving(self) -> Local {
        Local { settle_most: Some(SERVER_SETTLES), ..self }
    }

    /// Opens the folder. The engine starts meanwhile.
    pub(crate) async fn open(
        globals: &Globals,
        folder: Folder,
        output: &Arc<Output>,
    ) -> Result<Local, Failure> {
        let data = &globals.data;
        if folder != Folder::MayBeNew && is_empty(data)? {
            return Err(Failure::NoSession(data.clone()));
        }
        let engine = engine::start();
        let store = DiskStore::open(data)?;
        let engine = engine::started(engine).await?;
        let session = Local::on(globals, on_store(globals, store)?, engine, output).await?;
        if folder == Folder::HasSession && !session.is_alive().await? {
            return Err(Failure::NoSession(data.clone()));
        }
        Ok(session)
    }

    /// Opens the folder again with an engine that has started.
    pub(crate) async fn open_with(
        globals: &Globals,
        engine: JsType,
        output: &Arc<Output>,
    ) -> Result<Local, Failure> {
        let builder = on_store(globals, DiskStore::open(&globals.data)?)?;
        Local::on(globals, builder, engine, output).await
    }

    /// Goes on from a checkpoint that is in the folder's store.
    pub(crate) async fn resume(
        globals: &Globals,
        checkpoint: &Cid,
        engine: JsType,
        output: &Arc<Output>,
    ) -> Result<Local, Failure> {
        let builder = on_store(globals, DiskStore::open(&globals.data)?)?.resume(checkpoint);
        Local::on(globals, builder, engine, output).await
    }

    async fn on(
        globals: &Globals,
        builder: Builder,
        engine: JsType,
        output: &Arc<Output>,
    ) -> Result<Local, Failure> {
        let (console, shown) = Console::open(&globals.data);
        let lines = Lines::to(output, console);
        let told = lines.clone();
        let builder = builder
            .clock(everturn::clock::now_ms)
            .entropy(everturn::entropy::SystemEntropy)
            .stopwatch(everturn::clock::stopwatch())
            .on_line(move |line| told.tell(line))
            .lines_told(shown);
        let hypervisor = with_types(builder, &engine).build().await?;
        Ok(Local {
            hypervisor,
            engine,
            main: Local::main(),
            data: globals.data.clone(),
            note: Note::in_folder(&globals.data),
            lines,
            loading: Arc::default(),
            settle_most: None,
            reach: Arc::default(),
        })
    }

    /// Whether the container is there.
    pub(crate) async fn is_alive(&self) -> Result<bool, Failure> {
        Ok(self.hypervisor.is_alive(&self.main).await?)
    }

    /// Makes the container if it is not there; a new one begins with this program. From now on timers come when they are due.
    pub(crate) async fn begin(&self, program: &Code) -> Result<Begun, Failure> {
        if self.is_alive().await? {
            self.wake().await?;
            return Ok(Begun::Restored);
        }
        let (container_type, init) = match program {
            Code::Script(text) => (JS, Ipld::String(text.clone())),
            Code::Module(bytes) => (WASM, Ipld::Bytes(bytes.clone())),
        };
        self.hypervisor.get_or_create_instance(container_type, MAIN, init).await?;
        self.wake().await?;
        Ok(Begun::Initialized)
    }

    /// Makes the container with a program from a file, if it is not there. A living one is woken, whatever program it runs.
    pub(crate) async fn begin_with(&self, program: &Program) -> Result<Begun, Failure> {
        if self.is_alive().await? {
            return self.begin(&program.code).await;
        }
        self.note.write(&Known::of(program))?;
        let begun = self.begin(&program.code).await?;
        self.hypervisor.wait(&self.main, Ticks::MAX).await?;
        Ok(begun)
    }

    /// Makes the container if it is not there, with an empty program, to evaluate lines in.
    ///
    /// # Errors
    /// If it is one that no line can be evaluated in.
    pub(crate) async fn begin_to_talk(&self, globals: &Globals) -> Result<Begun, Failure> {
        let containers = self.hypervisor.inspect().await?;
        let main = containers.iter().find(|container| container.id == self.main);
        can_talk(main, globals)?;
        self.begin(&Code::Script(String::new())).await
    }

    /// Ends in order: everything done is durable. What the command came to counts more than how the end went.
    pub(crate) async fn close<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        let stopped = self.hypervisor.stop().await;
        let value = done?;
        stopped?;
        Ok(value)
    }
}

/// Makes all container types known that a folder may have.
pub(crate) fn with_types(builder: Builder, engine: &JsType) -> Builder {
    let builder = builder.register_container(JS, engine.clone());
    let builder = builder.register_container(WASM, WasmType::beside(engine));
    outside::registered(builder.register_container(LINK, LinkType))
}

/// Refuses a container in which no line can be evaluated.
pub(super) fn can_talk(main: Option<&Inspection>, globals: &Globals) -> Result<(), Failure> {
    match main {
        Some(main) if main.container_type != JS => Err(Failure::Usage(format!(
            "{} runs a WebAssembly module, in which no line can be evaluated; send it messages with \
             `everturn run FILE --message JSON`, or choose another folder with --data",
            globals.data.display()
        ))),
        _ => Ok(()),
    }
}

/// Whether a folder is absent or has nothing in it.
pub(crate) fn is_empty(folder: &Path) -> Result<bool, Failure> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Failure::reading(folder, error)),
    }
}
