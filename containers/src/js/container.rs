//! One JavaScript container: an engine instance in a heap, driven turn by turn.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use everturn_dag::Ipld;
use everturn_exo_interface::{
    Container, Exception, ExceptionKind, ExoError, Footprint, Input, Limits, StateReader, StateWriter, Turn,
    TypeContext, Verdict,
};
use everturn_heap::Growth;
use everturn_port_manager::{Kind, Ticks};
use wasmtime::TypedFunc;

use super::input::{EngineTurn, engine_turn};
use crate::wasm::WasmError;
use crate::wasm::guest::{Ended, Guest};
use crate::wasm::program::{Program, check_size};
use crate::wasm::rows::{Committed, Rows, engine};

/// The engine's exports that turns use.
#[derive(Clone)]
struct Exports {
    /// Where small inputs go.
    input: u32,
    input_large: TypedFunc<u32, u32>,
    turn: TypedFunc<(i32, u32), i32>,
    error_pointer: TypedFunc<(), u32>,
    error_bytes: TypedFunc<(), u32>,
}

/// Inputs up to this length go where the engine always takes them; for longer ones it makes room, in the turn.
const INPUT_BYTES_SMALL: u32 = 64 * 1024;

/// What the engine says of a turn that was done.
const DONE: i32 = 0;
const DONE_AND_DUE: i32 = 3;

pub(super) struct JsContainer {
    program: Arc<Program>,
    guest: Guest,
    exports: Exports,
    rows: Rows,
    stack: DeadStack,
    /// Whether the last turn made a collection due. It follows at once, so a heap that is loaded or rolled back to has
    /// none to come.
    due: bool,
}

/// What lies in the dead stack when a turn begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum DeadStack {
    /// Zeros.
    #[default]
    Clean,
    /// Noise that depends on the turn, for tests that want to see that it has no effect.
    Soiled,
}

impl JsContainer {
    pub(super) fn create(
        program: Arc<Program>,
        limits: &Limits,
        stack: DeadStack,
    ) -> Result<JsContainer, ExoError> {
        let heap = program.heap(limits.heap_bytes_max).map_err(engine)?;
        JsContainer::start(program, heap, Rows::default(), stack).map_err(engine)
    }

    pub(super) fn load(
        program: Arc<Program>,
        context: TypeContext<'_>,
        stack: DeadStack,
    ) -> Result<JsContainer, ExoError> {
        let mut heap = program.heap(context.limits.heap_bytes_max).map_err(engine)?;
        let rows = Rows::load(context.state, &mut heap)?;
        JsContainer::start(program, heap, rows, stack).map_err(engine)
    }

    fn start(
        program: Arc<Program>,
        heap: everturn_heap::Heap,
        rows: Rows,
        stack: DeadStack,
    ) -> Result<JsContainer, WasmError> {
        let mut guest = Guest::start(&program, heap)?;
        let exports = Exports::of(&mut guest)?;
        Ok(JsContainer { program, guest, exports, rows, stack, due: false })
    }

    fn committed<'a>(rows: &'a Rows, program: &'a Program, state: &'a dyn StateReader) -> Committed<'a> {
        Committed::new(&rows.journal, state, &program.image)
    }

    fn turn(
        &mut self,
        turn: &mut Turn,
        input: &EngineTurn,
        interruptible: bool,
    ) -> Result<Verdict, WasmError> {
        let fuel = turn.fuel();
        let interrupt = turn.interrupt().filter(|_| interruptible).cloned();
        self.guest.enter(turn);
        let ended = self.enter_engine(input, fuel, interrupt);
        self.guest.leave(turn);
        let ended = ended?;
        let burnt = match ended {
            Ended::Returned(_) | Ended::Raised(_) => fuel.saturating_sub(self.guest.fuel_left()),
            // Fuel is not saved where code traps: the whole limit is charged (design, section 7).
            _ => fuel,
        };
        turn.set_burnt(Ticks(burnt));
        let exception = match ended {
            Ended::Returned(status @ (DONE | DONE_AND_DUE)) => {
                self.due = status == DONE_AND_DUE;
                self.guest.finish_turn()?;
                tracing::trace!(target: "everturn::path", burnt, "Ended");
                return Ok(Verdict::Done);
            }
            Ended::Returned(_) => self.error()?,
            Ended::OutOfFuel => {
                Exception::new(ExceptionKind::Fuel, format!("the turn burnt its {fuel} units of fuel"))
            }
            Ended::Trapped(why) => Exception::new(ExceptionKind::Trap, format!("the engine trapped: {why}")),
            Ended::Raised(exception) => exception,
            Ended::TooDeep => Exception::new(ExceptionKind::StackOverflow, "stack overflow"),
            Ended::Interrupted => Exception::new(ExceptionKind::Interrupted, "interrupted"),
        };
        Ok(Verdict::Exception(exception))
    }

    /// Asks the engine for names. The heap is half-way afterwards.
    fn names(&mut self, turn: &mut Turn, text: &str) -> Result<Verdict, WasmError> {
        let refused = || Exception::new(ExceptionKind::Invalid, "names cannot be completed here");
        let len = u32::try_from(text.len()).ok().filter(|len| *len <= INPUT_BYTES_SMALL);
        let Some(len) =
            len.filter(|_| self.guest.memory().put(self.exports.input, text.as_bytes()).is_some())
        else {
            return Ok(Verdict::Exception(refused()));
        };
        let names = self.guest.function::<u32, i32>("everturn_names")?;
        let fuel = turn.fuel();
        self.guest.enter(turn);
        let ended = self.guest.call(&names, len, fuel);
        self.guest.leave(turn);
        match ended? {
            Ended::Returned(DONE) => Ok(Verdict::Done),
            _ => Ok(Verdict::Exception(refused())),
        }
    }

    /// Puts the input where the engine takes it and runs the turn; both burn the turn's fuel.
    fn enter_engine(
        &mut self,
        input: &EngineTurn,
        fuel: u64,
        interrupt: Option<Arc<AtomicBool>>,
    ) -> Result<Ended<i32>, WasmError> {
        let len = u32::try_from(input.bytes.len()).unwrap_or(u32::MAX);
        let (mut pointer, mut fuel) = (self.exports.input, fuel);
        if len > INPUT_BYTES_SMALL {
            pointer = match self.guest.call(&self.exports.input_large, len, fuel)? {
                Ended::Returned(pointer) => pointer,
                Ended::OutOfFuel => return Ok(Ended::OutOfFuel),
                Ended::Trapped(why) => return Ok(Ended::Trapped(why)),
                Ended::TooDeep => return Ok(Ended::TooDeep),
                Ended::Raised(exception) => return Ok(Ended::Raised(exception)),
                Ended::Interrupted => return Ok(Ended::Interrupted),
            };
            fuel = self.guest.fuel_left();
        }
        if pointer == 0 || self.guest.memory().put(pointer, &input.bytes).is_none() {
            return Ok(Ended::Trapped("out of memory: there is no room for the turn's input".into()));
        }
        let parameters = (input.kind, len);
        tracing::trace!(target: "everturn::path", kind = input.kind, fuel, "Run");
        self.guest.call_watched(&self.exports.turn, parameters, fuel, interrupt)
    }

    /// The engine's own memory has to be within the limit before a program is looked at.
    fn too_large(&self, turn: &Turn, input: &Input) -> Option<Exception> {
        let Input::Delivery(delivery, _) = input else { return None };
        let too_large = check_size(self.program.image.bytes(), turn.limits().heap_bytes_max).err();
        let too_large = too_large.filter(|_| delivery.kind == Kind::Create)?;
        Some(Exception::new(ExceptionKind::OutOfMemory, too_large.to_string()))
    }

    /// What the engine says went wrong.
    fn error(&mut self) -> Result<Exception, WasmError> {
        let pointer = self.guest.ask(&self.exports.error_pointer)?;
        let bytes = self.guest.ask(&self.exports.error_bytes)?;
        let node = self
            .guest
            .memory()
            .bytes(pointer, bytes)
            .and_then(|bytes| everturn_dag::node::decode(bytes).ok());
        let Some(Ipld::Map(fields)) = node else {
            return Err(WasmError::Interface("the engine's error cannot be read".into()));
        };
        let text = |name: &str| match fields.get(name) {
            Some(Ipld::String(text)) => text.clone(),
            _ => String::new(),
        };
        let (name, message) = (text("name"), text("text"));
        let kind = match text("kind").as_str() {
            "rejection" => ExceptionKind::Rejection,
            "stack-overflow" => ExceptionKind::StackOverflow,
            "out-of-memory" => ExceptionKind::OutOfMemory,
            "input" => ExceptionKind::Invalid,
            // The compiler of regular expressions reports its own overflow so.
            "throw" if name == "SyntaxError" && message == "stack overflow" => ExceptionKind::StackOverflow,
            _ => ExceptionKind::Throw,
        };
        let line = if name.is_empty() { message } else { format!("{name}: {message}") };
        Ok(Exception { kind, text: line, stack: text("stack") })
    }
}

impl Exports {
    fn of(guest: &mut Guest) -> Result<Exports, WasmError> {
        let input = guest.function("everturn_input")?;
        Ok(Exports {
            input: guest.ask(&input)?,
            input_large: guest.function("everturn_input_large")?,
            turn: guest.function("everturn_turn")?,
            error_pointer: guest.function("everturn_error_pointer")?,
            error_bytes: guest.function("everturn_error_bytes")?,
        })
    }
}

impl Container for JsContainer {
    fn run(&mut self, turn: &mut Turn, input: &Input) -> Result<Verdict, ExoError> {
        let by_hand = |delivery: &everturn_port_manager::Delivery| {
            matches!(delivery.kind, Kind::Evaluate | Kind::Load | Kind::Create)
        };
        let interruptible = matches!(input, Input::Delivery(delivery, _) if by_hand(delivery));
        if self.stack == DeadStack::Soiled {
            self.guest.soil_stack(turn.date_ms() ^ turn.fuel() ^ 0x9e37_79b9_7f4a_7c15);
        }
        tracing::trace!(target: "everturn::path", container = %turn.id(), "Opened");
        if let Input::Complete(text) = input {
            return self.names(turn, text).map_err(engine);
        }
        if let Some(exception) = self.too_large(turn, input) {
            return Ok(Verdict::Exception(exception));
        }
        match engine_turn(turn.id(), input) {
            Ok(engine_turn) => self.turn(turn, &engine_turn, interruptible).map_err(engine),
            Err(what) => Ok(Verdict::Exception(Exception::new(ExceptionKind::Invalid, what))),
        }
    }

    fn answers_queries(&self) -> bool {
        true
    }

    fn due(&mut self) -> bool {
        std::mem::take(&mut self.due)
    }

    fn savepoint(&mut self, state: &dyn StateReader) -> Result<(), ExoError> {
        self.guest.heap.savepoint(&Self::committed(&self.rows, &self.program, state)).map_err(engine)?;
        Ok(())
    }

    fn rollback(&mut self, state: &dyn StateReader) -> Result<(), ExoError> {
        self.due = false;
        let committed = Self::committed(&self.rows, &self.program, state);
        if self.guest.rollback(&self.program, &committed).map_err(engine)? == Growth::TakenBack {
            self.exports = Exports::of(&mut self.guest).map_err(engine)?;
        }
        Ok(())
    }

    fn commit(&mut self, state: &mut dyn StateWriter) -> Result<(), ExoError> {
        tracing::trace!(target: "everturn::path", "Written down");
        self.rows.commit(&mut self.guest.heap, &self.program.code, &self.program.wasm, state)
    }

    fn settled(&mut self) {
        self.rows.settled();
        if let Err(error) = self.guest.heap.trim() {
            tracing::warn!(%error, "a heap could not be trimmed");
        }
    }

    fn unwritten_bytes(&self) -> u64 {
        self.guest.heap.unsent_bytes()
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            heap_bytes: self.guest.heap.region().bytes(),
            bookkeeping_bytes: (self.guest.heap.bookkeeping_bytes() + self.rows.bookkeeping_bytes()) as u64,
        }
    }
}
