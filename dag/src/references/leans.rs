//! Blocks that lean on the version before them: what both link to is counted once.
//!
//! A new version of a large node shares nearly all of its links with the one that it replaces. If both stay (the older
//! root is pinned), counting each link twice would cost a row for every one of them. So the newer *leans on* the older:
//! it counts only the links that the older has not. When either goes, the other takes over, at the price of what differs.
//!
//! | key in [`Space::References`] | value |
//! |---|---|
//! | `l`, CID | the CID of the block that this one leans on |
//! | `u`, CID | the CID of the block that leans on this one |
//!
//! Invariants:
//! 1. The two rows of a pair are there together, and so are both blocks.
//! 2. A block leans on one at most and carries one at most: blocks that lean form chains, oldest first. An address
//!    counts once for each unbroken run of blocks in a chain that link to it.
//! 3. Every block of a pair has at least [`LINKS_MIN`] links.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Address, BASE, LEANER, address, key};
use crate::{Batch, Reader, Space, StoreError};

/// Links that two blocks share at least before it pays that one leans on the other.
pub(super) const LINKS_MIN: usize = 8;
/// So many links are looked for one by one.
pub(super) const FEW: usize = 8;

/// Rows of one kind.
#[derive(Default)]
struct Rows(FxHashMap<Address, Row>);

/// A row as it is, and as it is to be.
struct Row {
    stored: Option<Address>,
    now: Option<Address>,
}

impl Rows {
    fn get(&mut self, kind: u8, reader: &dyn Reader, of: &Address) -> Result<Option<Address>, StoreError> {
        if let Some(row) = self.0.get(of) {
            return Ok(row.now.clone());
        }
        let stored = reader.get(Space::References, &key(kind, of.as_bytes()))?;
        let stored = stored.map(|bytes| address(&bytes).map(Address::new)).transpose()?;
        self.0.insert(of.clone(), Row { stored: stored.clone(), now: stored.clone() });
        Ok(stored)
    }

    /// Sets a row of which it is known what it says, unless it was set before.
    fn set(&mut self, of: &Address, from: Option<&Address>, to: Option<&Address>) {
        let row = || Row { stored: from.cloned(), now: None };
        self.0.entry(of.clone()).or_insert_with(row).now = to.cloned();
    }

    fn write(self, kind: u8, batch: &mut Batch) {
        let mut changed: Vec<(Address, Row)> =
            self.0.into_iter().filter(|(_, row)| row.now != row.stored).collect();
        changed.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (of, row) in changed {
            let at = key(kind, of.as_bytes());
            match row.now {
                Some(now) => batch.put(Space::References, at, now.as_bytes()),
                None => batch.delete(Space::References, at),
            }
        }
    }
}

/// Who leans on whom, with the changes of one batch.
#[derive(Default)]
pub(super) struct Leans {
    bases: Rows,
    leaners: Rows,
}

impl Leans {
    /// What a block leans on.
    pub(super) fn base(&mut self, reader: &dyn Reader, of: &Address) -> Result<Option<Address>, StoreError> {
        self.bases.get(BASE, reader, of)
    }

    /// What leans on a block.
    pub(super) fn leaner(
        &mut self,
        reader: &dyn Reader,
        of: &Address,
    ) -> Result<Option<Address>, StoreError> {
        self.leaners.get(LEANER, reader, of)
    }

    /// Lets a block that is new lean on one that carries nothing.
    pub(super) fn lean(&mut self, new: &Address, base: &Address) {
        self.bases.set(new, None, Some(base));
        self.leaners.set(base, None, Some(new));
    }

    /// Takes a block out of its chain; its neighbours were asked for before.
    pub(super) fn take_out(&mut self, gone: &Address, base: Option<&Address>, leaner: Option<&Address>) {
        if let Some(base) = base {
            self.bases.set(gone, Some(base), None);
            self.leaners.set(base, Some(gone), leaner);
        }
        if let Some(leaner) = leaner {
            self.leaners.set(gone, Some(leaner), None);
            self.bases.set(leaner, Some(gone), base);
        }
    }

    pub(super) fn write(self, batch: &mut Batch) {
        self.bases.write(BASE, batch);
        self.leaners.write(LEANER, batch);
    }
}

/// The links of `these` that `those` lack, in their order, each once.
pub(super) fn beyond<'a>(these: &[&'a [u8]], those: &[&[u8]]) -> Vec<&'a [u8]> {
    let mut beyond: Vec<&[u8]> = if these.len() == those.len() {
        these.iter().zip(those).filter(|(this, that)| this != that).map(|(this, _)| *this).collect()
    } else {
        let same = |(this, that): &(&&[u8], &&[u8])| this == that;
        let begin = these.iter().zip(those).take_while(same).count();
        let rest = (&these[begin..], &those[begin..]);
        let end = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(same).count();
        rest.0[..rest.0.len() - end].to_vec()
    };
    if beyond.len() <= FEW {
        beyond.retain(|link| !those.contains(link));
    } else {
        let those: FxHashSet<&[u8]> = those.iter().copied().collect();
        beyond.retain(|link| !those.contains(link));
    }
    once(&mut beyond);
    beyond
}

/// Leaves each link once, where it comes first.
fn once(links: &mut Vec<&[u8]>) {
    if links.len() > FEW {
        let mut seen = FxHashSet::default();
        return links.retain(|link| seen.insert(*link));
    }
    for at in (1..links.len()).rev() {
        if links[..at].contains(&links[at]) {
            links.remove(at);
        }
    }
}

/// The links that nobody counts any more when a block goes, each once: those of `gone` that neither neighbour has, and
/// those that both neighbours have and `gone` had not, since one run follows on the other now.
pub(super) fn let_go_by<'a>(gone: &[&'a [u8]], base: &[&'a [u8]], leaner: &[&'a [u8]]) -> Vec<&'a [u8]> {
    if leaner.is_empty() {
        return beyond(gone, base);
    }
    let mut links = beyond(&beyond(gone, leaner), base);
    let joined = beyond(leaner, gone);
    let only_leaner = beyond(&joined, base);
    links.extend(joined.into_iter().filter(|link| !only_leaner.contains(link)));
    links
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_goes_is_what_the_runs_say() {
        // Every way in which a link can be in three neighbours, at places that differ.
        let lists = |of: usize| -> Vec<Vec<u8>> {
            (0..8u8).filter(|link| usize::from(*link) >> of & 1 == 1).map(|link| vec![link]).collect()
        };
        let runs = |list: [bool; 3], without: bool| {
            let list = list.into_iter().enumerate().filter(|(at, _)| !(without && *at == 1));
            list.fold((0, false), |(runs, before), (_, now)| (runs + i32::from(now && !before), now)).0
        };
        let (base, gone, leaner) = (lists(0), lists(1), lists(2));
        let slices = |list: &'static Vec<Vec<u8>>| list.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let leak = |list: Vec<Vec<u8>>| slices(Box::leak(Box::new(list)));
        let (base, gone, leaner) = (leak(base), leak(gone), leak(leaner));
        let lost: BTreeSet<&[u8]> = let_go_by(&gone, &base, &leaner).into_iter().collect();
        for link in 0..8u8 {
            let list = [0, 1, 2].map(|of| link >> of & 1 == 1);
            let change = runs(list, true) - runs(list, false);
            // A link in the middle alone, or in both but the middle, loses a run.
            let expected = -i32::from(lost.contains(&[link][..]));
            assert_eq!(change, expected, "link {link:03b}");
        }
    }

    #[test]
    fn a_difference_is_found_wherever_it_lies() {
        let (a, b, c, d) = (b"a".as_slice(), b"b".as_slice(), b"c".as_slice(), b"d".as_slice());
        assert_eq!(beyond(&[a, b, c], &[a, b, c]), [b""; 0]);
        assert_eq!(beyond(&[c, a, d, c], &[a, b]), [c, d]);
        assert_eq!(beyond(&[a, b, c], &[b, a, d]), [c], "another order is no difference");
        assert_eq!(beyond(&[a, b, d, c], &[a, c]), [b, d]);
        assert_eq!(beyond(&[a, a], &[]), [a]);
    }
}
