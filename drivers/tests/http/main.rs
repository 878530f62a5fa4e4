//! The HTTP server over real sockets, with a made-up inside: what clients send, well or ill, and what they get.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod bounds;
mod http2;
mod malformed;
mod requests;
mod slow;
mod stopping;
mod streams;
mod tls;
mod world;
