//! What a session does when it is asked: by its own command, or by one that is attached.

use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::path::Path;

use everturn::js::Completeness;
use everturn::{Cid, Exported, Ipld, Message, Ticks};

use super::console;
use super::local::{Local, is_empty};
use super::request::{Answer, Export, Exportable, Request, Took};
use crate::draft;
use crate::failure::Failure;
use crate::links::KEY_FILE;
use crate::program::Known;

/// What lies beside the store and goes along with a copy.
const FILES: [&str; 5] = ["program", "undo", "history.txt", console::FILE, KEY_FILE];

impl Local {
    pub(super) async fn perform(&self, request: Request) -> Result<Answer, Failure> {
        let (hypervisor, main) = (&self.hypervisor, &self.main);
        Ok(match request {
            Request::Inspect => Answer::Containers(hypervisor.inspect().await?),
            // What cannot be judged is evaluated, and the turn says what is wrong with it.
            Request::Judge { text } => {
                Answer::Judged(self.engine.complete(&text).unwrap_or(Completeness::SyntaxError).into())
            }
            Request::Complete { text } => Answer::Names(hypervisor.complete(main, &text).await?),
            Request::Evaluate { file, source } => took(&hypervisor.evaluate(main, &file, &source).await?)?,
            Request::Send { data: Ipld::Bytes(data) } => {
                let message = Message { data, ..Message::default() };
                took(&hypervisor.send(main, message).await?)?
            }
            Request::Send { .. } => return Err(Failure::Usage("a message comes as bytes".into())),
            Request::Load { name, source, cid } => {
                self.load(&name, &source, cid).await?;
                Answer::Done
            }
            Request::Settle => {
                self.settle().await?;
                Answer::Done
            }
            Request::Root { ticks } => {
                let root = hypervisor.create_state_root(main, ticks).await?;
                // It was only looked at.
                hypervisor.release_root(&root).await?;
                Answer::Root(root)
            }
            Request::Backup { folder } => {
                self.backup(&folder).await?;
                Answer::Done
            }
            Request::Export(export) => {
                let (root, Exported { blocks, bytes, .. }) = self.export(&export).await?;
                Answer::Exported { root, blocks, bytes }
            }
            Request::Known => Answer::Known(self.note.read()?),
            Request::Peers(asked) => self.about_peers(asked).await?,
        })
    }

    /// Lets what was woken run until it is idle, or for as long as we want to wait for that.
    async fn settle(&self) -> Result<(), Failure> {
        match self.settle_most {
            None => self.idle().await,
            Some(most) => tokio::time::timeout(most, self.idle()).await.unwrap_or(Ok(())),
        }
    }

    /// Loads a program and notes that the folder runs it now.
    async fn load(&self, name: &str, source: &str, cid: String) -> Result<(), Failure> {
        let _alone = self.loading.lock().await;
        let before = self.note.read()?;
        self.note.write(&Known::Loading)?;
        let receipt = self.hypervisor.load(&self.main, name, source).await?;
        if let Err(exception) = receipt.outcome {
            self.note.write(&before)?;
            return Err(Failure::Exception(exception));
        }
        self.settle().await?;
        self.note.write(&Known::Runs { cid, file: name.to_owned() })
    }

    /// Makes the copy beside its place and renames it: a folder of this name is always whole.
    async fn backup(&self, folder: &Path) -> Result<(), Failure> {
        if !is_empty(folder)? {
            let source = Error::new(ErrorKind::AlreadyExists, "there is something in it; name a new folder");
            return Err(Failure::writing(folder, source));
        }
        let draft = draft::beside(folder);
        let failed = |source| Failure::writing(folder, source);
        match fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        self.hypervisor.backup(&draft).await?;
        for name in FILES {
            match fs::copy(self.data.join(name), draft.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        fs::rename(&draft, folder).and_then(|()| sync_parent(folder)).map_err(failed)
    }

    async fn export(&self, export: &Export) -> Result<(Cid, Exported), Failure> {
        let hypervisor = &self.hypervisor;
        let (root, is_ours) = match (export.root, export.what) {
            (Some(root), _) => (root, false),
            (None, Exportable::Checkpoint) => (hypervisor.checkpoint().await?, true),
            (None, Exportable::State) => (hypervisor.create_state_root(&self.main, Ticks::MAX).await?, true),
        };
        let written = self.write(&root, &export.file).await;
        if is_ours {
            hypervisor.release_root(&root).await?;
        }
        Ok((root, written?))
    }

    /// Writes a draft and renames it: a file of this name is always whole.
    async fn write(&self, root: &Cid, file: &Path) -> Result<Exported, Failure> {
        let draft = draft::beside(file);
        let failed = |source| Failure::writing(file, source);
        let target = File::create(&draft).map_err(failed)?;
        let synced = target.try_clone().map_err(failed)?;
        let exported = self.hypervisor.export_root(root, target).await;
        let placed = exported.map_err(Failure::from).and_then(|exported| {
            synced.sync_all().and_then(|()| fs::rename(&draft, file)).map_err(failed)?;
            Ok(exported)
        });
        if placed.is_err() {
            // The draft is of no use; that it stays is no second failure.
            let _ = fs::remove_file(&draft);
        }
        placed
    }
}

fn took(receipt: &everturn::Receipt) -> Result<Answer, Failure> {
    // What a turn answered has been a message.
    let took = Took::of(receipt).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Answer::Took(took))
}

fn sync_parent(folder: &Path) -> Result<(), Error> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all())
}
