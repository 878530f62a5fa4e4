//! The one integration binary: what no single crate can show by itself.

mod containers;
mod determinism;
mod layers;
mod persistence;
mod power;
mod rollback;
mod tidy;
mod turns;
mod world;
