//! Does a tracker work on this machine? A small region is written, scanned and reset, and the answers are checked.

use std::sync::Arc;

use super::{After, TrackerKind, Tracking};
use crate::error::HeapError;
use crate::image::Image;
use crate::page::{PAGE_BYTES, PageIndex, PageRun, PageSet, ZERO_PAGE};
use crate::region::{Extent, Region, SIZE_STEP_BYTES, machine_page_bytes};

/// A page with content in the image, one without, and one past the image's end.
const INITIALISED: PageIndex = PageIndex(3);
const EMPTY: PageIndex = PageIndex(9);
const GROWN: PageIndex = PageIndex(20);

/// Tries a kind.
///
/// # Errors
/// [`HeapError::TrackerUnavailable`] with the first thing that went wrong.
pub(super) fn check(tracking: &Arc<Tracking>, kind: TrackerKind) -> Result<(), HeapError> {
    trial(tracking, kind).map_err(|error| match error {
        HeapError::TrackerUnavailable { .. } => error,
        other => HeapError::TrackerUnavailable { kind, why: other.to_string() },
    })
}

fn trial(tracking: &Arc<Tracking>, kind: TrackerKind) -> Result<(), HeapError> {
    let content = vec![0xa5; 5 * PAGE_BYTES];
    let image = Image::with_tracking(&content, SIZE_STEP_BYTES, tracking)?;
    let extent =
        Extent { reserve_bytes: 4 * SIZE_STEP_BYTES, guard_bytes: 0, bytes_max: 4 * SIZE_STEP_BYTES };
    let region = Region::new(&image, extent, tracking.tracker(Some(kind))?)?;
    region.grow_to(2 * SIZE_STEP_BYTES)?;
    let trial = Trial { region, kind };

    trial.expect(After::Arm, &[])?;
    for page in [INITIALISED, EMPTY, GROWN] {
        trial.region.write(page.offset() + 100, &[1])?;
    }
    trial.region.page_out();
    trial.expect(After::Leave, &[INITIALISED, EMPTY, GROWN])?;
    trial.expect(After::Arm, &[INITIALISED, EMPTY, GROWN])?;
    trial.region.page_out();
    trial.expect(After::Leave, &[])?;

    for page in [INITIALISED, GROWN] {
        let run = machine_page(page);
        trial.region.reset(run)?;
        trial.region.arm(run)?;
        let initial = image.page(page).unwrap_or(&ZERO_PAGE);
        trial.require(trial.region.page(page) == initial, "a page that was reset kept its content")?;
    }
    trial.expect(After::Leave, &[])?;
    trial.region.write(INITIALISED.offset(), &[2])?;
    trial.region.write(GROWN.offset(), &[2])?;
    trial.expect(After::Arm, &[INITIALISED, GROWN])
}

/// The machine's page that a page lies in.
fn machine_page(page: PageIndex) -> PageRun {
    let bytes = machine_page_bytes();
    PageRun::covering(page.offset() / bytes * bytes, bytes)
}

struct Trial {
    region: Region,
    kind: TrackerKind,
}

impl Trial {
    /// A scan must find these pages; one that can forget must find no others.
    fn expect(&self, after: After, pages: &[PageIndex]) -> Result<(), HeapError> {
        let mut runs = Vec::new();
        self.region.written(self.region.bytes(), after, &mut runs)?;
        let mut found = PageSet::default();
        let mut count = 0;
        for page in runs.iter().flat_map(|run| run.pages()) {
            found.insert(page);
            count += 1;
        }
        self.require(pages.iter().all(|&page| found.contains(page)), "a written page was not found")?;
        let forgets = self.kind == TrackerKind::WriteProtect && machine_page_bytes() == PAGE_BYTES as u64;
        self.require(!forgets || count == pages.len(), "a page that was not written was found")
    }

    fn require(&self, holds: bool, otherwise: &str) -> Result<(), HeapError> {
        if holds {
            return Ok(());
        }
        Err(HeapError::TrackerUnavailable { kind: self.kind, why: format!("self-test: {otherwise}") })
    }
}
