//! The example of a host that makes blocks.

#[path = "../../../everturn/examples/block_host.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a program of its own")]
mod block_host;

use std::num::NonZeroUsize;

use block_host::{Host, make_chain, replay};

#[test]
fn a_chain_is_replayed_with_other_threads_and_a_lie_is_seen() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let threads = |n| NonZeroUsize::new(n).unwrap();
        let mut chain = make_chain(&Host::start(threads(1)).await.unwrap(), 8).await.unwrap();
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
