//! One instance: a module running in one heap.
//!
//! Invariants:
//! 1. Between calls the stack in memory is empty: the stack pointer has its initial value, and all below it is zero.
//! 2. An instance never outlives a heap that shrank: it is made anew.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use everturn_exo_interface::Turn;
use everturn_heap::{Growth, Heap, PageSource};
use everturn_port_manager::Ticks;
use wasmtime::{Global, Instance, Store, Trap, TypedFunc, Val, WasmParams, WasmResults};

use super::instrument::{STACK_LOW, STACK_POINTER};
use super::memory::View;
use super::program::{Program, WasmError};

/// Leaf functions may use this much below the stack pointer without lowering it (LLVM's red zone for wasm).
const RED_ZONE_BYTES: u32 = 128;
/// Fuel between looks at the interrupt flag: about 10 ms.
const INTERRUPT_FUEL: u64 = 10_000_000;
/// More than any initialisation burns.
const INITIALISE_FUEL: u64 = 100_000_000_000;

/// What syscalls see of the host.
pub(crate) struct Host {
    pub(crate) turn: Turn,
    pub(crate) memory: View,
    /// The fuel that the turn began with.
    pub(crate) fuel: u64,
    /// Why a syscall trapped, if it did.
    pub(crate) fault: Option<String>,
}

/// A module running in one heap.
pub(crate) struct Guest {
    pub(crate) heap: Heap,
    store: Store<Host>,
    instance: Instance,
    stack: Option<Stack>,
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
    /// A person interrupted it.
    Interrupted,
}

impl Guest {
    /// Starts a module in a heap, whatever that holds.
    pub(crate) fn start(program: &Program, heap: Heap) -> Result<Guest, WasmError> {
        let (store, instance, stack) = instantiate(program, &heap, Turn::default())?;
        Ok(Guest { heap, store, instance, stack, fuel_left: 0 })
    }

    /// The memory that an initialising export leaves, with its stack wiped.
    pub(crate) fn initialised_memory(program: &Program, export: &str) -> Result<Vec<u8>, WasmError> {
        let mut guest = Guest::start(program, program.heap(super::config::RESERVE_BYTES)?)?;
        let initialise = guest.function::<(), i32>(export)?;
        match guest.call(&initialise, (), INITIALISE_FUEL)? {
            Ended::Returned(0) => {}
            Ended::Returned(code) => return Err(WasmError::Interface(format!("{export} answered {code}"))),
            Ended::Trapped(why) => return Err(WasmError::Interface(format!("{export} trapped: {why}"))),
            Ended::OutOfFuel | Ended::Interrupted => {
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

    /// Puts a turn in, for syscalls to use.
    pub(crate) fn enter(&mut self, turn: Turn) {
        self.store.data_mut().turn = turn;
    }

    /// Takes the turn out again.
    pub(crate) fn leave(&mut self) -> Turn {
        std::mem::take(&mut self.store.data_mut().turn)
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
        self.store.set_fuel(fuel)?;
        self.store.data_mut().fuel = fuel;
        let result = function.call(&mut self.store, parameters);
        self.fuel_left = self.store.get_fuel()?;
        match result {
            Ok(returned) => Ok(Ended::Returned(returned)),
            Err(error) => self.trapped(error),
        }
    }

    /// As [`Guest::call`], ended also by a raised `interrupt`. Takes some 50 us more: a store whose guest can yield
    /// can never again be called directly, so the instance is made anew behind it. Functions taken from the guest
    /// before are void.
    pub(crate) fn call_interruptible<P: WasmParams + Sync, R: WasmResults + Sync>(
        &mut self,
        program: &Program,
        function: &TypedFunc<P, R>,
        parameters: P,
        fuel: u64,
        interrupt: &AtomicBool,
    ) -> Result<Ended<R>, WasmError> {
        self.store.set_fuel(fuel)?;
        self.store.data_mut().fuel = fuel;
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
        self.restart(program)?;
        Ok(ended)
    }

    fn trapped<R>(&mut self, error: wasmtime::Error) -> Result<Ended<R>, WasmError> {
        if let Some(fault) = self.store.data_mut().fault.take() {
            return Ok(Ended::Trapped(fault));
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Ok(Ended::OutOfFuel),
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
        debug_assert!(self.stack_is_clean(stack), "a turn used stack below its lowest stack pointer");
        // The pointer is where it belongs; only what was noted starts over.
        Ok(stack.low.set(&mut self.store, Val::I32(stack.top as i32))?)
    }

    /// Puts memory, size and globals back to the savepoint. If a growth was taken back the instance is a new one, and
    /// functions taken from it before are void.
    pub(crate) fn rollback(
        &mut self,
        program: &Program,
        committed: &dyn PageSource,
    ) -> Result<Growth, WasmError> {
        let Growth::None = self.heap.rollback(committed)?.growth else {
            self.restart(program)?;
            return Ok(Growth::TakenBack);
        };
        if let Some(stack) = self.stack {
            stack.reset(&mut self.store)?;
        }
        Ok(Growth::None)
    }

    /// Makes the instance anew in the same heap; the turn stays in.
    fn restart(&mut self, program: &Program) -> Result<(), WasmError> {
        let turn = self.leave();
        (self.store, self.instance, self.stack) = instantiate(program, &self.heap, turn)?;
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

fn instantiate(
    program: &Program,
    heap: &Heap,
    turn: Turn,
) -> Result<(Store<Host>, Instance, Option<Stack>), WasmError> {
    let host = Host { turn, memory: View(heap.region().clone()), fuel: 0, fault: None };
    let mut store = Store::new(program.runtime.engine(), host);
    store.set_fuel(INITIALISE_FUEL)?;
    let _turn = program.runtime.regions.lay_ready(heap.region());
    let instance = program.instance.instantiate(&mut store)?;
    let stack = Stack::of(&instance, &mut store)?;
    Ok((store, instance, stack))
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
