//! A copy of a store, of one instant, while everything goes on.

use std::io::{Error, ErrorKind};
use std::path::Path;

use everturn_dag::{Batch, DiskStore, Reader, Space, Store, StoreError};

use crate::{Hypervisor, HypervisorError};

/// Bytes that are written at once, roughly.
const BATCH_BYTES: usize = 4 << 20;

impl Hypervisor {
    /// Copies the store, as it is at one instant, to a new store in `folder`, which has to be absent or empty. Turns go on
    /// meanwhile. The copy is durable when this returns; one that was cut short cannot be told from a whole one by
    /// opening it, so a host makes it beside its place and renames it.
    ///
    /// # Errors
    /// If the store cannot be read or the folder not be written.
    pub async fn backup(&self, folder: impl AsRef<Path>) -> Result<(), HypervisorError> {
        // What was asked for before is in it.
        self.errand(|_| Ok(())).await?;
        let folder = folder.as_ref().to_owned();
        self.on_store(move |store| {
            let instant = store.snapshot()?;
            admit(&folder)?;
            let copy = DiskStore::open(folder)?;
            copy_all(&*instant, &copy)?;
            Ok(copy.sync()?)
        })
        .await
    }
}

/// Refuses a folder that has something in it.
fn admit(folder: &Path) -> Result<(), StoreError> {
    let error = |source| StoreError::Io { place: folder.display().to_string(), source };
    match std::fs::read_dir(folder).map(|entries| entries.count()) {
        Ok(0) => Ok(()),
        Ok(_) => Err(error(Error::new(ErrorKind::AlreadyExists, "a backup goes to a new or empty folder"))),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(error(source)),
    }
}

pub(crate) fn copy_all(from: &dyn Reader, to: &dyn Store) -> Result<(), StoreError> {
    for space in Space::ALL {
        let (mut batch, mut failed) = (Batch::new(), None);
        from.scan(space, &[], &mut |key, value| {
            batch.put(space, key, value);
            if batch.bytes() >= BATCH_BYTES {
                failed = to.write(std::mem::take(&mut batch)).err();
            }
            failed.is_none()
        })?;
        match failed {
            Some(error) => return Err(error),
            None if batch.is_empty() => {}
            None => to.write(batch)?,
        }
    }
    Ok(())
}
