//! Very many open WebSockets, over each of which something is said now and then: the real program on a disk.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::durations::{figure, late, median_time, millis};
use crate::process::{resident_of, room_for_descriptors};
use crate::site::Site;
use crate::table::{Row, Table, Target};
use crate::world::Bed;
use crate::{Effort, Failure};

/// Says again what was said, to who said it.
const PROGRAM: &str = "export default { websocket() {}, message({ from, data }) { send(from, data); } };";
const SOCKETS: usize = 10_000;
/// Beside the sockets, here and in the server.
const DESCRIPTORS_KEPT: u64 = 256;
/// How many sockets wait to be opened at any time.
const OPENING: usize = 64;
/// Between two messages of one socket.
const PAUSE: Duration = Duration::from_secs(1);
/// Not counted, at the beginning.
const WARMING: Duration = Duration::from_secs(5);
/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a socket here has for reading and writing, in bytes.
const BUFFER_BYTES: usize = 1_024;
/// In MB.
const MEMORY_TARGET: f64 = 1_000.0;
/// Of what is said, in messages a second: what comes at the edges of the time that is counted may be missing.
const RATE_TARGET: f64 = 0.99 * SOCKETS as f64;

type Socket = WebSocketStream<TcpStream>;

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    room_for_descriptors(SOCKETS as u64 + DESCRIPTORS_KEPT)?;
    let site = Site::begin(bed, PROGRAM, &["--connections-max", &SOCKETS.to_string()])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counted = match bed.effort {
        Effort::Full => Duration::from_secs(30),
        Effort::Quick => Duration::from_secs(5),
    };
    let talked = runtime.block_on(talk(&site.address, counted))?;
    if talked.each.is_empty() {
        return Err(format!("of {} messages over WebSockets none was answered in time", talked.asked).into());
    }
    let (peak, resident) = resident_of(site.id())?;
    let of = |kib: u64| kib as f64 * 1_024.0 / 1e6;
    let note = format!("of the server, at its peak; at the end {} MB", figure(of(resident)));
    let what = "10,000 WebSockets, a message a second each: memory";
    table.add(Row::new(what, Target::AtMost(MEMORY_TARGET), of(peak), "MB").note(note));
    let rate = talked.answered as f64 / counted.as_secs_f64();
    let note = format!(
        "{} asked, {} not answered; opened in {} s",
        talked.asked,
        talked.lost(),
        figure(talked.opening.as_secs_f64())
    );
    let what = "messages answered, each a durable turn";
    table.add(Row::new(what, Target::AtLeast(RATE_TARGET), rate, "messages/s").note(note));
    let note = format!("99 of 100 within {} ms", figure(millis(late(&talked.each))));
    let what = "from when a message is due to its answer";
    table.add(Row::new(what, Target::None, millis(median_time(&talked.each)), "ms").note(note));
    drop(runtime);
    site.end()
}

/// What came of all that was said.
#[derive(Default)]
struct Talked {
    /// Until all sockets were open.
    opening: Duration,
    /// Messages that were due in the time that is counted.
    asked: usize,
    /// Answers that came in that time.
    answered: usize,
    /// How long each answer took that came at all.
    each: Vec<Duration>,
}

impl Talked {
    fn lost(&self) -> usize {
        self.asked - self.each.len()
    }

    fn add(&mut self, other: Talked) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.each.extend(other.each);
    }
}

/// The time that is counted.
#[derive(Clone, Copy)]
struct Counted {
    begin: Instant,
    end: Instant,
}

async fn talk(address: &str, counted: Duration) -> Result<Talked, Failure> {
    let begun = Instant::now();
    let sockets = open_all(address).await?;
    let mut all = Talked { opening: begun.elapsed(), ..Talked::default() };
    let start = Instant::now();
    let counted = Counted { begin: start + WARMING, end: start + WARMING + counted };
    let mut talking = JoinSet::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        let first = start + PAUSE.mul_f64(number as f64 / SOCKETS as f64);
        talking.spawn(talk_over(socket, first, counted));
    }
    while let Some(one) = talking.join_next().await {
        all.add(one??);
    }
    Ok(all)
}

async fn open_all(address: &str) -> Result<Vec<Socket>, Failure> {
    let (mut opening, mut sockets) = (JoinSet::new(), Vec::with_capacity(SOCKETS));
    for _ in 0..SOCKETS {
        if opening.len() == OPENING
            && let Some(socket) = opening.join_next().await
        {
            sockets.push(socket??);
        }
        opening.spawn(open(address.to_owned()));
    }
    while let Some(socket) = opening.join_next().await {
        sockets.push(socket??);
    }
    Ok(sockets)
}

async fn open(address: String) -> Result<Socket, Failure> {
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    Ok(client_async_with_config(format!("ws://{address}/"), stream, Some(config)).await?.0)
}

/// Says something whenever it is due, whether or not what was said before has been answered.
async fn talk_over(mut socket: Socket, first: Instant, counted: Counted) -> Result<Talked, Failure> {
    let (mut due, mut said) = (first, VecDeque::new());
    let mut talked = Talked::default();
    while due < counted.end || !said.is_empty() {
        let wakes = if due < counted.end { due } else { counted.end + PATIENCE };
        tokio::select! {
            () = sleep_until(wakes) => {
                if wakes != due {
                    break; // what is not answered now is lost
                }
                talked.asked += usize::from(due >= counted.begin);
                said.push_back(due);
                due += PAUSE;
                socket.send(Message::text("how are you?")).await?;
            }
            came = socket.next() => match came.ok_or("the server closed a socket")?? {
                Message::Text(_) => {
                    let now = Instant::now();
                    let asked = said.pop_front().ok_or("the server answers what nobody said")?;
                    talked.answered += usize::from(now >= counted.begin && now < counted.end);
                    if asked >= counted.begin {
                        talked.each.push(now - asked);
                    }
                }
                Message::Close(_) => return Err("the server closed a socket".into()),
                _ => {}
            }
        }
    }
    Ok(talked)
}
