//! The one integration binary: what no single crate can show by itself.

mod layers;
mod persistence;
mod tidy;
mod world;
