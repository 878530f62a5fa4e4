//! Random bytes of the operating system's.

/// Fills `into` with bytes that nobody can guess.
///
/// # Errors
/// If the system has none, in its words.
pub fn fill(into: &mut [u8]) -> Result<(), String> {
    getrandom::getrandom(into).map_err(|error| error.to_string())
}
