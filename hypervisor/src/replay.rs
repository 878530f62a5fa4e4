//! Running kept inputs again, from the checkpoint with which keeping began, and comparing what comes of it.
//!
//! A message of a host's is put in with the stamp that it had, before its turn and behind what the host had sent before. What acts at
//! once (a container made, connected, restored; timers that are due) is done when exactly as many turns have run as then. So nothing
//! depends on threads, batches or restarts, then or now.
//!
//! Invariants:
//! 1. The store whose inputs are run again is read, never written.
//! 2. Random bytes are those that were drawn; a turn that asks for others is a difference.
//! 3. Nothing leaves: whoever listens to a replay is given comparisons, and no lines.

mod index;
mod recorded;
mod states;

use std::io::Cursor;
use std::sync::Arc;

use everturn_dag::{Cid, MemoryStore, Reader, Store};
use everturn_port_manager::{ContainerId, Ticks};

use crate::core::{Again, Command, Joined};
use crate::kept::{self, Mark, Place, Row, What};
use crate::{Builder, Hypervisor, HypervisorError, ImportLimits, Ran, archive, backup, import_car};
use index::{Event, Index};
use recorded::Recorded;
use states::States;

/// Messages that are put in before turns run again, at most.
const SENT_AT_ONCE: usize = 1_024;

/// One state root that was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Whose.
    pub container: ContainerId,
    /// Its ticks, as they were recorded.
    pub ticks: Ticks,
    /// Turns that had run since keeping began.
    pub turns: u64,
    /// What it was; `None` if there was no such container.
    pub expected: Option<Cid>,
    /// What it is now; `None` if there is no such container.
    pub found: Option<Cid>,
}

impl Comparison {
    /// Whether both are the same.
    pub fn is_equal(&self) -> bool {
        self.expected == self.found
    }
}

/// Where a replay is first known to be another life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose life, if that is known.
    pub container: Option<ContainerId>,
    /// Its ticks then.
    pub ticks: Ticks,
    /// What is different.
    pub what: String,
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Turns that were run.
    pub turns: u64,
    /// Rows that were run again.
    pub rows: u64,
    /// State roots that were compared.
    pub compared: u64,
    /// The first difference; `None` if all was equal.
    pub difference: Option<Difference>,
}

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The store keeps no inputs.
    #[error("no inputs are kept here, so none can be run again")]
    NothingKept,
    /// Keeping began elsewhere.
    #[error("inputs are kept here from {kept} on, not from {asked}")]
    OtherBeginning {
        /// The checkpoint with which keeping began.
        kept: Cid,
        /// What was asked for.
        asked: Cid,
    },
    /// A kept input, or what it needs, is not there or not readable; or the host failed.
    #[error(transparent)]
    Failed(#[from] HypervisorError),
}

impl From<everturn_dag::StoreError> for ReplayError {
    fn from(error: everturn_dag::StoreError) -> Self {
        ReplayError::Failed(error.into())
    }
}

/// Runs the inputs that `living` keeps since the checkpoint `from` once more, in memory, and compares every state root that was made
/// meanwhile and the last state of everything with what comes of it. `builder` has the container types and the settings, other
/// limits of which are refused; what it says of store, clock, entropy and lines is not used. `told` hears of each comparison.
///
/// # Errors
/// [`ReplayError`]. A difference is none: it is in what is returned.
pub async fn replay(
    living: &dyn Reader,
    from: &Cid,
    builder: Builder,
    told: &mut (dyn FnMut(&Comparison) + Send),
) -> Result<Replayed, ReplayError> {
    let (beginning, standing) = kept::read(living)?.ok_or(ReplayError::NothingKept)?;
    if beginning.checkpoint != *from {
        return Err(ReplayError::OtherBeginning { kept: beginning.checkpoint, asked: *from });
    }
    let copy: Arc<dyn Store> = Arc::new(MemoryStore::new());
    backup::copy_all(living, &*copy)?;
    let index = Index::read(&*copy, standing.next)?;
    let expected = States::of_store(&copy, &builder)?;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    bring(&*copy, &store, from)?;
    let recorded = Arc::new(Recorded::new(index.drawn));
    let lookahead = builder.lookahead();
    let builder = builder.for_replay(store, *from, recorded.clone(), index.interrupted);
    let hypervisor = builder.build().await?;
    let again = Replay { hypervisor, copy, lookahead, turns: 0, window_end: Ticks::ZERO, compared: 0, told };
    let end = Place { turns: standing.turns, window_end: expected.window_end() };
    let mut replayed = Replayed { turns: 0, rows: standing.next, compared: 0, difference: None };
    let ended = again.run(&index.events, &index.sent, end, &expected, &mut replayed).await;
    match ended {
        Ok(()) => Ok(replayed),
        Err(Stop::Differs(difference)) => {
            // What was drawn otherwise came before what is told of it.
            replayed.difference = Some(recorded.difference().unwrap_or(difference));
            Ok(replayed)
        }
        Err(Stop::Failed(error)) => match recorded.difference() {
            Some(difference) => Ok(Replayed { difference: Some(difference), ..replayed }),
            None => Err(error.into()),
        },
    }
}

/// Copies a root and what it needs from one store to another.
fn bring(from: &dyn Reader, to: &Arc<dyn Store>, root: &Cid) -> Result<(), HypervisorError> {
    import_car(to, Cursor::new(car(from, root)?), UNBOUNDED).map(|_| ())
}

/// What is taken from a store of one's own.
const UNBOUNDED: ImportLimits = ImportLimits { blocks_max: u64::MAX, bytes_max: u64::MAX };

fn car(from: &dyn Reader, root: &Cid) -> Result<Vec<u8>, HypervisorError> {
    let mut car = Vec::new();
    archive::export(from, root, &mut car).map_err(archive::in_store)?;
    Ok(car)
}

/// Why a replay goes no further.
enum Stop {
    Differs(Difference),
    Failed(HypervisorError),
}

impl<E: Into<HypervisorError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Failed(error.into())
    }
}

/// A replay under way.
struct Replay<'a> {
    hypervisor: Hypervisor,
    copy: Arc<dyn Store>,
    lookahead: Ticks,
    turns: u64,
    window_end: Ticks,
    compared: u64,
    told: &'a mut (dyn FnMut(&Comparison) + Send),
}

impl Replay<'_> {
    async fn run(
        mut self,
        events: &[Event],
        sent: &[(usize, u64)],
        end: Place,
        expected: &States,
        replayed: &mut Replayed,
    ) -> Result<(), Stop> {
        let mut sent = sent.iter().peekable();
        let mut outcome = Ok(());
        for segment in 0..=events.len() {
            let event = events.get(segment);
            let place = event.map_or(end, Event::place);
            let (mut numbers, mut put) = (Vec::new(), 0);
            while let Some((_, number)) = sent.next_if(|(of, _)| *of == segment) {
                numbers.push(*number);
            }
            outcome = async {
                for number in numbers {
                    let row = kept::row(&*self.copy, number)?;
                    let then = row.place;
                    self.input(row.what).await?;
                    put += 1;
                    if put >= SENT_AT_ONCE && then.turns <= place.turns {
                        self.run_to(then).await?;
                        put = 0;
                    }
                }
                self.run_to(place).await?;
                match event {
                    Some(Event::Mark(id, mark)) => self.compare(*id, mark).await,
                    Some(Event::Row(number, _)) => {
                        let Row { what, .. } = kept::row(&*self.copy, *number)?;
                        self.input(what).await
                    }
                    None => self.compare_all(expected).await,
                }
            }
            .await;
            if outcome.is_err() {
                break;
            }
        }
        replayed.turns = self.turns;
        replayed.compared = self.compared;
        // A hypervisor that has stopped has told why.
        let stopped = self.hypervisor.stop().await;
        outcome?;
        Ok(stopped?)
    }

    async fn input(&mut self, what: What) -> Result<(), Stop> {
        if let What::Restore { root, .. } | What::Revive { root, .. } = &what {
            let car = Cursor::new(car(&*self.copy, root)?);
            self.hypervisor.import_root(car, UNBOUNDED).await?;
        }
        let whom = match &what {
            What::Take { to, delivery, .. } => Some((*to, delivery.at)),
            What::Restore { id, .. } => Some((*id, Ticks::ZERO)),
            _ => None,
        };
        let done = self.hypervisor.ask(|reply| Command::Again(Again::Input(Box::new(what), reply))).await;
        done.map_err(|error| match (error, whom) {
            (HypervisorError::NoSuchContainer(_), Some((id, ticks))) => {
                differs(Some(id), ticks, "it is not there any more, and was when this was recorded")
            }
            (error, _) => error.into(),
        })
    }

    /// Runs turns until exactly as many have run as then: whole windows first, on all threads, and what is left of the last one
    /// turn by turn.
    async fn run_to(&mut self, place: Place) -> Result<(), Stop> {
        if place.window_end > self.window_end {
            let begin = Ticks(place.window_end.0.saturating_sub(self.lookahead.0));
            self.advance(begin, u64::MAX).await?;
            self.window_end = place.window_end;
        }
        if let Some(turns) = place.turns.checked_sub(self.turns).filter(|turns| *turns > 0) {
            self.advance(Ticks::MAX, turns).await?;
        }
        match self.turns == place.turns {
            true => Ok(()),
            false => {
                let what =
                    format!("{} turns have run where {} had when this was recorded", self.turns, place.turns);
                Err(differs(None, place.window_end, what))
            }
        }
    }

    async fn advance(&mut self, end: Ticks, turns: u64) -> Result<(), Stop> {
        let Ran { turns, .. } =
            self.hypervisor.ask(|reply| Command::Again(Again::Run { end, turns, reply })).await?;
        self.turns += turns;
        Ok(())
    }

    async fn compare(&mut self, container: ContainerId, mark: &Mark) -> Result<(), Stop> {
        let root = self.hypervisor.errand_at(Joined::Now, move |writer| writer.state_root(container)).await;
        let found = match root {
            Ok(root) => Some(root),
            Err(HypervisorError::NoSuchContainer(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let (ticks, turns) = (mark.ticks, mark.place.turns);
        self.judge(Comparison { container, ticks, turns, expected: Some(mark.root), found })
    }

    /// Compares the last state of everything.
    async fn compare_all(&mut self, expected: &States) -> Result<(), Stop> {
        let checkpoint = self.hypervisor.checkpoint().await?;
        let found = self.hypervisor.on_store(move |store| States::of_checkpoint(store, &checkpoint)).await?;
        for (container, ticks, expected, found) in expected.beside(&found) {
            let turns = self.turns;
            self.judge(Comparison { container, ticks, turns, expected, found })?;
        }
        match expected.first_other_ticks(&found) {
            Some((id, was, is)) => Err(differs(Some(id), was, format!("it is at {is} ticks now"))),
            None => Ok(()),
        }
    }

    fn judge(&mut self, comparison: Comparison) -> Result<(), Stop> {
        self.compared += 1;
        (self.told)(&comparison);
        if comparison.is_equal() {
            return Ok(());
        }
        let root = |root: Option<Cid>| root.map_or("none".to_owned(), |root| root.to_string());
        let what = format!(
            "its state root was {}, and is {} now",
            root(comparison.expected),
            root(comparison.found)
        );
        Err(differs(Some(comparison.container), comparison.ticks, what))
    }
}

fn differs(container: Option<ContainerId>, ticks: Ticks, what: impl Into<String>) -> Stop {
    Stop::Differs(Difference { container, ticks, what: what.into() })
}
