//! HTTP: requests become turns, and what the program answers leaves when its turn is durable.
//!
//! ```text
//! socket ─► tls ─► connection ─► exchange ─► request ─► Inside ─► answer ─► connection ─► socket
//! ```
//! [`Server`] listens and lets connections in, one task each. A connection speaks HTTP/1.1 or HTTP/2 (by hyper). An exchange
//! reads one request whole, hands it to [`Inside`], and waits. `request` and `answer` say how both look as data; the page
//! docs/http.md says it for people.
//!
//! Invariants:
//! 1. A request reaches the program whole or not at all.
//! 2. Every bound of [`Settings`] holds for each client, whatever it sends and however slowly.
//! 3. What went wrong inside is logged; a client learns that it did, and nothing more.
//! 4. What clients do wrong is logged, and is no flood of lines however much of it there is.
//!
//! It does not know who answers, what a turn is, or what became of a request whose client went away.

mod admin;
mod answer;
mod body;
mod connection;
mod exchange;
mod idempotency;
mod inside;
mod metrics;
mod opening;
mod own;
mod paced;
mod request;
mod server;
mod settings;
mod socket;
mod tls;
mod trouble;

pub use inside::{Failure, Given, Inside, Measure, MeasureKind, Once, Piece, Rest, Stream};
pub use server::{Server, ServerError};
pub use settings::{Settings, Tls};
pub use socket::{Frame, Outgoing, Socket, Taken, Waiting, Welcome};

/// One of our answers, or one of the program's.
type Answer = hyper::Response<body::Body>;
