//! The machine, as far as figures depend on it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// What to print above every figure.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    /// Where the stores lie: an absolute path.
    pub(crate) folder: PathBuf,
    file_system: String,
}

impl Machine {
    /// Looks around, and makes the folder.
    ///
    /// # Errors
    /// If the folder cannot be made, or lies in memory: a sync there is none.
    pub(crate) fn look(folder: &Path) -> Result<Machine, Failure> {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let file_system = file_system(&folder)?;
        if ["tmpfs", "ramfs", "devtmpfs"].contains(&file_system.as_str()) {
            let place = folder.display();
            return Err(
                format!("{place} is {file_system}: memory, no disk; name another with --folder").into()
            );
        }
        let memory_kib = field("/proc/meminfo", "MemTotal").and_then(|text| leading_number(&text));
        Ok(Machine {
            processor: processor(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory_kib.unwrap_or_default() / f64::from(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            folder,
            file_system,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, memory_gib, kernel, file_system, .. } = self;
        writeln!(f, "- processor: {processor}, {cores} cores; {memory_gib:.0} GiB of memory")?;
        writeln!(f, "- system: {} {kernel}; stores on {file_system}", std::env::consts::OS)?;
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        writeln!(f, "- load average at the end, these benchmarks included: {load}")
    }
}

/// The model's name, and where a virtual machine hides it, what is left: maker, family and model.
fn processor() -> String {
    let cpu = |name| field("/proc/cpuinfo", name).unwrap_or_default();
    let name = cpu("model name");
    if !name.is_empty() && name != "unknown" {
        return name;
    }
    format!("{}, family {}, model {}", cpu("vendor_id"), cpu("cpu family"), cpu("model"))
}

/// The value of the first `name: value` line of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn leading_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The type of the file system that a path lies on. (`/proc/self/mountinfo`: the fifth word of a line is where it is
/// mounted, the first after a lone dash its type.)
fn file_system(path: &Path) -> Result<String, Failure> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| format!("/proc/self/mountinfo: {error}; these benchmarks are for Linux"))?;
    let found = mounts.lines().filter_map(mount).filter(|(at, _)| path.starts_with(at));
    // Of mounts at one place the last hides the others.
    let nearest = found.max_by_key(|(at, _)| at.components().count());
    nearest.map(|(_, kind)| kind).ok_or_else(|| format!("{} lies on no file system", path.display()).into())
}

fn mount(line: &str) -> Option<(PathBuf, String)> {
    let (before, after) = line.split_once(" - ")?;
    let at = before.split(' ').nth(4)?.replace("\\040", " ");
    Some((PathBuf::from(at), after.split(' ').next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read() {
        let line = "36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mount(line), Some((PathBuf::from("/mnt/a b"), "ext3".to_owned())));
        assert_eq!(mount("36 35 98:0 /"), None);
    }

    #[test]
    fn what_lies_in_memory_is_refused() {
        if file_system(Path::new("/dev/shm")).is_ok_and(|kind| kind == "tmpfs") {
            let error = Machine::look(Path::new("/dev/shm")).unwrap_err().to_string();
            assert!(error.contains("no disk"), "{error}");
        }
    }
}
