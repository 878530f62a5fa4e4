//! A turn's failure, as data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Refusal;

/// Why a turn was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExceptionKind {
    /// The program threw.
    Throw,
    /// A promise was rejected and nobody handled it by the end of the turn.
    Rejection,
    /// The turn burnt all of its fuel.
    Fuel,
    /// The program recursed too deeply.
    StackOverflow,
    /// The heap reached its limit.
    OutOfMemory,
    /// The engine trapped.
    Trap,
    /// A person interrupted it.
    Interrupted,
    /// The program, or what was sent to it, cannot be understood.
    Invalid,
    /// The container's type is not registered.
    UnknownType,
    /// The hypervisor has as many containers as it may have.
    TooManyContainers,
}

/// What an exception says to whoever caused the turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Why.
    pub kind: ExceptionKind,
    /// One line: for JS, `Name: message`.
    pub text: String,
    /// The guest's own stack, or empty.
    pub stack: String,
}

impl Exception {
    /// An exception without a stack.
    pub fn new(kind: ExceptionKind, text: impl Into<String>) -> Exception {
        Exception { kind, text: text.into(), stack: String::new() }
    }
}

/// A native program that does not handle a refusal throws it, as one in JavaScript does: `turn.get("name")?`.
impl From<Refusal> for Exception {
    fn from(refusal: Refusal) -> Exception {
        Exception::new(ExceptionKind::Throw, refusal.to_string())
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.stack.is_empty() { Ok(()) } else { write!(f, "\n{}", self.stack.trim_end()) }
    }
}
