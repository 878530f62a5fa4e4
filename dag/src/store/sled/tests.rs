//! A disk that gets full under the library, which [`ROOM`] leaves to other programs' writes: nobody waits for good, the error
//! is the disk's, and what was synced is there for the next process.

use std::process::{Command, Output, Stdio};

use super::*;

const NAME: &str = "store::sled::tests::a_disk_that_gets_full_under_the_library_leaves_nobody_waiting";
const NO_ROOM: Room = Room { least_bytes: 0, bytes_per_byte: 0 };

/// This test runs itself twice more: in a mount namespace of its own, and there as the process that fills the disk.
#[test]
fn a_disk_that_gets_full_under_the_library_leaves_nobody_waiting() {
    if let Some(rows) = std::env::var_os("EVERTURN_TEST_FILL") {
        let folder = std::env::current_dir().unwrap().join("sled");
        return fill(&folder, rows.to_str().unwrap().parse().unwrap());
    }
    if std::env::var_os("EVERTURN_TEST_MOUNT").is_some() {
        // Within the log; across segments of it; as files of their own.
        return [1, 2_000, 50_000].into_iter().for_each(fill_and_look);
    }
    let permitted = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !permitted.is_ok_and(|output| output.status.success()) {
        println!("skipped: this system does not let a test mount a small disk");
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=24m tmpfs "$PWD" && cd "$PWD" && exec "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    let output = output(command.current_dir(&disk).env("EVERTURN_TEST_MOUNT", "1"));
    print!("{output}");
    assert!(output.contains("1 passed"), "{output}");
}

fn output(command: &mut Command) -> String {
    let Output { stdout, stderr, status } = command.args([NAME, "--exact", "--nocapture"]).output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{text}{}", String::from_utf8_lossy(&stderr));
    text
}

/// 64 KB a batch, whatever the rows are.
fn batch(number: u32, value_bytes: usize) -> Vec<Row> {
    let row = |row: usize| {
        let key = [&[2][..], &number.to_be_bytes(), &row.to_be_bytes()].concat();
        (key, Some(vec![number as u8; value_bytes]))
    };
    (0..(64_000 / (value_bytes + 30)).max(1)).map(row).collect()
}

fn fill(folder: &Path, value_bytes: usize) {
    let store = Sled::start(folder, NO_ROOM).unwrap();
    let refused = (0..1000).find_map(|number| {
        let done = store.write(batch(number, value_bytes)).and_then(|()| store.sync());
        println!("\n{} {number}", if done.is_ok() { "synced" } else { "refused" });
        done.err()
    });
    let Some(Fault::Io(error)) = refused else { panic!("the disk gets full: {refused:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
    let after = store.write(batch(1000, value_bytes));
    assert!(matches!(&after, Err(Fault::Other(what)) if what == library::CLOSED), "{after:?}");
    assert!(store.get(&[2]).is_err() && store.sync().is_err() && store.snapshot().is_err());
    drop(store);
    // In this process the library still has its files.
    let again = Library::start(folder).err();
    assert!(matches!(&again, Some(Fault::Other(what)) if what == library::CLOSED), "{again:?}");
}

fn fill_and_look(value_bytes: usize) {
    let disk = std::env::current_dir().unwrap();
    let (folder, ballast) = (disk.join("sled"), disk.join("ballast"));
    std::fs::write(&ballast, vec![1; 16 << 20]).unwrap();
    std::fs::create_dir(&folder).unwrap();
    drop(Sled::create(&folder).unwrap());
    let mut filling = Command::new(std::env::current_exe().unwrap());
    filling.env("EVERTURN_TEST_FILL", value_bytes.to_string()).stderr(Stdio::inherit());
    let told = output(&mut filling);
    let numbers = told.lines().filter_map(|line| line.strip_prefix("synced ")?.parse().ok());
    let synced: Vec<u32> = numbers.collect();
    println!("values of {value_bytes} bytes: {} batches were synced", synced.len());
    assert!(!synced.is_empty());
    std::fs::remove_file(&ballast).unwrap();
    let store = Sled::open(&folder, 0).unwrap();
    for (key, value) in synced.into_iter().flat_map(|number| batch(number, value_bytes)) {
        assert_eq!(store.get(&key).unwrap(), value, "{key:02x?}");
    }
    drop(store);
    files::remove(&folder).unwrap();
}
