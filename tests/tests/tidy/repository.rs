//! The files of the project, without what is built or fetched. Knows no rule.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders at the top that are not the project's: fetched, built, or made by running it.
const NOT_OURS: [&str; 5] = [".git", "build", "demo", "everturn-data", "target"];

/// Every file of the project by its path from the top, with `/`, in order.
pub(crate) struct Repository {
    top: PathBuf,
    files: Vec<String>,
}

impl Repository {
    pub(crate) fn open() -> Self {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
        let mut repository = Self { top: top.to_owned(), files: Vec::new() };
        for entry in children(top) {
            if !NOT_OURS.contains(&name(&entry).as_str()) {
                repository.walk(&entry, name(&entry));
            }
        }
        repository.files.sort();
        repository
    }

    fn walk(&mut self, path: &Path, from_top: String) {
        if path.is_dir() {
            for entry in children(path) {
                self.walk(&entry, format!("{from_top}/{}", name(&entry)));
            }
        } else {
            self.files.push(from_top);
        }
    }

    pub(crate) fn with_extension(&self, extension: &str) -> impl Iterator<Item = &str> {
        let ending = format!(".{extension}");
        self.files.iter().map(String::as_str).filter(move |path| path.ends_with(&ending))
    }

    /// Whether this is a file, or a folder with files in it; the empty path is the top.
    pub(crate) fn contains(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        path.is_empty() || self.files.iter().any(|file| file == path || file.starts_with(&inside))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.top.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a folder can be listed").path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().expect("an entry of a folder has a name").to_string_lossy().into_owned()
}
