//! Random bytes that were drawn once, given again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use everturn_exo_interface::{Drawing, Entropy, EntropyError};
use everturn_port_manager::{ContainerId, Ticks};

use super::Difference;

/// One drawing.
pub(super) struct Drawn {
    /// When its turn began.
    pub(super) ticks: Ticks,
    /// `None` where there were none to be had.
    pub(super) bytes: Option<Vec<u8>>,
}

/// The drawings of every container, in its order.
pub(super) struct Recorded {
    drawn: Mutex<BTreeMap<ContainerId, VecDeque<Drawn>>>,
    difference: Mutex<Option<Difference>>,
}

impl Recorded {
    pub(super) fn new(drawn: BTreeMap<ContainerId, VecDeque<Drawn>>) -> Recorded {
        Recorded { drawn: Mutex::new(drawn), difference: Mutex::default() }
    }

    /// The first drawing that was another, if any was.
    pub(super) fn difference(&self) -> Option<Difference> {
        self.difference.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn differs(&self, drawing: &Drawing, what: String) -> EntropyError {
        let difference =
            Difference { container: Some(drawing.container), ticks: drawing.ticks, what: what.clone() };
        self.difference.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(difference);
        EntropyError::Failed(what)
    }
}

impl Entropy for Recorded {
    fn draw(&self, drawing: &Drawing, into: &mut [u8]) -> Result<(), EntropyError> {
        let mut all = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let next = all.get_mut(&drawing.container).and_then(VecDeque::pop_front);
        drop(all);
        let asked = into.len();
        match next {
            None => Err(self.differs(drawing, format!("it draws {asked} random bytes, and drew none then"))),
            Some(Drawn { ticks, .. }) if ticks != drawing.ticks => {
                let what = format!("it draws {asked} random bytes, and drew the next at {ticks} ticks then");
                Err(self.differs(drawing, what))
            }
            Some(Drawn { bytes: None, .. }) => Err(EntropyError::Refused),
            Some(Drawn { bytes: Some(bytes), .. }) if bytes.len() == asked => {
                into.copy_from_slice(&bytes);
                Ok(())
            }
            Some(Drawn { bytes: Some(bytes), .. }) => {
                let what = format!("it draws {asked} random bytes, and drew {} then", bytes.len());
                Err(self.differs(drawing, what))
            }
        }
    }
}
