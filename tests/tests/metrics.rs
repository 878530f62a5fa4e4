//! What a hypervisor says of itself, and what it says when too much waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use everturn::{Hypervisor, HypervisorError, MemoryStore, Message, Settings, Ticks, TurnsBy, node};

use crate::host::Host;
use crate::world::{Ways, World, js};

fn message(data: i64) -> Message {
    Message { data: node::encode(&data).unwrap(), ..Message::default() }
}

#[test]
fn turns_batches_and_what_they_took_are_counted() {
    let mut host = Host::on(Arc::new(MemoryStore::new()));
    let time = Arc::new(AtomicU64::new(0));
    let stopwatch = {
        let time = time.clone();
        move || time.fetch_add(1_000, Ordering::Relaxed)
    };
    let builder = Hypervisor::builder().stopwatch(stopwatch).register_container("js", js(&Ways::default()));
    host.start(builder).unwrap();
    let program = "let sum = 0; export default { message(msg) { if (msg.data < 0) throw new Error('less'); sum += msg.data; } };";
    let app = host.block_on(host.hypervisor().create_instance("js", "main", program)).unwrap();
    let before = host.hypervisor().metrics();
    assert_eq!((before.turns, before.exceptions, before.containers), (1, 0, 1));
    for data in [1, 2, -1, 3] {
        host.send(&app, data);
    }
    let ticks = host.wait(&app);
    let after = host.hypervisor().metrics();
    assert_eq!((after.turns, after.exceptions), (5, 1));
    assert_eq!(Ticks(after.burnt), ticks, "what was burnt is all that time went on by");
    // Each was awaited, so each had a batch of its own.
    assert!(after.batches >= before.batches + 4, "{after:?}");
    assert!(after.batch_turns == 5 && after.dirty_pages >= 5, "{after:?}");
    // Every look at the stopwatch is 1,000 ns after the last: a sync takes one step, a commit two.
    assert_eq!((after.sync_ns, after.commit_ns), (after.batches * 1_000, after.batches * 2_000));
    assert_eq!((after.inputs_waiting, after.containers_waiting, after.answers_waiting), (0, 0, 0));
    assert!(after.heap_bytes >= 1 << 20, "{after:?}");
    host.stop();
}

/// Long turns may follow each other without end, and whoever asked before hears of it meanwhile.
#[test]
fn a_batch_is_cut_between_long_turns() {
    let program = "export default { async message() {
        for (let i = 0; i < 20; i++) { for (let n = 0; n < 300000; n++); await nextTurn(); }
    } };";
    let mut world = World::new(program);
    let before = world.hypervisor().metrics();
    world.send(0);
    world.idle();
    let after = world.hypervisor().metrics();
    assert_eq!((after.turns - before.turns, after.exceptions), (21, 0));
    assert!(after.burnt - before.burnt > 300_000_000, "{after:?}");
    assert!(after.batches - before.batches >= 3, "{before:?} {after:?}");
    world.stop();
}

#[test]
fn without_a_stopwatch_nothing_is_timed() {
    let mut world = World::new("0");
    world.eval("1");
    let metrics = world.hypervisor().metrics();
    assert!(metrics.batches > 0 && metrics.sync_ns == 0 && metrics.commit_ns == 0, "{metrics:?}");
    world.stop();
}

#[test]
fn one_input_too_many_is_refused_and_taken_when_there_is_room() {
    // Nothing runs before the host lets it.
    let settings = Settings { inputs_max: 3, turns_by: TurnsBy::Host, ..Settings::default() };
    let mut host = Host::on(Arc::new(MemoryStore::new()));
    host.start(Hypervisor::builder().settings(settings).register_container("js", js(&Ways::default())))
        .unwrap();
    let program = "let n = 0; export default { message() { return ++n; } };";
    let made = host.hypervisor().clone();
    let app = host.block_on(async {
        let (app, ran) = tokio::join!(made.create_instance("js", "main", program), made.run_until_idle());
        ran.unwrap();
        app.unwrap()
    });
    let waiting: Vec<_> = (0..3).map(|_| host.hypervisor().send(&app, message(0))).collect();
    let refused = host.block_on(host.hypervisor().send(&app, message(0)));
    assert!(matches!(refused, Err(HypervisorError::Busy { waiting: 3 })), "{refused:?}");
    host.block_on(host.hypervisor().run_until_idle()).unwrap();
    for receipt in waiting {
        assert!(host.block_on(receipt).unwrap().outcome.is_ok());
    }
    let again = host.hypervisor().send(&app, message(0));
    host.block_on(host.hypervisor().run_until_idle()).unwrap();
    assert_eq!(host.block_on(again).unwrap().outcome, Ok(Some(4.into())), "what was refused was never there");
    host.stop();
}
