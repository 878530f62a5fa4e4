//! The receiving side of a link: takes messages in, and acknowledges what is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use tokio::sync::mpsc;

use super::dial::{Ended, LAST_WORD};
use super::endpoint::Shared;
use super::frame::{self, Frame, FrameError, Hello, PROTOCOL};
use super::inside::{Compared, Dialer, Outgoing, Taken, Taking};
use super::settings::Strangers;
use super::tls;

/// The wait before messages are offered again that there was no room for; each further one is twice as long.
const OFFER_AGAIN_FIRST: Duration = Duration::from_millis(1);
const OFFER_AGAIN_LONGEST: Duration = Duration::from_millis(200);

/// Messages on their way into the store.
struct Offered {
    messages: Arc<Outgoing>,
    taking: Taking,
}

/// Serves one connection to its end.
pub(super) async fn serve(shared: &Shared, incoming: Incoming) {
    let from = incoming.remote_address();
    let connected = match incoming.accept() {
        Ok(connecting) => tokio::time::timeout(shared.settings.silence_max, connecting).await,
        Err(error) => return tracing::warn!(%from, "a connection was not accepted: {error}"),
    };
    let connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::warn!(%from, "a connection came to nothing: {error}"),
        Err(_) => return tracing::warn!(%from, "a connection came to nothing: it took too long"),
    };
    match meet(shared, &connection).await {
        Ok(()) => {}
        Err(Ended::Inside(why)) => tracing::debug!(%from, "a link has ended: {why}"),
        Err(Ended::Frame(FrameError::Lost(why))) => tracing::debug!(%from, "a link has ended: {why}"),
        Err(ended) => tracing::warn!(%from, "a link was ended: {ended}"),
    }
    connection.close(VarInt::from_u32(0), b"");
}

async fn meet(shared: &Shared, connection: &Connection) -> Result<(), Ended> {
    let begun = async {
        let (to, mut from) =
            connection.accept_bi().await.map_err(|error| FrameError::Lost(error.to_string()))?;
        let hello = frame::read_hello(&mut from).await?;
        Ok::<_, Ended>((to, from, hello))
    };
    let begun = tokio::time::timeout(shared.settings.silence_max, begun).await;
    let (mut to, mut from, hello) =
        begun.map_err(|_| FrameError::Lost("it did not greet in time".into()))??;
    let address = name_of(shared, connection, hello.port).await?;
    let positions = shared.inside.positions(&address).await?;
    let compared = shared.inside.compare(&address, Dialer::Them, hello.positions).await?;
    let ours = Hello { protocol: PROTOCOL, port: shared.port, positions };
    frame::write(&mut to, &Frame::Hello(ours)).await?;
    let ended = match compared {
        Compared::Same => {
            take_in(shared, &address, positions.epoch, (&mut to, &mut from), positions.received.number).await
        }
        Compared::NotYet(why) => Err(Ended::Refused(why)),
        Compared::Stopped(why) => {
            frame::write(&mut to, &Frame::stop(&why)).await?;
            Err(Ended::Refused(why))
        }
    };
    if let Err(Ended::Refused(_)) = ended {
        let _ = to.finish();
        // The other side has its own to say; what is said here is to be heard.
        if let Ok(Ok(Frame::Stop(why))) =
            tokio::time::timeout(LAST_WORD, frame::read(&mut from, frame::HELLO_BYTES_MAX)).await
        {
            shared.inside.stop(&address, hello.positions.epoch, &why).await?;
        }
    }
    ended
}

/// The address by which the other side is known here.
async fn name_of(shared: &Shared, connection: &Connection, port: u16) -> Result<String, Ended> {
    let key = tls::key_of(connection).ok_or_else(|| Ended::Refused("it shows no key".into()))?;
    let known =
        shared.peers.borrow().list.iter().find(|peer| peer.key == Some(key)).map(|peer| peer.address.clone());
    let unknown = || Ended::Refused(format!("its key {key} is not known"));
    match (known, shared.settings.strangers) {
        (Some(address), _) => Ok(address),
        (None, Strangers::Refused) => Err(unknown()),
        (None, Strangers::Welcome) => {
            let address = std::net::SocketAddr::new(connection.remote_address().ip(), port).to_string();
            shared.inside.admit(key, &address).await?.ok_or_else(unknown)
        }
    }
}

async fn take_in(
    shared: &Shared,
    address: &str,
    epoch: u64,
    (to, from): (&mut SendStream, &mut RecvStream),
    received: u64,
) -> Result<(), Ended> {
    let (offer, offered) = mpsc::channel(shared.settings.frames_under_way_max.max(1));
    let why = tokio::select! {
        ended = read(shared, (address, epoch), from, received + 1, offer) => match ended {
            Err(Ended::Refused(why)) => why,
            ended => return ended,
        },
        ended = acknowledge(shared, (address, epoch), to, offered) => match ended {
            Err(Ended::Refused(why)) => why,
            ended => return ended,
        },
    };
    frame::write(to, &Frame::stop(&why)).await?;
    Err(Ended::Refused(why))
}

/// Hands over what comes in, in order. What was there already may come again, nothing may be left out.
async fn read(
    shared: &Shared,
    (address, epoch): (&str, u64),
    from: &mut RecvStream,
    mut next: u64,
    offer: mpsc::Sender<Offered>,
) -> Result<(), Ended> {
    loop {
        let messages = match frame::read(from, shared.settings.frame_bytes_max).await? {
            Frame::Messages(messages) => messages,
            Frame::Stop(why) => {
                shared.inside.stop(address, epoch, &why).await?;
                return Err(FrameError::Lost(why).into());
            }
            _ => return Err(FrameError::OutOfTurn("who dials sends messages and nothing else").into()),
        };
        if messages.first > next || messages.first == 0 {
            let first = messages.first;
            let why = format!("message {first} came where message {next} was to come");
            shared.inside.stop(address, epoch, &why).await?;
            return Err(Ended::Refused(why));
        }
        next = next.max(messages.first.saturating_add(messages.messages.len() as u64));
        // The place first: what has none is not begun.
        let Ok(place) = offer.reserve().await else { return Ok(()) };
        let messages = Arc::new(messages);
        let taking = shared.inside.take(address, epoch, &messages);
        place.send(Offered { messages, taking });
    }
}

/// Waits for what was handed over, and says how far it is. What there was no room for is handed over again, and all after it.
async fn acknowledge(
    shared: &Shared,
    (address, epoch): (&str, u64),
    to: &mut SendStream,
    mut offered: mpsc::Receiver<Offered>,
) -> Result<(), Ended> {
    let mut again: VecDeque<Offered> = VecDeque::new();
    let mut wait = OFFER_AGAIN_FIRST;
    loop {
        let next = match again.pop_front() {
            Some(next) => next,
            None => match offered.recv().await {
                Some(next) => next,
                None => return std::future::pending().await,
            },
        };
        match next.taking.await? {
            Taken::UpTo(position) => {
                wait = OFFER_AGAIN_FIRST;
                frame::write(to, &Frame::Acknowledged(position)).await?;
            }
            Taken::Full(position) => {
                frame::write(to, &Frame::Acknowledged(position)).await?;
                let mut waiting = vec![next.messages];
                // All that was handed over after it was left too.
                while let Some(after) = again.pop_front() {
                    let _ = after.taking.await?;
                    waiting.push(after.messages);
                }
                while let Ok(after) = offered.try_recv() {
                    let _ = after.taking.await?;
                    waiting.push(after.messages);
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(OFFER_AGAIN_LONGEST);
                again.extend(waiting.into_iter().map(|messages| Offered {
                    taking: shared.inside.take(address, epoch, &messages),
                    messages,
                }));
            }
            Taken::Stopped(why) => return Err(Ended::Refused(why)),
        }
    }
}
