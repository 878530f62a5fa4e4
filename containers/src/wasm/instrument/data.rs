//! Data segments, applied to the memory that a module begins with.

use wasm_encoder::DataSection;
use wasmparser::{DataKind, Operator};

use crate::wasm::program::WasmError;

/// Applies active segments to the memory; passive ones stay as they are.
pub(super) fn into_image(
    section: wasmparser::DataSectionReader<'_>,
    memory: &mut [u8],
    segments: &mut DataSection,
) -> Result<(), WasmError> {
    for segment in section {
        let segment = segment?;
        match segment.kind {
            DataKind::Passive => {
                segments.passive(segment.data.iter().copied());
            }
            DataKind::Active { offset_expr, .. } => {
                let start = constant(&offset_expr)? as usize;
                let place = memory.get_mut(start..).and_then(|rest| rest.get_mut(..segment.data.len()));
                place
                    .ok_or_else(|| WasmError::refused("a data segment outside of its memory"))?
                    .copy_from_slice(segment.data);
                segments.passive([]);
            }
        }
    }
    Ok(())
}

/// The value of a constant expression over 32-bit numbers.
pub(in crate::wasm) fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<u32, WasmError> {
    let mut reader = expression.get_operators_reader();
    let mut stack: Vec<u32> = Vec::new();
    let computed = || WasmError::refused("a segment whose place is not computed from 32-bit constants alone");
    loop {
        let operator = reader.read()?;
        let value = match operator {
            Operator::End => break,
            Operator::I32Const { value } => value as u32,
            Operator::I32Add | Operator::I32Sub | Operator::I32Mul => {
                let (Some(b), Some(a)) = (stack.pop(), stack.pop()) else { return Err(computed()) };
                match operator {
                    Operator::I32Add => a.wrapping_add(b),
                    Operator::I32Sub => a.wrapping_sub(b),
                    _ => a.wrapping_mul(b),
                }
            }
            _ => return Err(computed()),
        };
        stack.push(value);
    }
    stack.pop().ok_or_else(computed)
}
