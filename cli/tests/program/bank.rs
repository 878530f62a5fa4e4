//! The example of a bank, over HTTP, killed again and again in the middle of transfers: no money is lost or made.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::Value;

use crate::web::{Site, Visitor};
use crate::world::World;

/// Kills in the ordinary run; EVERTURN_KILLS asks for more.
const KILLS: u64 = 12;
const ACCOUNTS: [&str; 5] = ["ann", "bob", "cyd", "dan", "eve"];
const MONEY_EACH: i64 = 1_000;
const CLIENTS: u64 = 6;
/// Transfers that are answered before a kill, at most.
const ANSWERS_MAX: u64 = 60;

fn bank() -> World {
    let world = World::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bank.js");
    world.file("bank.js", fs::read(example).expect("the example is there"));
    world
}

fn post(visitor: &mut Visitor, path: &str) -> std::io::Result<(u16, String)> {
    visitor.ask("POST", path, b"")
}

fn total(site: &Site) -> Value {
    let (status, body) = site.get("/total");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("it is JSON")
}

#[test]
fn the_page_of_the_example_is_as_it_is_written() {
    let world = bank();
    let site = world.serve("bank.js", &[]);
    let mut visitor = site.visit();
    let json = |text: &str| (200, format!("{text}\n"));
    assert_eq!(post(&mut visitor, "/open?name=ann&money=100").unwrap(), json("{\"money\":100}"));
    assert_eq!(post(&mut visitor, "/open?name=bob&money=0").unwrap(), json("{\"money\":0}"));
    assert_eq!(post(&mut visitor, "/transfer?from=ann&to=bob&money=30").unwrap(), json("{\"transfers\":1}"));
    let refused = post(&mut visitor, "/transfer?from=ann&to=bob&money=300").unwrap();
    assert_eq!(refused, (409, "there are only 70\n".to_owned()));
    for (path, status) in [
        ("/transfer?from=ann&to=nobody&money=1", 400),
        ("/transfer?from=ann&to=bob&money=-1", 400),
        ("/open?name=ann&money=1", 400),
        ("/open?name=A%20B&money=1", 400),
        ("/elsewhere", 404),
    ] {
        assert_eq!(post(&mut visitor, path).unwrap().0, status, "{path}");
    }
    site.talk.kill();
    let site = world.serve("bank.js", &[]);
    assert_eq!(site.get("/total"), json("{\"accounts\":2,\"money\":100,\"transfers\":1,\"underWay\":0}"));
    assert_eq!(site.get("/account/bob"), json("{\"money\":30}"));
}

/// Transfers until the server is gone.
fn trade(address: &str, client: u64, answered: &AtomicU64, is_over: &AtomicBool) {
    let Ok(mut visitor) = Visitor::connect(address) else { return };
    let mut dice = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % sides as u64) as usize
    };
    while !is_over.load(Ordering::SeqCst) {
        let (from, to, money) = (ACCOUNTS[roll(5)], ACCOUNTS[roll(5)], roll(400));
        match post(&mut visitor, &format!("/transfer?from={from}&to={to}&money={money}")) {
            Ok((200, _)) => drop(answered.fetch_add(1, Ordering::SeqCst)),
            // There was not enough.
            Ok((409, _)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(_) => return,
        }
    }
}

#[test]
fn no_money_is_lost_or_made_whatever_is_killed() {
    let kills = std::env::var("EVERTURN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let world = bank();
    let answered = Arc::new(AtomicU64::new(0));
    let mut site = world.serve("bank.js", &[]);
    for name in ACCOUNTS {
        let opened = post(&mut site.visit(), &format!("/open?name={name}&money={MONEY_EACH}")).unwrap();
        assert_eq!(opened.0, 200, "{opened:?}");
    }
    for kill in 0..kills {
        let (until, is_over) =
            (answered.load(Ordering::SeqCst) + kill * 13 % ANSWERS_MAX, Arc::new(AtomicBool::new(false)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (answered, is_over, address) = (answered.clone(), is_over.clone(), site.address.clone());
                thread::spawn(move || trade(&address, kill * CLIENTS + number + 1, &answered, &is_over))
            })
            .collect();
        while answered.load(Ordering::SeqCst) < until && clients.iter().any(|client| !client.is_finished()) {
            thread::yield_now();
        }
        site.talk.kill();
        is_over.store(true, Ordering::SeqCst);
        clients.into_iter().for_each(|client| client.join().expect("no client was told nonsense"));
        site = world.serve("bank.js", &[]);
        // What was under way goes on by itself, without anybody who waits for it.
        let mut settled = Value::Null;
        loop {
            // The accounts are asked one by one: what two looks agree on is what they all were at once.
            let before = std::mem::replace(&mut settled, total(&site));
            if settled["underWay"] == 0 && settled == before {
                break;
            }
        }
        assert_eq!(settled["money"], MONEY_EACH * ACCOUNTS.len() as i64, "kill {kill}: {settled}");
        let done = settled["transfers"].as_u64().expect("a number");
        assert!(
            done >= answered.load(Ordering::SeqCst),
            "kill {kill}: an answered transfer is missing: {settled}"
        );
    }
    assert!(answered.load(Ordering::SeqCst) > kills, "hardly anything was transferred");
    site.talk.signal("TERM");
    assert_eq!(site.talk.finish().code, Some(0));
    assert_eq!(world.everturn(&["check"]).code, Some(0));
}
