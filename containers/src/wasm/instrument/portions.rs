//! Fuel in portions: what the JS engine pays at the head of a function and of a loop, for all that follows it there.
//!
//! Counting every operator costs a fifth of the engine's speed: each block adds to the count, which lives in memory because the
//! functions are large. The engine is our own module, so nothing in it is made to be undercharged. It pays where work can
//! begin again: once a call and once a round of a loop, as much as the operators that stand directly there, up to a bound: of
//! a long function a call runs a small part. Where to pay is told by `nop`s, which generate no code: the [cost
//! schedule](crate::wasm::config) of the engine gives a price to them and to nothing else.
//!
//! Every way through a module that does not end passes the head of a loop or of a function, so fuel runs out.

use wasm_encoder::{Function, Instruction};
use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// What one `nop` costs in the engine, in units of fuel.
pub(in crate::wasm) const NOP_FUEL: u8 = 4;
/// What a portion is at most, in units of fuel: about what the engine runs for an instruction of JavaScript.
const PORTION_MAX: u32 = 32;

/// The portions of a function's body: of the function, then of its loops in their order.
pub(super) fn of(body: &FunctionBody<'_>) -> Result<impl Iterator<Item = u32> + use<>, BinaryReaderError> {
    let (mut portions, mut within) = (vec![0], vec![0]);
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let inner = within.last().copied().unwrap_or_default();
        match reader.read()? {
            Operator::Loop { .. } => {
                within.push(portions.len());
                portions.push(0);
            }
            Operator::Block { .. } | Operator::If { .. } => within.push(inner),
            Operator::End => drop(within.pop()),
            _ => {}
        }
        portions[inner] += 1;
    }
    Ok(portions.into_iter())
}

/// Pays a portion.
pub(super) fn pay(function: &mut Function, portion: u32) {
    for _ in 0..portion.min(PORTION_MAX).div_ceil(NOP_FUEL.into()) {
        function.instruction(&Instruction::Nop);
    }
}

#[cfg(test)]
mod tests {
    use wasmparser::{Parser, Payload};

    use super::*;

    #[test]
    fn operators_count_where_they_stand() {
        let wasm = wat::parse_str(
            "(module (func (param i32)
               nop
               (loop (br_if 0 (local.get 0)) (block (loop nop nop nop)))
               (if (local.get 0) (then (loop)))))",
        );
        let found = wasm.map(|wasm| {
            let bodies = Parser::new(0).parse_all(&wasm).filter_map(|payload| match payload {
                Ok(Payload::CodeSectionEntry(body)) => of(&body).ok(),
                _ => None,
            });
            bodies.flatten().collect::<Vec<_>>()
        });
        // A loop's own operator stands outside of it, its end inside.
        assert_eq!(found.unwrap(), [7, 6, 4, 1]);
    }
}
