//! The naive model: memory, savepoint and committed state as plain copies.

use std::collections::{BTreeMap, VecDeque};

use everturn_heap::{
    Changes, Growth, Heap, HeapError, HeapSettings, Image, PAGE_BYTES, Page, PageIndex, PageSource,
    SIZE_STEP_BYTES, SourceError, Sourced, TrackerKind,
};

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next() as u8);
    }
}

/// A store that cannot be read.
pub(crate) struct FailingSource;

impl PageSource for FailingSource {
    fn page(&self, _: PageIndex, _: &mut Page) -> Result<Sourced, SourceError> {
        Err("the disk is gone".into())
    }
}

/// A store of whole pages.
#[derive(Default)]
struct Committed {
    bytes: u64,
    pages: BTreeMap<PageIndex, Box<Page>>,
}

impl PageSource for Committed {
    fn page(&self, page: PageIndex, into: &mut Page) -> Result<Sourced, SourceError> {
        let Some(bytes) = self.pages.get(&page) else { return Ok(Sourced::Absent) };
        *into = **bytes;
        Ok(Sourced::Found)
    }
}

impl Committed {
    fn apply(&mut self, image: &Image, changes: &Changes) {
        let mut new = Vec::new();
        let write = |page, bytes: Option<&Page>| {
            new.push((page, bytes.map(|bytes| Box::new(*bytes))));
            Ok::<(), HeapError>(())
        };
        changes.apply(image, self, write).unwrap();
        for (page, bytes) in new {
            match bytes {
                Some(bytes) => self.pages.insert(page, bytes),
                None => self.pages.remove(&page),
            };
        }
        self.bytes = changes.bytes();
    }
}

/// A heap, or why this machine cannot have it.
pub(crate) fn heap_with(kind: TrackerKind, content: &[u8], bytes_max: u64) -> Result<Heap, HeapError> {
    let image = Image::new(content, bytes_max)?;
    Heap::new(&image, &HeapSettings { bytes_max, tracker: Some(kind), ..HeapSettings::default() })
}

/// A heap of each tracker that works here.
pub(crate) fn heaps(content: &[u8], bytes_max: u64) -> Vec<Heap> {
    TrackerKind::ALL.into_iter().filter_map(|kind| heap_with(kind, content, bytes_max).ok()).collect()
}

/// A heap of each tracker, and what each of them must be.
pub(crate) struct World {
    heaps: Vec<Heap>,
    image: Vec<u8>,
    live: Vec<u8>,
    savepoint: Vec<u8>,
    committed: Committed,
    /// Handed out and not committed yet.
    under_way: VecDeque<Changes>,
}

impl World {
    pub(crate) fn new(random: &mut Random, bytes: u64, bytes_max: u64) -> Self {
        let mut image = vec![0; bytes as usize];
        for page in image.chunks_mut(PAGE_BYTES) {
            if random.below(2) == 0 {
                random.fill(&mut page[..500]);
            }
        }
        let heaps = heaps(&image, bytes_max);
        assert!(!heaps.is_empty());
        let committed = Committed { bytes, ..Committed::default() };
        let (live, savepoint) = (image.clone(), image.clone());
        Self { heaps, image, live, savepoint, committed, under_way: VecDeque::new() }
    }

    pub(crate) fn write_some(&mut self, random: &mut Random) {
        for _ in 0..=random.below(6) {
            let len = 1 + random.below(40);
            let offset = self.some_offset(random, len);
            let mut bytes = vec![0; len as usize];
            random.fill(&mut bytes);
            self.write(offset, &bytes);
        }
    }

    pub(crate) fn write_pages(&mut self, random: &mut Random) {
        let len = 1 + random.below(5 * PAGE_BYTES as u64);
        let offset = self.some_offset(random, len);
        let mut bytes = vec![0; len as usize];
        random.fill(&mut bytes);
        self.write(offset, &bytes);
    }

    /// Zeros from the start, as the dead stack is wiped.
    pub(crate) fn wipe(&mut self, random: &mut Random) {
        let len = random.below(8 * PAGE_BYTES as u64);
        self.write(0, &vec![0; len as usize]);
    }

    pub(crate) fn write_what_is_there(&mut self, random: &mut Random) {
        let len = 1 + random.below(3 * PAGE_BYTES as u64);
        let offset = self.some_offset(random, len);
        let bytes = self.live[offset as usize..(offset + len) as usize].to_vec();
        self.write(offset, &bytes);
    }

    pub(crate) fn undo_to_image(&mut self, random: &mut Random) {
        let len = (1 + random.below(4)) * PAGE_BYTES as u64;
        let offset = self.some_offset(random, len) / PAGE_BYTES as u64 * PAGE_BYTES as u64;
        let mut bytes = self.image.clone();
        bytes.resize(self.live.len(), 0);
        self.write(offset, &bytes[offset as usize..(offset + len) as usize]);
    }

    pub(crate) fn grow(&mut self, random: &mut Random) {
        let bytes_max = self.heaps[0].region().bytes_max();
        let bytes = self.live.len() as u64 + random.below(4) * SIZE_STEP_BYTES;
        if bytes > bytes_max {
            return;
        }
        self.live.resize(bytes as usize, 0);
        for heap in &self.heaps {
            heap.region().grow_to(bytes).unwrap();
        }
    }

    pub(crate) fn savepoint(&mut self, place: &str) {
        let pages_changed = self.pages_that_differ();
        self.savepoint = self.live.clone();
        for heap in &mut self.heaps {
            let report = heap.savepoint(&self.committed).unwrap();
            assert_eq!(report.pages_changed, pages_changed, "{place}: {}", heap.tracker());
        }
    }

    pub(crate) fn rollback(&mut self, place: &str) {
        let grown = self.live.len() > self.savepoint.len();
        self.live = self.savepoint.clone();
        for heap in &mut self.heaps {
            let report = heap.rollback(&self.committed).unwrap();
            assert_eq!(report.growth == Growth::TakenBack, grown, "{place}");
        }
        self.check(place);
    }

    /// A container that throws and goes on: the same pages are written before and after it goes back, and again after
    /// savepoints, so that they are found armed, unarmed, and as those that are always written.
    pub(crate) fn write_again_and_again(&mut self, random: &mut Random, place: &str) {
        let len = 1 + random.below(2 * PAGE_BYTES as u64);
        let offset = self.some_offset(random, len);
        let mut bytes = vec![0; len as usize];
        for round in 0..1 + random.below(6) {
            if offset + len > self.live.len() as u64 {
                return; // a rollback took the growth back in which these pages were
            }
            random.fill(&mut bytes);
            self.write(offset, &bytes);
            let place = format!("{place}, round {round}");
            match random.below(3) {
                0 => self.savepoint(&place),
                1 => self.rollback(&place),
                _ => self.trim(&place),
            }
        }
    }

    pub(crate) fn take_changes(&mut self, place: &str) {
        let mut all = self.heaps.iter_mut().map(Heap::take_changes);
        let changes = all.next().unwrap();
        assert!(all.all(|other| other == changes), "{place}: trackers hand out different changes");
        assert_eq!(Changes::decode(&changes.encode()).unwrap(), changes, "{place}");
        assert!(self.heaps.iter().all(|heap| !heap.has_changes()), "{place}");
        self.under_way.push_back(changes);
    }

    /// Commits what is under way, then lets the heaps rely on it.
    pub(crate) fn trim(&mut self, place: &str) {
        let image = self.heaps[0].image().clone();
        for changes in self.under_way.drain(..) {
            self.committed.apply(&image, &changes);
        }
        for heap in &mut self.heaps {
            heap.trim().unwrap();
        }
        self.check(place);
    }

    pub(crate) fn page_out(&self) {
        self.heaps.iter().for_each(|heap| heap.region().page_out());
    }

    /// A store that fails must leave nothing half done.
    pub(crate) fn fail_and_retry(&mut self, place: &str) {
        for heap in &mut self.heaps {
            let failed = heap.savepoint(&FailingSource).is_err();
            if !failed {
                // Nothing had to be read: it was a savepoint like any other. Take the same for all.
                heap.savepoint(&self.committed).unwrap();
                continue;
            }
            let mut page = [0; PAGE_BYTES];
            for (index, expected) in (0..).zip(self.savepoint.chunks(PAGE_BYTES)) {
                heap.savepoint_page(PageIndex(index), &self.committed, &mut page).unwrap();
                assert!(page == expected, "{place}: the savepoint before no longer stands at page {index}");
            }
            let _ = heap.rollback(&FailingSource);
            heap.rollback(&self.committed).unwrap();
            assert_eq!(heap.region().bytes(), self.savepoint.len() as u64, "{place}");
            heap.region().grow_to(self.live.len() as u64).unwrap();
            heap.write(0, &self.live).unwrap();
            heap.savepoint(&self.committed).unwrap();
        }
        self.savepoint = self.live.clone();
        self.check(place);
    }

    /// Everything is committed, and fresh or used heaps load it.
    pub(crate) fn reload(&mut self, place: &str) {
        self.savepoint(place);
        self.take_changes(place);
        self.trim(place);
        assert_eq!(self.committed.bytes, self.live.len() as u64, "{place}");
        let mut nonsense = self.live.clone();
        nonsense.iter_mut().step_by(977).for_each(|byte| *byte ^= 0xff);
        for heap in &mut self.heaps {
            heap.write(0, &nonsense).unwrap();
            let fill = |loader: &mut everturn_heap::Loader<'_>| {
                self.committed.pages.iter().try_for_each(|(page, bytes)| loader.put(*page, bytes))
            };
            heap.load::<HeapError>(self.committed.bytes, fill).unwrap();
            assert!(!heap.has_changes(), "{place}");
        }
        self.check(place);
        self.savepoint(place);
        assert!(self.heaps.iter().all(|heap| !heap.has_changes()), "{place}: nothing is dirty after a load");
    }

    /// Memory and savepoint of every heap are the model's.
    pub(crate) fn check(&self, place: &str) {
        let mut bytes = vec![0; self.live.len()];
        let mut page = [0; PAGE_BYTES];
        for heap in &self.heaps {
            let place = format!("{place}: {}", heap.tracker());
            assert_eq!(heap.region().bytes(), self.live.len() as u64, "{place}");
            assert_eq!(heap.savepoint_bytes(), self.savepoint.len() as u64, "{place}");
            heap.read(0, &mut bytes).unwrap();
            assert!(bytes == self.live, "{place}: memory differs at {:?}", difference(&bytes, &self.live));
            for (index, expected) in (0..).zip(self.savepoint.chunks(PAGE_BYTES)) {
                heap.savepoint_page(PageIndex(index), &self.committed, &mut page).unwrap();
                assert!(page == expected, "{place}: the savepoint differs at page {index}");
            }
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.live[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        for heap in &mut self.heaps {
            heap.write(offset, bytes).unwrap();
        }
    }

    /// Often in the same few pages, so that they are written again and again.
    fn some_offset(&self, random: &mut Random, len: u64) -> u64 {
        let room = self.live.len() as u64 - len;
        if random.below(2) == 0 { random.below(room) } else { random.below(room.min(10 * PAGE_BYTES as u64)) }
    }

    fn pages_that_differ(&self) -> usize {
        let mut before = self.savepoint.clone();
        before.resize(self.live.len(), 0);
        let pages = before.chunks(PAGE_BYTES).zip(self.live.chunks(PAGE_BYTES));
        pages.filter(|(before, live)| before != live).count()
    }
}

fn difference(one: &[u8], other: &[u8]) -> Option<usize> {
    one.iter().zip(other).position(|(one, other)| one != other)
}
