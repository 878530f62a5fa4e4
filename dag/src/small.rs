//! Keys and addresses where there are many of them: as most are short, they lie in the table or the tree itself, so that a
//! search follows no pointer per comparison.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// Bytes that lie in the value itself at most: an id or an address, what stands around it, and a short name.
const SHORT_BYTES: usize = 46;
/// Bytes that are compared as one number.
const HEAD_BYTES: usize = 16;

/// Bytes that do not change, such as a row's key. They are cheap to make and to copy up to 46 of them.
#[derive(Clone)]
pub struct SmallBytes(Form);

#[derive(Clone)]
enum Form {
    /// A length, and the bytes; zeros behind them.
    Short(u8, [u8; SHORT_BYTES]),
    /// The first bytes once more, and all.
    Long([u8; HEAD_BYTES], Box<[u8]>),
}

impl SmallBytes {
    /// A copy of these.
    pub fn new(bytes: &[u8]) -> SmallBytes {
        SmallBytes::short(bytes).unwrap_or_else(|| SmallBytes::long(bytes.into()))
    }

    /// Several runs of bytes, one after the other.
    #[inline]
    pub fn joined(parts: &[&[u8]]) -> SmallBytes {
        let (mut short, mut end) = ([0; SHORT_BYTES], 0);
        for part in parts {
            match short.get_mut(end..end + part.len()) {
                Some(room) => room.copy_from_slice(part),
                None => return SmallBytes::long(parts.concat().into()),
            }
            end += part.len();
        }
        SmallBytes(Form::Short(end as u8, short))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Form::Long(_, bytes) => bytes,
        }
    }

    fn short(bytes: &[u8]) -> Option<SmallBytes> {
        let mut short = [0; SHORT_BYTES];
        short.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(SmallBytes(Form::Short(bytes.len() as u8, short)))
    }

    fn long(bytes: Box<[u8]>) -> SmallBytes {
        SmallBytes(Form::Long(bytes.first_chunk().copied().unwrap_or_default(), bytes))
    }

    /// The first bytes; zeros where there are none.
    #[inline]
    fn head(&self) -> u128 {
        match &self.0 {
            Form::Short(_, bytes) => u128::from_be_bytes(bytes.first_chunk().copied().unwrap_or_default()),
            Form::Long(head, _) => u128::from_be_bytes(*head),
        }
    }

    #[inline(never)]
    fn cmp_in_full(&self, other: &SmallBytes) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for SmallBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().fmt(f)
    }
}

impl Deref for SmallBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<Vec<u8>> for SmallBytes {
    fn from(bytes: Vec<u8>) -> Self {
        SmallBytes::short(&bytes).unwrap_or_else(|| SmallBytes::long(bytes.into()))
    }
}

impl From<&[u8]> for SmallBytes {
    fn from(bytes: &[u8]) -> Self {
        SmallBytes::new(bytes)
    }
}

impl From<&str> for SmallBytes {
    fn from(text: &str) -> Self {
        SmallBytes::new(text.as_bytes())
    }
}

impl From<String> for SmallBytes {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&Vec<u8>> for SmallBytes {
    fn from(bytes: &Vec<u8>) -> Self {
        SmallBytes::new(bytes)
    }
}

impl<const N: usize> From<&[u8; N]> for SmallBytes {
    fn from(bytes: &[u8; N]) -> Self {
        SmallBytes::new(bytes)
    }
}

impl<const N: usize> From<[u8; N]> for SmallBytes {
    fn from(bytes: [u8; N]) -> Self {
        SmallBytes::new(&bytes)
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
        match (&self.0, &other.0) {
            // What stands behind the bytes is the same, if they are.
            (Form::Short(length, bytes), Form::Short(others, other)) => length == others && bytes == other,
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

/// Bytes that lie in a value itself at most: an address.
const SHORT_VALUE_BYTES: usize = 38;

/// What stands beside a key: often an address, a count or nothing.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A length, and the bytes; zeros behind them.
    Short(u8, [u8; SHORT_VALUE_BYTES]),
    /// All.
    Long(Vec<u8>),
}

impl Value {
    pub(crate) fn new(bytes: Vec<u8>) -> Value {
        let mut short = [0; SHORT_VALUE_BYTES];
        match short.get_mut(..bytes.len()) {
            Some(begin) => {
                begin.copy_from_slice(&bytes);
                Value::Short(bytes.len() as u8, short)
            }
            None => Value::Long(bytes),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Value::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Value::Long(bytes) => bytes,
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
            prop_assert_eq!(&SmallBytes::joined(&[&same, &left[same.len()..]]), &one);
            prop_assert_eq!(&SmallBytes::from(left.clone()), &one);
            prop_assert_eq!(one.cmp(&other), left.cmp(&right));
            prop_assert_eq!(one == other, left == right);
            let value = Value::new(left.clone());
            prop_assert_eq!(value.as_bytes(), left);
        }
    }
}
