//! What a call may still burn, wherever that is counted: by wasmtime in users' modules, by the module itself in the JS engine
//! (`instrument::fuel` has why).

use wasmtime::{AsContextMut, Global, Instance, Val};

use super::guest::Host;
use super::instrument::FUEL;

/// What a module that counts itself may be given at once.
const GIVEN_MAX: u64 = i64::MAX as u64;

/// The count that a module keeps itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct Meter {
    /// What the module pays from; `None` where wasmtime counts.
    global: Option<Global>,
    /// What is more than it can be given.
    rest: u64,
}

impl Meter {
    /// How an instance counts.
    pub(super) fn of(instance: &Instance, store: &mut impl AsContextMut<Data = Host>) -> Meter {
        Meter { global: instance.get_global(store, FUEL), rest: 0 }
    }
}

/// Sets what may be burnt.
pub(super) fn set(store: &mut impl AsContextMut<Data = Host>, fuel: u64) -> wasmtime::Result<()> {
    let mut context = store.as_context_mut();
    let Some(global) = context.data().meter.global else { return context.set_fuel(fuel) };
    let given = fuel.min(GIVEN_MAX);
    context.data_mut().meter.rest = fuel - given;
    global.set(context, Val::I64(given as i64))
}

/// What may still be burnt: none if there was not enough.
pub(super) fn left(store: &mut impl AsContextMut<Data = Host>) -> wasmtime::Result<u64> {
    let context = store.as_context_mut();
    let Meter { global, rest } = context.data().meter;
    let Some(global) = global else { return context.get_fuel() };
    Ok(u64::try_from(held(global, context)).map_or(0, |held| rest + held))
}

/// Whether a module that counts itself ended because there was not enough.
pub(super) fn is_used_up(store: &mut impl AsContextMut<Data = Host>) -> bool {
    let context = store.as_context_mut();
    context.data().meter.global.is_some_and(|global| held(global, context) < 0)
}

fn held(global: Global, store: impl AsContextMut) -> i64 {
    global.get(store).i64().unwrap_or(0)
}
