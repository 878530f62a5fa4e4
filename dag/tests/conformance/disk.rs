//! What the stores on disk promise beyond the trait: reopening, who may open, what is refused and how.

use std::path::Path;
use std::process::{Command, Stdio};

use everturn_dag::{Backend, Batch, DiskStore, Reader, Space, Store, StoreError};

use crate::world::{Model, Random, put};

fn on_every_backend(check: impl Fn(Backend, &Path)) {
    for backend in Backend::ALL.iter().copied() {
        let folder = tempfile::tempdir().unwrap();
        check(backend, folder.path());
    }
}

fn open(folder: &Path) -> DiskStore {
    DiskStore::open(folder).unwrap()
}

#[test]
fn reopening_gives_what_was_synced() {
    on_every_backend(|backend, folder| {
        let (mut random, mut model) = (Random(11), Model::default());
        for life in 0..6 {
            let store = DiskStore::open_with(folder, backend).unwrap();
            assert_eq!(Model::of(&store).unwrap(), model, "life {life}");
            for _ in 0..30 {
                let batch = random.batch();
                model.apply(&batch);
                store.write(batch).unwrap();
            }
            store.sync().unwrap();
        }
    });
}

#[test]
fn a_chain_longer_than_the_ring_of_seals_reopens() {
    on_every_backend(|backend, folder| {
        let store = DiskStore::open_with(folder, backend).unwrap();
        for number in 0..1000u32 {
            store.write(put(Space::Meta, b"number", &number.to_be_bytes())).unwrap();
            if number % 100 == 7 {
                store.sync().unwrap();
            }
        }
        drop(store);
        let number = open(folder).get(Space::Meta, b"number").unwrap().unwrap();
        assert!(u32::from_be_bytes(number.try_into().unwrap()) >= 907);
    });
}

#[test]
fn a_sync_asks_the_disk_once_and_only_when_there_is_something_new() {
    on_every_backend(|backend, folder| {
        let store = DiskStore::open_with(folder, backend).unwrap();
        assert_eq!(store.syncs(), 0);
        store.sync().unwrap();
        assert_eq!(store.syncs(), 0, "nothing was written");
        for round in 1..4 {
            store.write(put(Space::Meta, b"key", b"value")).unwrap();
            store.write(Batch::new()).unwrap();
            assert_eq!(store.syncs(), round - 1);
            store.sync().unwrap();
            store.sync().unwrap();
            assert_eq!(store.syncs(), round);
        }
    });
}

#[test]
fn a_folder_keeps_its_backend() {
    on_every_backend(|backend, folder| {
        drop(DiskStore::open_with(folder, backend).unwrap());
        assert_eq!(open(folder).backend(), backend);
        assert_eq!(open(folder).name(), backend.name());
        for other in Backend::ALL.iter().copied().filter(|other| *other != backend) {
            let error = DiskStore::open_with(folder, other).unwrap_err().to_string();
            assert!(error.contains(backend.name()) && error.contains(other.name()), "{error}");
        }
    });
}

#[test]
fn a_folder_with_other_things_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let error = DiskStore::open(folder.path()).unwrap_err();
    assert!(matches!(&error, StoreError::NotAStore { found, .. } if found == "thesis.txt"), "{error}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["thesis.txt"]);
    let error = DiskStore::open(folder.path().join("thesis.txt")).unwrap_err();
    assert!(matches!(&error, StoreError::Io { place, .. } if place.contains("thesis")), "{error}");
}

#[test]
fn a_creation_that_was_cut_short_starts_anew() {
    on_every_backend(|backend, folder| {
        // A creation that died half-way, and one that died just before the rename.
        std::fs::create_dir_all(folder.join("store.new").join(backend.name())).unwrap();
        std::fs::write(folder.join("store.new").join(backend.name()).join("0.jnl"), "half").unwrap();
        drop(DiskStore::open_with(folder, backend).unwrap());
        std::fs::rename(folder.join("store"), folder.join("store.new")).unwrap();
        let store = DiskStore::open_with(folder, backend).unwrap();
        assert_eq!(Model::of(&store).unwrap(), Model::default());
        assert!(!folder.join("store.new").exists());
    });
}

#[test]
fn a_newer_format_is_named() {
    on_every_backend(|backend, folder| {
        drop(DiskStore::open_with(folder, backend).unwrap());
        let format = folder.join("store/FORMAT");
        let text = std::fs::read_to_string(&format).unwrap();
        std::fs::write(&format, text.replace("format 3", "format 33")).unwrap();
        let error = DiskStore::open(folder).unwrap_err();
        assert!(matches!(error, StoreError::NewerFormat { found: 33, known: 3, .. }), "{error}");
        std::fs::write(&format, text.replace("format 3", "format 1")).unwrap();
        let error = DiskStore::open(folder).unwrap_err();
        assert!(matches!(error, StoreError::OlderFormat { found: 1, known: 3, .. }), "{error}");
        for broken in ["", "hello", "everturn store\nformat 3\nbackend floppy\n", &format!("{text}x")] {
            std::fs::write(&format, broken).unwrap();
            let error = DiskStore::open(folder).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{broken}: {error}");
        }
        std::fs::write(&format, text).unwrap();
        open(folder);
    });
}

#[cfg(not(feature = "sled"))]
#[test]
fn a_store_on_sled_is_named_to_a_program_without_it() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    std::fs::write(folder.path().join("store/FORMAT"), "everturn store\nformat 3\nbackend sled\n").unwrap();
    let error = DiskStore::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("the feature `sled`"), "{error}");
}

/// Without its file, an open is an error that names it; with the file put back, nothing is lost.
#[test]
fn a_missing_file_is_a_clear_error_and_nothing_is_lost() {
    on_every_backend(|backend, folder| {
        let store = DiskStore::open_with(folder, backend).unwrap();
        store.write(put(Space::Meta, b"key", b"value")).unwrap();
        store.sync().unwrap();
        drop(store);
        for name in ["FORMAT", "NOTE", backend.name()] {
            let (path, aside) = (folder.join("store").join(name), folder.join("aside"));
            std::fs::rename(&path, &aside).unwrap();
            let error = DiskStore::open(folder).unwrap_err();
            assert!(matches!(&error, StoreError::Damaged { .. }), "{name}: {error}");
            assert!(!path.exists(), "{name}: nothing was made in its place");
            std::fs::rename(&aside, &path).unwrap();
            assert_eq!(open(folder).get(Space::Meta, b"key").unwrap(), Some(b"value".to_vec()), "{name}");
        }
    });
}

#[test]
fn older_than_its_note_is_damage_that_nothing_touches() {
    on_every_backend(|backend, folder| {
        let store = DiskStore::open_with(folder, backend).unwrap();
        store.write(put(Space::Meta, b"key", b"old")).unwrap();
        store.sync().unwrap();
        drop(store);
        let library = folder.join("store").join(backend.name());
        let older = tempfile::tempdir().unwrap();
        copy(&library, older.path());
        let store = open(folder);
        store.write(put(Space::Meta, b"key", b"new")).unwrap();
        store.sync().unwrap();
        drop(store);
        std::fs::remove_dir_all(&library).unwrap();
        copy(older.path(), &library);
        for _ in 0..2 {
            let before = content(folder);
            let error = DiskStore::open(folder).unwrap_err();
            assert!(matches!(&error, StoreError::Damaged { what, .. } if what.contains("batch")), "{error}");
            assert_eq!(content(folder), before, "nothing was touched");
        }
    });
}

#[test]
fn another_history_of_the_same_length_is_damage() {
    on_every_backend(|backend, folder| {
        let other = tempfile::tempdir().unwrap();
        for (folder, value) in [(folder, b"mine"), (other.path(), b"ours")] {
            let store = DiskStore::open_with(folder, backend).unwrap();
            store.write(put(Space::Meta, b"key", value)).unwrap();
            store.sync().unwrap();
        }
        let library = Path::new("store").join(backend.name());
        std::fs::remove_dir_all(folder.join(&library)).unwrap();
        copy(&other.path().join(&library), &folder.join(&library));
        let error = DiskStore::open(folder).unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { what, .. } if what.contains("not the one")),
            "{error}"
        );
    });
}

#[test]
fn one_process_opens_a_folder_twice_only_in_turn() {
    on_every_backend(|backend, folder| {
        let store = DiskStore::open_with(folder, backend).unwrap();
        let error = DiskStore::open(folder).unwrap_err();
        let pid = std::process::id().to_string();
        assert!(matches!(&error, StoreError::InUse { holder, .. } if holder.contains(&pid)), "{error}");
        let snapshot = store.snapshot().unwrap();
        drop(store);
        assert!(
            matches!(DiskStore::open(folder), Err(StoreError::InUse { .. })),
            "a snapshot still reads it"
        );
        drop(snapshot);
        open(folder);
    });
}

/// This test runs itself as the other process, which holds the folder until it is killed.
#[test]
fn a_second_process_is_told_who_holds_the_folder_until_that_one_is_killed() {
    const NAME: &str = "a_second_process_is_told_who_holds_the_folder_until_that_one_is_killed";
    if let Some(folder) = std::env::var_os("EVERTURN_TEST_HOLD") {
        let store = open(Path::new(&folder));
        store.write(put(Space::Meta, b"key", b"value")).unwrap();
        store.sync().unwrap();
        println!("\nholding");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    on_every_backend(|backend, folder| {
        drop(DiskStore::open_with(folder, backend).unwrap());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([&format!("disk::{NAME}"), "--exact", "--nocapture"])
            .env("EVERTURN_TEST_HOLD", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut lines = std::io::BufRead::lines(output).map_while(Result::ok);
        assert!(lines.any(|line| line == "holding"), "the other process did not open the folder");
        let error = DiskStore::open(folder).unwrap_err();
        let StoreError::InUse { holder, .. } = &error else { panic!("{error}") };
        assert!(holder.contains(&child.id().to_string()), "{error}");
        assert!(holder.contains("conformance"), "the command is named: {error}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(open(folder).get(Space::Meta, b"key").unwrap(), Some(b"value".to_vec()));
    });
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder but the lock, with its content.
fn content(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else if !path.ends_with("LOCK") {
            files.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}
