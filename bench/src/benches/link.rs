//! A link on loopback: two hypervisors in this process, each with a store of its own on the disk, a JavaScript program at each end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use everturn::link::{Endpoint, Identity, LINK, LinkType, Links, Settings};
use everturn::{ContainerId, Hypervisor, Ipld, Message, node};
use tokio::runtime::Runtime;

use crate::Failure;
use crate::durations::{figure, median, median_time, micros};
use crate::raw::RawLog;
use crate::table::{Row, Table, Target};
use crate::world::{Bed, OnDisk};

const PROGRAM: &str = "let next = 0;
    export default { message({ data, from }) {
        if (from === null || typeof from !== 'string') {
            for (let i = 0; i < data.count; i++) send(data.to, { number: data.first + i, alone: data.count === 1 });
        } else if (data.number !== next++) {
            throw new Error(`${data.number} came in place of ${next - 1}`);
        } else if (data.alone) print('came');
    } };";

/// Messages that one turn sends.
const BURST: u64 = 1_000;
/// Messages of one run.
const MESSAGES: u64 = 200_000;
/// Messages that may be sent and not acknowledged: the bound is 65,536.
const UNDER_WAY: u64 = 40_000;
const ALONE: usize = 300;
const LOAD_TARGET: f64 = 50_000.0;
/// Beyond two syncs, in microseconds.
const ALONE_TARGET_US: f64 = 1_000.0;
/// What a sync is taken to write, in bytes, when it is taken alone.
const SYNC_BYTES: usize = 1_000;
/// Longer than anything here takes, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end.
struct End {
    runtime: Runtime,
    hypervisor: Hypervisor,
    main: ContainerId,
    links: Links,
    address: String,
    lines: Receiver<Instant>,
    _disk: OnDisk,
}

impl End {
    fn begin(bed: &Bed, seed: u8) -> Result<End, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let disk = bed.store()?;
        let (tell, lines) = channel();
        let tell = Mutex::new(tell);
        let made = runtime.block_on(async {
            let identity = Identity::of_seed(&[seed; 32])?;
            let endpoint = Endpoint::bind("127.0.0.1:0", identity, Settings::default()).await?;
            let builder = Hypervisor::builder().shared_store(disk.store.clone());
            let builder = builder.on_line(move |_| {
                // Who hears of it may have ended.
                if let Ok(tell) = tell.lock() {
                    let _ = tell.send(Instant::now());
                }
            });
            let builder = builder.register_container("js", bed.js.clone()).register_container(LINK, LinkType);
            let hypervisor = builder.build().await?;
            let main = hypervisor.get_or_create_instance("js", "main", PROGRAM).await?;
            let links = Links::open(&hypervisor).await?;
            hypervisor.connect(&main, LINK, &links.container(), "program").await?;
            let address = endpoint.address().to_string();
            tokio::spawn(endpoint.run(links.inside(), std::future::pending()));
            Ok::<_, Failure>((hypervisor, main, links, address))
        });
        let (hypervisor, main, links, address) = made?;
        Ok(End { runtime, hypervisor, main, links, address, lines, _disk: disk })
    }

    fn knows(&self, other: &End, seed: u8) -> Result<(), Failure> {
        let key = Identity::of_seed(&[seed; 32])?.key();
        Ok(self.runtime.block_on(self.links.add(&other.address, key))?)
    }

    /// Has the program send so many messages, from this number on.
    async fn send(&self, to: &End, first: u64, count: u64) -> Result<(), Failure> {
        let fields: BTreeMap<String, Ipld> = [
            ("to".to_owned(), Ipld::String(to.address.clone())),
            ("first".to_owned(), Ipld::Integer(first.into())),
            ("count".to_owned(), Ipld::Integer(count.into())),
        ]
        .into();
        let message = Message { data: node::encode(&Ipld::Map(fields))?, ..Message::default() };
        let receipt = self.hypervisor.send(&self.main, message).await?;
        receipt.outcome.map(|_| ()).map_err(|exception| format!("a turn threw {exception}").into())
    }

    async fn acknowledged(&self, by: &End) -> Result<u64, Failure> {
        Ok(self.links.positions(&by.address).await?.acknowledged.number)
    }

    fn end(self) -> Result<(), Failure> {
        let End { runtime, hypervisor, links, .. } = self;
        drop(links);
        runtime.block_on(hypervisor.stop())?;
        runtime.shutdown_background();
        Ok(())
    }
}

pub(super) fn run(bed: &Bed, table: &mut Table) -> Result<(), Failure> {
    let (a, b) = (End::begin(bed, 1)?, End::begin(bed, 2)?);
    a.knows(&b, 2)?;
    b.knows(&a, 1)?;
    let mut sent = 0;
    load(&a, &b, &mut sent, BURST)?;
    let mut rates = Vec::new();
    for _ in 0..bed.effort.of(5) {
        let seconds = load(&a, &b, &mut sent, MESSAGES)?;
        rates.push(MESSAGES as f64 / seconds);
    }
    let note = format!(
        "{} messages, JavaScript to JavaScript; both hypervisors in one process",
        figure(MESSAGES as f64)
    );
    let what = "messages over a link, one way, durable on both sides";
    table.add(Row::new(what, Target::AtLeast(LOAD_TARGET), median(rates), "messages/s").note(note));
    alone(bed, (&a, &b), &mut sent, table)?;
    a.end()?;
    b.end()
}

/// Sends so many; the time until the last is acknowledged, and with that durable over there.
fn load(a: &End, b: &End, sent: &mut u64, count: u64) -> Result<f64, Failure> {
    let begun = Instant::now();
    a.runtime.block_on(async {
        let end = *sent + count;
        let mut acknowledged = *sent;
        while acknowledged < end {
            if *sent < end && *sent + BURST - acknowledged <= UNDER_WAY {
                a.send(b, *sent, BURST.min(end - *sent)).await?;
                *sent += BURST.min(end - *sent);
            } else {
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            acknowledged = a.acknowledged(b).await?;
            if begun.elapsed() > PATIENCE {
                return Err(format!("{acknowledged} of {end} messages were acknowledged").into());
            }
        }
        Ok::<_, Failure>(())
    })?;
    Ok(begun.elapsed().as_secs_f64())
}

fn alone(bed: &Bed, (a, b): (&End, &End), sent: &mut u64, table: &mut Table) -> Result<(), Failure> {
    let mut raw = RawLog::create(&bed.folder)?;
    let (mut each, mut syncs) = (Vec::new(), Vec::new());
    for _ in 0..bed.effort.of(ALONE) {
        let begun = Instant::now();
        a.runtime.block_on(a.send(b, *sent, 1))?;
        *sent += 1;
        let came = b.lines.recv_timeout(PATIENCE).map_err(|_| "a message did not come")?;
        each.push(came.duration_since(begun));
        syncs.push(raw.append(SYNC_BYTES)?);
    }
    let (one, sync) = (micros(median_time(&each)), micros(median_time(&syncs)));
    let note = format!(
        "{} us more than two syncs; from the send to the durable turn there",
        figure(one - 2.0 * sync)
    );
    let target = Target::AtMost(2.0 * sync + ALONE_TARGET_US);
    let row = Row::new("one message over a link, alone", target, one, "us");
    table.add(row.raw(format!("{} us a sync, taken in turn", figure(sync))).note(note));
    Ok(())
}
