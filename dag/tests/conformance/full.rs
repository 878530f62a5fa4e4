//! A disk that is full, and one that may only be read: real ones, small and in memory, in a mount namespace of their
//! own. Where the system does not permit that, these tests say so; what follows from a refused write is checked in
//! any case, with a disk that refuses on command (`store/sealed/tests.rs`).

use std::path::{Path, PathBuf};
use std::process::Command;

use everturn_dag::{Backend, DiskStore, Space, Store, StoreError};

use crate::world::{Model, Random, put};

/// Runs a test again as a process that may mount, with an empty folder to mount on.
fn in_a_namespace(name: &str, run: impl Fn(&Path)) {
    if let Some(folder) = std::env::var_os("EVERTURN_TEST_MOUNT") {
        let folder = PathBuf::from(folder);
        mount(&["-t", "tmpfs", "-o", "size=12m", "tmpfs"], &folder);
        return run(&folder);
    }
    let permitted = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !permitted.is_ok_and(|output| output.status.success()) {
        println!("skipped: this system does not let a test mount a small disk");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env("EVERTURN_TEST_MOUNT", folder.path())
        .output()
        .unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{error}");
}

fn mount(arguments: &[&str], on: &Path) {
    let status = Command::new("mount").args(arguments).arg(on).status().unwrap();
    assert!(status.success(), "mount {arguments:?}");
}

#[test]
fn a_full_disk_is_named_and_loses_nothing_that_was_synced() {
    in_a_namespace("full::a_full_disk_is_named_and_loses_nothing_that_was_synced", |disk| {
        for backend in Backend::ALL.iter().copied() {
            let (folder, ballast) = (disk.join(backend.name()), disk.join("ballast"));
            std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
            let store = DiskStore::open_with(&folder, backend).unwrap();
            let (mut random, mut model) = (Random(1), Model::default());
            let mut refused = None;
            for round in 0..1000u32 {
                let batch = put(Space::State, &round.to_be_bytes(), &random.bytes(50_000));
                let mut next = model.clone();
                next.apply(&batch);
                if let Err(error) = store.write(batch).and_then(|()| store.sync()) {
                    refused = Some(error);
                    break;
                }
                model = next;
            }
            let error = refused.expect("the disk gets full");
            assert!(matches!(&error, StoreError::Io { .. }), "{backend:?}: {error}");
            assert!(error.to_string().contains("No space left"), "{backend:?}: {error}");
            let after = store.write(put(Space::Meta, b"key", b"value")).and_then(|()| store.sync());
            assert!(matches!(after, Err(StoreError::Poisoned)), "{backend:?}: {after:?}");
            assert!(matches!(store.snapshot().err(), Some(StoreError::Poisoned)));
            drop(store);
            std::fs::remove_file(&ballast).unwrap();
            let found = Model::of(&DiskStore::open(&folder).unwrap()).unwrap();
            // The batch that was refused may have arrived all the same; nothing before it may be missing.
            assert!(model.0.iter().all(|(key, value)| found.0.get(key) == Some(value)), "{backend:?}");
            assert!(found.0.len() <= model.0.len() + 1, "{backend:?}");
            std::fs::remove_dir_all(&folder).unwrap();
        }
    });
}

#[test]
fn a_disk_that_may_only_be_read_is_named() {
    in_a_namespace("full::a_disk_that_may_only_be_read_is_named", |disk| {
        for backend in Backend::ALL.iter().copied() {
            let folder = disk.join(backend.name());
            let store = DiskStore::open_with(&folder, backend).unwrap();
            store.write(put(Space::Meta, b"key", b"value")).unwrap();
            store.sync().unwrap();
            let model = Model::of(&store).unwrap();
            drop(store);
            mount(&["-o", "remount,ro"], disk);
            let error = DiskStore::open(&folder).unwrap_err();
            assert!(matches!(&error, StoreError::Io { .. }), "{error}");
            assert!(error.to_string().contains("Read-only file system"), "{error}");
            let error = DiskStore::open(disk.join("new")).unwrap_err();
            assert!(matches!(&error, StoreError::Io { place, .. } if place.ends_with("new")), "{error}");
            mount(&["-o", "remount,rw"], disk);
            assert_eq!(Model::of(&DiskStore::open(&folder).unwrap()).unwrap(), model);
        }
    });
}
