//! A native container's state as it is saved: one dag-cbor value, a map or null.

use everturn_dag::StoreError;
use everturn_exo_interface::{Exception, ExceptionKind, StateReader};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The key under which it lies.
pub(super) const STATE: &[u8] = b"s";
/// The dag-cbor of null.
const NULL: u8 = 0xf6;
/// Fields of a state node that are not the container's own.
const TAKEN: [&str; 2] = ["nonce", "ports"];

/// Saves a state, or says why it cannot be one.
pub(super) fn check_saved<T: Serialize>(state: &T, bytes_max: u64) -> Result<Vec<u8>, Exception> {
    let invalid = |what: String| Exception::new(ExceptionKind::Invalid, what);
    let bytes = everturn_dag::node::encode(state)
        .map_err(|error| invalid(format!("the container's state cannot be saved: {error}")))?;
    if bytes.len() as u64 > bytes_max {
        let text =
            format!("the container's state has {} bytes, at most {bytes_max} are allowed", bytes.len());
        return Err(Exception::new(ExceptionKind::OutOfMemory, text));
    }
    match bytes.first() {
        Some(&NULL) => {}
        Some(0xa0..=0xbf) => check_names(&bytes).map_err(invalid)?,
        _ => return Err(invalid("the container's state is neither a map (a struct) nor null".into())),
    }
    Ok(bytes)
}

/// Names that are taken are rare: only where one stands somewhere in the bytes the map is looked at.
fn check_names(bytes: &[u8]) -> Result<(), String> {
    let stands = |name: &str| bytes.windows(name.len()).any(|part| part == name.as_bytes());
    if !TAKEN.iter().any(|name| stands(name)) {
        return Ok(());
    }
    let fields = fields_of_saved(bytes).map_err(|error| error.to_string())?;
    match TAKEN.iter().find(|name| fields.iter().any(|(field, _)| field == *name)) {
        Some(name) => {
            Err(format!("the container's state has a field {name:?}, which every state node has: rename it"))
        }
        None => Ok(()),
    }
}

/// The bytes that a commit has written.
pub(super) fn saved(reader: &dyn StateReader) -> Result<Vec<u8>, StoreError> {
    reader.get(STATE)?.ok_or_else(|| unreadable("it is not there"))
}

/// The state that bytes stand for.
pub(super) fn state_of<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    everturn_dag::node::decode(bytes).map_err(|error| unreadable(error.to_string()))
}

/// Its fields in the state node, each with its value as it is encoded.
pub(super) fn fields_of_saved(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, StoreError> {
    match bytes {
        [NULL] => Ok(Vec::new()),
        bytes => everturn_dag::node::entries_of_valid(bytes).map_err(|error| unreadable(error.to_string())),
    }
}

pub(super) fn unreadable(what: impl Into<String>) -> StoreError {
    StoreError::Damaged { place: "a native container's state".into(), what: what.into() }
}
