//! The example of a host that makes blocks.

#[path = "../../../everturn/examples/block_host.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a program of its own")]
mod block_host;

use std::io::{Cursor, Seek};
use std::num::NonZeroUsize;

use block_host::{Block, Host, make_blocks, replay};

#[test]
fn a_chain_is_replayed_with_other_threads_and_a_lie_is_seen() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let threads = |n| NonZeroUsize::new(n).unwrap();
        let (host, mut chain) = (Host::start(threads(1)).await.unwrap(), Vec::new());
        make_blocks(&host, &mut chain, 8).await.unwrap();
        assert!(chain.windows(2).all(|pair| pair[1].parent_root == Some(pair[0].state_root)));
        assert!(
            chain.windows(2).all(|pair| pair[1].state_root != pair[0].state_root),
            "every block does something"
        );
        for n in [2, 4] {
            replay(&Host::start(threads(n)).await.unwrap(), &chain).await.unwrap();
        }
        chain[5].messages.swap(1, 2);
        chain[5].messages.pop();
        let lie = replay(&Host::start(threads(4)).await.unwrap(), &chain).await.unwrap_err();
        assert!(lie.to_string().starts_with("block 5 says"), "{lie}");
    });
}

/// A chain of eight blocks, and what its host exported after so many.
async fn chain_and_checkpoint(after: u64) -> (Vec<Block>, Vec<u8>) {
    let (host, mut chain) = (Host::start(NonZeroUsize::MIN).await.unwrap(), Vec::new());
    make_blocks(&host, &mut chain, after).await.unwrap();
    let mut car = tempfile::tempfile().unwrap();
    host.export_checkpoint(car.try_clone().unwrap()).await.unwrap();
    make_blocks(&host, &mut chain, 8 - after).await.unwrap();
    car.rewind().unwrap();
    let mut bytes = Vec::new();
    std::io::copy(&mut car, &mut bytes).unwrap();
    (chain, bytes)
}

#[test]
fn who_begins_with_a_checkpoint_half_way_agrees_from_there() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for after in [1, 4, 7] {
            let (mut chain, car) = chain_and_checkpoint(after).await;
            let rest = after as usize..;
            for n in [1, 2, 4] {
                let host = Host::resume(Cursor::new(&car), NonZeroUsize::new(n).unwrap()).await.unwrap();
                replay(&host, &chain[rest.clone()]).await.unwrap();
            }
            let host = Host::resume(Cursor::new(&car), NonZeroUsize::MIN).await.unwrap();
            chain[after as usize].messages.pop();
            let lie = replay(&host, &chain[rest]).await.unwrap_err();
            assert!(lie.to_string().starts_with("block 0 says"), "{lie}");
        }
    });
}
