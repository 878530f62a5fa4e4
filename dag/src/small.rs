//! Keys and addresses where there are many of them: as most are short, they lie in the table or the tree itself, so that a
//! search follows no pointer per comparison.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Bytes that lie in the value itself at most: an id or an address, what stands around it, and a short name.
const SHORT_BYTES: usize = 46;
/// Bytes that are compared as one number.
const HEAD_BYTES: usize = 16;

/// Bytes that do not change.
#[derive(Clone, Debug)]
pub(crate) enum SmallBytes {
    /// A length, and the bytes; zeros behind them.
    Short(u8, [u8; SHORT_BYTES]),
    /// The first bytes once more, and all.
    Long([u8; HEAD_BYTES], Box<[u8]>),
}

impl SmallBytes {
    pub(crate) fn new(bytes: &[u8]) -> SmallBytes {
        let mut short = [0; SHORT_BYTES];
        match short.get_mut(..bytes.len()) {
            Some(begin) => {
                begin.copy_from_slice(bytes);
                SmallBytes::Short(bytes.len() as u8, short)
            }
            None => SmallBytes::Long(bytes.first_chunk().copied().unwrap_or_default(), bytes.into()),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            SmallBytes::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            SmallBytes::Long(_, bytes) => bytes,
        }
    }

    /// The first bytes; zeros where there are none.
    #[inline]
    fn head(&self) -> u128 {
        match self {
            SmallBytes::Short(_, bytes) => {
                u128::from_be_bytes(bytes.first_chunk().copied().unwrap_or_default())
            }
            SmallBytes::Long(head, _) => u128::from_be_bytes(*head),
        }
    }

    #[inline(never)]
    fn cmp_in_full(&self, other: &SmallBytes) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

/// Looked for by its bytes: hashed, compared and ordered as they are.
impl Borrow<[u8]> for SmallBytes {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for SmallBytes {
    #[inline]
    fn eq(&self, other: &SmallBytes) -> bool {
        match (self, other) {
            // What stands behind the bytes is the same, if they are.
            (SmallBytes::Short(length, bytes), SmallBytes::Short(others, other)) => {
                length == others && bytes == other
            }
            _ => self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for SmallBytes {}

impl Hash for SmallBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialOrd for SmallBytes {
    fn partial_cmp(&self, other: &SmallBytes) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SmallBytes {
    /// By bytes. Zeros that stand for nothing do not matter: where heads are equal, all is compared.
    #[inline]
    fn cmp(&self, other: &SmallBytes) -> Ordering {
        match self.head().cmp(&other.head()) {
            Ordering::Equal => self.cmp_in_full(other),
            unequal => unequal,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_bytes(
            same in prop::collection::vec(0..2u8, 0..80),
            ends in prop::array::uniform2(prop::collection::vec(0..2u8, 0..60)),
        ) {
            let [left, right] = ends.map(|end| [&same[..], &end].concat());
            let (one, other) = (SmallBytes::new(&left), SmallBytes::new(&right));
            prop_assert_eq!(one.as_bytes(), &left);
            prop_assert_eq!(one.cmp(&other), left.cmp(&right));
            prop_assert_eq!(one == other, left == right);
        }
    }
}
