//! A listening side with an inside made for a test, and a peer that says what it should not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::frame::{self, Frame, FrameError, HELLO_BYTES_MAX, Hello, PROTOCOL};
use super::tls::{self, Trusted};
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const PEER: &str = "peer:1";

/// Knows one peer, and takes what it sends.
#[derive(Default)]
struct Fake {
    key: Mutex<Option<PeerKey>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    positions: Positions,
    taken: Vec<Vec<u8>>,
    stopped: Option<String>,
    /// How often there is no room.
    full: u32,
}

#[async_trait]
impl Inside for Fake {
    async fn peers(&self, known: Option<u64>) -> Result<Peers, Stopped> {
        if known.is_some() {
            std::future::pending::<()>().await;
        }
        let peer = Peer { address: PEER.into(), key: *self.key.lock().unwrap(), stopped: None };
        Ok(Peers { version: 1, list: vec![peer] })
    }

    async fn admit(&self, _: PeerKey, _: &str) -> Result<Option<String>, Stopped> {
        Ok(None)
    }

    async fn positions(&self, _: &str) -> Result<Positions, Stopped> {
        Ok(self.state.lock().unwrap().positions)
    }

    async fn compare(&self, _: &str, _: Dialer, _: Positions) -> Result<Compared, Stopped> {
        Ok(Compared::Same)
    }

    async fn next(&self, _: &str, _: u64, _: u64, _: u64) -> Result<Outgoing, Stopped> {
        std::future::pending().await
    }

    async fn acknowledged(&self, _: &str, _: u64, _: Position) -> Result<Compared, Stopped> {
        Ok(Compared::Same)
    }

    fn take(&self, _: &str, _: u64, messages: &Outgoing) -> Taking {
        let mut state = self.state.lock().unwrap();
        let mut taken = None;
        for (at, bytes) in (messages.first..).zip(&messages.messages) {
            let received = state.positions.received;
            if at == received.number + 1 && state.full > 0 {
                state.full -= 1;
                taken = Some(Taken::Full(received));
                break;
            } else if at == received.number + 1 {
                state.positions.received = received.after(bytes);
                state.taken.push(bytes.to_vec());
            } else if at > received.number {
                taken = Some(Taken::Full(received));
                break;
            }
        }
        let taken = taken.unwrap_or(Taken::UpTo(state.positions.received));
        Box::pin(async move { Ok(taken) })
    }

    async fn stop(&self, _: &str, _: u64, why: &str) -> Result<(), Stopped> {
        self.state.lock().unwrap().stopped = Some(why.to_owned());
        Ok(())
    }
}

struct World {
    fake: Arc<Fake>,
    address: std::net::SocketAddr,
    key: PeerKey,
    peer: Identity,
    stop: oneshot::Sender<()>,
    kept: JoinHandle<()>,
}

impl World {
    async fn begin() -> World {
        let [own, peer] = [[1; 32], [2; 32]].map(|seed| Identity::of_seed(&seed).unwrap());
        let fake = Arc::new(Fake::default());
        *fake.key.lock().unwrap() = Some(peer.key());
        let endpoint = Endpoint::bind("127.0.0.1:0", own, Settings::default()).await.unwrap();
        let (address, key) = (endpoint.address(), endpoint.identity().key());
        let (stop, stopped) = oneshot::channel();
        let kept = tokio::spawn(endpoint.run(fake.clone(), async { _ = stopped.await }));
        World { fake, address, key, peer, stop, kept }
    }

    async fn dial(&self, identity: &Identity) -> Result<(quinn::Endpoint, Connection), String> {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = tls::dialling(identity, Trusted::Only(self.key), &Settings::default()).unwrap();
        let connecting = endpoint.connect_with(config, self.address, tls::SERVER_NAME).unwrap();
        let connection = connecting.await.map_err(|error| error.to_string())?;
        Ok((endpoint, connection))
    }

    /// A connection on which nothing was said yet.
    async fn open(&self) -> Line {
        // The list of peers is asked for when the endpoint begins to run.
        for _ in 0..1_000 {
            if let Ok((endpoint, connection)) = self.dial(&self.peer).await
                && let Ok((to, from)) = connection.open_bi().await
            {
                return Line { _endpoint: endpoint, connection, to, from };
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the peer is not let in");
    }

    /// A connection on which both have greeted.
    async fn greet(&self) -> Line {
        let mut line = self.open().await;
        let hello = Hello { protocol: PROTOCOL, port: 1, positions: Positions::default() };
        frame::write(&mut line.to, &Frame::Hello(hello)).await.unwrap();
        frame::read_hello(&mut line.from).await.unwrap();
        line
    }

    fn taken(&self) -> Vec<Vec<u8>> {
        self.fake.state.lock().unwrap().taken.clone()
    }

    async fn end(self) {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.kept).await.unwrap().unwrap();
    }
}

struct Line {
    _endpoint: quinn::Endpoint,
    connection: Connection,
    to: SendStream,
    from: RecvStream,
}

impl Line {
    async fn send(&mut self, first: u64, messages: &[&[u8]]) {
        let messages = messages.iter().map(|message| message.to_vec().into()).collect();
        frame::write(&mut self.to, &Frame::Messages(Outgoing { first, messages })).await.unwrap();
    }

    async fn heard(&mut self) -> Result<Frame, FrameError> {
        tokio::time::timeout(PATIENCE, frame::read(&mut self.from, HELLO_BYTES_MAX)).await.unwrap()
    }

    async fn until_acknowledged(&mut self, number: u64) {
        loop {
            match self.heard().await.unwrap() {
                Frame::Acknowledged(position) if position.number == number => return,
                Frame::Acknowledged(_) => {}
                other => panic!("{other:?} is no acknowledgement"),
            }
        }
    }

    async fn is_ended(&self) {
        tokio::time::timeout(PATIENCE, self.connection.closed()).await.expect("the connection is ended");
    }
}

#[tokio::test]
async fn frames_that_come_again_are_taken_once() {
    let world = World::begin().await;
    let mut line = world.greet().await;
    line.send(1, &[b"one", b"two"]).await;
    line.send(1, &[b"one", b"two", b"three"]).await;
    line.send(3, &[b"three"]).await;
    line.until_acknowledged(3).await;
    assert_eq!(world.taken(), [&b"one"[..], b"two", b"three"]);
    world.end().await;
}

#[tokio::test]
async fn what_there_was_no_room_for_is_offered_again_in_order() {
    let world = World::begin().await;
    world.fake.state.lock().unwrap().full = 5;
    let mut line = world.greet().await;
    for number in 1..=9_u8 {
        line.send(number.into(), &[&[number]]).await;
    }
    line.until_acknowledged(9).await;
    assert_eq!(world.taken(), (1..=9_u8).map(|number| vec![number]).collect::<Vec<_>>());
    world.end().await;
}

#[tokio::test]
async fn a_gap_stops_the_link_with_the_numbers() {
    let world = World::begin().await;
    let mut line = world.greet().await;
    line.send(1, &[b"one"]).await;
    line.send(3, &[b"three"]).await;
    let why = loop {
        match line.heard().await.unwrap() {
            Frame::Stop(why) => break why,
            Frame::Acknowledged(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(why, "message 3 came where message 2 was to come");
    assert_eq!(world.fake.state.lock().unwrap().stopped.as_ref(), Some(&why));
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_ends_its_connection_and_no_other() {
    let world = World::begin().await;
    let mut good = world.greet().await;
    let noise: [&[u8]; 6] = [
        &[0xff; 64],
        &[0, 0, 0, 1, 0xff],
        &[0, 0, 0, 0],
        &[0, 0, 0, 3, 0xa1, 0x61, 0x78],
        &u32::MAX.to_be_bytes(),
        &Frame::Acknowledged(Position::default()).encode().unwrap(),
    ];
    for bytes in noise {
        let mut first = world.open().await;
        first.to.write_all(bytes).await.unwrap();
        let _ = first.to.finish();
        first.is_ended().await;
        let mut later = world.greet().await;
        later.to.write_all(bytes).await.unwrap();
        let _ = later.to.finish();
        later.is_ended().await;
    }
    // Half a frame.
    let mut half = world.greet().await;
    half.to.write_all(&[0, 0, 1, 0, 0xa1]).await.unwrap();
    let _ = half.to.finish();
    half.is_ended().await;
    good.send(1, &[b"still there"]).await;
    good.until_acknowledged(1).await;
    assert_eq!(world.taken(), [b"still there"]);
    world.end().await;
}

#[tokio::test]
async fn a_stranger_and_an_impostor_are_refused() {
    let world = World::begin().await;
    drop(world.open().await);
    let stranger = Identity::of_seed(&[9; 32]).unwrap();
    let refused = match world.dial(&stranger).await {
        // The dialling side is done before the other has looked at its key.
        Ok((_endpoint, connection)) => {
            tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap().to_string()
        }
        Err(error) => error,
    };
    assert!(!refused.is_empty());
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let trusted = Trusted::Only(stranger.key());
    let config = tls::dialling(&world.peer, trusted, &Settings::default()).unwrap();
    let connecting = endpoint.connect_with(config, world.address, tls::SERVER_NAME).unwrap();
    assert!(connecting.await.is_err(), "who was dialled has another key");
    assert!(world.taken().is_empty());
    world.end().await;
}
