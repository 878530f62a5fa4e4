//! The depth of calls, counted in the module itself, so that it ends at the same call on every machine.
//!
//! What a frame takes of the native stack is the compiler's business and differs between processors. So a frame is
//! weighed by what the module says of it: its locals, the highest that its operands stand, and its length, since a
//! long function has more values to keep aside. A call whose frames together weigh more than [`LIMIT_UNITS`] traps.
//! Native stack is far from its end then: a test measures how far.
//!
//! A function that calls nobody cannot nest; it is counted only if it is large. Each counted function becomes
//!
//! ```wat
//! depth += units
//! if (depth > LIMIT_UNITS) unreachable
//! block (its results)  its body, `return` as a branch out of this block  end
//! depth -= units
//! ```
//!
//! so that branches to the function's own label lead to the block's end and need no change.

use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::{FuncValidator, FunctionBody, Operator, ValidatorResources};

use crate::wasm::program::WasmError;

/// How much the frames of nested calls may weigh together.
pub(crate) const LIMIT_UNITS: u32 = 256 << 10;
/// What every frame weighs: return address, saved registers, the instance.
const FRAME_UNITS: u32 = 8;
/// Bytes of a body for one further unit.
const BODY_BYTES: u32 = 32;
/// A function that calls nobody is counted from this weight on.
const LEAF_UNITS: u32 = 1_024;

/// What a function's frame weighs.
pub(super) struct Weight {
    locals: u32,
    operands: u32,
    body_bytes: u32,
    calls: Calls,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    Nobody,
    Somebody,
}

/// How a function is counted.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) units: u32,
    /// The type of the block that its body becomes.
    pub(super) block: BlockType,
}

impl Weight {
    /// Weighs a function, which is validated on the way.
    pub(super) fn of(
        body: &FunctionBody<'_>,
        checking: &mut FuncValidator<ValidatorResources>,
    ) -> Result<Weight, WasmError> {
        let mut reader = body.get_binary_reader();
        checking.read_locals(&mut reader)?;
        let mut weight = Weight {
            locals: checking.len_locals(),
            operands: 0,
            body_bytes: body.range().len() as u32,
            calls: Calls::Nobody,
        };
        let mut reader = wasmparser::OperatorsReader::new(reader);
        while !reader.eof() {
            let offset = reader.original_position();
            let operator = reader.read()?;
            checking.op(offset, &operator)?;
            weight.operands = weight.operands.max(checking.operand_stack_height());
            if matches!(operator, Operator::Call { .. } | Operator::CallIndirect { .. }) {
                weight.calls = Calls::Somebody;
            }
        }
        reader.finish()?;
        Ok(weight)
    }

    /// In units of about 8 bytes; everything counts for two of them, as 128-bit values need.
    pub(super) fn units(&self) -> u32 {
        let values = self.locals.saturating_add(self.operands).saturating_mul(2);
        values.saturating_add(FRAME_UNITS).saturating_add(self.body_bytes / BODY_BYTES)
    }

    pub(super) fn is_counted(&self) -> bool {
        self.calls == Calls::Somebody || self.units() > LEAF_UNITS
    }
}

/// Follows how deep blocks nest.
pub(super) fn nest(nesting: &mut u32, operator: &Operator<'_>) {
    match operator {
        Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => *nesting += 1,
        Operator::End => *nesting = nesting.saturating_sub(1),
        _ => {}
    }
}

/// What comes before a body.
pub(super) fn enter(function: &mut Function, depth: u32, counted: Counted) {
    function
        .instruction(&Instruction::GlobalGet(depth))
        .instruction(&Instruction::I32Const(counted.units as i32))
        .instruction(&Instruction::I32Add)
        .instruction(&Instruction::GlobalSet(depth))
        .instruction(&Instruction::GlobalGet(depth))
        .instruction(&Instruction::I32Const(LIMIT_UNITS as i32))
        .instruction(&Instruction::I32GtU)
        .instruction(&Instruction::If(BlockType::Empty))
        .instruction(&Instruction::Unreachable)
        .instruction(&Instruction::End)
        .instruction(&Instruction::Block(counted.block));
}

/// What comes after a body, whose last `end` has closed the block.
pub(super) fn leave(function: &mut Function, depth: u32, counted: Counted) {
    function
        .instruction(&Instruction::GlobalGet(depth))
        .instruction(&Instruction::I32Const(counted.units as i32))
        .instruction(&Instruction::I32Sub)
        .instruction(&Instruction::GlobalSet(depth))
        .instruction(&Instruction::End);
}
