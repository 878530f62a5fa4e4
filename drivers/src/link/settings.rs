//! What a link driver can be told.

use std::time::Duration;

/// Whether those are heard whose key nobody has pinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strangers {
    /// No.
    #[default]
    Refused,
    /// Yes: at the first contact their key is pinned to their address.
    Welcome,
}

/// Bounds of links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who is heard.
    pub strangers: Strangers,
    /// Connections from outside at once; further ones are refused.
    pub connections_max: usize,
    /// A frame's bytes at most.
    pub frame_bytes_max: usize,
    /// Messages in one frame, in bytes together, unless a single one is larger.
    pub batch_bytes_max: usize,
    /// Frames of one connection that may be on their way into the store at once.
    pub frames_under_way_max: usize,
    /// How long nothing may be heard of the other side before the connection is given up.
    pub silence_max: Duration,
    /// The wait before the first try to connect again; each further one is twice as long.
    pub retry_first: Duration,
    /// The longest wait between two tries.
    pub retry_longest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            strangers: Strangers::Refused,
            connections_max: 256,
            frame_bytes_max: 17 << 20,
            batch_bytes_max: 256 << 10,
            frames_under_way_max: 6,
            silence_max: Duration::from_secs(10),
            retry_first: Duration::from_millis(50),
            retry_longest: Duration::from_secs(5),
        }
    }
}
