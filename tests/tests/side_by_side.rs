//! Roots that several threads make: the same on any number of them, and whole when they are too large for one batch.

use std::num::NonZeroUsize;
use std::sync::Arc;

use everturn::native::{Incoming, Native, NativeType};
use everturn::{Cid, ContainerId, Exception, Hypervisor, Ipld, MemoryStore, Settings, Store, Turn, node};
use serde::{Deserialize, Serialize};

use crate::host::{Host, assert_whole};

/// Has as many children as it is told, and each of them two more. Whatever it hears all below it hear, and write down that
/// often.
#[derive(Clone, Serialize, Deserialize)]
struct Family {
    children: u64,
    written: String,
}

/// The numbers of children on the levels below, and how much is written with a message.
const NARROW: &[u64] = &[90, 2];
const LARGE: &[u64] = &[1_500, 0];

impl Native for Family {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Family, Exception> {
        let levels: Vec<u64> = node::decode(&node::encode(&init).unwrap()).unwrap();
        let Some((&children, below)) = levels.split_first() else {
            return Ok(Family { children: 0, written: String::new() });
        };
        for child in 0..children {
            let port = turn.create("family", &node::encode(below).unwrap())?;
            turn.bind(&format!("{child}"), port)?;
        }
        Ok(Family { children, written: String::new() })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let Ipld::Integer(times) = message.data() else { return Ok(()) };
        for child in 0..self.children {
            let port = turn.get(&format!("{child}"))?;
            turn.send(port, message.bytes, &[], 0)?;
        }
        self.written = "a line of some length. ".repeat(times as usize);
        Ok(())
    }
}

/// A family after each of some messages; its roots are kept.
fn roots(threads: usize, levels: &[u64], messages: &[u64]) -> (Vec<Cid>, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let mut host = Host::on(store.clone() as Arc<dyn Store>);
    let settings = Settings { threads: NonZeroUsize::new(threads), ..Settings::default() };
    let hypervisor = host.start(Hypervisor::builder().settings(settings)).unwrap();
    hypervisor.register_container("family", NativeType::<Family>::new());
    let init = Ipld::List(levels.iter().map(|level| Ipld::Integer((*level).into())).collect());
    let root: ContainerId = host.block_on(host.hypervisor().create_instance("family", "", init)).unwrap();
    let mut roots = vec![host.state_root(&root)];
    for message in messages {
        host.send(&root, Ipld::Integer((*message).into())).outcome.unwrap();
        roots.push(host.state_root(&root));
    }
    host.stop();
    assert_whole(&*store);
    (roots, store)
}

#[test]
fn any_number_of_threads_makes_the_same_roots() {
    let messages = [1, 2, 3, 7];
    let (alone, _) = roots(1, NARROW, &messages);
    for threads in [2, 3, 8, 200] {
        assert_eq!(roots(threads, NARROW, &messages).0, alone, "{threads} threads");
    }
    assert_eq!(alone.iter().collect::<std::collections::BTreeSet<_>>().len(), alone.len());
}

/// 27 MB of nodes, of which a batch takes 16 at most.
#[test]
fn a_root_that_takes_several_batches_is_the_same_and_whole() {
    let messages = [800, 801];
    let (alone, _) = roots(1, LARGE, &messages);
    for threads in [2, 5] {
        assert_eq!(roots(threads, LARGE, &messages).0, alone, "{threads} threads");
    }
}
