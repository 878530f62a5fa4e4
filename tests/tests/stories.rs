//! Stories of containers: who tells whom what, and what is heard in which order. Each is told in every way of running it
//! (threads, real delays, small batches and savepoints, unloading), and no way may change an order or a root.

mod blocks;
mod defects;
mod delays;
mod limits;
mod picture;
mod primea;
mod scripts;
mod stage;
mod starving;
