//! Containers that are Rust types: state that serialises, and a function from a message to effects.
//!
//! Their state is saved as its IPLD value. A turn that throws drops the working copy: the container goes back to its
//! savepoint, as every container does.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use everturn_dag::{Ipld, StoreError};
use everturn_exo_interface::{
    BlockReader, BlockWriter, Container, ContainerType, Exception, ExoError, Footprint, Input, StateReader,
    StateWriter, Turn, TypeContext, Verdict,
};
use everturn_port_manager::{Delivery, Kind, Source};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The key under which a native container's state lies.
const STATE: &[u8] = b"s";

/// A Rust type that is a container.
///
/// Its state's fields stand in the state node beside `nonce` and `ports`, so it serialises to a map without these two
/// names, or to null for no fields of its own.
pub trait Native: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
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
        everturn_dag::node::decode(self.bytes).unwrap_or(Ipld::Null)
    }
}

/// The container type of a Rust type.
pub struct NativeType<T>(PhantomData<fn() -> T>);

impl<T: Native> NativeType<T> {
    /// A factory to register.
    pub fn new() -> Self {
        NativeType(PhantomData)
    }
}

impl<T: Native> Default for NativeType<T> {
    fn default() -> Self {
        Self::new()
    }
}

struct NativeContainer<T> {
    state: Option<T>,
    savepoint: Option<T>,
    committed: Option<Vec<u8>>,
}

impl<T: Native> ContainerType for NativeType<T> {
    fn create(&self, _: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        Ok(Box::new(NativeContainer::<T> { state: None, savepoint: None, committed: None }))
    }

    fn load(&self, context: TypeContext<'_>) -> Result<Box<dyn Container>, ExoError> {
        let bytes = state(context.state)?;
        let state: T = everturn_dag::node::decode(&bytes).map_err(|error| unreadable(error.to_string()))?;
        Ok(Box::new(NativeContainer {
            state: Some(state.clone()),
            savepoint: Some(state),
            committed: Some(bytes),
        }))
    }

    fn flush(
        &self,
        reader: &dyn StateReader,
        _: &mut dyn StateWriter,
        _: &mut dyn BlockWriter,
    ) -> Result<BTreeMap<String, Ipld>, ExoError> {
        match everturn_dag::node::decode(&state(reader)?) {
            Ok(Ipld::Map(fields)) => Ok(fields),
            Ok(Ipld::Null) => Ok(BTreeMap::new()),
            Ok(_) => Err(unreadable("it is not a map".into()).into()),
            Err(error) => Err(unreadable(error.to_string()).into()),
        }
    }

    fn import(
        &self,
        fields: &BTreeMap<String, Ipld>,
        writer: &mut dyn StateWriter,
        _: &dyn BlockReader,
    ) -> Result<(), ExoError> {
        let node = if fields.is_empty() { Ipld::Null } else { Ipld::Map(fields.clone()) };
        let bytes = everturn_dag::node::encode(&node).map_err(|error| unreadable(error.to_string()))?;
        let _: T = everturn_dag::node::decode(&bytes).map_err(|error| unreadable(error.to_string()))?;
        writer.put(STATE, bytes);
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
}

impl<T: Native> Container for NativeContainer<T> {
    fn run(&mut self, turn: &mut Turn, input: &Input) -> Result<Verdict, ExoError> {
        let ended = match input {
            Input::Delivery(delivery, source) => self.deliver(turn, delivery, source),
            _ => Ok(()),
        };
        Ok(ended.map_or_else(Verdict::Exception, |()| Verdict::Done))
    }

    fn savepoint(&mut self, _: &dyn StateReader) -> Result<(), ExoError> {
        self.savepoint = self.state.clone();
        Ok(())
    }

    fn rollback(&mut self, _: &dyn StateReader) -> Result<(), ExoError> {
        self.state = self.savepoint.clone();
        Ok(())
    }

    fn commit(&mut self, writer: &mut dyn StateWriter) -> Result<(), ExoError> {
        let bytes = everturn_dag::node::encode(&self.state).map_err(|error| unreadable(error.to_string()))?;
        if self.committed.as_ref() != Some(&bytes) {
            writer.put(STATE, bytes.clone());
            self.committed = Some(bytes);
        }
        Ok(())
    }

    fn footprint(&self) -> Footprint {
        let heap_bytes = self.committed.as_ref().map_or(0, Vec::len) as u64;
        Footprint { heap_bytes, bookkeeping_bytes: 2 * size_of::<T>() as u64 }
    }
}

fn state(reader: &dyn StateReader) -> Result<Vec<u8>, StoreError> {
    reader.get(STATE)?.ok_or_else(|| unreadable("it is not there".into()))
}

fn unreadable(what: String) -> StoreError {
    StoreError::Damaged { place: "a native container's state".into(), what }
}
