//! What a container type must be able to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use everturn_dag::Ipld;
use everturn_port_manager::{ContainerId, Delivery, Message, Source};
use serde::{Deserialize, Serialize};

use crate::{BlockReader, BlockWriter, ExoError, Limits, StateReader, StateWriter, Turn, Verdict};

/// What a turn is about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A delivery: the program to begin with, a message, an exception, a line; and the port where it waited.
    Delivery(Arc<Delivery>, Source),
    /// Collect garbage: a turn of its own with its own fuel.
    Collect,
    /// The collection did not fit its fuel; do not ask for it again soon.
    Postpone,
    /// Which names may stand in place of the last one of this text, such as `foo.ba`? The answer is a list of texts. A
    /// question, not a turn: whatever it did to the container is taken back.
    Complete(Arc<str>),
    /// A request, as a [`Kind::Request`](everturn_port_manager::Kind) carries it, that only looks. The answer is as that of a request;
    /// none if the program leaves it to a turn, `false` if it has no part that answers such questions. A list leads on: the name of the
    /// port to a child that is asked instead, and the answer if that has none, null for a turn. A question, not a turn:
    /// calls that would have an effect are refused, and whatever it did to the container is taken back.
    Query(Vec<u8>),
}

impl Input {
    /// The message that it delivers, if it is a delivery.
    pub(crate) fn message(&self) -> Option<&Message> {
        match self {
            Input::Delivery(delivery, _) => Some(&delivery.message),
            Input::Collect | Input::Postpone | Input::Complete(_) | Input::Query(_) => None,
        }
    }
}

/// What a type is told when it makes or wakes a container.
#[derive(Clone, Copy)]
pub struct TypeContext<'a> {
    /// Who the container is.
    pub id: ContainerId,
    /// Its bounds.
    pub limits: &'a Limits,
    /// Its committed state; empty for a new one.
    pub state: &'a dyn StateReader,
    /// Blocks that the state refers to.
    pub blocks: &'a dyn BlockReader,
}

/// What a container costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Linear memory or state, in bytes.
    pub heap_bytes: u64,
    /// Memory that bookkeeping takes beside it, in bytes.
    pub bookkeeping_bytes: u64,
}

/// One actor's code and state, as the exo-interface drives it.
///
/// Calls come in this order: any number of [`run`](Container::run); [`savepoint`](Container::savepoint) or
/// [`rollback`](Container::rollback) between turns; [`commit`](Container::commit) right after a savepoint;
/// [`settled`](Container::settled) when what the newest commit wrote is in the store.
pub trait Container: Send {
    /// Handles one input to completion. After an exception the container may be half-way: a rollback follows.
    ///
    /// # Errors
    /// If the host fails, not the guest.
    fn run(&mut self, turn: &mut Turn, input: &Input) -> Result<Verdict, ExoError>;

    /// Whether it may be asked an [`Input::Query`].
    fn answers_queries(&self) -> bool {
        false
    }

    /// Whether a [`Input::Collect`] turn should follow, by a rule over the container's own state.
    fn due(&mut self) -> bool {
        false
    }

    /// Notes the present state as the one that a rollback returns to.
    ///
    /// # Errors
    /// If memory cannot be tracked or the store not read.
    fn savepoint(&mut self, state: &dyn StateReader) -> Result<(), ExoError>;

    /// Returns to the newest savepoint.
    ///
    /// # Errors
    /// As [`Container::savepoint`].
    fn rollback(&mut self, state: &dyn StateReader) -> Result<(), ExoError>;

    /// Writes what changed since the last commit.
    ///
    /// # Errors
    /// If the changes cannot be encoded.
    fn commit(&mut self, state: &mut dyn StateWriter) -> Result<(), ExoError>;

    /// The store now holds what the newest commit wrote: copies kept for it may go.
    fn settled(&mut self) {}

    /// How many turns may lie between two savepoints: as many as make the cost of one small beside theirs.
    fn span_turns_max(&self) -> u32 {
        1_024
    }

    /// What changed up to the newest savepoint and a commit has to write, in bytes, as far as that can be told cheaply. It never
    /// shows in an outcome.
    fn unwritten_bytes(&self) -> u64 {
        0
    }

    /// What it costs in memory.
    fn footprint(&self) -> Footprint;
}

/// Fields of a state node by name, in any order, each with its value as dag-cbor.
pub type Fields = Vec<(String, Vec<u8>)>;

/// A registered container type.
pub trait ContainerType: Send + Sync {
    /// Makes a container that has not run yet; its first input is [`Kind::Create`](everturn_port_manager::Kind).
    ///
    /// # Errors
    /// If the host has no memory for it.
    fn create(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError>;

    /// Wakes a container from its committed state.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn load(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError>;

    /// The container's own fields of its state node, from committed state alone; adds the blocks they link to. What is part
    /// of the state is linked to from the field `heap`; a link anywhere else is data, and does not leave with the state.
    /// `state` may be written too: a flush notes there what it need not hash again.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn flush(
        &self,
        state: &dyn StateReader,
        notes: &mut dyn StateWriter,
        blocks: &mut dyn BlockWriter,
    ) -> Result<Fields, ExoError>;

    /// The size of a container's heap or state, in bytes, from its committed state; `None` if that cannot be told cheaply.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn heap_bytes(&self, state: &dyn StateReader) -> Result<Option<u64>, ExoError> {
        let _ = state;
        Ok(None)
    }

    /// Whether its containers tell anybody, or act, when a turn fails that a message of theirs has caused. Where they do not, the host
    /// tells those who look after it. Never part of an outcome.
    fn hears_exceptions(&self) -> bool {
        true
    }

    /// Writes the live state that a state node's fields stand for, as a commit would have: the way back from a
    /// state root.
    ///
    /// # Errors
    /// If the fields are not this type's, or a block is missing.
    fn import(
        &self,
        fields: &BTreeMap<String, Ipld>,
        state: &mut dyn StateWriter,
        blocks: &dyn BlockReader,
    ) -> Result<(), ExoError>;
}
