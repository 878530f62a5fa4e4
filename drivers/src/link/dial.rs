//! The sending side of a link: dials when there is something to send, and sends all that is not acknowledged.

use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::sync::watch;

use super::endpoint::Shared;
use super::frame::{self, Frame, FrameError, Hello, PROTOCOL};
use super::inside::{Compared, Dialer, Stopped};
use super::position::Position;
use super::settings::Strangers;
use super::tls::{self, Trusted};

/// How long a last word may take to get through.
pub(super) const LAST_WORD: Duration = Duration::from_secs(2);

/// Why a connection came to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// There is no inside any more.
    #[error(transparent)]
    Inside(#[from] Stopped),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Refused(String),
}

/// Whether a connection was of use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    None,
    Met,
}

/// Serves one peer, until there is no inside any more.
pub(super) async fn keep(shared: Shared, address: String) {
    let mut wait = shared.settings.retry_first;
    let mut said = String::new();
    loop {
        let mut used = Use::None;
        let ended = match wait_for_work(&shared, &address).await {
            Ok(()) => connect(&shared, &address, &mut used).await,
            Err(stopped) => Err(stopped.into()),
        };
        match ended {
            Err(Ended::Inside(_)) => return,
            Err(ended) => {
                // Each cause once, until another comes or the link was up.
                let why = ended.to_string();
                if said != why || used == Use::Met {
                    tracing::warn!(peer = address, "a link is down: {why}; it is tried again until it is up");
                    said = why;
                }
            }
            Ok(()) => {}
        }
        if used == Use::Met {
            wait = shared.settings.retry_first;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(shared.settings.retry_longest);
    }
}

/// Until something is not acknowledged, or the link was begun anew, which the other side is to hear.
async fn wait_for_work(shared: &Shared, address: &str) -> Result<(), Stopped> {
    let positions = shared.inside.positions(address).await?;
    shared.inside.next(address, positions.epoch, positions.acknowledged.number, 1).await.map(|_| ())
}

async fn connect(shared: &Shared, address: &str, used: &mut Use) -> Result<(), Ended> {
    let connection = dial(shared, address).await?;
    let (mut to, mut from) = connection.open_bi().await.map_err(unreachable)?;
    let ended = converse(shared, address, (&mut to, &mut from), used).await;
    let _ = to.finish();
    if let Err(Ended::Refused(_)) = ended {
        // What was said last is to be heard.
        let _ = tokio::time::timeout(LAST_WORD, to.stopped()).await;
    }
    connection.close(VarInt::from_u32(0), b"");
    ended
}

async fn dial(shared: &Shared, address: &str) -> Result<Connection, Ended> {
    let key =
        shared.peers.borrow().list.iter().find(|peer| peer.address == address).and_then(|peer| peer.key);
    let trusted = match (key, shared.settings.strangers) {
        (Some(key), _) => Trusted::Only(key),
        (None, Strangers::Welcome) => Trusted::Everyone,
        (None, Strangers::Refused) => return Err(Ended::Refused("its key is not known".into())),
    };
    let config = tls::dialling(&shared.identity, trusted, &shared.settings).map_err(unreachable)?;
    let at = tokio::net::lookup_host(address).await.map_err(unreachable)?.next();
    let at = at.ok_or_else(|| Ended::Unreachable("the name has no address".into()))?;
    let connecting = shared.endpoint.connect_with(config, at, tls::SERVER_NAME).map_err(unreachable)?;
    let connected = tokio::time::timeout(shared.settings.silence_max, connecting).await;
    let connection = connected.map_err(|_| Ended::Unreachable("no answer".into()))?.map_err(unreachable)?;
    if key.is_none() {
        let shown = tls::key_of(&connection).ok_or_else(|| Ended::Refused("it shows no key".into()))?;
        if shared.inside.admit(shown, address).await?.as_deref() != Some(address) {
            return Err(Ended::Refused(format!("its key {shown} belongs to another address")));
        }
    }
    Ok(connection)
}

async fn converse(
    shared: &Shared,
    address: &str,
    (to, from): (&mut SendStream, &mut RecvStream),
    used: &mut Use,
) -> Result<(), Ended> {
    let positions = shared.inside.positions(address).await?;
    let epoch = positions.epoch;
    let hello = Hello { protocol: PROTOCOL, port: shared.port, positions };
    frame::write(to, &Frame::Hello(hello)).await?;
    let theirs = frame::read_hello(from).await?.positions;
    match shared.inside.compare(address, Dialer::Us, theirs).await? {
        Compared::Same => {}
        Compared::NotYet(why) => return Err(Ended::Refused(why)),
        Compared::Stopped(why) => {
            frame::write(to, &Frame::stop(&why)).await?;
            return Err(Ended::Refused(why));
        }
    }
    *used = Use::Met;
    let (tell, told) = watch::channel(theirs.received);
    let why = tokio::select! {
        ended = send(shared, (address, epoch), to, theirs.received.number) => return ended,
        ended = hear(shared, (address, epoch), from, &tell) => return ended,
        why = note(shared, (address, epoch), told) => why?,
    };
    frame::write(to, &Frame::stop(&why)).await?;
    Err(Ended::Refused(why))
}

/// Sends what is owed, as the stream takes it.
async fn send(
    shared: &Shared,
    (address, epoch): (&str, u64),
    to: &mut SendStream,
    mut after: u64,
) -> Result<(), Ended> {
    let bytes_max = shared.settings.batch_bytes_max as u64;
    loop {
        let outgoing = shared.inside.next(address, epoch, after, bytes_max).await?;
        if outgoing.messages.is_empty() {
            return Ok(());
        }
        after = (outgoing.first + outgoing.messages.len() as u64).saturating_sub(1);
        frame::write(to, &Frame::Messages(outgoing)).await?;
    }
}

/// Hears what was taken, or that nothing more will be.
async fn hear(
    shared: &Shared,
    (address, epoch): (&str, u64),
    from: &mut RecvStream,
    tell: &watch::Sender<Position>,
) -> Result<(), Ended> {
    loop {
        match frame::read(from, frame::HELLO_BYTES_MAX).await? {
            Frame::Acknowledged(position) => {
                tell.send_replace(position);
            }
            Frame::Stop(why) => {
                shared.inside.stop(address, epoch, &why).await?;
                return Err(Ended::Refused(why));
            }
            _ => {
                return Err(
                    FrameError::OutOfTurn("who was dialled acknowledges and sends nothing else").into()
                );
            }
        }
    }
}

/// Passes on how far it is; ends with the reason when that cannot be. Only the newest counts.
async fn note(
    shared: &Shared,
    (address, epoch): (&str, u64),
    mut told: watch::Receiver<Position>,
) -> Result<String, Stopped> {
    loop {
        let position = *told.borrow_and_update();
        if let Compared::Stopped(why) | Compared::NotYet(why) =
            shared.inside.acknowledged(address, epoch, position).await?
        {
            return Ok(why);
        }
        if told.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn unreachable(error: impl ToString) -> Ended {
    Ended::Unreachable(error.to_string())
}
