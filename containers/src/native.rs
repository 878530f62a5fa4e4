//! Containers that are Rust types: state that serialises, and a function from a message to effects.
//!
//! Their state is saved as its IPLD value. A turn that throws drops the working copy: the container goes back to its
//! savepoint, as every container does. So does one that leaves a state which cannot be saved.

mod saved;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use everturn_dag::Ipld;
use everturn_exo_interface::{
    BlockReader, BlockWriter, Container, ContainerType, Exception, ExoError, Fields, Footprint, Input,
    StateReader, StateWriter, Turn, TypeContext, Verdict,
};
use everturn_port_manager::{Delivery, Kind, Source};
use serde::Serialize;
use serde::de::DeserializeOwned;

use saved::{STATE, check_saved, fields_of_saved, saved, state_of, unreadable};

/// When a container's state is looked at, whether it can be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// After every turn: one that leaves a state that cannot be saved, or is larger than a heap may be, is an exception.
    /// Costs as much as saving it.
    EveryTurn,
    /// When it is saved, and what is wrong then is an error of the host. For small states of which every value can be
    /// saved: no floats, no maps whose keys are no texts.
    Never,
}

/// A Rust type that is a container.
///
/// Its state's fields stand in the state node beside `nonce` and `ports`, so it serialises to a map without these two
/// names, or to null for no fields of its own.
pub trait Native: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// When its state is looked at.
    const CHECKED: Checked = Checked::EveryTurn;
    /// Whether it does anything with exceptions of turns that its messages caused; else the host's log tells of them.
    const HEARS_EXCEPTIONS: bool = true;

    /// Begins from what the creator sent, in the creation turn.
    ///
    /// # Errors
    /// The exception that the creator gets; the container is gone then.
    fn create(turn: &mut Turn, init: Ipld) -> Result<Self, Exception>;

    /// Handles one message. A cold mistake (`Err`) discards everything that the turn did.
    ///
    /// # Errors
    /// The exception that the sender gets.
    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception>;
}

/// A message as a native container sees it.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Which kind of delivery it is.
    pub kind: Kind,
    /// Where it waited.
    pub source: &'a Source,
    /// One dag-cbor value.
    pub bytes: &'a [u8],
}

impl Incoming<'_> {
    /// The data, decoded; the hypervisor has validated them, so null stands for the impossible.
    pub fn data(&self) -> Ipld {
        match everturn_dag::node::integer(self.bytes) {
            Some(number) => Ipld::Integer(number),
            None => everturn_dag::node::decode(self.bytes).unwrap_or(Ipld::Null),
        }
    }
}

/// The container type of a Rust type.
pub struct NativeType<T> {
    rebuilding: Rebuilding,
    of: PhantomData<fn() -> T>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rebuilding {
    Never,
    EveryTurn,
}

impl<T: Native> NativeType<T> {
    /// A factory to register.
    pub fn new() -> Self {
        NativeType { rebuilding: Rebuilding::Never, of: PhantomData }
    }

    /// A factory for tests: after every turn the state is saved and made anew from that, so that what does not survive
    /// being saved shows at once.
    pub fn rebuilding() -> Self {
        NativeType { rebuilding: Rebuilding::EveryTurn, of: PhantomData }
    }
}

impl<T: Native> Default for NativeType<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Up to this size, saved, a state is copied in less time than its turns take.
const SMALL_BYTES: usize = 1_024;
/// Turns between copies of a small state: short, for what is kept of turns to run again stays in the processor's cache.
const SMALL_SPAN_TURNS: u32 = 16;
/// Up to this size, a state that is copied by its bytes is copied after every turn: in less time than one notes what the turn asked.
const TINY_BYTES: usize = 512;
/// Turns between copies of a larger one: so few that what they took is freed into, and taken from, an
/// allocator's list of pieces at hand, which is short (seven of a size, with glibc).
const PLAIN_SPAN_TURNS: u32 = 6;
/// Turns between copies of any other.
const SPAN_TURNS: u32 = 1_024;

struct NativeContainer<T> {
    state: Option<T>,
    savepoint: Option<T>,
    /// What the state is saved as, if that was asked since it changed.
    saved: Option<Vec<u8>>,
    committed: Option<Vec<u8>>,
    rebuilding: Rebuilding,
    bytes_max: u64,
}

impl<T: Native> ContainerType for NativeType<T> {
    fn hears_exceptions(&self) -> bool {
        T::HEARS_EXCEPTIONS
    }

    fn create(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        Ok(Box::new(NativeContainer::<T> {
            state: None,
            savepoint: None,
            saved: None,
            committed: None,
            rebuilding: self.rebuilding,
            bytes_max: context.limits.heap_bytes_max,
        }))
    }

    fn load(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        let bytes = saved(context.state)?;
        let state: T = state_of(&bytes)?;
        Ok(Box::new(NativeContainer {
            state: Some(state.clone()),
            savepoint: Some(state),
            saved: None,
            committed: Some(bytes),
            rebuilding: self.rebuilding,
            bytes_max: context.limits.heap_bytes_max,
        }))
    }

    fn flush(
        &self,
        reader: &dyn StateReader,
        _: &mut dyn StateWriter,
        _: &mut dyn BlockWriter,
    ) -> Result<Fields, ExoError> {
        let bytes = saved(reader)?;
        let fields = fields_of_saved(&bytes)?.into_iter();
        Ok(fields.map(|(name, value)| (name.to_owned(), value.to_vec())).collect())
    }

    fn heap_bytes(&self, reader: &dyn StateReader) -> Result<Option<u64>, ExoError> {
        Ok(Some(saved(reader)?.len() as u64))
    }

    fn import(
        &self,
        fields: &BTreeMap<String, Ipld>,
        writer: &mut dyn StateWriter,
        _: &dyn BlockReader,
    ) -> Result<(), ExoError> {
        // A type without fields is saved as null or as an empty map.
        let forms = [fields.is_empty().then_some(Ipld::Null), Some(Ipld::Map(fields.clone()))];
        let mut read = Err(unreadable("it has no form"));
        for form in forms.into_iter().flatten() {
            let bytes = everturn_dag::node::encode(&form).map_err(|error| unreadable(error.to_string()))?;
            read = state_of::<T>(&bytes).map(|_| bytes);
            if read.is_ok() {
                break;
            }
        }
        writer.put(STATE, read?);
        Ok(())
    }
}

impl<T: Native> NativeContainer<T> {
    fn deliver(
        &mut self,
        turn: &mut Turn,
        delivery: &Arc<Delivery>,
        source: &Source,
    ) -> Result<(), Exception> {
        let message = Incoming { kind: delivery.kind, source, bytes: &delivery.message.data };
        match &mut self.state {
            Some(state) => state.run(turn, &message),
            None => {
                self.state = Some(T::create(turn, message.data())?);
                Ok(())
            }
        }
    }

    /// Looks at what a turn has left, as far as that is wanted.
    fn look(&mut self) -> Result<Result<(), Exception>, ExoError> {
        self.saved = None;
        let wanted = T::CHECKED == Checked::EveryTurn || self.rebuilding == Rebuilding::EveryTurn;
        let Some(state) = self.state.as_ref().filter(|_| wanted) else { return Ok(Ok(())) };
        let bytes = match check_saved(state, self.bytes_max) {
            Ok(bytes) => bytes,
            Err(exception) => return Ok(Err(exception)),
        };
        if self.rebuilding == Rebuilding::EveryTurn {
            self.state = Some(state_of(&bytes)?);
        }
        self.saved = Some(bytes);
        Ok(Ok(()))
    }
}

impl<T: Native> Container for NativeContainer<T> {
    fn run(&mut self, turn: &mut Turn, input: &Input) -> Result<Verdict, ExoError> {
        let ended = match input {
            Input::Delivery(delivery, source) => self.deliver(turn, delivery, source),
            _ => Ok(()),
        };
        let ended = match ended {
            Ok(()) => self.look()?,
            thrown => thrown,
        };
        Ok(ended.map_or_else(Verdict::Exception, |()| Verdict::Done))
    }

    fn savepoint(&mut self, _: &dyn StateReader) -> Result<(), ExoError> {
        self.savepoint = self.state.clone();
        Ok(())
    }

    fn rollback(&mut self, _: &dyn StateReader) -> Result<(), ExoError> {
        self.state = self.savepoint.clone();
        self.saved = None;
        Ok(())
    }

    fn commit(&mut self, writer: &mut dyn StateWriter) -> Result<(), ExoError> {
        let bytes = match self.saved.take() {
            Some(bytes) => bytes,
            None => everturn_dag::node::encode(&self.state).map_err(|error| unreadable(error.to_string()))?,
        };
        if self.committed.as_ref() != Some(&bytes) {
            writer.put(STATE, bytes.clone());
            self.committed = Some(bytes);
        }
        Ok(())
    }

    fn span_turns_max(&self) -> u32 {
        let known = self.saved.as_ref().map_or(usize::MAX, Vec::len);
        match known {
            _ if !std::mem::needs_drop::<T>() && size_of::<T>() <= TINY_BYTES => 1,
            _ if !std::mem::needs_drop::<T>() => PLAIN_SPAN_TURNS,
            ..=SMALL_BYTES => SMALL_SPAN_TURNS,
            _ => SPAN_TURNS,
        }
    }

    fn unwritten_bytes(&self) -> u64 {
        // What equals the committed state is not written.
        let changed = self.saved.as_ref().filter(|saved| self.committed.as_ref() != Some(*saved));
        changed.map_or(0, |saved| saved.len() as u64)
    }

    fn footprint(&self) -> Footprint {
        let heap_bytes = self.committed.as_ref().map_or(0, Vec::len) as u64;
        Footprint { heap_bytes, bookkeeping_bytes: 2 * size_of::<T>() as u64 }
    }
}
