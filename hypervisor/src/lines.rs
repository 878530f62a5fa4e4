//! Lines of containers on their way to the host's observer: in the store from the batch of their turn until a later batch
//! finds that they were told.
//!
//! Invariants:
//! 1. A line that is durable is told: by this run or, if that ends before, by the next. None is told twice in one run.
//! 2. Numbers go up by one and are never used for two lines. Who keeps the number of the last line that it has shown is told
//!    no line twice.

use everturn_dag::{Batch, Reader, Space, StoreError};
use everturn_exo_interface::LogLevel;
use everturn_port_manager::ContainerId;
use serde::{Deserialize, Serialize};

use crate::batch::Output;
use crate::committer::Observer;
use crate::{Line, keys};

/// A line as it lies in the store.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row(ContainerId, i32, String);

pub(crate) struct Lines {
    observer: Option<Observer>,
    /// The number of the next line.
    next: u64,
    /// Lines below this one are in the store no more, and from here on they are, or never were.
    first: u64,
    /// The last that was told.
    told: u64,
    /// Those that a run before has left.
    left: Vec<Line>,
}

impl Lines {
    /// Reads what was left to be told: what has a number above this one.
    pub(crate) fn open(
        reader: &dyn Reader,
        observer: Option<Observer>,
        told: u64,
    ) -> Result<Lines, StoreError> {
        let next = match reader.get(Space::Meta, keys::LINES)? {
            Some(bytes) => keys::decode("the number of the next line", &bytes)?,
            None => 1,
        };
        // A number that was not given yet is that of another store.
        let told = if told < next { told } else { 0 };
        let (mut left, mut first) = (Vec::new(), next);
        scan(reader, &mut |number, line| {
            first = first.min(number);
            if number > told {
                left.push(line);
            }
        })?;
        Ok(Lines { observer, next, first, told, left })
    }

    /// Tells what a run before has left.
    pub(crate) fn begin(&mut self) {
        for line in std::mem::take(&mut self.left) {
            self.tell(&line);
        }
    }

    /// Has a batch take the lines among these outputs along, and remove those that were told. A batch that would write nothing
    /// stays so: lines that come with it, of a question, are told if all goes well.
    pub(crate) fn join(&mut self, batch: &mut Batch, outputs: &mut [Output]) -> Result<(), StoreError> {
        if self.observer.is_none() || batch.is_empty() {
            return Ok(());
        }
        self.forget_told(batch);
        let next = self.next;
        for output in outputs {
            let Output::Line(line) = output else { continue };
            let row = Row(line.from, line.level as i32, line.text.clone());
            batch.put(Space::Meta, keys::line(self.next), keys::encode("a line", &row)?);
            line.number = Some(self.next);
            self.next += 1;
        }
        if self.next > next {
            batch.put(Space::Meta, keys::LINES, keys::encode("the number of the next line", &self.next)?);
        }
        Ok(())
    }

    /// Removes the lines that were told.
    pub(crate) fn forget_told(&mut self, batch: &mut Batch) {
        while self.first <= self.told {
            batch.delete(Space::Meta, keys::line(self.first));
            self.first += 1;
        }
    }

    pub(crate) fn tell(&mut self, line: &Line) {
        if let Some(observer) = &self.observer {
            observer(line);
        }
        self.told = line.number.unwrap_or(self.told);
    }
}

/// Reads the lines that wait, by number.
pub(crate) fn scan(reader: &dyn Reader, take: &mut dyn FnMut(u64, Line)) -> Result<(), StoreError> {
    let mut failed = None;
    reader.scan(Space::Meta, keys::LINE, &mut |key, value| {
        match keys::decode::<Row>("a line", value).and_then(|row| Ok((keys::parse_line(key)?, row))) {
            Ok((number, Row(from, level, text))) => {
                let level = LogLevel::from_number(level);
                take(number, Line { number: Some(number), from, level, text });
            }
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(()), Err)
}
