//! `everturn serve FILE`: a program in front of which HTTP is spoken.

mod watch;

use std::sync::Arc;

use everturn::HypervisorError;
use everturn::http::{Failure as ServingFailure, Served, Server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use self::watch::Watch;
use super::run::{Edited, begin_or_wake};
use crate::arguments::{Globals, ServeArguments};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::links::Linked;
use crate::output::Output;
use crate::program::Program;
use crate::session::{Control, Folder, Local, Session};
use crate::signals::{Signals, unless_signalled};

/// Descriptors that are not for connections: the store's files, ours, and some to spare.
const DESCRIPTORS_KEPT: u64 = 256;

pub(crate) async fn run(
    globals: &Globals,
    arguments: &ServeArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    let program = Program::read(&arguments.file)?;
    arguments.check()?;
    make_room_for_connections(arguments.settings().connections_max as u64)?;
    // First what can fail without a trace: nothing is begun for a server that cannot listen.
    let server = listen(arguments).await?;
    let listener = arguments.links.listen().await?;
    let local = Local::open(globals, Folder::MayBeNew, output).await?.serving().reaching(&arguments.net);
    let session = Session::Local(local.clone()).keeping(arguments.keep, output).await?;
    let served = async {
        let edited = Edited::by(arguments.reload, "serve");
        unless_signalled(&session, begin_or_wake(&session, &program, edited)).await?;
        let linked = Linked::begin(&session, globals, &arguments.links, listener, output).await?;
        let control = Control::begin(&local, output);
        let served = serve(server, &local, &session, arguments, output).await;
        if let Some(linked) = linked {
            linked.end().await;
        }
        if let Some(control) = control {
            control.end().await;
        }
        served
    };
    let served = served.await;
    session.close(served).await
}

async fn listen(arguments: &ServeArguments) -> Result<Server, Failure> {
    let mut server = Server::bind(&arguments.address, arguments.settings()).await?;
    if let Some(tls) = arguments.tls() {
        server = server.with_tls(&tls)?;
    }
    if let Some(admin) = &arguments.admin {
        server = server.with_admin(admin).await?;
    }
    Ok(server)
}

async fn serve(
    server: Server,
    local: &Local,
    session: &Session,
    arguments: &ServeArguments,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut signals = Signals::take()?;
    let inside = Arc::new(Served::new(local.hypervisor.clone(), local.main));
    inside.begin().await?;
    say_where(&server, arguments, output);
    let stop = async move {
        signals.next().await;
        signals.end_at_the_next();
    };
    let watch = async {
        if arguments.reload {
            Watch::of(&arguments.file).keep(session, output).await;
        }
        std::future::pending().await
    };
    let served = tokio::select! {
        served = server.serve(inside, stop) => served,
        never = watch => never,
    };
    match served {
        Ok(()) => Ok(Exit::Success),
        Err(ServingFailure::Stopped(why)) => Err(Failure::Hypervisor(HypervisorError::Stopped(why))),
        Err(other) => Err(Failure::Hypervisor(HypervisorError::Stopped(other.to_string()))),
    }
}

fn say_where(server: &Server, arguments: &ServeArguments, output: &Output) {
    let scheme = if arguments.tls().is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", server.address());
    let admin = server.admin_address().map(|address| format!("http://{address}"));
    let told = admin.as_ref().map(|admin| format!(", health and metrics on {admin}/-/")).unwrap_or_default();
    output.say(
        &format!("listening on {url}{told}"),
        || json!({"event": "listening", "url": url, "admin": admin}),
    );
}

/// Asks the system for descriptors enough: a store that cannot open a file for want of one would end the server.
fn make_room_for_connections(connections_max: u64) -> Result<(), Failure> {
    let wanted = connections_max + DESCRIPTORS_KEPT;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(std::io::Error::from)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        return Err(Failure::Usage(format!(
            "{connections_max} connections need {wanted} open files, and the system grants {hard}; lower \
             --connections-max or raise `ulimit -n`"
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_err(std::io::Error::from)?;
    Ok(())
}
