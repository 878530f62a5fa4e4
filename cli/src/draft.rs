//! New content in place of old: made as a draft beside its place, then renamed, so that what has the name is always whole.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What a file's new content has to outlive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The end of this process, however it ends.
    Kill,
    /// Also a power cut; costs a sync.
    PowerCut,
}

/// Where the draft of a file or folder lies.
pub(crate) fn beside(place: &Path) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Replaces a file's content so that it is the old or the new one, whatever happens.
pub(crate) fn replace(path: &Path, content: &[u8], durability: Durability) -> std::io::Result<()> {
    let draft = beside(path);
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    if durability == Durability::PowerCut {
        file.sync_data()?;
    }
    fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.json");
        for (content, durability) in [("one", Durability::Kill), ("two", Durability::PowerCut)] {
            replace(&path, content.as_bytes(), durability).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(beside(&path), folder.path().join("notes.json.new"));
        assert!(!beside(&path).exists());
    }

    #[test]
    fn what_cannot_be_drafted_leaves_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        replace(&path, b"old", Durability::Kill).unwrap();
        fs::create_dir(beside(&path)).unwrap();
        assert!(replace(&path, b"new", Durability::Kill).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
