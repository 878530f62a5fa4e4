//! `everturn serve` as a process of its own, to be asked over the network.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Failure;
use crate::process::program;
use crate::world::Bed;

/// A program that is served, its store on the disk. It goes with its folder.
pub(crate) struct Site {
    child: Child,
    pub(crate) address: String,
    _folder: TempDir,
}

impl Site {
    /// Serves this text on a free port, and waits until it does.
    pub(crate) fn begin(bed: &Bed, text: &str, options: &[&str]) -> Result<Site, Failure> {
        let folder = tempfile::Builder::new().prefix("serve-").tempdir_in(&bed.folder)?;
        std::fs::write(folder.path().join("program.js"), text)?;
        let mut child = Command::new(program()?)
            .current_dir(folder.path())
            .args(["serve", "program.js", "--data", "data", "--http", "127.0.0.1:0"])
            .args(options)
            .env("EVERTURN_CACHE", std::path::absolute(bed.folder.join("modules"))?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().ok_or("its output cannot be read")?).read_line(&mut said)?;
        let address = said.trim().strip_prefix("listening on http://");
        let address = address.ok_or_else(|| format!("everturn serve says {said:?}"))?.to_owned();
        Ok(Site { child, address, _folder: folder })
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and sees that it does so in order.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-s", "TERM", &id]).status()?;
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("everturn serve ended with {status}").into()),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
