//! A server with an inside made for a test, and a client that sends what it is told to, byte for byte.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use everturn_dag::{Ipld, node};
use everturn_drivers::http::{Failure, Given, Inside, Measure, Once, Piece, Server, Settings, Stream};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an inside was told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
}

impl Told {
    /// All values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

type Answering = Box<dyn Fn(&Told) -> Result<Ipld, Failure> + Send + Sync>;

/// An inside that answers as a test says, and remembers what it was asked.
pub(crate) struct Fake {
    pub(crate) answering: Answering,
    pub(crate) told: Mutex<Vec<Told>>,
    /// How many answers may leave.
    pub(crate) gate: Semaphore,
    pub(crate) asked: AtomicUsize,
    pub(crate) measures: Result<Vec<Measure>, Failure>,
    pub(crate) stream: Pieces,
}

/// A body that comes piece by piece.
#[derive(Default)]
pub(crate) struct Pieces {
    made: Mutex<VecDeque<Result<Piece, Failure>>>,
    changed: Notify,
    /// How many were asked for.
    pub(crate) asked: AtomicUsize,
    /// Why nobody takes more.
    cancelled: Mutex<Option<String>>,
}

impl Pieces {
    pub(crate) fn give(&self, piece: Result<Piece, Failure>) {
        self.made.lock().unwrap().push_back(piece);
        self.changed.notify_waiters();
    }

    /// Waits until somebody says why nobody takes more.
    pub(crate) async fn is_cancelled(&self) -> String {
        within(self.until(|pieces| pieces.cancelled.lock().unwrap().clone())).await
    }

    async fn until<T>(&self, is_so: impl Fn(&Pieces) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(so) = is_so(self) {
                return so;
            }
            changed.await;
        }
    }
}

impl Fake {
    /// Answers at once.
    pub(crate) fn answering(
        answering: impl Fn(&Told) -> Result<Ipld, Failure> + Send + Sync + 'static,
    ) -> Fake {
        let fake = Fake::held(answering);
        fake.gate.add_permits(1 << 20);
        fake
    }

    /// Answers when the gate is opened for it.
    pub(crate) fn held(answering: impl Fn(&Told) -> Result<Ipld, Failure> + Send + Sync + 'static) -> Fake {
        Fake {
            answering: Box::new(answering),
            told: Mutex::default(),
            gate: Semaphore::new(0),
            asked: AtomicUsize::new(0),
            measures: Ok(Vec::new()),
            stream: Pieces::default(),
        }
    }

    /// What it was asked so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until it was asked so often.
    pub(crate) async fn is_asked(&self, times: usize) {
        within(async {
            while self.asked.load(Ordering::SeqCst) < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[async_trait]
impl Inside for Fake {
    async fn request(&self, request: Vec<u8>) -> Result<Ipld, Failure> {
        let told: Told = node::decode(&request).expect("a request is one strict map");
        let answer = (self.answering)(&told);
        self.told.lock().unwrap().push(told);
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("the gate is there").forget();
        answer
    }

    /// Keeps nothing; the key decides what becomes of it.
    async fn request_once(&self, request: Vec<u8>, once: Once) -> Result<(Ipld, Given), Failure> {
        let answer = self.request(request).await?;
        let is_key =
            |key: &str| once.key[..] == *everturn_dag::address::raw_cid(key.as_bytes()).hash().digest();
        match () {
            () if is_key("known") => Ok((answer, Given::Again)),
            () if is_key("other") => Err(Failure::OtherRequest),
            () if is_key("full") => Err(Failure::Full("there are too many".to_owned())),
            () => Ok((answer, Given::First)),
        }
    }

    async fn piece(&self, _: &Stream) -> Result<Piece, Failure> {
        self.stream.asked.fetch_add(1, Ordering::SeqCst);
        self.stream.until(|pieces| pieces.made.lock().unwrap().pop_front()).await
    }

    async fn cancel(&self, _: &Stream, reason: &str) {
        *self.stream.cancelled.lock().unwrap() = Some(reason.to_owned());
        self.stream.changed.notify_waiters();
    }

    async fn measures(&self) -> Result<Vec<Measure>, Failure> {
        self.measures.clone()
    }
}

/// 200 with a body.
pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Result<Ipld, Failure> {
    answer(200, &[], body)
}

/// Any answer.
pub(crate) fn answer(
    status: i128,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Result<Ipld, Failure> {
    let line = |(name, value): &(&str, &str)| {
        Ipld::List(vec![Ipld::String((*name).to_owned()), Ipld::String((*value).to_owned())])
    };
    let fields = [
        ("status", Ipld::Integer(status)),
        ("statusText", Ipld::String(String::new())),
        ("headers", Ipld::List(headers.iter().map(line).collect())),
        ("body", Ipld::Bytes(body.into())),
    ];
    Ok(Ipld::Map(fields.map(|(name, value)| (name.to_owned(), value)).into()))
}

/// 200 with a body that comes piece by piece.
pub(crate) fn streamed() -> Result<Ipld, Failure> {
    ok("").map(|mut answer| {
        if let Ipld::Map(fields) = &mut answer {
            fields.insert("stream".to_owned(), Ipld::Integer(7));
        }
        answer
    })
}

/// Says who asked for what.
pub(crate) fn echo() -> Fake {
    Fake::answering(|told| ok(format!("{} {} {}", told.method, told.url, told.body.len())))
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) inside: Arc<Fake>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), Failure>>,
}

impl Running {
    pub(crate) async fn start(settings: Settings, inside: Fake) -> Running {
        Running::of(Server::bind("127.0.0.1:0", settings).await.unwrap(), inside).await
    }

    pub(crate) async fn of(server: Server, inside: Fake) -> Running {
        let server = server.with_admin("127.0.0.1:0").await.unwrap();
        let (address, admin) = (server.address(), server.admin_address().unwrap());
        let inside = Arc::new(inside);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(inside.clone(), async {
            // A test that drops the server wants it to stop as well.
            let _ = stopped.await;
        }));
        Running { address, admin, inside, stop, served }
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::on(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Heard {
        let mut client = self.connect().await;
        client.send(request).await;
        client.hear().await
    }

    /// Asks it to stop, and does not wait.
    pub(crate) fn stop(self) -> JoinHandle<Result<(), Failure>> {
        let _ = self.stop.send(());
        self.served
    }

    /// Waits for its end, which comes by itself.
    pub(crate) async fn ends(self) -> Result<(), Failure> {
        let ended = within(self.served).await.unwrap();
        drop(self.stop);
        ended
    }
}

/// Fails rather than waits for ever.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens at last")
}

/// A client's end of a connection.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    read: Vec<u8>,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    /// All values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn on(stream: S) -> Client<S> {
        Client { stream, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The next answer, with the body that its length announces.
    pub(crate) async fn hear(&mut self) -> Heard {
        let mut heard = self.hear_head().await;
        let length = heard.header("content-length").first().map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert!(self.read_more().await > 0, "the body of {heard:?} is cut off");
        }
        heard.body = self.read.drain(..length).collect();
        heard
    }

    /// The next answer's head.
    pub(crate) async fn hear_head(&mut self) -> Heard {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read_more().await > 0, "no answer, only {:?}", String::from_utf8_lossy(&self.read));
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head: String = head.into_iter().map(char::from).collect();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Heard { status, head, body: Vec::new() }
    }

    async fn read_more(&mut self) -> usize {
        within(self.stream.read_buf(&mut self.read)).await.unwrap()
    }

    /// What is left until the server ends the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.read);
        // A reset after the answer is an end like another; what was read before it stands.
        let _ = within(self.stream.read_to_end(&mut rest)).await;
        rest
    }
}
