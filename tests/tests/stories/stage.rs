//! The stage: native containers that do what their messages say, and every way of running them.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everturn::native::{Incoming, Native, NativeType};
use everturn::{
    Budget, Builder, Cid, ContainerId, Exception, ExceptionKind, Handle, Hypervisor, HypervisorError,
    ImportLimits, Inspection, Ipld, Kind, Limit, LogLevel, MemoryStore, Message, Ran, Receipt, Refusal,
    Settings, SideBySide, Source, Store, Ticks, Turn, TurnsBy, Unloading,
};
use serde::{Deserialize, Serialize};

use crate::host::Host;

/// What a message tells its receiver to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    Say(String),
    Burn(u64),
    /// Takes real time, in milliseconds.
    Sleep(u64),
    /// Makes a child, binds it under the name, and has it do this in its creation.
    Create(String, Vec<Step>),
    /// The same, with some of its limits lowered, by their numbers.
    CreateLimited(String, Vec<(u32, u64)>, Vec<Step>),
    /// Writes a line that is not kept.
    Line(String),
    /// Makes a child that nobody keeps.
    Lose(String, Vec<Step>),
    /// Sends through the port of this name (`^` is the parent's), with a priority.
    Tell(String, i32, Vec<Step>),
    /// Sends along the port bound under the second name.
    Give(String, String, Vec<Step>),
    /// Binds the port that came with the message.
    Take(String),
    /// Makes a channel and binds its ends.
    Channel(String, String),
    /// Binds one port under a second name.
    BindAgain(String, String),
    /// Uses a number that stands for no port.
    BindNothing(String),
    Delete(String),
    /// Puts a text at the end of a chain of maps in the state.
    Keep(Vec<String>, String),
    /// Sends the rest of the way down and back: to the port while ticks are below the bound.
    PingPong(u64),
    Throw(String),
    /// Says how a step was refused.
    Refused(Box<Step>),
}

pub(crate) fn say(text: &str) -> Step {
    Step::Say(text.into())
}

pub(crate) fn create(name: &str, steps: impl Into<Vec<Step>>) -> Step {
    Step::Create(name.into(), steps.into())
}

pub(crate) fn tell(to: &str, steps: impl Into<Vec<Step>>) -> Step {
    Step::Tell(to.into(), 0, steps.into())
}

pub(crate) fn tell_with(priority: i32, to: &str, steps: impl Into<Vec<Step>>) -> Step {
    Step::Tell(to.into(), priority, steps.into())
}

pub(crate) fn give(to: &str, port: &str, steps: impl Into<Vec<Step>>) -> Step {
    Step::Give(to.into(), port.into(), steps.into())
}

pub(crate) fn refused(step: Step) -> Step {
    Step::Refused(Box::new(step))
}

/// A container that does as it is told. What it said is part of its state, so that a root knows the order.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Actor {
    name: String,
    said: Vec<String>,
    kept: Ipld,
}

impl Native for Actor {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Actor, Exception> {
        let init = everturn::node::encode(&init).unwrap();
        let (name, steps): (String, Vec<Step>) = everturn::node::decode(&init).unwrap();
        let mut actor = Actor { name, said: Vec::new(), kept: Ipld::Map([].into()) };
        actor.perform_all(turn, "creation", &steps)?;
        Ok(actor)
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let from = match message.source {
            Source::Parent => "^".to_owned(),
            Source::Notice(_) => "nobody".to_owned(),
            Source::Named(name) => name.to_string(),
        };
        match message.kind {
            Kind::Message => {
                let steps: Vec<Step> = everturn::node::decode(message.bytes).unwrap();
                self.perform_all(turn, &from, &steps)
            }
            Kind::Exception => {
                let Ipld::Map(notice) = message.data() else { panic!("a notice is a map") };
                self.say(turn, &from, &format!("exception {:?}", notice["text"]));
                Ok(())
            }
            kind => {
                self.say(turn, &from, &format!("{kind:?}"));
                Ok(())
            }
        }
    }
}

impl Actor {
    fn say(&mut self, turn: &mut Turn, from: &str, text: &str) {
        let line = format!("@{} {} < {from}: {text}", turn.ticks(), self.name);
        turn.log(LogLevel::Info, &line).expect("a turn may say so much");
        self.said.push(line);
    }

    fn perform_all(&mut self, turn: &mut Turn, from: &str, steps: &[Step]) -> Result<(), Exception> {
        steps.iter().try_for_each(|step| self.perform(turn, from, step))
    }

    fn perform(&mut self, turn: &mut Turn, from: &str, step: &Step) -> Result<(), Exception> {
        match step {
            Step::Say(text) => self.say(turn, from, text),
            Step::Burn(ticks) => turn.increment_ticks(Ticks(*ticks)),
            Step::Sleep(millis) => std::thread::sleep(Duration::from_millis(*millis)),
            Step::Keep(path, text) => {
                let mut place = &mut self.kept;
                for part in path {
                    if !matches!(place, Ipld::Map(_)) {
                        *place = Ipld::Map([].into());
                    }
                    let Ipld::Map(map) = place else { unreachable!("it was made one") };
                    place = map.entry(part.clone()).or_insert(Ipld::Null);
                }
                *place = Ipld::String(text.clone());
            }
            Step::PingPong(bound) => {
                if turn.ticks() < Ticks(*bound) {
                    let other = turn.get("other").or_else(|_| turn.parent())?;
                    turn.send(other, &data(std::slice::from_ref(step)), &[], 0)?;
                } else {
                    self.say(turn, from, "game over");
                }
            }
            Step::Throw(text) => return Err(Exception::new(ExceptionKind::Throw, text)),
            Step::Refused(step) => match self.ask(turn, step) {
                Ok(()) => self.say(turn, from, "not refused"),
                Err(refusal) => self.say(turn, from, &format!("refused: {refusal:?}")),
            },
            step => self.ask(turn, step)?,
        }
        Ok(())
    }

    /// The steps that the hypervisor may refuse.
    fn ask(&mut self, turn: &mut Turn, step: &Step) -> Result<(), Refusal> {
        match step {
            Step::Create(name, steps) => {
                let child = turn.create("actor", &everturn::node::encode(&(name, steps)).unwrap())?;
                turn.bind(name, child)
            }
            Step::CreateLimited(name, limits, steps) => {
                let child = turn.create("actor", &everturn::node::encode(&(name, steps)).unwrap())?;
                for (limit, most) in limits {
                    turn.lower(child, Limit::from_code(*limit).unwrap(), *most)?;
                }
                turn.bind(name, child)
            }
            Step::Line(text) => turn.log(LogLevel::Info, text),
            Step::Lose(name, steps) => {
                turn.create("actor", &everturn::node::encode(&(name, steps)).unwrap()).map(|_| ())
            }
            Step::Tell(to, priority, steps) => {
                let port = port(turn, to)?;
                turn.send(port, &data(steps), &[], *priority)
            }
            Step::Give(to, name, steps) => {
                let given = turn.unbind(name)?;
                let port = port(turn, to)?;
                turn.send(port, &data(steps), &[given], 0)
            }
            Step::Take(name) => turn.bind(name, Handle(0)),
            Step::Channel(one, two) => {
                let (first, second) = turn.channel()?;
                turn.bind(one, first)?;
                turn.bind(two, second)
            }
            Step::BindAgain(name, again) => {
                let port = turn.get(name)?;
                turn.bind(again, port)
            }
            Step::BindNothing(name) => turn.bind(name, Handle(99)),
            Step::Delete(name) => turn.delete(name),
            other => panic!("{other:?} is never refused"),
        }
    }
}

fn port(turn: &mut Turn, name: &str) -> Result<Handle, Refusal> {
    if name == "^" { turn.parent() } else { turn.get(name) }
}

/// What an actor of this name begins with.
pub(crate) fn named(name: &str) -> Ipld {
    Ipld::List(vec![Ipld::String(name.into()), Ipld::List(vec![])])
}

pub(crate) fn data(steps: &[Step]) -> Vec<u8> {
    everturn::node::encode(&steps).unwrap()
}

/// The same container, with a pause of up to two milliseconds before whatever it does.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Sleepy<T>(T);

/// Another number each time. Nothing may depend on it.
fn pause() {
    let random = RandomState::new().build_hasher().finish();
    std::thread::sleep(Duration::from_micros(random % 2_000));
}

impl<T: Native> Native for Sleepy<T> {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Self, Exception> {
        pause();
        T::create(turn, init).map(Sleepy)
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        pause();
        self.0.run(turn, message)
    }
}

/// Whether containers sleep before each turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Delays {
    None,
    Random,
}

/// How a story is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) delays: Delays,
    pub(crate) settings: Settings,
    /// A limit that actors have as their type's own.
    pub(crate) of_type: Option<(Limit, u64)>,
}

impl Way {
    pub(crate) fn new(threads: usize, delays: Delays) -> Way {
        let settings = Settings {
            threads: NonZeroUsize::new(threads),
            side_by_side: SideBySide::Always,
            turns_by: TurnsBy::Host,
            ..Settings::default()
        };
        Way { delays, settings, of_type: None }
    }

    pub(crate) fn all() -> Vec<Way> {
        let mut small = Way::new(1, Delays::None);
        small.settings.savepoint_turns = Some(1);
        small.settings.batch_turns = Some(1);
        let mut unloading = Way::new(4, Delays::Random);
        unloading.settings.unloading = Unloading::EveryTurn;
        vec![
            Way::new(1, Delays::None),
            Way::new(1, Delays::Random),
            Way::new(4, Delays::None),
            Way::new(4, Delays::Random),
            Way::new(4, Delays::Random),
            small,
            unloading,
        ]
    }
}

/// A hypervisor with one root container, `root`, and the store that outlives it.
pub(crate) struct Stage {
    host: Host,
    way: Way,
    pub(crate) root: ContainerId,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Deref for Stage {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Stage {
    pub(crate) fn open(way: Way) -> Stage {
        Stage::on(Arc::new(MemoryStore::new()), way)
    }

    pub(crate) fn on(store: Arc<dyn Store>, way: Way) -> Stage {
        let mut stage = Stage { host: Host::on(store), way, root: ContainerId::ROOT, lines: Arc::default() };
        stage.start();
        stage.add_root("", "root");
        stage
    }

    /// Makes one more root container.
    pub(crate) fn add_root(&self, id: &str, name: &str) -> ContainerId {
        let created = self.hypervisor().create_instance("actor", id, named(name));
        let (created, ()) = self.block_on(async { tokio::join!(created, self.advance()) });
        created.unwrap()
    }

    async fn advance(&self) {
        if self.way.settings.turns_by == TurnsBy::Host {
            self.hypervisor().run_until_idle().await.unwrap();
        }
    }

    fn start(&mut self) {
        self.start_with(Hypervisor::builder()).unwrap();
    }

    fn start_with(&mut self, builder: Builder) -> Result<(), HypervisorError> {
        let lines = self.lines.clone();
        let builder = builder.settings(self.way.settings);
        let builder = builder.on_line(move |line| lines.lock().unwrap().push(line.text.clone()));
        let builder = match self.way.of_type {
            Some((limit, most)) => builder.limit_type("actor", limit, most),
            None => builder,
        };
        let builder = match self.way.delays {
            Delays::None => builder.register_container("actor", NativeType::<Actor>::new()),
            Delays::Random => builder.register_container("actor", NativeType::<Sleepy<Actor>>::new()),
        };
        self.host.start(builder).map(|_| ())
    }

    /// Stops, and tries to go on in another way.
    pub(crate) fn reopen(&mut self, way: Way) -> Result<(), HypervisorError> {
        if self.runs() {
            self.host.stop();
        }
        self.way = way;
        self.start_with(Hypervisor::builder())
    }

    /// Another hypervisor, on a store of its own, that goes on from a checkpoint of this one.
    pub(crate) fn resumed(&self, checkpoint: &Cid) -> Stage {
        let car = Cursor::new(self.export(checkpoint));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        assert_eq!(everturn::import_car(&store, car, ImportLimits::default()).unwrap(), *checkpoint);
        let (host, way, root) = (Host::on(store.clone()), self.way, self.root);
        let mut resumed = Stage { host, way, root, lines: Arc::default() };
        resumed.start_with(Hypervisor::resume(store, checkpoint)).unwrap();
        resumed
    }

    /// Runs until nothing is queued, and gives what something came to meanwhile.
    pub(crate) fn finish<T>(&self, future: impl Future<Output = T>) -> T {
        self.block_on(async { tokio::join!(future, self.advance()).0 })
    }

    /// Stops, and starts again on the same store.
    pub(crate) fn restart(&mut self) {
        self.host.stop();
        self.start();
    }

    /// Queues a message for the root container.
    pub(crate) fn tell<S: AsRef<[Step]>>(
        &self,
        steps: S,
    ) -> impl Future<Output = Result<Receipt, HypervisorError>> + use<S> {
        self.send(&self.root, steps.as_ref())
    }

    /// Queues a message for one of several roots.
    pub(crate) fn send(
        &self,
        to: &ContainerId,
        steps: &[Step],
    ) -> impl Future<Output = Result<Receipt, HypervisorError>> + use<> {
        self.hypervisor().send(to, Message { data: data(steps), ..Message::default() })
    }

    /// Tells the root container something and runs everything that comes of it.
    pub(crate) fn play(&self, steps: impl AsRef<[Step]>) -> Receipt {
        let told = self.tell(steps);
        self.run();
        self.block_on(told).unwrap()
    }

    /// Runs until nothing is queued.
    pub(crate) fn run(&self) {
        self.block_on(self.advance());
        self.wait(&self.root);
    }

    /// Runs some turns of a loop that is the host's.
    pub(crate) fn run_turns(&self, turns: u64) -> Ran {
        self.block_on(self.hypervisor().run(Budget { turns: Some(turns), ticks: None })).unwrap()
    }

    pub(crate) fn state_root(&self) -> Cid {
        self.host.state_root(&self.root)
    }

    /// A state node.
    pub(crate) fn node(&self, cid: &Cid) -> std::collections::BTreeMap<String, Ipld> {
        let bytes = everturn_dag::blocks::get(&*self.store, cid).unwrap().expect("the root is stored");
        match everturn::node::decode(&bytes).unwrap() {
            Ipld::Map(fields) => fields,
            other => panic!("a state node is a map: {other:?}"),
        }
    }

    /// The containers that there are.
    pub(crate) fn ids(&self) -> BTreeSet<ContainerId> {
        self.inspect().into_iter().map(|container| container.id).collect()
    }

    pub(crate) fn inspect_root(&self) -> Inspection {
        self.inspect().into_iter().find(|container| container.id == self.root).expect("it is alive")
    }

    /// What was said so far, in the order in which it was let out.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// Tells a story in every way; what was said, which is the same each time, as is the root.
pub(crate) fn in_every_way(story: impl Fn(&mut Stage)) -> Vec<String> {
    let mut first: Option<(Vec<String>, Cid)> = None;
    for way in Way::all() {
        let mut stage = Stage::open(way);
        story(&mut stage);
        stage.run();
        let outcome = (stage.trace(), stage.state_root());
        match &first {
            Some(first) => assert_eq!(outcome, *first, "{way:?}"),
            None => first = Some(outcome),
        }
    }
    first.expect("there is a way").0
}
