//! What the system says of this process.

use std::fs;

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
    /// Resident and shared with nobody, not even with another mapping of this process.
    pub(crate) private: u64,
    /// The page tables themselves.
    pub(crate) page_tables: u64,
}

impl Memory {
    pub(crate) fn now() -> Result<Memory, Failure> {
        let status = fs::read_to_string("/proc/self/status")?;
        let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
        Ok(Memory {
            resident: number(&status, "VmRSS")?,
            private: number(&rollup, "Private_Dirty")? + number(&rollup, "Private_Clean")?,
            page_tables: number(&status, "VmPTE")?,
        })
    }
}

/// How many descriptors are open.
pub(crate) fn descriptors() -> Result<usize, Failure> {
    // One of them is the listing's own, before as well as after.
    Ok(fs::read_dir("/proc/self/fd")?.count())
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
    fn a_number_is_found_by_its_whole_name() {
        let text = "VmRSSX:\t1 kB\nVmRSS:\t  1234 kB\n";
        assert_eq!(number(text, "VmRSS").unwrap(), 1234);
        assert!(number(text, "VmPTE").is_err());
    }
}
