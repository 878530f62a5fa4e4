//! Links to other hypervisors, for commands that are told to listen.

use std::path::Path;

use clap::Args;
use everturn::link::{Endpoint, Identity, LINK, Links, Listener, Settings, Strangers};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::arguments::Globals;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Control, Local, Session};

/// The file with the key of a data folder.
pub(crate) const KEY_FILE: &str = "link.key";
/// The name of the program's port, on the side of the links.
const PROGRAM: &str = "program";

/// What a command can be told about links.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Links")]
pub(crate) struct LinkArguments {
    /// Exchange messages with other hypervisors, and listen for them here (UDP); port 0 is any that is free
    ///
    /// The program sends with `send("HOST:PORT", value)` and receives in `receive(sender, value)`. Others have to be known by
    /// their key: see `everturn peers` and `everturn id`.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,

    /// Let in hypervisors that nobody has made known; the key that each shows first is kept
    #[arg(long, requires = "listen")]
    pub(crate) open: bool,
}

impl LinkArguments {
    /// Takes the place where links are to be listened for. Before anything is begun: for who cannot have it, nothing is.
    pub(crate) async fn listen(&self) -> Result<Option<Listener>, Failure> {
        Ok(match &self.listen {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        })
    }
}

/// Links that are being kept.
pub(crate) struct Linked {
    local: Local,
    links: Links,
    stop: oneshot::Sender<()>,
    kept: JoinHandle<()>,
    /// Peers can be added meanwhile.
    control: Option<Control>,
}

/// The key of a data folder, made if there is none.
pub(crate) fn identity(folder: &Path) -> Result<Identity, Failure> {
    Ok(Identity::open(&folder.join(KEY_FILE))?)
}

impl Linked {
    /// Begins to keep links where a place was taken for them. The program has to be there.
    pub(crate) async fn begin(
        session: &Session,
        globals: &Globals,
        arguments: &LinkArguments,
        listener: Option<Listener>,
        output: &Output,
    ) -> Result<Option<Linked>, Failure> {
        let Some(listener) = listener else { return Ok(None) };
        let Some(local) = session.local().cloned() else {
            let text = "links belong to whoever has the data folder open; end that program, or start it with --listen";
            return Err(Failure::Usage(text.into()));
        };
        let strangers = if arguments.open { Strangers::Welcome } else { Strangers::Refused };
        let settings = Settings { strangers, ..Settings::default() };
        let endpoint = Endpoint::on(listener, identity(&globals.data)?, settings)?;
        let links = Links::open(&local.hypervisor).await?;
        links.welcome(strangers).await?;
        let (address, key) = (endpoint.address().to_string(), endpoint.identity().key().to_string());
        let (stop, stopped) = oneshot::channel();
        let inside = links.inside();
        let until = async { _ = stopped.await };
        let kept = tokio::spawn(endpoint.run(inside, until));
        let linked = Linked { local, links, stop, kept, control: None };
        linked.connect().await?;
        for (peer, why) in
            linked.links.list().await?.into_iter().filter_map(|peer| Some((peer.address, peer.stopped?)))
        {
            tracing::error!(
                peer,
                "the link with it has stopped: {why}. Nothing goes on with it before `everturn peers resolve {peer}` on both sides"
            );
        }
        output.say(
            &format!("links on {address}, key {key}"),
            || json!({"event": "links", "address": address, "key": key}),
        );
        Ok(Some(linked))
    }

    /// Gives the program its port to the links, if it has none.
    pub(crate) async fn connect(&self) -> Result<(), Failure> {
        let Local { hypervisor, main, .. } = &self.local;
        Ok(hypervisor.connect(main, LINK, &self.links.container(), PROGRAM).await?)
    }

    /// Lets commands attach while the links are kept.
    pub(crate) fn with_control(mut self, output: &Output) -> Linked {
        self.control = Control::begin(&self.local, output);
        self
    }

    /// Ends them; what was not acknowledged waits.
    pub(crate) async fn end(self) {
        if let Some(control) = self.control {
            control.end().await;
        }
        let _ = self.stop.send(());
        let _ = self.kept.await;
    }
}
