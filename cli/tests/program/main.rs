//! The program as people and scripts meet it: the real binary, its output, its exit codes, and kills in between.

mod archives;
mod attached;
mod bank;
mod browser;
mod chat;
mod commands;
mod console;
mod crash;
mod data;
mod errors;
mod fetch;
mod json;
mod links;
mod once_kills;
mod reload;
mod replay;
mod serve;
mod serve_kills;
mod shell;
mod signals;
mod sockets;
mod streams;
mod undo;
mod wasm;
mod web;
mod world;
