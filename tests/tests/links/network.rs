//! A network between two sockets: it loses datagrams, sends them twice, holds them back so that later ones overtake them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Of a hundred datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) dropped: u64,
    pub(crate) doubled: u64,
    pub(crate) delayed: u64,
    pub(crate) delay_ms_max: u64,
}

/// What it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) dropped: u64,
    pub(crate) doubled: u64,
}

/// The way to one address; it listens at another.
pub(crate) struct Network {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    faults: Mutex<Faults>,
    dropped: AtomicU64,
    doubled: AtomicU64,
    is_over: AtomicBool,
}

/// Numbers that are the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

impl Network {
    pub(crate) fn before(to: &str) -> Network {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Shared {
            faults: Mutex::default(),
            dropped: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let (kept, to) = (shared.clone(), to.parse().unwrap());
        thread::spawn(move || listen(&socket, to, &kept));
        Network { shared, address }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn set(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap() = faults;
    }

    pub(crate) fn counted(&self) -> Counted {
        let Shared { dropped, doubled, .. } = &*self.shared;
        Counted { dropped: dropped.load(Ordering::SeqCst), doubled: doubled.load(Ordering::SeqCst) }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }
}

/// Each client has a socket of its own towards the server, by which the answers find their way.
fn listen(socket: &UdpSocket, to: SocketAddr, shared: &Arc<Shared>) {
    let mut clients: BTreeMap<SocketAddr, UdpSocket> = BTreeMap::new();
    pass(socket, shared, 1, &mut |from, bytes| {
        let upstream = clients.entry(from).or_insert_with(|| {
            let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
            upstream.connect(to).unwrap();
            let (back, own, shared) =
                (socket.try_clone().unwrap(), upstream.try_clone().unwrap(), shared.clone());
            thread::spawn(move || {
                pass(&own, &shared, 2, &mut |_, bytes| drop(back.send_to(bytes, from)));
            });
            upstream
        });
        // Whoever is not there hears nothing.
        let _ = upstream.send(bytes);
    });
}

fn pass(socket: &UdpSocket, shared: &Shared, seed: u64, send: &mut dyn FnMut(SocketAddr, &[u8])) {
    let mut dice = Dice::new(seed);
    let mut held: Vec<(Instant, SocketAddr, Vec<u8>)> = Vec::new();
    let mut bytes = [0; 65_536];
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    while !shared.is_over.load(Ordering::SeqCst) {
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let faults = *shared.faults.lock().unwrap();
            if dice.below(100) < faults.dropped {
                shared.dropped.fetch_add(1, Ordering::SeqCst);
            } else {
                let twice = dice.below(100) < faults.doubled;
                shared.doubled.fetch_add(twice.into(), Ordering::SeqCst);
                for _ in 0..1 + u64::from(twice) {
                    if dice.below(100) < faults.delayed {
                        let delay = Duration::from_millis(dice.below(faults.delay_ms_max + 1));
                        held.push((Instant::now() + delay, from, bytes[..length].to_vec()));
                    } else {
                        send(from, &bytes[..length]);
                    }
                }
            }
        }
        let now = Instant::now();
        held.retain(|(at, to, bytes)| {
            let waits = *at > now;
            if !waits {
                send(*to, bytes);
            }
            waits
        });
    }
}
