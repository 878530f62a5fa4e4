//! What every store promises, checked on each of them; what the ones on disk promise beyond that.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]

#[path = "conformance/contract.rs"]
mod contract;
#[path = "conformance/damage.rs"]
mod damage;
#[path = "conformance/disk.rs"]
mod disk;
#[path = "conformance/full.rs"]
mod full;
#[path = "conformance/killed.rs"]
mod killed;
#[path = "conformance/power_cut.rs"]
mod power_cut;
#[path = "conformance/torn.rs"]
mod torn;
#[path = "conformance/vectors.rs"]
mod vectors;
#[path = "conformance/world.rs"]
mod world;
