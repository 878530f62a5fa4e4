//! One instance: a module running in one heap.
//!
//! Invariants:
//! 1. Between calls the stack in memory is empty: the stack pointer has its initial value, and all below it is zero.
//! 2. An instance never outlives a heap that shrank: it is made anew.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use everturn_exo_interface::{Exception, Turn};
use everturn_heap::{Growth, Heap, PageSource};
use everturn_port_manager::{Source, Ticks};
use wasmtime::{Global, Instance, Store, Trap, TypedFunc, Val, WasmParams, WasmResults};

use super::fuel::{self, Meter};
use super::globals::{Globals, Values};
use super::instrument::{DEPTH, LIMIT_UNITS, Nature, STACK_LOW, STACK_POINTER};
use super::memory::View;
use super::program::{Program, WasmError};

/// Leaf functions may use this much below the stack pointer without lowering it (LLVM's red zone for wasm).
const RED_ZONE_BYTES: u32 = 128;
/// Fuel between looks at the interrupt flag: about 10 ms.
const INTERRUPT_FUEL: u64 = 10_000_000;
/// More than a question beside a turn burns.
const SMALL_CALL_FUEL: u64 = 10_000_000;
/// More than any initialisation burns.
const INITIALISE_FUEL: u64 = 100_000_000_000;

/// What syscalls see of the host.
pub(crate) struct Host {
    pub(crate) turn: Turn,
    pub(crate) memory: View,
    /// The fuel that the turn began with; its calls share it.
    pub(crate) fuel: u64,
    /// What the turn may still burn, where the module counts it.
    pub(crate) meter: Meter,
    /// Raised when the call is to end, where the module asks for it.
    pub(crate) interrupt: Option<Arc<AtomicBool>>,
    /// What a user's module is called about.
    pub(crate) incoming: Incoming,
}

/// The input of a turn, where a guest asks for it by syscalls.
#[derive(Default)]
pub(crate) struct Incoming {
    /// One dag-cbor value.
    pub(crate) bytes: Vec<u8>,
    /// The port where it waited; `None` if the host sent it.
    pub(crate) from: Option<Source>,
}

/// A syscall's way to end the turn with an exception.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Raised(pub(crate) Exception);

/// A person's way to end the turn of a module that asks for it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// A module running in one heap.
pub(crate) struct Guest {
    pub(crate) heap: Heap,
    store: Store<Host>,
    instance: Instance,
    stack: Option<Stack>,
    depth: Option<Global>,
    globals: Globals,
    nature: Nature,
    fuel_left: u64,
}

#[derive(Clone, Copy)]
struct Stack {
    pointer: Global,
    low: Global,
    top: u32,
}

/// How a call ended.
pub(crate) enum Ended<R> {
    /// It returned.
    Returned(R),
    /// It burnt its fuel.
    OutOfFuel,
    /// It trapped, for a reason in words.
    Trapped(String),
    /// Its calls nested deeper than they may.
    TooDeep,
    /// A syscall ended the turn with an exception.
    Raised(Exception),
    /// A person interrupted it.
    Interrupted,
}

impl Guest {
    /// Starts a module in a heap, whatever that holds.
    pub(crate) fn start(program: &Program, heap: Heap) -> Result<Guest, WasmError> {
        let (mut store, instance) = instantiate(program, &heap)?;
        let stack = Stack::of(&instance, &mut store)?;
        let depth = instance.get_global(&mut store, DEPTH);
        let globals = program.globals.of_instance(&instance, &mut store);
        Ok(Guest { heap, store, instance, stack, depth, globals, nature: program.nature, fuel_left: 0 })
    }

    /// The memory that an initialising export leaves, with its stack wiped.
    pub(crate) fn initialised_memory(program: &Program, export: &str) -> Result<Vec<u8>, WasmError> {
        let mut guest = Guest::start(program, program.heap(super::config::RESERVE_BYTES)?)?;
        let initialise = guest.function::<(), i32>(export)?;
        match guest.call(&initialise, (), INITIALISE_FUEL)? {
            Ended::Returned(0) => {}
            Ended::Returned(code) => return Err(WasmError::Interface(format!("{export} answered {code}"))),
            Ended::Trapped(why) => return Err(WasmError::Interface(format!("{export} trapped: {why}"))),
            _ => {
                return Err(WasmError::Interface(format!("{export} never ends")));
            }
        }
        guest.finish_turn()?;
        let mut memory = vec![0; guest.heap.region().bytes() as usize];
        guest.heap.read(0, &mut memory)?;
        Ok(memory)
    }

    /// An exported function.
    pub(crate) fn function<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
    ) -> Result<TypedFunc<P, R>, WasmError> {
        Ok(self.instance.get_typed_func(&mut self.store, name)?)
    }

    /// Puts a turn in, for syscalls to use; the turn of nobody comes out for it.
    pub(crate) fn enter(&mut self, turn: &mut Turn) {
        let host = self.store.data_mut();
        host.fuel = turn.fuel();
        std::mem::swap(&mut host.turn, turn);
    }

    /// Takes the turn out again, in exchange for that of nobody.
    pub(crate) fn leave(&mut self, turn: &mut Turn) {
        std::mem::swap(&mut self.store.data_mut().turn, turn);
    }

    /// The guest's memory, for the host while the guest is stopped.
    pub(crate) fn memory(&self) -> &View {
        &self.store.data().memory
    }

    /// Fuel that is left of the last call's.
    pub(crate) fn fuel_left(&self) -> u64 {
        self.fuel_left
    }

    /// Calls an export with this much fuel.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        function: &TypedFunc<P, R>,
        parameters: P,
        fuel: u64,
    ) -> Result<Ended<R>, WasmError> {
        fuel::set(&mut self.store, fuel)?;
        let result = function.call(&mut self.store, parameters);
        self.fuel_left = fuel::left(&mut self.store)?;
        match result {
            Ok(returned) => Ok(Ended::Returned(returned)),
            Err(error) => self.trapped(error),
        }
    }

    /// Calls a small export beside a turn, which answers at once. What it burns is nobody's: what is left of the last call's
    /// fuel stays as it is.
    pub(crate) fn ask<R: WasmResults>(&mut self, function: &TypedFunc<(), R>) -> Result<R, WasmError> {
        fuel::set(&mut self.store, SMALL_CALL_FUEL)?;
        let silent = |_| WasmError::Interface("the engine does not answer".into());
        function.call(&mut self.store, ()).map_err(silent)
    }

    /// As [`Guest::call`], ended also by a raised `interrupt`, where the module asks for it (`poll`).
    pub(crate) fn call_watched<P: WasmParams, R: WasmResults>(
        &mut self,
        function: &TypedFunc<P, R>,
        parameters: P,
        fuel: u64,
        interrupt: Option<Arc<AtomicBool>>,
    ) -> Result<Ended<R>, WasmError> {
        self.store.data_mut().interrupt = interrupt;
        let ended = self.call(function, parameters, fuel);
        self.store.data_mut().interrupt = None;
        ended
    }

    /// As [`Guest::call`], ended also by a raised `interrupt`, where wasmtime counts its fuel. Takes some 50 us more: a store
    /// whose guest can yield can never again be called directly, so the instance is made anew behind it. Functions taken from
    /// the guest before are void.
    pub(crate) fn call_interruptible<P: WasmParams + Sync, R: WasmResults + Sync>(
        &mut self,
        program: &Program,
        function: &TypedFunc<P, R>,
        parameters: P,
        fuel: u64,
        interrupt: &AtomicBool,
    ) -> Result<Ended<R>, WasmError> {
        self.store.set_fuel(fuel)?;
        self.store.fuel_async_yield_interval(Some(INTERRUPT_FUEL))?;
        let result = run_until(function.call_async(&mut self.store, parameters), interrupt);
        self.fuel_left = self.store.get_fuel()?;
        let ended = match result {
            Some(Ok(returned)) => Ended::Returned(returned),
            Some(Err(error)) => self.trapped(error)?,
            None => Ended::Interrupted,
        };
        if matches!(ended, Ended::Returned(_)) {
            self.finish_turn()?;
        }
        let globals = self.globals.read(&mut self.store);
        self.restart(program)?;
        self.globals.write(&mut self.store, &globals)?;
        Ok(ended)
    }

    fn trapped<R>(&mut self, error: wasmtime::Error) -> Result<Ended<R>, WasmError> {
        if self.depth.is_some_and(|depth| get(depth, &mut self.store) > LIMIT_UNITS) {
            return Ok(Ended::TooDeep);
        }
        let error = match error.downcast::<Raised>() {
            Ok(Raised(exception)) => return Ok(Ended::Raised(exception)),
            Err(error) => error,
        };
        if error.is::<Interrupted>() {
            return Ok(Ended::Interrupted);
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Ok(Ended::OutOfFuel),
            Some(_) if fuel::is_used_up(&mut self.store) => Ok(Ended::OutOfFuel),
            // The native stack: how much of it a call takes is not part of any agreement (design, section 7).
            Some(Trap::StackOverflow) => Err(WasmError::Engine(error)),
            Some(trap) => Ok(Ended::Trapped(trap.to_string())),
            None => Err(WasmError::Engine(error)),
        }
    }

    /// Wipes the stack that the turn has used.
    pub(crate) fn finish_turn(&mut self) -> Result<(), WasmError> {
        let Some(stack) = self.stack else { return Ok(()) };
        let low = get(stack.low, &mut self.store).saturating_sub(RED_ZONE_BYTES);
        self.store.data().memory.wipe(low, stack.top);
        if get(stack.pointer, &mut self.store) != stack.top {
            return Err(WasmError::Interface("the stack is not empty at the end of a turn".into()));
        }
        debug_assert!(
            self.nature != Nature::Engine || self.stack_is_clean(stack),
            "a turn used stack below its lowest stack pointer"
        );
        // The pointer is where it belongs; only what was noted starts over.
        Ok(stack.low.set(&mut self.store, Val::I32(stack.top as i32))?)
    }

    /// The values of the globals that are state.
    pub(crate) fn globals(&mut self) -> Values {
        self.globals.read(&mut self.store)
    }

    /// Sets the globals that are state.
    pub(crate) fn set_globals(&mut self, values: &Values) -> Result<(), WasmError> {
        self.globals.write(&mut self.store, values)
    }

    /// What the next call is about.
    pub(crate) fn set_incoming(&mut self, incoming: Incoming) {
        self.store.data_mut().incoming = incoming;
    }

    /// How long that is, in bytes.
    pub(crate) fn incoming_bytes(&self) -> u32 {
        self.store.data().incoming.bytes.len() as u32
    }

    /// A call of nothing, which leaves this much fuel.
    pub(crate) fn idle(&mut self, fuel: u64) -> Ended<()> {
        self.fuel_left = fuel;
        Ended::Returned(())
    }

    /// Puts memory and size back to the savepoint, and the stack and the depth of calls to none; the globals that are
    /// state are for the caller to set. If a growth was taken back the instance is a new one, and functions taken from
    /// it before are void.
    pub(crate) fn rollback(
        &mut self,
        program: &Program,
        committed: &dyn PageSource,
    ) -> Result<Growth, WasmError> {
        let Growth::None = self.heap.rollback(committed)?.growth else {
            self.restart(program)?;
            return Ok(Growth::TakenBack);
        };
        if let Some(depth) = self.depth {
            depth.set(&mut self.store, Val::I32(0))?;
        }
        if let Some(stack) = self.stack {
            stack.reset(&mut self.store)?;
        }
        Ok(Growth::None)
    }

    /// Makes the instance anew in the same heap; the turn stays in.
    fn restart(&mut self, program: &Program) -> Result<(), WasmError> {
        let (mut turn, mut incoming) = (Turn::default(), Incoming::default());
        self.leave(&mut turn);
        std::mem::swap(&mut self.store.data_mut().incoming, &mut incoming);
        (self.store, self.instance) = instantiate(program, &self.heap)?;
        self.stack = Stack::of(&self.instance, &mut self.store)?;
        self.enter(&mut turn);
        self.set_incoming(incoming);
        self.depth = self.instance.get_global(&mut self.store, DEPTH);
        self.globals = program.globals.of_instance(&self.instance, &mut self.store);
        Ok(())
    }

    /// Fills the dead stack with noise, for tests that want to see it wiped.
    pub(crate) fn soil_stack(&mut self, seed: u64) {
        let Some(stack) = self.stack else { return };
        let mut noise = seed;
        let words = (0..stack.top / 8).flat_map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise.to_le_bytes()
        });
        let words: Vec<u8> = words.collect();
        let soiled = self.store.data().memory.put(0, &words).is_some();
        // Noted as used, so that the turn's end wipes it.
        let noted = stack.low.set(&mut self.store, Val::I32(0)).is_ok();
        debug_assert!(soiled && noted, "the stack lies within the memory");
    }

    fn stack_is_clean(&self, stack: Stack) -> bool {
        self.memory().bytes(0, stack.top).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    }
}

fn instantiate(program: &Program, heap: &Heap) -> Result<(Store<Host>, Instance), WasmError> {
    let memory = View(heap.region().clone());
    let (meter, incoming) = (Meter::default(), Incoming::default());
    let host = Host { turn: Turn::default(), memory, fuel: 0, meter, interrupt: None, incoming };
    let mut store = Store::new(program.runtime.engine(program.nature), host);
    if !program.nature.counts_fuel() {
        store.set_fuel(INITIALISE_FUEL)?;
    }
    let _turn = program.runtime.regions.lay_ready(heap.region());
    let instance = program.instance.instantiate(&mut store)?;
    store.data_mut().meter = Meter::of(&instance, &mut store);
    Ok((store, instance))
}

impl Stack {
    fn of(instance: &Instance, store: &mut Store<Host>) -> Result<Option<Stack>, WasmError> {
        let pointer = instance.get_global(&mut *store, STACK_POINTER);
        let low = instance.get_global(&mut *store, STACK_LOW);
        let Some((pointer, low)) = pointer.zip(low) else { return Ok(None) };
        let stack = Stack { pointer, low, top: get(pointer, store) };
        stack.reset(store)?;
        Ok(Some(stack))
    }

    fn reset(self, store: &mut Store<Host>) -> Result<(), WasmError> {
        self.pointer.set(&mut *store, Val::I32(self.top as i32))?;
        Ok(self.low.set(store, Val::I32(self.top as i32))?)
    }
}

fn get(global: Global, store: &mut Store<Host>) -> u32 {
    global.get(store).i32().unwrap_or(0) as u32
}

/// Drives a call whose guest yields now and then; `None` if the flag was raised meanwhile.
fn run_until<T>(call: impl Future<Output = T>, interrupt: &AtomicBool) -> Option<T> {
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = call.as_mut().poll(&mut context) {
            return Some(result);
        }
        if interrupt.swap(false, Ordering::Relaxed) {
            return None;
        }
    }
}

impl Host {
    /// Tells the turn what it has burnt so far.
    pub(crate) fn note_burnt(&mut self, fuel_left: u64) {
        self.turn.set_burnt(Ticks(self.fuel.saturating_sub(fuel_left)));
    }
}

#[cfg(test)]
mod tests;
