//! Where the random bytes of guests come from.

use everturn_drivers::entropy;

pub use everturn_exo_interface::{
    Drawing, ENTROPY_CALL_BYTES_MAX, ENTROPY_TURN_BYTES_MAX, Entropy, EntropyError,
};

/// The operating system's random bytes, for [`Builder::entropy`](crate::Builder::entropy).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn draw(&self, _: &Drawing, into: &mut [u8]) -> Result<(), EntropyError> {
        entropy::fill(into).map_err(EntropyError::Failed)
    }
}
