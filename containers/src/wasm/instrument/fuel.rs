//! Fuel in portions: what the JS engine pays at the heads of functions and of loops, for all that follows it there.
//!
//! What wasmtime counts costs a fifth of the engine's speed: each block adds to the count, each call stores and loads it. The
//! engine is our own module, so nothing in it is made to be undercharged. It pays where work can begin again, as much as the
//! operators that stand directly there, up to a bound. A function that calls nobody pays for its loops alone. Bytes that one
//! operator copies or fills are paid before it does. Paying is
//!
//! ```wat
//! fuel -= portion
//! if (fuel < 0) unreachable
//! ```
//!
//! with a global of the module, in which the host puts fuel before a call and looks afterwards ([`crate::wasm::fuel`]).
//!
//! Every way through a module that does not end passes the head of a loop or of a function that calls, so fuel runs out.

use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// What a portion is at most, in units of fuel. With it two thousand million units last 0.4 to 0.7 s (AMD EPYC) whatever a program does:
/// loops, calls, properties, regular expressions, large numbers.
const PORTION_MAX: u32 = 8;

/// What fuel is counted with: the indices of new globals.
#[derive(Clone, Copy)]
pub(super) struct Meter {
    /// What is left, an `i64`.
    pub(super) fuel: u32,
    /// A number of bytes, for a moment, an `i32`.
    pub(super) bytes: u32,
}

/// The portions of a function's body: of the function, none if it calls nobody, then of its loops in their order.
pub(super) fn portions(
    body: &FunctionBody<'_>,
) -> Result<impl Iterator<Item = u32> + use<>, BinaryReaderError> {
    let (mut portions, mut within, mut calls) = (vec![0], vec![0], false);
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
            Operator::Call { .. } | Operator::CallIndirect { .. } => calls = true,
            _ => {}
        }
        portions[inner] += 1;
    }
    if !calls {
        portions[0] = 0;
    }
    Ok(portions.into_iter())
}

/// Whether an operator takes longer the more bytes it is given, their number last.
pub(super) fn takes_bytes(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. }
    )
}

impl Meter {
    /// Pays a portion.
    pub(super) fn pay(self, to: &mut Function, portion: u32) {
        if portion > 0 {
            self.pay_with(to, &[Instruction::I64Const(portion.min(PORTION_MAX).into())]);
        }
    }

    /// Pays a unit for each byte of the number that lies on top, which stays there.
    pub(super) fn pay_bytes(self, to: &mut Function) {
        to.instruction(&Instruction::GlobalSet(self.bytes));
        self.pay_with(to, &[Instruction::GlobalGet(self.bytes), Instruction::I64ExtendI32U]);
        to.instruction(&Instruction::GlobalGet(self.bytes));
    }

    fn pay_with(self, to: &mut Function, price: &[Instruction<'_>]) {
        to.instruction(&Instruction::GlobalGet(self.fuel));
        for instruction in price {
            to.instruction(instruction);
        }
        to.instruction(&Instruction::I64Sub)
            .instruction(&Instruction::GlobalSet(self.fuel))
            .instruction(&Instruction::GlobalGet(self.fuel))
            .instruction(&Instruction::I64Const(0))
            .instruction(&Instruction::I64LtS)
            .instruction(&Instruction::If(BlockType::Empty))
            .instruction(&Instruction::Unreachable)
            .instruction(&Instruction::End);
    }
}

#[cfg(test)]
mod tests {
    use wasmparser::{Parser, Payload};

    use super::*;

    #[test]
    fn operators_count_where_they_stand() {
        let wasm = wat::parse_str(
            "(module
               (func $calls (param i32)
                 nop
                 (loop (br_if 0 (local.get 0)) (block (loop nop nop nop)))
                 (if (local.get 0) (then (loop (call $calls (i32.const 0))))))
               (func (loop (br 0)))
               (func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))",
        );
        let found = wasm.map(|wasm| {
            let bodies = Parser::new(0).parse_all(&wasm).filter_map(|payload| match payload {
                Ok(Payload::CodeSectionEntry(body)) => portions(&body).ok(),
                _ => None,
            });
            bodies.map(Iterator::collect::<Vec<_>>).collect::<Vec<_>>()
        });
        // A loop's own operator stands outside of it, its end inside.
        assert_eq!(found.unwrap(), [vec![7, 6, 4, 3], vec![0, 2], vec![0]]);
    }
}
