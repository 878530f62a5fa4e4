//! The damage table: a bit flipped, an end cut off, a file gone, in every file a store has.
//!
//! After each the store says what is wrong, or it is in the state it was in: the one of the newest noted batch, or of
//! a whole batch after it. It never panics, and never is wrong or shorter in silence. `EVERTURN_DAMAGE_CASES` sets
//! how many bits are flipped per backend.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use everturn_dag::{Backend, DiskStore, Reader, Space, Store, StoreError};

use crate::world::{Model, Random, count, put};

#[test]
fn a_damaged_store_is_refused_or_right() {
    let flips = count("EVERTURN_DAMAGE_CASES", 300);
    quiet_panics();
    for backend in Backend::ALL.iter().copied() {
        let original = Original::make(backend);
        let mut table = Table::default();
        for case in original.cases(flips) {
            let outcome = original.try_case(&case);
            if !outcome.is_fine() {
                println!("{backend:?}: {case:?}: {outcome:?}");
            }
            table.count(&case, &outcome);
        }
        println!("{backend:?}, {} files\n{table}", original.files.len());
        assert!(table.is_fine(), "{backend:?}: some damage passed in silence or was not contained");
        assert!(
            table.of(|case, outcome| case == "flip" && *outcome == Outcome::Right) > 0,
            "no flip was harmless?"
        );
        assert!(
            table.of(|case, outcome| case == "flip" && *outcome == Outcome::Refused) > 0,
            "no flip hurt?"
        );
    }
}

/// A store with a history, and what it may be found to hold.
struct Original {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
    /// States after each batch from the noted one on.
    states: Vec<Model>,
    /// States before that.
    older: Vec<Model>,
}

#[derive(Debug)]
enum Case {
    Flip(PathBuf, u64, u8),
    Cut(PathBuf, u64),
    Remove(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Refused,
    Right,
    /// Refused, and yet files were changed.
    Touched,
    Wrong,
    Shorter,
    Panicked,
}

impl Outcome {
    fn is_fine(&self) -> bool {
        matches!(self, Outcome::Refused | Outcome::Right)
    }
}

impl Original {
    fn make(backend: Backend) -> Self {
        let folder = scratch();
        let (mut random, mut model, mut older) = (Random(5), Model::default(), Vec::new());
        let mut write = |store: &DiskStore, batch: everturn_dag::Batch| {
            model.apply(&batch);
            older.push(model.clone());
            store.write(batch).unwrap();
        };
        let store = DiskStore::open_with(folder.path(), backend).unwrap();
        // Overwritten often enough that fjall moves it into tables and starts a second journal.
        for _ in 0..10 {
            write(&store, random.batch());
        }
        let megabyte = random.bytes(1 << 20);
        // sled gives each version of a large value a file of its own, and keeps the file for long.
        let rounds = if backend.name() == "sled" { 8 } else { 80 };
        for round in 0..rounds {
            write(&store, put(Space::Blocks, b"large", &megabyte[usize::from(round)..]));
            write(&store, put(Space::Runtime, &[round], &[round; 200]));
        }
        store.sync().unwrap();
        drop(store);
        let store = DiskStore::open(folder.path()).unwrap();
        for _ in 0..40 {
            write(&store, random.batch());
        }
        store.sync().unwrap();
        let unsynced = 5;
        for _ in 0..unsynced {
            write(&store, random.batch());
        }
        drop(store);
        let states = older.split_off(older.len() - unsynced - 1);
        let mut files = Vec::new();
        list(folder.path(), Path::new(""), &mut files);
        files.retain(|file| file != Path::new("LOCK"));
        Original { folder, files, states, older }
    }

    fn cases(&self, flips: usize) -> Vec<Case> {
        let mut random = Random(9);
        let mut cases = Vec::new();
        for file in &self.files {
            let length = self.folder.path().join(file).metadata().unwrap().len();
            cases.push(Case::Remove(file.clone()));
            for cut in [0, length / 2, length.saturating_sub(1), random.next() % length.max(1)] {
                cases.push(Case::Cut(file.clone(), cut));
            }
        }
        for flip in 0..flips {
            let file = &self.files[flip % self.files.len()];
            let length = self.folder.path().join(file).metadata().unwrap().len().max(1);
            // Half of them near an end, where headers and sums are.
            let at = match random.below(4) {
                0 => random.next() % length.min(4096),
                1 => length - 1 - random.next() % length.min(4096),
                _ => random.next() % length,
            };
            cases.push(Case::Flip(file.clone(), at, 1 << random.below(8)));
        }
        cases
    }

    fn try_case(&self, case: &Case) -> Outcome {
        let folder = scratch();
        self.copy(folder.path());
        case.apply(folder.path());
        let before = contents(folder.path());
        match catch_unwind(AssertUnwindSafe(|| self.look(folder.path()))) {
            Err(_) => Outcome::Panicked,
            Ok(Ok(outcome)) => outcome,
            Ok(Err(Refusal::Reading)) => Outcome::Refused,
            Ok(Err(Refusal::Opening)) if contents(folder.path()) == before => Outcome::Refused,
            Ok(Err(Refusal::Opening)) => Outcome::Touched,
        }
    }

    fn look(&self, folder: &Path) -> Result<Outcome, Refusal> {
        let store = DiskStore::open(folder).map_err(|_| Refusal::Opening)?;
        let found = Model::of(&store).map_err(|_| Refusal::Reading)?;
        let outcome = match self.states.contains(&found) {
            true => Outcome::Right,
            false if self.older.contains(&found) => Outcome::Shorter,
            false => Outcome::Wrong,
        };
        // By key, which takes another way than a scan does.
        for ((space, key), value) in &found.0 {
            if store.get(*space, key).map_err(|_| Refusal::Reading)?.as_ref() != Some(value) {
                return Ok(Outcome::Wrong);
            }
        }
        // What looks right must also go on right.
        let batch = put(Space::Meta, b"after", b"the damage");
        let mut expected = found;
        expected.apply(&batch);
        let reading = |_: StoreError| Refusal::Reading;
        store.write(batch).map_err(reading)?;
        store.sync().map_err(reading)?;
        drop(store);
        match Model::of(&DiskStore::open(folder).map_err(reading)?).map_err(reading)? == expected {
            true => Ok(outcome),
            false => Ok(Outcome::Wrong),
        }
    }

    fn copy(&self, to: &Path) {
        for file in &self.files {
            std::fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
            std::fs::copy(self.folder.path().join(file), to.join(file)).unwrap();
        }
    }
}

enum Refusal {
    Opening,
    Reading,
}

impl Case {
    fn kind(&self) -> &'static str {
        match self {
            Case::Flip(..) => "flip",
            Case::Cut(..) => "cut",
            Case::Remove(..) => "remove",
        }
    }

    fn apply(&self, folder: &Path) {
        match self {
            Case::Flip(file, at, bit) => {
                let mut bytes = std::fs::read(folder.join(file)).unwrap();
                if let Some(byte) = bytes.get_mut(*at as usize) {
                    *byte ^= bit;
                }
                std::fs::write(folder.join(file), bytes).unwrap();
            }
            Case::Cut(file, length) => {
                let file = std::fs::OpenOptions::new().write(true).open(folder.join(file)).unwrap();
                file.set_len(*length).unwrap();
            }
            Case::Remove(file) => std::fs::remove_file(folder.join(file)).unwrap(),
        }
    }
}

fn list(root: &Path, below: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => list(root, &path, files),
            false => files.push(path),
        }
    }
    files.sort();
}

/// What must not change when an open is refused: everything but the lock, and manifests that fjall had already
/// replaced, which it clears away.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = Vec::new();
    list(folder, Path::new(""), &mut files);
    files.retain(|file| file != Path::new("LOCK") && !is_replaced(folder, file));
    files.into_iter().map(|file| (file.clone(), std::fs::read(folder.join(file)).unwrap())).collect()
}

fn is_replaced(folder: &Path, file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(number) = name.strip_prefix('v').and_then(|number| number.parse::<u64>().ok()) else {
        return false;
    };
    let current = std::fs::read(folder.join(file).with_file_name("current")).unwrap_or_default();
    current.get(..8) != Some(&number.to_le_bytes())
}

/// In memory where that is possible: damage does not care what it lies on, and syncs do.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[derive(Default)]
struct Table(BTreeMap<(&'static str, Outcome), usize>);

impl Table {
    fn count(&mut self, case: &Case, outcome: &Outcome) {
        *self.0.entry((case.kind(), outcome.clone())).or_default() += 1;
    }

    fn of(&self, counts: impl Fn(&str, &Outcome) -> bool) -> usize {
        self.0.iter().filter(|((case, outcome), _)| counts(case, outcome)).map(|(_, count)| count).sum()
    }

    fn is_fine(&self) -> bool {
        self.0.keys().all(|(_, outcome)| outcome.is_fine())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Outcome::*;
        writeln!(formatter, "        cases  error  right  touched  wrong  shorter  panicked")?;
        for kind in ["flip", "cut", "remove"] {
            let of = |wanted: Outcome| self.of(|case, outcome| case == kind && *outcome == wanted);
            let all = self.of(|case, _| case == kind);
            let (error, right, touched) = (of(Refused), of(Right), of(Touched));
            let (wrong, shorter, panicked) = (of(Wrong), of(Shorter), of(Panicked));
            writeln!(
                formatter,
                "{kind:7} {all:5}  {error:5}  {right:5}  {touched:7}  {wrong:5}  {shorter:7}  {panicked:8}"
            )?;
        }
        Ok(())
    }
}

/// Libraries panic on damage, and the store makes errors of it; their messages would drown the table.
fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let from_a_library = info.location().is_some_and(|place| place.file().contains("registry"));
        if !from_a_library {
            usual(info);
        }
    }));
}
