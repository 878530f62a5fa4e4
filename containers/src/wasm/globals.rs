//! The mutable globals of a user's module: its state beside the memory.
//!
//! A value is its bytes, little-endian, as many as its type has: floats are kept bit by bit, which no number of dag-cbor
//! could. Their order is that of the module.

use everturn_dag::Ipld;
use wasmtime::{Global, Instance, Module, Store, Val, ValType};

use super::guest::Host;
use super::instrument::GLOBAL;
use super::program::WasmError;

/// Each global's bytes.
pub(crate) type Values = Vec<Vec<u8>>;

/// Which globals of a module are state: their exports' names and types.
pub(crate) struct Kinds(Vec<(String, ValType)>);

/// The same of one instance.
pub(crate) struct Globals(Vec<(Global, ValType)>);

impl Kinds {
    /// Those that instrumentation has exported.
    pub(crate) fn of(module: &Module) -> Kinds {
        let exports = module.exports().filter_map(|export| {
            let number = export.name().strip_prefix(GLOBAL)?.parse::<u32>().ok()?;
            Some((number, (export.name().to_owned(), export.ty().global()?.content().clone())))
        });
        let mut numbered: Vec<_> = exports.collect();
        numbered.sort_by_key(|(number, _)| *number);
        Kinds(numbered.into_iter().map(|(_, kind)| kind).collect())
    }

    pub(crate) fn of_instance(&self, instance: &Instance, store: &mut Store<Host>) -> Globals {
        let global =
            |(name, kind): &(String, ValType)| Some((instance.get_global(&mut *store, name)?, kind.clone()));
        Globals(self.0.iter().filter_map(global).collect())
    }

    /// Reads values from a node; `None` if they are not of these globals.
    pub(crate) fn parse(&self, node: &Ipld) -> Option<Values> {
        let Ipld::List(list) = node else { return None };
        if list.len() != self.0.len() {
            return None;
        }
        list.iter()
            .zip(&self.0)
            .map(|(value, (_, kind))| match value {
                Ipld::Bytes(bytes) => value_of(kind, bytes).map(|_| bytes.clone()),
                _ => None,
            })
            .collect()
    }
}

/// Values as a node.
pub(crate) fn node(values: &Values) -> Ipld {
    Ipld::List(values.iter().cloned().map(Ipld::Bytes).collect())
}

impl Globals {
    pub(crate) fn read(&self, store: &mut Store<Host>) -> Values {
        self.0.iter().map(|(global, _)| bytes_of(&global.get(&mut *store))).collect()
    }

    pub(crate) fn write(&self, store: &mut Store<Host>, values: &Values) -> Result<(), WasmError> {
        for ((global, kind), bytes) in self.0.iter().zip(values) {
            let value = value_of(kind, bytes).ok_or_else(|| {
                WasmError::Interface("the values of its globals are not of their types".into())
            })?;
            global.set(&mut *store, value)?;
        }
        Ok(())
    }
}

fn bytes_of(value: &Val) -> Vec<u8> {
    match value {
        Val::I32(value) => value.to_le_bytes().to_vec(),
        Val::I64(value) => value.to_le_bytes().to_vec(),
        Val::F32(bits) => bits.to_le_bytes().to_vec(),
        Val::F64(bits) => bits.to_le_bytes().to_vec(),
        Val::V128(value) => value.as_u128().to_le_bytes().to_vec(),
        // Admission lets no reference in.
        _ => Vec::new(),
    }
}

fn value_of(kind: &ValType, bytes: &[u8]) -> Option<Val> {
    Some(match kind {
        ValType::I32 => Val::I32(i32::from_le_bytes(bytes.try_into().ok()?)),
        ValType::I64 => Val::I64(i64::from_le_bytes(bytes.try_into().ok()?)),
        ValType::F32 => Val::F32(u32::from_le_bytes(bytes.try_into().ok()?)),
        ValType::F64 => Val::F64(u64::from_le_bytes(bytes.try_into().ok()?)),
        ValType::V128 => Val::V128(u128::from_le_bytes(bytes.try_into().ok()?).into()),
        ValType::Ref(_) => return None,
    })
}
