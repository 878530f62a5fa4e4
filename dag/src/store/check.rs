//! The check that ends every value on disk: 8 bytes of xxh3-64 over key and value.
//!
//! Libraries differ in what they verify when they read. With this, a flipped bit in a value, or a value that turns
//! up under another key, is found whichever library holds it.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const BYTES: usize = 8;

/// Ends a value with its check.
pub(super) fn append(key: &[u8], value: &mut Vec<u8>) {
    let check = sum(key, value);
    // Not twice the room for a page that fills its own.
    value.reserve_exact(BYTES);
    value.extend(check.to_le_bytes());
}

/// The value without its check, if that is right.
pub(super) fn strip<'a>(key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (value, check) = stored.split_last_chunk::<BYTES>()?;
    (sum(key, value).to_le_bytes() == *check).then_some(value)
}

/// The check of a stored value, unverified.
pub(super) fn of(stored: &[u8]) -> &[u8] {
    &stored[stored.len().saturating_sub(BYTES)..]
}

fn sum(key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_in_the_same_place_pass() {
        let key = b"key";
        for value in [&b""[..], b"value"] {
            let mut stored = value.to_vec();
            append(key, &mut stored);
            assert_eq!(strip(key, &stored), Some(value));
            assert_eq!(strip(b"kez", &stored), None);
            for bit in 0..stored.len() * 8 {
                let mut flipped = stored.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(strip(key, &flipped), None, "bit {bit}");
            }
            assert_eq!(strip(key, &stored[1..]), None);
        }
        assert_eq!(strip(key, b"short"), None);
    }
}
