//! The one integration binary: what no single crate can show by itself.
#![allow(clippy::unwrap_used, reason = "a test that panics fails, which is what it is for")]

mod archives;
mod cars;
mod connect;
mod containers;
mod counting;
mod data;
mod determinism;
mod dice;
mod disk;
mod engine;
mod host;
mod javascript;
mod layers;
mod limits;
mod links;
mod memory;
mod message_path;
mod metrics;
mod native;
mod order;
mod persistence;
mod ports;
mod power;
mod queries;
mod requests;
mod rollback;
mod roots;
mod scale;
mod seeds;
mod stories;
mod tidy;
mod timers;
mod turns;
mod wasm;
mod world;
