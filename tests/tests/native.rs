//! Containers that are Rust types: what is saved of them, and what cannot be.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use everturn::native::{Checked, Incoming, Native, NativeType};
use everturn::{
    Cid, ContainerId, Exception, ExceptionKind, Hypervisor, HypervisorError, Ipld, MemoryStore, Settings,
    Ticks, Turn, Unloading, node,
};
use serde::{Deserialize, Serialize};

use crate::host::Host;

/// Keeps what it is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Keeper {
    words: Vec<String>,
    share: f64,
    named: BTreeMap<String, i64>,
    /// Not saved: nothing may depend on it.
    #[serde(skip)]
    turns: u32,
}

impl Native for Keeper {
    fn create(_: &mut Turn, init: Ipld) -> Result<Self, Exception> {
        match init {
            Ipld::Null => Ok(Keeper::default()),
            _ => Err(Exception::new(ExceptionKind::Throw, "begins with nothing")),
        }
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        self.turns += 1;
        turn.increment_ticks(Ticks(10));
        match message.data() {
            Ipld::String(word) => self.words.push(word),
            Ipld::Integer(n) => self.share = 1.0 / n as f64,
            Ipld::Map(named) => self.named.extend(named.into_keys().map(|name| (name, 1))),
            Ipld::Null => return answer(turn, Ipld::Integer(self.turns.into())),
            _ => {
                self.words.clear();
                return Err(Exception::new(ExceptionKind::Throw, "that is no word"));
            }
        }
        answer(turn, Ipld::Integer((self.words.len() + self.named.len()) as i128))
    }
}

/// A state that is all map: what it is told becomes a field of its state node.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Fields(BTreeMap<String, i64>);

impl Native for Fields {
    fn create(_: &mut Turn, _: Ipld) -> Result<Self, Exception> {
        Ok(Fields::default())
    }

    fn run(&mut self, _: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        if let Ipld::String(name) = message.data() {
            self.0.insert(name, 7);
        }
        Ok(())
    }
}

/// A state that is no map.
#[derive(Clone, Serialize, Deserialize)]
struct Number(u32);

impl Native for Number {
    fn create(_: &mut Turn, _: Ipld) -> Result<Self, Exception> {
        Ok(Number(1))
    }

    fn run(&mut self, _: &mut Turn, _: &Incoming<'_>) -> Result<(), Exception> {
        Ok(())
    }
}

/// No state at all, and none that needs to be looked at.
#[derive(Clone, Serialize, Deserialize)]
struct Nothing;

impl Native for Nothing {
    const CHECKED: Checked = Checked::Never;

    fn create(_: &mut Turn, _: Ipld) -> Result<Self, Exception> {
        Ok(Nothing)
    }

    fn run(&mut self, turn: &mut Turn, _: &Incoming<'_>) -> Result<(), Exception> {
        answer(turn, Ipld::Bool(true))
    }
}

fn answer(turn: &mut Turn, data: Ipld) -> Result<(), Exception> {
    turn.answer(&node::encode(&data).unwrap()).unwrap();
    Ok(())
}

/// A hypervisor with all types, on a store that outlives it.
struct World {
    host: Host,
    settings: Settings,
    rebuilding: bool,
}

impl Deref for World {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl World {
    fn new(settings: Settings, rebuilding: bool) -> World {
        let mut world = World { host: Host::on(Arc::new(MemoryStore::new())), settings, rebuilding };
        world.start();
        world
    }

    fn start(&mut self) {
        let hypervisor = self.host.start(Hypervisor::builder().settings(self.settings)).unwrap();
        if self.rebuilding {
            hypervisor.register_container("keeper", NativeType::<Keeper>::rebuilding());
        } else {
            hypervisor.register_container("keeper", NativeType::<Keeper>::new());
        }
        hypervisor.register_container("fields", NativeType::<Fields>::new());
        hypervisor.register_container("number", NativeType::<Number>::new());
        hypervisor.register_container("nothing", NativeType::<Nothing>::new());
    }

    fn restart(&mut self) {
        self.host.stop();
        self.start();
    }

    fn create(&self, container_type: &str, init: Ipld) -> Result<ContainerId, HypervisorError> {
        self.block_on(self.hypervisor().create_instance(container_type, container_type, init))
    }

    fn send(&self, to: &ContainerId, data: impl Into<Ipld>) -> Result<Option<Ipld>, Exception> {
        self.host.send(to, data).outcome
    }
}

fn map(name: &str) -> Ipld {
    Ipld::Map([(name.to_owned(), Ipld::Null)].into())
}

/// Some good turns and some that throw; what each came to, and the root after it.
fn story(
    settings: Settings,
    rebuilding: bool,
    restarts: bool,
) -> Vec<(Result<Option<Ipld>, Exception>, Cid)> {
    let mut world = World::new(settings, rebuilding);
    let keeper = world.create("keeper", Ipld::Null).unwrap();
    let mut told = Vec::new();
    for data in
        ["one".into(), Ipld::Integer(4), Ipld::Bool(true), "two".into(), map("three"), Ipld::Integer(0)]
    {
        let outcome = world.send(&keeper, data);
        if restarts {
            world.restart();
        }
        told.push((outcome, world.state_root(&keeper)));
    }
    told
}

#[test]
fn a_state_is_the_same_however_it_was_kept() {
    let reference = story(Settings::default(), false, false);
    let ended: Vec<bool> = reference.iter().map(|(outcome, _)| outcome.is_ok()).collect();
    assert_eq!(ended, [true, true, false, true, true, false]);
    assert_eq!(reference[1].1, reference[2].1, "a turn that throws leaves no trace in the root");
    let unloading = Settings { unloading: Unloading::EveryTurn, ..Settings::default() };
    let savepoints = |turns| Settings { savepoint_turns: Some(turns), ..Settings::default() };
    for (what, told) in [
        ("rebuilt after every turn", story(Settings::default(), true, false)),
        ("restarted after every turn", story(Settings::default(), false, true)),
        ("unloaded after every turn", story(unloading, false, false)),
        ("a savepoint at every turn", story(savepoints(1), false, false)),
        ("savepoints far apart", story(savepoints(1_000), false, false)),
    ] {
        assert_eq!(told, reference, "{what}");
    }
}

#[test]
fn what_does_not_survive_being_saved_shows_at_once() {
    for (rebuilding, expected) in [(false, 3), (true, 1)] {
        let world = World::new(Settings::default(), rebuilding);
        let keeper = world.create("keeper", Ipld::Null).unwrap();
        world.send(&keeper, "one").unwrap();
        world.send(&keeper, "two").unwrap();
        assert_eq!(world.send(&keeper, Ipld::Null).unwrap(), Some(Ipld::Integer(expected)));
    }
}

#[test]
fn a_state_that_cannot_be_saved_is_an_exception() {
    let mut settings = Settings::default();
    settings.limits.heap_bytes_max = 1_000;
    let mut world = World::new(settings, false);
    let keeper = world.create("keeper", Ipld::Null).unwrap();
    world.send(&keeper, "first").unwrap();
    let root = world.state_root(&keeper);
    for (data, kind, text) in [
        (Ipld::Integer(0), ExceptionKind::Invalid, "cannot be saved"),
        (Ipld::String("x".repeat(1_000)), ExceptionKind::OutOfMemory, "at most 1000"),
    ] {
        let exception = world.send(&keeper, data).unwrap_err();
        assert_eq!(exception.kind, kind, "{exception}");
        assert!(exception.text.contains(text), "{exception}");
        assert_eq!(world.state_root(&keeper), root);
    }
    assert_eq!(world.send(&keeper, "second").unwrap(), Some(Ipld::Integer(2)));
    world.restart();
    assert_eq!(world.send(&keeper, "third").unwrap(), Some(Ipld::Integer(3)));
}

#[test]
fn a_state_has_no_fields_that_every_node_has() {
    let world = World::new(Settings::default(), false);
    let fields = world.create("fields", Ipld::Null).unwrap();
    for name in ["nonce", "ports"] {
        let exception = world.send(&fields, name).unwrap_err();
        assert!(
            exception.text.contains(&format!("{name:?}")) && exception.text.contains("rename"),
            "{exception}"
        );
    }
    world.send(&fields, "announcements of ports").unwrap();
    world.state_root(&fields);
    let error = world.create("number", Ipld::Null).unwrap_err();
    assert!(error.to_string().contains("neither a map"), "{error}");
}

#[test]
fn a_state_root_of_a_rust_type_is_the_way_back() {
    let world = World::new(Settings::default(), false);
    let restore = |id: &ContainerId, root: &Cid| world.block_on(world.hypervisor().restore(id, root));
    let keeper = world.create("keeper", Ipld::Null).unwrap();
    let (fields, nothing) = (world.create("fields", Ipld::Null), world.create("nothing", Ipld::Null));
    let (fields, nothing) = (fields.unwrap(), nothing.unwrap());
    let empty = [keeper, fields, nothing].map(|id| (id, world.state_root(&id)));
    world.send(&keeper, "later").unwrap();
    world.send(&fields, "later").unwrap();
    let full = world.state_root(&keeper);
    assert!(restore(&keeper, &world.state_root(&fields)).is_err(), "the fields of another type are refused");
    assert_eq!(world.state_root(&keeper), full, "and nothing has changed");
    for (id, root) in &empty {
        restore(id, root).unwrap();
        assert_eq!(world.state_root(id), *root);
    }
    assert_eq!(world.send(&keeper, "again").unwrap(), Some(Ipld::Integer(1)));
    assert_eq!(world.send(&nothing, Ipld::Null).unwrap(), Some(Ipld::Bool(true)));
    restore(&keeper, &full).unwrap();
    assert_eq!(world.send(&keeper, "again").unwrap(), Some(Ipld::Integer(2)));
}

#[test]
fn a_creation_that_throws_leaves_nothing() {
    let world = World::new(Settings::default(), false);
    let error = world.create("keeper", Ipld::Bool(true)).unwrap_err();
    assert!(error.to_string().contains("begins with nothing"), "{error}");
    assert_eq!(world.inspect().len(), 0);
}
