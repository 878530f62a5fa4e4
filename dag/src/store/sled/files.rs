//! The library's folder, seen from outside: what is copied, synced and removed, and what room there is for more.
//!
//! The library writes its log (`db`) in place; every other file it writes once and removes some day.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const LOG: &str = "db";
/// A folder of pages that are too large for the log, each a file.
const LARGE_PAGES: &str = "blobs";

/// Bytes that this program may still write to the disk under a folder.
pub(super) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(folder)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

/// A folder that the library may open without changing anything in the first one.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            // Large pages are read or removed, never written again; a second name for them will do.
            false if from.ends_with(LARGE_PAGES) && fs::hard_link(entry.path(), &target).is_ok() => {}
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Syncs the log, every file that is not among those `synced` before, and the folders in which there are such.
pub(super) fn sync(folder: &Path, synced: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let mut present = BTreeSet::new();
    sync_folder(folder, synced, &mut present)?;
    *synced = present;
    Ok(())
}

fn sync_folder(folder: &Path, synced: &BTreeSet<PathBuf>, present: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let mut is_changed = false;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            sync_folder(&path, synced, present)?;
        }
        let is_known = synced.contains(&path);
        is_changed |= !is_known;
        if !is_known || path.ends_with(LOG) {
            match File::open(&path) {
                // What the library has removed meanwhile needs no sync.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?.sync_all()?,
            }
        }
        present.insert(path);
    }
    if is_changed {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
