//! What a host holds: cheap to clone, every request a message to the core.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;

use everturn_dag::{Cid, Ipld, Store, StoreError};
use everturn_exo_interface::{ContainerType, Footprint, Limit, Outside, OwnLimits};
use everturn_port_manager::{ContainerId, Kind, Message, PortName, Ticks};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::batch::{Answer, Reply};
use crate::core::{Awaited, Command, Connecting, Hearer, Joined, Question, RootCreation, Types};
use crate::kept::{self, Kept};
use crate::metrics::Counters;
use crate::timers::DueTimers;
use crate::writer::{Arrivals, Writer};
use crate::{Budget, Builder, Given, HypervisorError, Metrics, Once, Ran, Receipt};

/// A running hypervisor. Clones are the same one; it ends with [`Hypervisor::stop`] or with its last clone.
#[derive(Clone)]
pub struct Hypervisor {
    commands: Arc<Commands>,
    types: Types,
    failure: Arc<OnceLock<String>>,
    outside: Arc<Outside>,
    clock: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    threads: Threads,
    back: Back,
}

/// What a handle has of those that run behind it. It does not keep the store open.
#[derive(Clone)]
pub(crate) struct Back {
    pub(crate) store: Weak<dyn Store>,
    pub(crate) arrivals: Arrivals,
    pub(crate) next_timer: watch::Receiver<Option<u64>>,
    pub(crate) counters: Arc<Counters>,
}

/// The core's and the committer's, until they are waited for.
type Threads = Arc<Mutex<Vec<JoinHandle<()>>>>;

/// The way to the core. The last clone's end is the hypervisor's.
pub(crate) struct Commands(pub(crate) Sender<Command>);

impl Drop for Commands {
    fn drop(&mut self) {
        // A core that has stopped needs no telling.
        let _ = self.0.send(Command::Stop(None));
    }
}

/// What can be seen of a container from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Who it is.
    pub id: ContainerId,
    /// Its type.
    pub container_type: String,
    /// Its owner; `None` is the host.
    pub parent: Option<ContainerId>,
    /// Its logical time.
    pub ticks: Ticks,
    /// Messages that wait in its ports.
    pub queued: usize,
    /// Its ports by name, and where they lead.
    pub ports: Vec<(String, ContainerId)>,
    /// The size of its heap or state, in bytes; `None` if it cannot be told: it was not born yet, or its type is not
    /// registered.
    pub heap_bytes: Option<u64>,
    /// What it costs in memory; `None` if it is not there now.
    pub footprint: Option<Footprint>,
}

impl Hypervisor {
    /// Goes on from a checkpoint in a store: [`Builder::resume`], to be given the container types and the settings.
    pub fn resume(store: Arc<dyn Store>, checkpoint: &Cid) -> Builder {
        Builder::default().shared_store(store).resume(checkpoint)
    }

    /// Puts one together.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        commands: Sender<Command>,
        types: Types,
        failure: Arc<OnceLock<String>>,
        outside: Arc<Outside>,
        clock: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
        threads: Vec<JoinHandle<()>>,
        back: Back,
    ) -> Hypervisor {
        Hypervisor {
            commands: Arc::new(Commands(commands)),
            types,
            failure,
            outside,
            clock,
            threads: Arc::new(Mutex::new(threads)),
            back,
        }
    }

    /// Makes a container type available under a name. Stored containers of it run from now on.
    pub fn register_container(&self, name: &str, container_type: impl ContainerType + 'static) {
        self.types.register(name, Arc::new(container_type));
        // A core that is gone has nothing to be told.
        let _ = self.commands.0.send(Command::Registered);
    }

    /// Makes a root container and runs its first turn. The empty name is the unnamed root.
    ///
    /// # Errors
    /// [`HypervisorError::NameInUse`], [`HypervisorError::UnknownType`], or the program's own
    /// [`HypervisorError::Exception`], after which nothing of the container is left.
    pub async fn create_instance(
        &self,
        container_type: &str,
        name: &str,
        init: impl Into<Ipld>,
    ) -> Result<ContainerId, HypervisorError> {
        self.create(container_type, name, init.into(), OwnLimits::new(), false).await
    }

    /// Makes a root container some of whose bounds are lower than those of its type, for it and for all that it will ever
    /// own. A state root does not carry them: whoever revives it elsewhere gives its containers the bounds there.
    ///
    /// # Errors
    /// As [`Hypervisor::create_instance`].
    pub async fn create_limited_instance(
        &self,
        container_type: &str,
        name: &str,
        init: impl Into<Ipld>,
        lowered: impl IntoIterator<Item = (Limit, u64)>,
    ) -> Result<ContainerId, HypervisorError> {
        self.create(container_type, name, init.into(), lowered.into_iter().collect(), false).await
    }

    /// The root container of this name, made if there is none.
    ///
    /// # Errors
    /// As [`Hypervisor::create_instance`]; [`HypervisorError::NameInUse`] only if it has another type.
    pub async fn get_or_create_instance(
        &self,
        container_type: &str,
        name: &str,
        init: impl Into<Ipld>,
    ) -> Result<ContainerId, HypervisorError> {
        self.create(container_type, name, init.into(), OwnLimits::new(), true).await
    }

    async fn create(
        &self,
        container_type: &str,
        name: &str,
        init: Ipld,
        lowered: OwnLimits,
        or_get: bool,
    ) -> Result<ContainerId, HypervisorError> {
        let data = encode(&init)?;
        let (container_type, name) = (container_type.to_owned(), name.to_owned());
        let date_ms = self.now_ms();
        let creation = RootCreation { container_type, name, data, lowered, date_ms };
        self.ask(|reply| Command::Create { creation, or_get, reply }).await
    }

    /// Makes a channel between two root containers and binds its ends, one under `name_a` in `a`, one under `name_b` in `b`.
    /// Nothing if they are connected so already. So a host gives a program a driver, which is a root container beside it: the
    /// program finds it as `ports.get(name)`. A port under one of the names whose other end is gone is replaced, after
    /// everything that came out of it was delivered. Resolves when that is durable.
    ///
    /// # Errors
    /// [`HypervisorError::NoSuchContainer`], [`HypervisorError::PortName`], [`HypervisorError::TooManyPorts`], or
    /// [`HypervisorError::PortInUse`] if a name is used otherwise; then nothing has changed.
    pub async fn connect(
        &self,
        a: &ContainerId,
        name_a: &str,
        b: &ContainerId,
        name_b: &str,
    ) -> Result<(), HypervisorError> {
        let places = [(*a, PortName::new(name_a)?), (*b, PortName::new(name_b)?)];
        let connect = || self.ask(|reply| Command::Connect { places: places.clone(), reply });
        while let Connecting::Closing(id, at) = connect().await? {
            self.wait(&id, at).await?;
        }
        Ok(())
    }

    /// Sends a message to a root container. It is under way when this returns; the future resolves to its
    /// receipt when its turn is durable, or to [`HypervisorError::Message`] if its data are not one canonical dag-cbor
    /// value or larger than the limit.
    pub fn send(
        &self,
        to: &ContainerId,
        message: Message,
    ) -> impl Future<Output = Result<Receipt, HypervisorError>> + use<> {
        self.post(*to, Kind::Message, message)
    }

    /// Sends a message to a root container and waits for its answer, which may come in a later turn: when a promise is
    /// settled, or from another container that was given the way back. The future resolves when the answer is durable. A
    /// container that is asked when the hypervisor stops may answer after a restart; nobody hears that.
    ///
    /// # Errors
    /// [`HypervisorError::Exception`] if the turn failed or the answer is one, [`HypervisorError::Unanswered`] if no answer
    /// will come; else as [`Hypervisor::send`].
    pub fn call(
        &self,
        to: &ContainerId,
        message: Message,
    ) -> impl Future<Output = Result<Ipld, HypervisorError>> + use<> {
        decoded(self.call_encoded(to, message))
    }

    /// As [`Hypervisor::call`], with the answer as it lies in its message: one canonical dag-cbor value.
    ///
    /// # Errors
    /// As [`Hypervisor::call`].
    pub fn call_encoded(
        &self,
        to: &ContainerId,
        message: Message,
    ) -> impl Future<Output = Result<Vec<u8>, HypervisorError>> + use<> {
        self.ask_container(*to, Kind::Message, message)
    }

    /// As [`Hypervisor::call`], with what HTTP asks for: a map of `method` and `url`, both text, `headers`, a list of pairs of
    /// texts, and `body`, bytes. The answer is a map of `status`, an integer, `statusText`, `headers` and `body`, or what
    /// the container makes of it. docs/http.md has both.
    ///
    /// # Errors
    /// As [`Hypervisor::call`].
    pub fn request(
        &self,
        to: &ContainerId,
        data: Vec<u8>,
    ) -> impl Future<Output = Result<Ipld, HypervisorError>> + use<> {
        decoded(self.ask_container(*to, Kind::Request, Message { data, ..Message::default() }))
    }

    /// As [`Hypervisor::request`], of one that is done once: whoever comes with the same key, before or after a restart, gets
    /// what came of the first. What is known of a key is durable with the turn that takes the request. If that turn is discarded,
    /// nothing happened, nothing is kept, and the next one with the key is a new try; if it is done, the reply is kept for as long
    /// as the first one wished, also if that is an exception of a later turn. One that comes while the first is under way waits
    /// for the same reply.
    ///
    /// # Errors
    /// As [`Hypervisor::call`]; [`HypervisorError::OtherRequest`] if the key was used with another fingerprint,
    /// [`HypervisorError::TooManyKept`] if no more can be kept.
    pub fn request_once(
        &self,
        to: &ContainerId,
        data: Vec<u8>,
        once: Once,
    ) -> impl Future<Output = Result<(Ipld, Given), HypervisorError>> + use<> {
        let (to, date_ms) = (*to, self.now_ms());
        let asked = self.ask(move |reply| Command::Once { to, data, once, date_ms, reply });
        async move {
            let (answer, given) = asked.await?;
            Ok((decode(&answer)?, given))
        }
    }

    /// As [`Hypervisor::request`], of one that only looks: a program that has `query(request)` answers it without a turn. It reads the
    /// last durable state, or the answer waits until what it read is durable; whatever it does is taken back; ticks, nonce and
    /// roots are what they were, and nothing is written. What the program leaves to a turn, or cannot answer so, becomes a request.
    ///
    /// # Errors
    /// As [`Hypervisor::call`].
    pub fn query(
        &self,
        to: &ContainerId,
        data: Vec<u8>,
    ) -> impl Future<Output = Result<Ipld, HypervisorError>> + use<> {
        let (to, date_ms) = (*to, self.now_ms());
        decoded(self.ask(move |reply| Command::Query { to, question: Question { data, date_ms, reply } }))
    }

    fn ask_container(
        &self,
        to: ContainerId,
        kind: Kind,
        message: Message,
    ) -> impl Future<Output = Result<Vec<u8>, HypervisorError>> + use<> {
        let message = Message { reply: everturn_port_manager::Reply::Host, ..message };
        let date_ms = self.now_ms();
        self.ask(move |reply| Command::Post {
            to,
            kind,
            message,
            date_ms,
            awaited: Awaited::Answer(Hearer::One(reply)),
        })
    }

    /// Evaluates a line in a root container's living heap; the receipt's answer says what it came to.
    ///
    /// # Errors
    /// If the container is not alive or the hypervisor has stopped.
    pub async fn evaluate(
        &self,
        to: &ContainerId,
        file: &str,
        source: &str,
    ) -> Result<Receipt, HypervisorError> {
        self.post_source(to, Kind::Evaluate, file, source).await
    }

    /// Evaluates an edited program in a root container's living heap, as one turn.
    ///
    /// # Errors
    /// As [`Hypervisor::evaluate`].
    pub async fn load(&self, to: &ContainerId, file: &str, source: &str) -> Result<Receipt, HypervisorError> {
        self.post_source(to, Kind::Load, file, source).await
    }

    async fn post_source(
        &self,
        to: &ContainerId,
        kind: Kind,
        file: &str,
        source: &str,
    ) -> Result<Receipt, HypervisorError> {
        let fields = [("file".to_owned(), file.into()), ("source".to_owned(), source.into())];
        let data = encode(&Ipld::Map(fields.into()))?;
        self.post(*to, kind, Message { data, ..Message::default() }).await
    }

    fn post(
        &self,
        to: ContainerId,
        kind: Kind,
        message: Message,
    ) -> impl Future<Output = Result<Receipt, HypervisorError>> + use<> {
        tracing::trace!(target: "everturn::path", container = %to, "Sent");
        let date_ms = self.now_ms();
        self.ask(move |reply| Command::Post { to, kind, message, date_ms, awaited: Awaited::Receipt(reply) })
    }

    fn now_ms(&self) -> u64 {
        self.clock.as_ref().map_or(0, |clock| clock())
    }

    /// Resolves when no message is queued whose delivery tick is at most `threshold`, or when nothing is queued;
    /// gives the container's ticks then. Any number of waits may be under way.
    ///
    /// # Errors
    /// If the container is not alive or the hypervisor has stopped.
    pub async fn wait(&self, id: &ContainerId, threshold: Ticks) -> Result<Ticks, HypervisorError> {
        let id = *id;
        self.ask(|reply| Command::Wait { id, threshold, reply }).await
    }

    /// The address of a container's state, and of all that it owns, after exactly the turns whose delivery tick is
    /// at most `ticks`; [`Ticks::MAX`] is when idle. The root is pinned: it stays in the store until it was released
    /// ([`Hypervisor::release_root`]) as often as it was made.
    ///
    /// # Errors
    /// [`HypervisorError::CutPassed`] if a later turn has run.
    pub async fn create_state_root(&self, id: &ContainerId, ticks: Ticks) -> Result<Cid, HypervisorError> {
        let id = *id;
        self.ask(|reply| Command::Root { id, ticks, reply }).await
    }

    /// Lets turns run until nothing is queued, in a hypervisor whose host owns the loop
    /// ([`TurnsBy::Host`](crate::TurnsBy::Host)). What ran is durable when this resolves.
    ///
    /// # Errors
    /// As [`Hypervisor::run`].
    pub async fn run_until_idle(&self) -> Result<Ran, HypervisorError> {
        self.run(Budget::default()).await
    }

    /// Lets as many turns run as the budget allows. Where it stops depends on the messages and these calls alone.
    ///
    /// # Errors
    /// [`HypervisorError::Message`] if the hypervisor runs turns by itself, or another run is under way.
    pub async fn run(&self, budget: Budget) -> Result<Ran, HypervisorError> {
        self.ask(|reply| Command::Run { budget, reply }).await
    }

    /// From now on no turn of a later delivery tick runs, until this is called again with later ticks
    /// ([`Ticks::MAX`] holds nothing). So a state root at `ticks` can be had whenever it is asked for.
    ///
    /// # Errors
    /// [`HypervisorError::CutPassed`] if a later turn has run.
    pub async fn hold_at(&self, ticks: Ticks) -> Result<(), HypervisorError> {
        self.ask(|reply| Command::Hold { ticks, reply }).await
    }

    /// Takes a root container and all that it owns back to a state root of its own. What waits in its queues is
    /// dropped.
    ///
    /// # Errors
    /// If the root is no state of such a container, or blocks of it are missing; then nothing changes.
    pub async fn restore(&self, id: &ContainerId, root: &Cid) -> Result<(), HypervisorError> {
        let (id, root) = (*id, *root);
        // It must not be reclaimed while it is read.
        self.errand(move |writer| writer.pin(&root)).await?;
        let restored = self.ask(|reply| Command::Restore { id, root, reply }).await;
        self.release_root(&root).await?;
        restored
    }

    /// Releases a root that was made or imported, once. What only it held is removed from the store, in small steps
    /// beside whatever else is done. It is under way when this returns; followed at once by the making of the next
    /// root, what the two share costs nothing. The future resolves when it is durable, or to
    /// [`HypervisorError::NotPinned`] if the root was released as often as it was made.
    pub fn release_root(&self, root: &Cid) -> impl Future<Output = Result<(), HypervisorError>> + use<> {
        let root = *root;
        self.errand(move |writer| writer.release(&root))
    }

    /// Every root that is pinned, and how often.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn pinned_roots(&self) -> Result<BTreeMap<Cid, u64>, HypervisorError> {
        self.errand(|writer| writer.pinned()).await
    }

    /// The names that may stand in place of the last one of `text`, such as `foo.ba`, in a container as it is now; for a person
    /// at a prompt. The container is not changed by it and burns nothing. Containers without names have none.
    ///
    /// # Errors
    /// If there is no such container, or the hypervisor has stopped.
    pub async fn complete(&self, id: &ContainerId, text: &str) -> Result<Vec<String>, HypervisorError> {
        let (id, text) = (*id, text.to_owned());
        self.ask(|reply| Command::Complete { id, text, reply }).await
    }

    /// Keeps from here on what comes from outside (messages, timers that are due, random bytes, what the host makes, connects and
    /// restores), each input in the batch of its turn, so that [`replay`](crate::replay) can run it again. Begins with a checkpoint, which
    /// is held until that is over; what was kept before goes. It is a property of the store: whoever opens it again goes on keeping, until
    /// [`Hypervisor::forget_inputs`].
    ///
    /// # Errors
    /// If the hypervisor has stopped, or a container's type is not registered.
    pub async fn keep_inputs(&self) -> Result<Kept, HypervisorError> {
        self.ask(|reply| Command::Keep { reply }).await
    }

    /// What is kept of inputs, as far as it is durable.
    ///
    /// # Errors
    /// If the hypervisor has stopped, or the store is damaged.
    pub async fn kept_inputs(&self) -> Result<Option<Kept>, HypervisorError> {
        self.errand(|writer| kept::kept_inputs(&*writer.store)).await
    }

    /// Removes what is kept of inputs, and keeps no more.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn forget_inputs(&self) -> Result<(), HypervisorError> {
        self.ask(|reply| Command::Forget { reply }).await
    }

    /// Every container, by id.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn inspect(&self) -> Result<Vec<Inspection>, HypervisorError> {
        self.ask(|reply| Command::Inspect { reply }).await
    }

    /// Whether there is a container with this id.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn is_alive(&self, id: &ContainerId) -> Result<bool, HypervisorError> {
        let id = *id;
        self.ask(|reply| Command::IsAlive { id, reply }).await
    }

    /// What was counted so far, and how things stand; at no cost for whatever else is done.
    pub fn metrics(&self) -> Metrics {
        self.back.counters.read()
    }

    /// Says what time it is, in milliseconds since 1970: timers that are due by then become input of their containers, by
    /// date. Resolves when that is durable. For a host that owns the time; [`Hypervisor::timers`] is for one that keeps it.
    ///
    /// # Errors
    /// If the hypervisor has stopped.
    pub async fn fire_timers(&self, now_ms: u64) -> Result<(), HypervisorError> {
        self.ask(|reply| Command::Fire { now_ms, reply }).await
    }

    /// What keeps the time for this hypervisor needs; it does not keep the hypervisor from ending.
    pub fn timers(&self) -> DueTimers {
        DueTimers { commands: Arc::downgrade(&self.commands), next_ms: self.back.next_timer.clone() }
    }

    /// Discards the turn that is running now, if it can be: its exception says that it was interrupted.
    pub fn interrupt(&self) {
        self.outside.interrupt.store(true, Ordering::Relaxed);
    }

    /// Makes everything done so far durable and ends; the store can be opened again afterwards.
    ///
    /// # Errors
    /// If that failed, or something had failed before.
    pub async fn stop(self) -> Result<(), HypervisorError> {
        let stopped = self.ask(|reply| Command::Stop(Some(reply))).await;
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let ended =
            tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join)).await;
        match ended {
            Ok(Ok(())) => stopped,
            _ => stopped.and(Err(HypervisorError::Stopped("one of its threads panicked".into()))),
        }
    }

    /// Has the store's writer do something, with the batch that is open then.
    pub(crate) fn errand<T, F>(&self, work: F) -> impl Future<Output = Result<T, HypervisorError>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer) -> Result<T, HypervisorError> + Send + 'static,
    {
        self.errand_at(Joined::Batch, work)
    }

    /// Has the store's writer do something.
    pub(crate) fn errand_at<T, F>(
        &self,
        joined: Joined,
        work: F,
    ) -> impl Future<Output = Result<T, HypervisorError>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer) -> Result<T, HypervisorError> + Send + 'static,
    {
        let failure = self.failure.clone();
        self.ask(move |reply: Reply<T>| {
            let errand = move |writer: &mut Writer| -> Result<Answer, StoreError> {
                match work(writer) {
                    Err(HypervisorError::Store(error)) => Err(crate::committer::noted(&failure, error)),
                    // Whoever gave up waiting needs no answer.
                    done => Ok(Box::new(move || drop(reply.send(done)))),
                }
            };
            Command::Errand(Box::new(errand), joined)
        })
    }

    pub(crate) fn store(&self) -> &Weak<dyn Store> {
        &self.back.store
    }

    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.back.arrivals
    }

    pub(crate) fn ask<T, C: FnOnce(Reply<T>) -> Command>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<T, HypervisorError>> + use<T, C> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.0.send(command(reply)).is_ok();
        let failure = self.failure.clone();
        async move {
            let stopped = || {
                let why = failure.get().cloned();
                HypervisorError::Stopped(
                    why.unwrap_or_else(|| "the container or the hypervisor is gone".into()),
                )
            };
            if !sent {
                return Err(stopped());
            }
            answer.await.unwrap_or_else(|_| Err(stopped()))
        }
    }
}

async fn decoded(
    answer: impl Future<Output = Result<Vec<u8>, HypervisorError>>,
) -> Result<Ipld, HypervisorError> {
    decode(&answer.await?)
}

fn decode(data: &[u8]) -> Result<Ipld, HypervisorError> {
    everturn_dag::node::decode(data).map_err(|error| HypervisorError::Message(error.to_string()))
}

fn encode(data: &Ipld) -> Result<Vec<u8>, HypervisorError> {
    everturn_dag::node::encode(data).map_err(|error| HypervisorError::Message(error.to_string()))
}
