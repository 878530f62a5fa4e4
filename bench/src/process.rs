//! What the system says of this process, and of the program that it starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};

use crate::Failure;

/// Bytes that this process has written so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// Handed to the system (`wchar`).
    pub(crate) given: u64,
    /// Pages made dirty on their way to the disk (`write_bytes`): at least one of 4 KiB for each sync of each file.
    pub(crate) pages: u64,
}

impl Written {
    pub(crate) fn now() -> Result<Written, Failure> {
        let text = fs::read_to_string("/proc/self/io")?;
        Ok(Written { given: number(&text, "wchar")?, pages: number(&text, "write_bytes")? })
    }

    pub(crate) fn since(self, before: Written) -> Written {
        Written { given: self.given - before.given, pages: self.pages - before.pages }
    }
}

/// Memory of this process, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident. A page that is mapped often counts as often.
    pub(crate) resident: u64,
    /// The part that is views of shared memory: of the engine's image.
    pub(crate) views: u64,
    /// Resident, a page that is mapped often counted once.
    pub(crate) proportional: u64,
    /// The page tables themselves.
    pub(crate) page_tables: u64,
}

impl Memory {
    pub(crate) fn now() -> Result<Memory, Failure> {
        let status = fs::read_to_string("/proc/self/status")?;
        Ok(Memory {
            resident: number(&status, "VmRSS")?,
            views: number(&status, "RssShmem")?,
            proportional: number(&fs::read_to_string("/proc/self/smaps_rollup")?, "Pss")?,
            page_tables: number(&status, "VmPTE")?,
        })
    }
}

/// Resident memory of another process in KiB: the most that it ever had, and what it has.
pub(crate) fn resident_of(process: u32) -> Result<(u64, u64), Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    Ok((number(&status, "VmHWM")?, number(&status, "VmRSS")?))
}

/// Sees that so many descriptors can be open.
///
/// # Errors
/// If the system grants less, which is then said.
pub(crate) fn room_for_descriptors(wanted: u64) -> Result<(), Failure> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        return Err(format!("it needs {wanted} open files, and the system grants {hard} (ulimit -Hn)").into());
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?)
}

/// How many descriptors are open, but for files in this folder.
pub(crate) fn descriptors_outside(folder: &Path) -> Result<usize, Failure> {
    let mut count = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        // One of them is the listing's own, before as well as after.
        let target = fs::read_link(entry?.path()).unwrap_or_default();
        count += usize::from(!target.starts_with(folder));
    }
    Ok(count)
}

/// Processor time of this process's threads of that name, in seconds: what other programs take does not count.
pub(crate) fn thread_seconds(name: &str) -> Result<f64, Failure> {
    let mut seconds = 0.0;
    for entry in fs::read_dir("/proc/self/task")? {
        let task = entry?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == name {
            let times = fs::read_to_string(task.join("schedstat"))?;
            let nanoseconds: f64 = times.split(' ').next().unwrap_or_default().parse()?;
            seconds += nanoseconds / 1e9;
        }
    }
    Ok(seconds)
}

/// Processor time of all of this process's threads, those that have ended included, in seconds.
pub(crate) fn seconds() -> Result<f64, Failure> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?).as_secs_f64())
}

/// The program that was built with this one.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name(format!("everturn{}", std::env::consts::EXE_SUFFIX));
    match program.exists() {
        true => Ok(program),
        false => Err(format!("{} is not there: build everturn-cli the same way", program.display()).into()),
    }
}

fn number(text: &str, name: &str) -> Result<u64, Failure> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.and_then(|value| value.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("the system does not say {name}"))?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_known_by_its_name() {
        let work = || {
            let named = std::thread::Builder::new().name("busy".into());
            let spent = named.spawn(|| {
                let begun = std::time::Instant::now();
                while thread_seconds("busy").unwrap() == 0.0 && begun.elapsed().as_secs() < 10 {}
                thread_seconds("busy").unwrap()
            });
            spent.unwrap().join().unwrap()
        };
        assert!(work() > 0.0);
        assert_eq!(thread_seconds("nobody").unwrap(), 0.0);
    }

    #[test]
    fn a_number_is_found_by_its_whole_name() {
        let text = "VmRSSX:\t1 kB\nVmRSS:\t  1234 kB\n";
        assert_eq!(number(text, "VmRSS").unwrap(), 1234);
        assert!(number(text, "VmPTE").is_err());
    }
}
