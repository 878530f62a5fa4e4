//! Power cuts and failing disks under a whole hypervisor: what was acknowledged is there, what is there is whole.

use std::sync::Arc;

use everturn::{HypervisorError, Ipld, Message, Settings, Store};
use everturn_dag::store::power_cut::{Failure, PowerCutStore};

use crate::world::{Ways, World};

/// Counts in two places, so that half a turn would show.
const COUNTER: &str = "let n = 0, log = []; const child = ports.create('js', 'let got = 0; export default { message(m) { got = m.data; } }');
ports.bind('child', child);
export default { message(msg) { if (msg.data) { n++; log.push(n); send(ports.get('child'), n); } return [n, log.length]; } };";

fn counts(outcome: Result<Option<Ipld>, everturn::Exception>) -> (i128, i128) {
    match outcome {
        Ok(Some(Ipld::List(counts))) => match counts[..] {
            [Ipld::Integer(n), Ipld::Integer(logged)] => (n, logged),
            _ => panic!("two counts"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_hundred_power_cuts_lose_nothing_that_was_acknowledged() {
    let mut store = Arc::new(PowerCutStore::new());
    let (mut acknowledged, mut sent, mut seed) = (0, 0, 11u64);
    for cut in 0..200 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let batch_turns = [None, Some(1), Some(3)][(seed >> 40) as usize % 3];
        let ways = Ways { settings: Settings { batch_turns, ..Settings::default() }, ..Ways::default() };
        let world = World::on(store.clone() as Arc<dyn Store>, COUNTER, ways);
        let hypervisor = world.hypervisor().clone();
        let (n, logged) = world.block_on(async {
            let message = |data: bool| Message {
                data: everturn::node::encode(&Ipld::Bool(data)).unwrap(),
                ..Message::default()
            };
            let first = hypervisor.send(&world.root, message(false)).await.unwrap();
            let steps = (seed >> 33) % 6;
            let sends: Vec<_> = (0..steps).map(|_| hypervisor.send(&world.root, message(true))).collect();
            sent += steps as i128;
            // Some are waited for, the others are under way when the power goes.
            for send in sends.into_iter().take((seed >> 20) as usize % 6) {
                acknowledged = counts(send.await.unwrap().outcome).0;
            }
            counts(first.outcome)
        });
        assert_eq!(n, logged, "cut {cut}: a turn is half there");
        assert!(n >= 0 && n <= sent, "cut {cut}");
        let kept = (seed >> 10) as usize % (store.unsynced() + 1);
        store = Arc::new(store.cut(kept));
        let world = World::on(store.clone() as Arc<dyn Store>, COUNTER, Ways::default());
        let found = world.block_on(world.hypervisor().send(
            &world.root,
            Message { data: everturn::node::encode(&Ipld::Bool(false)).unwrap(), ..Message::default() },
        ));
        let (found, logged) = counts(found.unwrap().outcome);
        assert_eq!(found, logged, "cut {cut}: a turn is half there");
        assert!(found >= acknowledged, "cut {cut}: {found} found, {acknowledged} acknowledged");
        acknowledged = found;
        store = Arc::new(store.cut(0));
    }
    assert!(acknowledged > 100, "{acknowledged}");
}

#[test]
fn after_a_failed_sync_nothing_leaves_and_nothing_is_accepted() {
    for failure in [Failure::Sync(6), Failure::Write(6)] {
        let store = Arc::new(PowerCutStore::new());
        store.fail(failure);
        let world = World::on(store.clone() as Arc<dyn Store>, "var n = 0;", Ways::default());
        let hypervisor = world.hypervisor().clone();
        let mut acknowledged = 0;
        let error = loop {
            match world.block_on(hypervisor.evaluate(&world.root, "line", "++n")) {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
            assert!(acknowledged < 100, "the disk never failed");
        };
        assert!(matches!(error, HypervisorError::Stopped(_)), "{error}");
        let again = world.block_on(hypervisor.evaluate(&world.root, "line", "++n")).unwrap_err();
        assert!(again.to_string().contains("stopped"), "{again}");
        let mut world = World::on(Arc::new(store.cut(0)), "var n = 0;", Ways::default());
        assert_eq!(world.eval("n"), acknowledged.to_string());
    }
}
