//! One container: a module's instance in a heap, called once for each delivery.
//!
//! Invariants:
//! 1. Between turns its state is its heap and its globals: the stack is empty, and no call is under way.
//! 2. Before its first savepoint it goes back to nothing, and its creation runs again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use everturn_exo_interface::{
    Container, Exception, ExceptionKind, ExoError, Footprint, Input, Limits, LogLevel, StateReader,
    StateWriter, Turn, TypeContext, Verdict,
};
use everturn_heap::Growth;
use everturn_port_manager::{Delivery, Kind, Source, Ticks};
use wasmtime::TypedFunc;

use super::WasmType;
use super::creation::{Creation, Failed};
use crate::wasm::WasmError;
use crate::wasm::globals::{Values, node};
use crate::wasm::guest::{Ended, Guest, Incoming};
use crate::wasm::instrument::{LIMIT_UNITS, START};
use crate::wasm::program::Program;
use crate::wasm::rows::{self, Committed, GLOBALS, Rows, encode, engine};

type Entry = TypedFunc<u32, ()>;

pub(super) struct Instance {
    container_type: WasmType,
    limits: Limits,
    living: Option<Living>,
}

/// A container whose creation has begun.
struct Living {
    program: Arc<Program>,
    guest: Guest,
    message: Entry,
    exception: Option<Entry>,
    close: Option<Entry>,
    timer: Option<Entry>,
    rows: Rows,
    /// The globals as of the newest savepoint; `None` before the first.
    savepoint: Option<Values>,
    /// The globals as they are in the store.
    committed: Option<Values>,
}

impl Instance {
    pub(super) fn unborn(container_type: WasmType, limits: &Limits) -> Instance {
        Instance { container_type, limits: *limits, living: None }
    }

    pub(super) fn load(
        container_type: WasmType,
        program: Arc<Program>,
        context: TypeContext<'_>,
    ) -> Result<Instance, ExoError> {
        let mut heap = program.heap(context.limits.heap_bytes_max).map_err(engine)?;
        let rows = Rows::load(context.state, &mut heap)?;
        let globals = program.globals.parse(&rows::globals(context.state)?);
        let globals = globals.ok_or_else(|| rows::damaged("its globals are not those of its module"))?;
        let mut living = Living::start(program, heap, rows).map_err(engine)?;
        living.guest.set_globals(&globals).map_err(engine)?;
        living.savepoint = Some(globals.clone());
        living.committed = Some(globals);
        Ok(Instance { container_type, limits: *context.limits, living: Some(living) })
    }

    fn create(&mut self, turn: &mut Turn, data: &[u8]) -> Result<Verdict, ExoError> {
        let creation = match Creation::of(data, &self.container_type, &self.limits, turn.fuel()) {
            Ok(creation) => creation,
            Err(Failed::Exception(exception)) => return Ok(Verdict::Exception(exception)),
            Err(Failed::Error(error)) => return Err(error),
        };
        let Creation { program, init, fuel } = creation;
        let heap = program.heap(self.limits.heap_bytes_max).map_err(engine)?;
        let living = self.living.insert(Living::start(program, heap, Rows::default()).map_err(engine)?);
        let fuel = turn.fuel().saturating_sub(fuel);
        living.turn(turn, Incoming { bytes: init, from: None }, |living, interrupt| {
            living.begin(fuel, interrupt)
        })
    }

    fn deliver(
        &mut self,
        turn: &mut Turn,
        delivery: &Delivery,
        source: &Source,
    ) -> Result<Verdict, ExoError> {
        let living = match (delivery.kind, &mut self.living) {
            (Kind::Create, _) => return self.create(turn, &delivery.message.data),
            (_, Some(living)) => living,
            (_, None) => return Err(engine(WasmError::Interface("it was not created".into()))),
        };
        let entry = match delivery.kind {
            Kind::Message | Kind::Request => living.message.clone(),
            Kind::Exception => match &living.exception {
                Some(entry) => entry.clone(),
                None => return Ok(log(turn, &delivery.message.data)),
            },
            Kind::Timer => match &living.timer {
                Some(entry) => entry.clone(),
                None => {
                    let what = "a timer is due, and the module has no entry everturn_timer";
                    return Ok(Verdict::Exception(Exception::new(ExceptionKind::Invalid, what)));
                }
            },
            Kind::Close => match &living.close {
                Some(entry) => entry.clone(),
                None => return Ok(Verdict::Done),
            },
            other => {
                let what = format!("a wasm container has no use for a delivery of kind {other:?}");
                return Ok(Verdict::Exception(Exception::new(ExceptionKind::Invalid, what)));
            }
        };
        let from = match source {
            Source::Parent if delivery.from.is_none() => None,
            Source::Notice(_) => None,
            source => Some(source.clone()),
        };
        let (fuel, bytes) = (turn.fuel(), delivery.message.data.clone());
        let len = bytes.len() as u32;
        living.turn(turn, Incoming { bytes, from }, |living, _| living.guest.call(&entry, len, fuel))
    }
}

impl Living {
    fn start(program: Arc<Program>, heap: everturn_heap::Heap, rows: Rows) -> Result<Living, WasmError> {
        let mut guest = Guest::start(&program, heap)?;
        let message = guest.function("everturn_message")?;
        let exception = guest.function("everturn_exception").ok();
        let close = guest.function("everturn_close").ok();
        let timer = guest.function("everturn_timer").ok();
        Ok(Living {
            program,
            guest,
            message,
            exception,
            close,
            timer,
            rows,
            savepoint: None,
            committed: None,
        })
    }

    /// Finds the entries again: the instance may be a new one.
    fn find_entries(&mut self) -> Result<(), WasmError> {
        self.message = self.guest.function("everturn_message")?;
        self.exception = self.guest.function("everturn_exception").ok();
        self.close = self.guest.function("everturn_close").ok();
        self.timer = self.guest.function("everturn_timer").ok();
        Ok(())
    }

    /// Runs a turn's calls, with the turn within reach of syscalls.
    fn turn(
        &mut self,
        turn: &mut Turn,
        incoming: Incoming,
        calls: impl FnOnce(&mut Living, Option<&AtomicBool>) -> Result<Ended<()>, WasmError>,
    ) -> Result<Verdict, ExoError> {
        let fuel = turn.fuel();
        let interrupt = turn.interrupt().cloned();
        self.guest.set_incoming(incoming);
        self.guest.enter(turn);
        let ended = calls(self, interrupt.as_deref());
        self.guest.leave(turn);
        let ended = ended.and_then(|ended| self.finish(ended)).map_err(engine)?;
        let burnt = match ended {
            Ended::Returned(()) | Ended::Raised(_) => fuel.saturating_sub(self.guest.fuel_left()),
            // Fuel is not saved where code traps: the whole limit is charged (design, section 7).
            _ => fuel,
        };
        turn.set_burnt(Ticks(burnt));
        Ok(verdict(ended, fuel))
    }

    /// The stack is to be empty now, if the module lets it be seen.
    fn finish(&mut self, ended: Ended<()>) -> Result<Ended<()>, WasmError> {
        if !matches!(ended, Ended::Returned(())) {
            return Ok(ended);
        }
        match self.guest.finish_turn() {
            Ok(()) => Ok(ended),
            Err(WasmError::Interface(what)) => Ok(Ended::Trapped(what)),
            Err(error) => Err(error),
        }
    }

    /// The calls of a creation, one after the other, on the same fuel.
    fn begin(&mut self, fuel: u64, interrupt: Option<&AtomicBool>) -> Result<Ended<()>, WasmError> {
        let len = self.guest.incoming_bytes();
        let mut ended = self.guest.idle(fuel);
        for name in [START, "_initialize"] {
            if let (Ended::Returned(()), Ok(entry)) = (&ended, self.guest.function::<(), ()>(name)) {
                ended = self.call(&entry, (), interrupt)?;
            }
        }
        if let (Ended::Returned(()), Ok(entry)) = (&ended, self.guest.function::<u32, ()>("everturn_create"))
        {
            ended = self.call(&entry, len, interrupt)?;
        }
        Ok(ended)
    }

    fn call<P: wasmtime::WasmParams + Sync>(
        &mut self,
        entry: &TypedFunc<P, ()>,
        parameters: P,
        interrupt: Option<&AtomicBool>,
    ) -> Result<Ended<()>, WasmError> {
        let fuel = self.guest.fuel_left();
        let Some(interrupt) = interrupt else { return self.guest.call(entry, parameters, fuel) };
        let ended = self.guest.call_interruptible(&self.program, entry, parameters, fuel, interrupt);
        self.find_entries()?;
        ended
    }
}

fn verdict(ended: Ended<()>, fuel: u64) -> Verdict {
    let exception = match ended {
        Ended::Returned(()) => return Verdict::Done,
        Ended::OutOfFuel => {
            Exception::new(ExceptionKind::Fuel, format!("the turn burnt its {fuel} units of fuel"))
        }
        Ended::Trapped(why) => Exception::new(ExceptionKind::Trap, format!("the module trapped: {why}")),
        Ended::TooDeep => {
            let text =
                format!("calls nest too deeply: their frames weigh more than {LIMIT_UNITS} units together");
            Exception::new(ExceptionKind::StackOverflow, text)
        }
        Ended::Raised(exception) => exception,
        Ended::Interrupted => Exception::new(ExceptionKind::Interrupted, "interrupted"),
    };
    Verdict::Exception(exception)
}

/// An exception that the module has no use for is told to people.
fn log(turn: &mut Turn, data: &[u8]) -> Verdict {
    let text = match everturn_dag::node::decode(data) {
        Ok(everturn_dag::Ipld::Map(fields)) => match fields.get("text") {
            Some(everturn_dag::Ipld::String(text)) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    match turn.log(LogLevel::Error, &format!("an exception that nothing handles: {text}")) {
        Ok(()) => Verdict::Done,
        Err(refusal) => {
            let text = format!("a line was refused: {refusal}");
            Verdict::Exception(Exception::new(ExceptionKind::Throw, text))
        }
    }
}

impl Container for Instance {
    fn run(&mut self, turn: &mut Turn, input: &Input) -> Result<Verdict, ExoError> {
        tracing::trace!(target: "everturn::path", container = %turn.id(), "Opened");
        match input {
            Input::Delivery(delivery, source) => self.deliver(turn, delivery, source),
            _ => Ok(Verdict::Done),
        }
    }

    fn savepoint(&mut self, state: &dyn StateReader) -> Result<(), ExoError> {
        let Some(living) = &mut self.living else { return Ok(()) };
        let committed = Committed::new(&living.rows.journal, state, &living.program.image);
        living.guest.heap.savepoint(&committed).map_err(engine)?;
        living.savepoint = Some(living.guest.globals());
        Ok(())
    }

    fn rollback(&mut self, state: &dyn StateReader) -> Result<(), ExoError> {
        let Some(living) = &mut self.living else { return Ok(()) };
        let Some(globals) = &living.savepoint else {
            self.living = None;
            return Ok(());
        };
        let committed = Committed::new(&living.rows.journal, state, &living.program.image);
        let growth = living.guest.rollback(&living.program, &committed).map_err(engine)?;
        living.guest.set_globals(globals).map_err(engine)?;
        match growth {
            Growth::TakenBack => living.find_entries().map_err(engine),
            Growth::None => Ok(()),
        }
    }

    fn commit(&mut self, state: &mut dyn StateWriter) -> Result<(), ExoError> {
        let Some(living) = &mut self.living else { return Ok(()) };
        tracing::trace!(target: "everturn::path", "Written down");
        let program = &living.program;
        living.rows.commit(&mut living.guest.heap, &program.code, &program.wasm, state)?;
        if living.committed != living.savepoint {
            if let Some(globals) = living.savepoint.as_ref().filter(|globals| !globals.is_empty()) {
                state.put(GLOBALS, encode(&node(globals))?);
            }
            living.committed.clone_from(&living.savepoint);
        }
        Ok(())
    }

    fn settled(&mut self) {
        let Some(living) = &mut self.living else { return };
        living.rows.settled();
        if let Err(error) = living.guest.heap.trim() {
            tracing::warn!(%error, "a heap could not be trimmed");
        }
    }

    fn unwritten_bytes(&self) -> u64 {
        self.living.as_ref().map_or(0, |living| living.guest.heap.unsent_bytes())
    }

    fn footprint(&self) -> Footprint {
        let Some(living) = &self.living else { return Footprint::default() };
        let bookkeeping = living.guest.heap.bookkeeping_bytes() + living.rows.bookkeeping_bytes();
        Footprint { heap_bytes: living.guest.heap.region().bytes(), bookkeeping_bytes: bookkeeping as u64 }
    }
}
