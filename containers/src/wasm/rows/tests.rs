//! Commits at random, and whoever reads what they left.

use std::collections::BTreeMap;
use std::sync::Arc;

use everturn_heap::{HeapSettings, SIZE_STEP_BYTES};

use super::*;

/// A store of one container.
#[derive(Default)]
struct Kept(BTreeMap<Vec<u8>, Vec<u8>>);

impl StateReader for Kept {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        let rows = self.0.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        for (key, value) in rows {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl StateWriter for Kept {
    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.0.insert(key.to_vec(), value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    fn block(&mut self, _: &Cid, _: &[u8]) {}
}

const HEAP_BYTES: u64 = 24 << 20;
const PAGES: u32 = (HEAP_BYTES / PAGE_BYTES as u64) as u32;

fn random(seed: &mut u64, below: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % below
}

fn heap(image: &Arc<Image>) -> Heap {
    let settings = HeapSettings { bytes_max: HEAP_BYTES, ..HeapSettings::default() };
    Heap::new(image, &settings).unwrap()
}

fn all(heap: &Heap) -> Vec<u8> {
    let mut bytes = vec![0; HEAP_BYTES as usize];
    heap.read(0, &mut bytes).unwrap();
    bytes
}

/// What a page is by the rows alone, without the copies that memory keeps.
fn assert_committed(rows: &Rows, kept: &Kept, image: &Image, live: &[u8]) {
    let committed = Committed::new(&rows.journal, kept, image);
    for page in (0..PAGES).map(PageIndex) {
        let mut bytes = [1; PAGE_BYTES];
        if committed.page(page, &mut bytes).unwrap() == Sourced::Absent {
            bytes = *image.page(page).unwrap_or(&ZERO_PAGE);
        }
        let at = page.offset() as usize;
        assert!(bytes[..] == live[at..at + PAGE_BYTES], "{page}");
    }
}

#[test]
fn a_heap_is_what_was_committed_however_its_journal_was_cut() {
    let content: Vec<u8> = (0..2 * SIZE_STEP_BYTES).map(|at| at as u8).collect();
    let image = Image::new(&content, HEAP_BYTES).unwrap();
    let (mut kept, code, mut seed) = (Kept::default(), everturn_dag::address::raw_cid(b"code"), 1);
    let (mut live, mut rows) = (heap(&image), Rows::default());
    live.region().grow_to(HEAP_BYTES).unwrap();
    let (mut cuts, mut newer_rows) = (0, 0);
    for commit in 0_u64..220 {
        // Some pages over and over, most at random; now and then one is the image's again, or whole.
        for _ in 0..80 {
            let page = match random(&mut seed, 4) {
                0 => random(&mut seed, 8),
                _ => random(&mut seed, PAGES.into()),
            };
            let (at, page) = (random(&mut seed, 500) * 8, PageIndex(page as u32));
            match random(&mut seed, 30) {
                0 => {
                    let initial = *image.page(page).unwrap_or(&ZERO_PAGE);
                    live.write(page.offset(), &initial).unwrap();
                }
                1 => live.write(page.offset(), &[commit as u8; PAGE_BYTES]).unwrap(),
                _ => live.write(page.offset() + at, &commit.to_le_bytes().repeat(10)).unwrap(),
            }
        }
        live.savepoint(&Committed::new(&rows.journal, &kept, &image)).unwrap();
        let before = rows.journal.newest();
        rows.commit(&mut live, &code, b"", &mut kept).unwrap();
        assert!(rows.journal.newest() > before);
        let oldest = kept.0.range(vec![JOURNAL]..).next().and_then(|(key, _)| parse_number(key)).unwrap();
        cuts = cuts.max(oldest);
        newer_rows += usize::from(rows.consolidated.iter().flatten().any(|at| at.get() > oldest));
        if random(&mut seed, 12) == 0 {
            rows.settled();
            live.trim().unwrap();
        }
        if commit % 44 == 43 {
            let bytes = all(&live);
            let mut again = heap(&image);
            let loaded = Rows::load(&kept, &mut again).unwrap();
            assert!(all(&again) == bytes, "commit {commit}");
            assert_committed(&loaded, &kept, &image, &bytes);
            if commit % 88 == 87 {
                (live, rows) = (again, loaded);
            }
        }
    }
    assert!(
        cuts > 20 && newer_rows > 20,
        "{cuts} entries went, {newer_rows} commits left rows newer than an entry"
    );
    let journal: usize = kept.0.range(vec![JOURNAL]..vec![JOURNAL + 1]).map(|(_, value)| value.len()).sum();
    assert!(journal <= HEAP_BYTES as usize / JOURNAL_OF_HEAP as usize, "{journal} bytes of journal");
}

#[test]
fn a_journal_that_speaks_of_pages_behind_the_end_is_refused() {
    let image = Image::new(&[], HEAP_BYTES).unwrap();
    let (mut kept, code) = (Kept::default(), everturn_dag::address::raw_cid(b"code"));
    let (mut live, mut rows) = (heap(&image), Rows::default());
    live.region().grow_to(HEAP_BYTES).unwrap();
    live.write(HEAP_BYTES - 8, &[7; 8]).unwrap();
    live.savepoint(&Committed::new(&rows.journal, &kept, &image)).unwrap();
    rows.commit(&mut live, &code, b"", &mut kept).unwrap();
    kept.put(HEADER, encode(&Header { code, bytes: HEAP_BYTES / 2 }).unwrap());
    let refused = Rows::load(&kept, &mut heap(&image)).unwrap_err();
    assert!(refused.to_string().contains("container's state"), "{refused}");
}
