//! Keeping the undo steps while a person types: state roots are made in the background and waited for only when the
//! next line needs them.

use std::path::Path;

use everturn::{Cid, HypervisorError, Ticks};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::session::Local;
use crate::undo::{Step, Undo};

/// What the root that is being made is of.
enum Wanted {
    /// The state that the shell found.
    Begin,
    /// The state after the line entered last.
    Leave,
}

pub(super) struct Steps {
    undo: Undo,
    local: Local,
    making: Option<(Wanted, JoinHandle<Result<Cid, HypervisorError>>)>,
    /// Roots that are needed no more. They are released when the next one is made, which costs least; what is left at the
    /// end is found at the next beginning.
    released: Vec<Cid>,
}

impl Steps {
    pub(super) fn begin(folder: &Path, local: &Local) -> Steps {
        let (undo, local) = (Undo::in_folder(folder), local.clone());
        let mut steps = Steps { undo, local, making: None, released: Vec::new() };
        steps.make(Wanted::Begin);
        steps
    }

    fn make(&mut self, wanted: Wanted) {
        let (hypervisor, main) = (self.local.hypervisor.clone(), self.local.main);
        let released = std::mem::take(&mut self.released);
        let root = async move {
            let releases: Vec<_> = released.iter().map(|root| hypervisor.release_root(root)).collect();
            let root = hypervisor.create_state_root(&main, Ticks::MAX).await?;
            for release in releases {
                // A root that is not there needs no releasing.
                let _ = release.await;
            }
            Ok(root)
        };
        self.making = Some((wanted, tokio::spawn(root)));
    }

    /// Waits until the steps fit the state. If it is given up, the next line belongs to the step before it.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        let Some((wanted, making)) = self.making.take() else { return Ok(()) };
        let root = making.await.map_err(|error| Failure::System(std::io::Error::other(error)))??;
        match wanted {
            Wanted::Begin => {
                let pinned = self.local.hypervisor.pinned_roots().await?;
                self.released.extend(self.undo.begin(&root, pinned));
            }
            Wanted::Leave => self.undo.leave(&root)?,
        }
        Ok(())
    }

    /// Notes a line that is about to run.
    pub(super) fn enter(&mut self, line: &str) -> Result<(), Failure> {
        self.released.extend(self.undo.enter(line)?);
        Ok(())
    }

    /// The line has run.
    pub(super) fn leave(&mut self) {
        self.make(Wanted::Leave);
    }

    /// Goes back to the state before a step.
    pub(super) async fn go_back(&self, before: &Cid) -> Result<(), Failure> {
        self.local.hypervisor.restore(&self.local.main, before).await?;
        self.local.reconnect().await
    }

    /// The line that was entered last is none: it threw, or it has been taken back.
    pub(super) fn forget(&mut self) -> Result<(), Failure> {
        self.released.extend(self.undo.forget()?);
        Ok(())
    }

    /// The step to take back next.
    pub(super) fn last(&self) -> Option<&Step> {
        self.undo.last()
    }
}
