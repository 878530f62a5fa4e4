//! The order in which kept inputs are run again.

use std::collections::{BTreeMap, VecDeque};

use everturn_dag::{Reader, StoreError};
use everturn_port_manager::{ContainerId, Ticks};

use super::recorded::Drawn;
use crate::kept::{self, Mark, Place, What};

/// What happens between two turns.
pub(super) enum Event {
    /// A row that acts at once, by its number.
    Row(u64, Place),
    /// A state root to compare with.
    Mark(ContainerId, Mark),
}

impl Event {
    pub(super) fn place(&self) -> Place {
        match self {
            Event::Row(_, place) => *place,
            Event::Mark(_, mark) => mark.place,
        }
    }
}

/// All rows, as far as they have to be known beforehand.
pub(super) struct Index {
    /// In order.
    pub(super) events: Vec<Event>,
    /// Messages by the event before which they were sent and their numbers, which are in the order of their turns.
    pub(super) sent: Vec<(usize, u64)>,
    pub(super) drawn: BTreeMap<ContainerId, VecDeque<Drawn>>,
    /// Turns that were interrupted, by whose and when they began: what they burnt.
    pub(super) interrupted: BTreeMap<(ContainerId, Ticks), Ticks>,
}

impl Index {
    /// Reads all rows, `rows` of them.
    pub(super) fn read(reader: &dyn Reader, rows: u64) -> Result<Index, StoreError> {
        let mut index = Index {
            events: Vec::new(),
            sent: Vec::new(),
            drawn: BTreeMap::new(),
            interrupted: BTreeMap::new(),
        };
        let mut marks = kept::marks(reader)?.into_iter().peekable();
        // The number of each event: of a mark that of the row after it.
        let (mut numbers, mut takes) = (Vec::new(), Vec::new());
        for number in 0..=rows {
            while let Some((before, id, mark)) = marks.next_if(|(before, ..)| *before <= number) {
                numbers.push(before);
                index.events.push(Event::Mark(id, mark));
            }
            if number == rows {
                break;
            }
            let row = kept::row(reader, number)?;
            match row.what {
                What::Take { sent, .. } => takes.push((sent, number)),
                What::Draw { container, ticks, drawn } => {
                    let drawn = drawn.into_iter().map(|bytes| bytes.map(|bytes| bytes.into_vec()));
                    let of = index.drawn.entry(container).or_default();
                    of.extend(drawn.map(|bytes| Drawn { ticks, bytes }));
                }
                What::Interrupt { container, ticks, burnt } => {
                    index.interrupted.insert((container, ticks), burnt);
                }
                _ => {
                    numbers.push(number);
                    index.events.push(Event::Row(number, row.place));
                }
            }
        }
        let segment = |sent: u64| numbers.partition_point(|number| *number < sent);
        index.sent = takes.into_iter().map(|(sent, number)| (segment(sent), number)).collect();
        index.sent.sort_unstable();
        Ok(index)
    }
}
