//! A set in order, of which one mostly asks for the least element.

use std::collections::BTreeSet;

/// A set whose least element lies outside its tree: a set that comes and goes with one element has no tree at all.
///
/// Invariant: `first` is less than all of `rest`, and there if any is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered<T> {
    first: Option<T>,
    rest: BTreeSet<T>,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Ordered { first: None, rest: BTreeSet::new() }
    }
}

impl<T: Ord> Ordered<T> {
    /// The least element.
    pub fn first(&self) -> Option<&T> {
        self.first.as_ref()
    }

    /// Adds an element; one that is there stays.
    pub fn insert(&mut self, element: T) {
        match &mut self.first {
            None => self.first = Some(element),
            Some(first) if element < *first => {
                let second = std::mem::replace(first, element);
                self.rest.insert(second);
            }
            Some(first) if element == *first => {}
            Some(_) => drop(self.rest.insert(element)),
        }
    }

    /// Takes the least element out.
    pub fn pop_first(&mut self) -> Option<T> {
        std::mem::replace(&mut self.first, self.rest.pop_first())
    }

    /// Removes an element, if it is there.
    pub fn remove(&mut self, element: &T) {
        if self.first.as_ref() == Some(element) {
            self.pop_first();
        } else {
            self.rest.remove(element);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// All elements, the least first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }
}

impl<T: Ord> Extend<T> for Ordered<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        for element in elements {
            self.insert(element);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_sorted_set() {
        // Every row of seven changes, of which each adds or removes one of three elements, or takes the least.
        for mut changes in 0..7_u32.pow(7) {
            let (mut ordered, mut model) = (Ordered::default(), BTreeSet::new());
            for _ in 0..7 {
                let (change, element) = (changes % 7, changes % 7 / 2);
                changes /= 7;
                match change {
                    6 => assert_eq!(ordered.pop_first(), model.pop_first()),
                    even if even % 2 == 0 => {
                        ordered.insert(element);
                        model.insert(element);
                    }
                    _ => {
                        ordered.remove(&element);
                        model.remove(&element);
                    }
                }
                assert_eq!(ordered.first(), model.first());
                assert!(ordered.iter().eq(&model));
            }
        }
    }
}
