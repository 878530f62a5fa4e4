//! Instructions that a container may not have.

use wasmparser::{FunctionBody, Operator};

use crate::wasm::program::WasmError;

/// Proposals whose instructions the engine compiles.
const PROPOSALS: [&str; 6] =
    ["mvp", "sign_extension", "saturating_float_to_int", "bulk_memory", "reference_types", "simd"];

/// Where the name of an instruction has its dot: after these.
const PREFIXES: [&str; 25] = [
    "i32", "i64", "f32", "f64", "v128", "i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2", "memory",
    "table", "elem", "data", "global", "local", "ref", "struct", "array", "atomic", "any", "extern", "i31",
    "cont",
];

/// Looks at a function's instructions.
pub(super) fn admit(body: &FunctionBody<'_>, function: u32) -> Result<(), WasmError> {
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let operator = reader.read()?;
        let why = match operator {
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. } => {
                "tables cannot change, since a container's state is its memory and its globals: fill them by \
                 active element segments"
            }
            Operator::ElemDrop { .. } | Operator::DataDrop { .. } => {
                "segments cannot be dropped, since a container's state is its memory and its globals: leave the \
                 instruction out, a segment costs nothing"
            }
            _ => match describe(&operator).0 {
                proposal if PROPOSALS.contains(&proposal) => continue,
                "threads" => "a container has one thread: build without threads",
                "relaxed_simd" => "its results differ between processors: build without relaxed SIMD",
                "tail_call" => "tail calls are switched off: build without them",
                "gc" | "function_references" | "custom_descriptors" => {
                    "garbage collection and typed references are switched off: build without them"
                }
                "exceptions" | "legacy_exceptions" => {
                    "exceptions of WebAssembly are switched off: build without them"
                }
                _ => "its proposal is switched off: build without it",
            },
        };
        return Err(WasmError::Refused(format!(
            "`{}` in function {function}: {why}",
            name(describe(&operator).1)
        )));
    }
    Ok(())
}

macro_rules! describe {
    ($( @$proposal:ident $operator:ident $({ $($argument:ident: $type:ty),* })? => $visit:ident ($($arity:tt)*) )*) => {
        /// An instruction's proposal and its name, as the parser spells them.
        fn describe(operator: &Operator<'_>) -> (&'static str, &'static str) {
            match operator {
                $( Operator::$operator { .. } => (stringify!($proposal), stringify!($visit)), )*
                _ => ("unknown", "unknown"),
            }
        }
    };
}

wasmparser::for_each_operator!(describe);

/// An instruction's name as texts have it: `visit_i32_atomic_rmw8_add_u` is `i32.atomic.rmw8.add_u`.
fn name(visit: &str) -> String {
    let plain = visit.trim_start_matches("visit_");
    let dotted = match plain.split_once('_') {
        Some((prefix, rest)) if PREFIXES.contains(&prefix) => format!("{prefix}.{rest}"),
        _ => plain.to_owned(),
    };
    let Some((before, after)) = dotted.split_once("atomic_") else { return dotted };
    let after = match after.split_once('_') {
        Some((width, rest)) if width.starts_with("rmw") => format!("{width}.{rest}"),
        _ => after.to_owned(),
    };
    format!("{before}atomic.{after}")
}
