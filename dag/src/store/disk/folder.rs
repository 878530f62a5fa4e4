//! The layout of a store's folder: what may be opened, how it is created, what its format is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::lock::Lock;
use super::{Backend, Note, StoreError};
use crate::store::sealed::{Origin, Sealed};

const STORE: &str = "store";
const STORE_NEW: &str = "store.new";
const FORMAT: &str = "FORMAT";
const NOTE: &str = "NOTE";
/// The one format that this program reads and writes.
const FORMAT_KNOWN: u32 = 3;

/// Makes the folder if it is absent; refuses one with other things in it and no store.
pub(super) fn admit(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|error| io_at(folder, error))?;
    let mut foreign = None;
    for entry in fs::read_dir(folder).map_err(|error| io_at(folder, error))? {
        let name = entry.map_err(|error| io_at(folder, error))?.file_name();
        if name == STORE {
            return Ok(());
        }
        if name != STORE_NEW && !Lock::is_name(&name) {
            foreign = foreign.max(Some(name));
        }
    }
    match foreign {
        None => Ok(()),
        Some(name) => Err(StoreError::NotAStore {
            place: folder.display().to_string(),
            found: name.to_string_lossy().into_owned(),
        }),
    }
}

/// Which library an existing store uses; `None` if there is no store yet.
pub(super) fn format(folder: &Path) -> Result<Option<Backend>, StoreError> {
    let store = folder.join(STORE);
    if !store.try_exists().map_err(|error| io_at(&store, error))? {
        return Ok(None);
    }
    let path = store.join(FORMAT);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(&path, "the file is missing"));
        }
        Err(error) => return Err(io_at(&path, error)),
    };
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let parsed = text.strip_prefix("everturn store\nformat ").and_then(|rest| {
        let (version, rest) = rest.split_once('\n')?;
        Some((version.parse::<u32>().ok()?, rest))
    });
    let Some((version, rest)) = parsed else {
        return Err(damaged(&path, "this is not an Everturn format file"));
    };
    if version > FORMAT_KNOWN {
        let place = folder.display().to_string();
        return Err(StoreError::NewerFormat { place, found: version, known: FORMAT_KNOWN });
    }
    if version < FORMAT_KNOWN {
        let place = folder.display().to_string();
        return Err(StoreError::OlderFormat { place, found: version, known: FORMAT_KNOWN });
    }
    #[cfg(not(feature = "sled"))]
    if rest == "backend sled\n" {
        let what = "this program was built without the feature `sled`; use one that has it".to_owned();
        return Err(StoreError::Backend { backend: "sled", place: folder.display().to_string(), what });
    }
    let backend =
        Backend::ALL.iter().copied().find(|backend| rest == format!("backend {}\n", backend.name()));
    backend.map(Some).ok_or_else(|| damaged(&path, "it names no backend that this program knows"))
}

/// Creates a store beside its final place, whole and durable, and moves it there.
pub(super) fn create(folder: &Path, backend: Backend) -> Result<(), StoreError> {
    let new = folder.join(STORE_NEW);
    let io = |error| io_at(&new, error);
    if new.try_exists().map_err(io)? {
        fs::remove_dir_all(&new).map_err(io)?;
    }
    let library = new.join(backend.name());
    fs::create_dir_all(&library).map_err(io)?;
    Note::create(&new.join(NOTE)).map_err(io)?;
    let format = format!("everturn store\nformat {FORMAT_KNOWN}\nbackend {}\n", backend.name());
    fs::write(new.join(FORMAT), format).map_err(io)?;
    fs::File::open(new.join(FORMAT)).and_then(|file| file.sync_all()).map_err(io)?;

    // Opened once, so that what is moved into place is a store that opens.
    let origin = Origin { place: folder.display().to_string(), backend: backend.name() };
    let adapter = origin.guard(|| backend.create(&library))?;
    let note = read_note(&new.join(NOTE))?;
    drop(Sealed::open(origin, adapter, note)?);

    sync_folder(&library).map_err(io)?;
    sync_folder(&new).map_err(io)?;
    fs::rename(&new, folder.join(STORE)).map_err(io)?;
    sync_folder(folder).map_err(io)?;
    // The folder's own entry, if it has just been made.
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent).map_err(io),
        _ => sync_folder(Path::new(".")).map_err(io),
    }
}

/// Where an existing store's library has its files.
pub(super) fn library(folder: &Path, backend: Backend) -> Result<PathBuf, StoreError> {
    let library = folder.join(STORE).join(backend.name());
    match library.try_exists().map_err(|error| io_at(&library, error))? {
        true => Ok(library),
        false => Err(damaged(&library, "the folder is missing")),
    }
}

pub(super) fn note(folder: &Path) -> Result<Note, StoreError> {
    read_note(&folder.join(STORE).join(NOTE))
}

fn read_note(path: &Path) -> Result<Note, StoreError> {
    match Note::open(path) {
        Ok(Some(note)) => Ok(note),
        Ok(None) => Err(damaged(path, "the note of the last sync is not readable")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(damaged(path, "the file is missing")),
        Err(error) => Err(io_at(path, error)),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Damaged { place: path.display().to_string(), what: what.to_owned() }
}

fn io_at(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { place: path.display().to_string(), source }
}
