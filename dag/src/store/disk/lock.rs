//! One process per folder: `LOCK`, locked through the operating system and signed with pid and command.
//!
//! The lock ends with the process, however it ends. The signature stays behind and is believed only while the lock
//! is held.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use super::StoreError;

const NAME: &str = "LOCK";

#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn acquire(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let io = |source| StoreError::Io { place: path.display().to_string(), source };
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let place = folder.display().to_string();
                return Err(StoreError::InUse { place, holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        sign(&mut file).map_err(io)?;
        Ok(Lock { _file: file })
    }

    pub(super) fn is_name(name: &std::ffi::OsStr) -> bool {
        name == NAME
    }
}

fn sign(file: &mut File) -> std::io::Result<()> {
    let command: Vec<_> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "process {} ({})", std::process::id(), command.join(" "))
}

fn holder(file: &mut File) -> String {
    let mut text = Vec::new();
    match file.take(4096).read_to_end(&mut text) {
        Ok(_) if !text.is_empty() => String::from_utf8_lossy(&text).into_owned(),
        _ => "another process".to_owned(),
    }
}
