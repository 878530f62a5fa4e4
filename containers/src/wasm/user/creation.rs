//! What a container begins with.

use std::sync::Arc;

use everturn_dag::Ipld;
use everturn_exo_interface::{Exception, ExceptionKind, ExoError, Limits};

use super::WasmType;
use crate::wasm::program::{Program, check_size};
use crate::wasm::{WasmError, rows};

/// What compiling costs, in fuel for each byte of a module: charged also where it was compiled before, since what a turn
/// burns cannot depend on that.
pub(crate) const COMPILE_FUEL_PER_BYTE: u64 = 100;

/// A module and what it is given.
pub(super) struct Creation {
    pub(super) program: Arc<Program>,
    /// One dag-cbor value.
    pub(super) init: Vec<u8>,
    /// What is burnt before the module runs.
    pub(super) fuel: u64,
}

/// How a creation cannot come about.
pub(super) enum Failed {
    /// By what was sent.
    Exception(Exception),
    /// By the host.
    Error(ExoError),
}

impl Creation {
    /// Reads what the creator sent, and prepares the module with at most this much fuel.
    pub(super) fn of(
        data: &[u8],
        container_type: &WasmType,
        limits: &Limits,
        fuel: u64,
    ) -> Result<Creation, Failed> {
        if let Some(program) = &container_type.fixed {
            check_size(program.image.bytes(), limits.heap_bytes_max).map_err(Failed::of)?;
            return Ok(Creation { program: program.clone(), init: data.to_vec(), fuel: 0 });
        }
        let (module, init) = parse(data).map_err(Failed::invalid)?;
        let price = COMPILE_FUEL_PER_BYTE.saturating_mul(module.len() as u64);
        if price > fuel {
            let (bytes, kind) = (module.len(), ExceptionKind::Fuel);
            let text = format!(
                "a module of {bytes} bytes takes {price} units of fuel to compile, the turn has {fuel}"
            );
            return Err(Failed::Exception(Exception::new(kind, text)));
        }
        let program = container_type.modules.of_bytes(&module, limits.heap_bytes_max, &|_| {});
        Ok(Creation { program: program.map_err(Failed::of)?, init, fuel: price })
    }
}

impl Failed {
    fn invalid(what: impl Into<String>) -> Failed {
        Failed::Exception(Exception::new(ExceptionKind::Invalid, what))
    }

    fn of(error: WasmError) -> Failed {
        match error {
            WasmError::Refused(_) | WasmError::Invalid(_) => Failed::invalid(error.to_string()),
            WasmError::TooLarge { .. } => {
                Failed::Exception(Exception::new(ExceptionKind::OutOfMemory, error.to_string()))
            }
            error => Failed::Error(rows::engine(error)),
        }
    }
}

/// The module's bytes, and its input.
fn parse(data: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let wrong = || "a wasm container begins with a module: bytes, or {module: bytes, init: any}".to_owned();
    let (module, init) = match everturn_dag::node::decode(data).map_err(|error| error.to_string())? {
        Ipld::Bytes(module) => (module, Ipld::Null),
        Ipld::Map(mut fields) => match (fields.remove("module"), fields.remove("init"), fields.is_empty()) {
            (Some(Ipld::Bytes(module)), init, true) => (module, init.unwrap_or(Ipld::Null)),
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    };
    let init = everturn_dag::node::encode(&init).map_err(|error| error.to_string())?;
    Ok((module, init))
}
