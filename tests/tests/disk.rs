//! What is deleted leaves the disk: rounds of creating and deleting a large container take no more than two of them; on fjall, and
//! what its journals take.

use std::fs;
use std::path::Path;

use everturn::native::{Incoming, Native, NativeType};
use everturn::{Backend, ContainerId, DiskStore, Exception, Hypervisor, Ipld, Message, Ticks, Turn};
use serde::{Deserialize, Serialize};

use crate::dice::Dice;

/// What fjall's journals and tables take beside what is needed: measured, 150 MB.
const FJALL_JOURNALS_BYTES: u64 = 192 << 20;
/// Rounds after which the disk is looked at.
const ROUNDS: u64 = 100;

/// What a round creates, in bytes. redb's file grows in steps of powers of two, so that what one round takes depends on how far the
/// size is from a step: of 16,000,000 one round took 69 MB, 100 rounds at most 153 MB and 107 MB at the end; of 5,000,000 it was
/// 36, 107 and 74 MB, of 8,000,000 36, 53 and 53 MB.
fn round_bytes() -> u64 {
    std::env::var("EVERTURN_DISK_ROUND_BYTES").map_or(8_000_000, |bytes| bytes.parse().expect("a number"))
}

/// Has one child at a time: told a number it makes one from that, told null it deletes it.
#[derive(Clone, Serialize, Deserialize)]
struct Owner {}

/// Bytes that no store can make smaller.
#[derive(Clone, Serialize, Deserialize)]
struct Hoard {
    bytes: Ipld,
}

impl Native for Owner {
    fn create(_: &mut Turn, _: Ipld) -> Result<Owner, Exception> {
        Ok(Owner {})
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        match message.data() {
            Ipld::Null => Ok(turn.delete("hoard")?),
            _ => {
                let hoard = turn.create("hoard", message.bytes)?;
                Ok(turn.bind("hoard", hoard)?)
            }
        }
    }
}

impl Native for Hoard {
    fn create(_: &mut Turn, init: Ipld) -> Result<Hoard, Exception> {
        let Ipld::Integer(seed) = init else { panic!("it begins with a number") };
        let mut dice = Dice(seed as u64);
        let bytes = (0..round_bytes() / 8).flat_map(|_| dice.roll(u64::MAX).to_le_bytes()).collect();
        Ok(Hoard { bytes: Ipld::Bytes(bytes) })
    }

    fn run(&mut self, _: &mut Turn, _: &Incoming<'_>) -> Result<(), Exception> {
        Ok(())
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    // The store removes files beside us.
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

async fn tell(hypervisor: &Hypervisor, owner: &ContainerId, data: Ipld) {
    let data = everturn::node::encode(&data).unwrap();
    let receipt = hypervisor.send(owner, Message { data, ..Message::default() }).await.unwrap();
    receipt.outcome.unwrap();
    hypervisor.wait(owner, Ticks::MAX).await.unwrap();
}

async fn rounds(backend: Backend, spare_bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open_with(folder.path(), backend).unwrap();
    let hypervisor = Hypervisor::builder().store(store).build().await.unwrap();
    hypervisor.register_container("owner", NativeType::<Owner>::new());
    hypervisor.register_container("hoard", NativeType::<Hoard>::new());
    let owner = hypervisor.create_instance("owner", "", Ipld::Null).await.unwrap();
    let (mut one, mut most) = (0, 0);
    for round in 0..ROUNDS {
        tell(&hypervisor, &owner, Ipld::Integer(i128::from(round) + 1)).await;
        // A flush makes blocks of it.
        let root = hypervisor.create_state_root(&owner, Ticks::MAX).await.unwrap();
        most = bytes_in(folder.path()).max(most);
        tell(&hypervisor, &owner, Ipld::Null).await;
        hypervisor.release_root(&root).await.unwrap();
        if round == 0 {
            one = most;
            assert!(one > round_bytes(), "{one} bytes hold a round");
        }
    }
    let left = bytes_in(folder.path());
    hypervisor.stop().await.unwrap();
    println!("{backend:?}: one round {one}, at most {most}, at the end {left} bytes");
    let bound = 2 * one + spare_bytes;
    assert!(most <= bound, "{backend:?}: one round takes {one} bytes, of {ROUNDS} there were {most}");
    assert!(ROUNDS * one > bound, "rounds of {one} bytes show nothing");
}

#[test]
fn rounds_of_creating_and_deleting_take_no_more_than_two_on_redb() {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(rounds(Backend::Redb, 0));
}

/// fjall's journals grow to their own bound before anything in them is let go, however little of it is needed.
#[test]
fn rounds_of_creating_and_deleting_take_no_more_than_two_and_its_journals_on_fjall() {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(rounds(Backend::Fjall, FJALL_JOURNALS_BYTES));
}
