//! State roots and checkpoints as CAR files: out of a store, and into one.
//!
//! 1. A CAR carries exactly what its root needs ([`parts`]), the modules that heaps run on included. Links that are
//!    data of a container lead wherever they lead and are left alone.
//! 2. An import believes nothing. The whole input is read and checked first: every block against its address, every block
//!    that is needed, the bounds. Nothing is written before that, so what is refused leaves the store as it was.
//! 3. Blocks enter the store before those that link to them, in bounded batches. What an import that was cut short leaves
//!    behind is reclaimed like everything that nobody refers to.
//!
//! What a container's own fields mean is not known here; whoever brings the root to life finds out.

pub(crate) mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use everturn_dag::address::{self, DAG_CBOR, RAW, Verdict};
use everturn_dag::car::{CarError, CarReader, CarWriter};
use everturn_dag::{Batch, Cid, Reader, Space, StoreError, blocks};

use crate::shards::Wrong;
use crate::{HypervisorError, port_map};
use parts::{Kind, Part, parts};

/// Bytes of blocks that enter a store in one batch, roughly.
const BATCH_BYTES: usize = 4 << 20;
/// sha2-256, the one hash of addresses here.
const SHA2_256: u64 = 0x12;

/// Takes a block.
pub(crate) type Visit<'a> = dyn FnMut(&Cid, &[u8]) -> Result<(), HypervisorError> + 'a;

/// What an import takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Blocks. About 150 bytes of memory each while the import runs.
    pub blocks_max: u64,
    /// Bytes of the whole input.
    pub bytes_max: u64,
}

impl Default for ImportLimits {
    fn default() -> Self {
        ImportLimits { blocks_max: 4 << 20, bytes_max: 16 << 30 }
    }
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why a CAR is not taken in, or a root cannot leave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The CAR is not well formed, or one of its blocks is not what its address says.
    #[error(transparent)]
    Car(#[from] CarError),
    /// A CAR for us is about one root.
    #[error("the CAR has {0} roots; a state root or a checkpoint is one")]
    Roots(usize),
    /// The input is larger than was allowed.
    #[error("the CAR has more than {most} {what}; raise the limit if it is to be trusted")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// A block of a kind that no state has.
    #[error(
        "block {0} of the CAR is neither dag-cbor nor raw with sha2-256, which is all that a state consists of"
    )]
    UnknownKind(Cid),
    /// Something that the root needs is not in the CAR.
    #[error("the CAR is not complete: block {missing} is needed by {by} and is not in it")]
    Missing {
        /// The block that is not there.
        missing: Cid,
        /// What refers to it.
        by: String,
    },
    /// The root, or something under it, is not of the form that it has to have.
    #[error("{cid} cannot be part of a state: {what}")]
    Malformed {
        /// Which block.
        cid: Cid,
        /// What is wrong.
        what: String,
    },
    /// The input is not what it was a moment ago.
    #[error("the CAR changed while it was read: block {0} is another now")]
    Changed(Cid),
}

/// Writes a root, and all that it needs, as a CAR.
///
/// # Errors
/// If the output refuses, or the store cannot be read or lacks a block.
pub(crate) fn export(
    reader: &dyn Reader,
    root: &Cid,
    output: impl Write,
) -> Result<Exported, HypervisorError> {
    let archive = |error: CarError| HypervisorError::from(ArchiveError::from(error));
    let mut car = CarWriter::new(BufWriter::new(output), &[*root]).map_err(archive)?;
    let (mut written, mut exported) = (BTreeSet::new(), Exported::default());
    walk(reader, root, &mut |cid, block| {
        if !written.insert(*cid) {
            return Ok(());
        }
        exported.blocks += 1;
        exported.bytes += block.len() as u64;
        car.write(cid, block).map_err(archive)
    })?;
    car.finish().map_err(archive)?;
    Ok(exported)
}

/// Visits a root and all that it needs, each before what it refers to; a block that stands in two roles comes twice.
pub(crate) fn walk(reader: &dyn Reader, root: &Cid, visit: &mut Visit<'_>) -> Result<(), HypervisorError> {
    let block = |cid: &Cid| blocks::get(reader, cid)?.ok_or_else(|| blocks::missing(cid));
    let kind = parts::kind_of_root(root, &block(root)?)?;
    walk_from(Part { kind, cid: *root }, &mut BTreeSet::new(), &|cid| Ok(block(cid)?), visit)
}

/// As [`walk`], leaving out what was seen before.
pub(crate) fn walk_from(
    from: Part,
    seen: &mut BTreeSet<Part>,
    load: &dyn Fn(&Cid) -> Result<Vec<u8>, HypervisorError>,
    visit: &mut Visit<'_>,
) -> Result<(), HypervisorError> {
    let mut open = vec![from];
    while let Some(part) = open.pop() {
        if !seen.insert(part) {
            continue;
        }
        let block = load(&part.cid)?;
        visit(&part.cid, &block)?;
        open.extend(parts(part, &block)?.into_iter().rev());
        if part.kind == Kind::Ports {
            port_map::check(&part.cid, &mut |cid| load(cid))?;
        }
    }
    Ok(())
}

/// A CAR that was read once and found right.
pub(crate) struct Checked<R> {
    input: R,
    root: Cid,
    /// Where each block lies: its first byte and its length.
    places: BTreeMap<Cid, (u64, usize)>,
}

impl<R: Read + Seek> Checked<R> {
    /// Reads all of the input and checks it.
    pub(crate) fn read(mut input: R, limits: ImportLimits) -> Result<Self, ArchiveError> {
        let begin = input.stream_position().map_err(CarError::Io)?;
        let mut car = CarReader::new(BufReader::new(&mut input))?;
        let &[root] = car.roots() else { return Err(ArchiveError::Roots(car.roots().len())) };
        let mut places = BTreeMap::new();
        let mut blocks = 0u64;
        while let Some(section) = car.next() {
            let (cid, block) = section?;
            blocks += 1;
            if blocks > limits.blocks_max {
                return Err(ArchiveError::TooLarge { what: "blocks", most: limits.blocks_max });
            }
            if car.position() > limits.bytes_max {
                return Err(ArchiveError::TooLarge { what: "bytes", most: limits.bytes_max });
            }
            if !matches!(cid.codec(), RAW | DAG_CBOR) || cid.hash().code() != SHA2_256 {
                return Err(ArchiveError::UnknownKind(cid));
            }
            places.insert(cid, (begin + car.position() - block.len() as u64, block.len()));
        }
        drop(car);
        Ok(Checked { input, root, places })
    }

    /// Hands out the blocks that the root needs, what they need before them, in batches. Nothing is handed out before all of
    /// it was found to be there. Gives the root.
    pub(crate) fn arrive<E: From<ArchiveError>>(
        mut self,
        put: &mut dyn FnMut(Batch) -> Result<(), E>,
    ) -> Result<Cid, E> {
        let order = self.order()?;
        let mut batch = Batch::new();
        for cid in order {
            batch.put(Space::Blocks, blocks::key(&cid), self.block(&cid)?);
            if batch.bytes() >= BATCH_BYTES {
                put(std::mem::take(&mut batch))?;
            }
        }
        if !batch.is_empty() {
            put(batch)?;
        }
        Ok(self.root)
    }

    /// Every block that the root needs, once, after all that it links to itself.
    fn order(&mut self) -> Result<Vec<Cid>, ArchiveError> {
        let (root, by) = (self.root, "the list of roots".to_owned());
        if !self.places.contains_key(&root) {
            return Err(ArchiveError::Missing { missing: root, by });
        }
        let kind = parts::kind_of_root(&root, &self.block(&root)?)?;
        let first = Part { kind, cid: root };
        let (mut seen, mut placed, mut order) = (BTreeSet::from([first]), BTreeSet::new(), Vec::new());
        // From the root down to where we are: blocks, and the parts of each that are still to be looked at.
        let mut path = vec![(root, self.parts(first)?)];
        while let Some((cid, open)) = path.last_mut() {
            let cid = *cid;
            match open.pop() {
                Some(part) if !self.places.contains_key(&part.cid) => {
                    return Err(ArchiveError::Missing { missing: part.cid, by: cid.to_string() });
                }
                Some(part) if seen.insert(part) => {
                    let below = self.parts(part)?;
                    path.push((part.cid, below));
                }
                Some(_) => {}
                None => {
                    path.pop();
                    if placed.insert(cid) {
                        order.push(cid);
                    }
                }
            }
        }
        for ports in seen.iter().filter(|part| part.kind == Kind::Ports) {
            port_map::check(&ports.cid, &mut |cid| self.block(cid))?;
        }
        Ok(order)
    }

    fn parts(&mut self, part: Part) -> Result<Vec<Part>, ArchiveError> {
        let block = self.block(&part.cid)?;
        parts(part, &block)
    }

    fn block(&mut self, cid: &Cid) -> Result<Vec<u8>, ArchiveError> {
        let changed = || ArchiveError::Changed(*cid);
        let (at, bytes) = *self.places.get(cid).ok_or_else(changed)?;
        let mut block = vec![0; bytes];
        self.input.seek(SeekFrom::Start(at)).map_err(CarError::Io)?;
        self.input.read_exact(&mut block).map_err(CarError::Io)?;
        match address::check(cid, &block) {
            Verdict::Right => Ok(block),
            _ => Err(changed()),
        }
    }
}

/// Whether a root is a checkpoint; other roots are states.
pub(crate) fn is_checkpoint(reader: &dyn Reader, root: &Cid) -> Result<bool, HypervisorError> {
    let block = blocks::get(reader, root)?.ok_or_else(|| HypervisorError::NoSuchRoot(root.to_string()))?;
    Ok(parts::kind_of_root(root, &block)? == Kind::Checkpoint)
}

impl From<ArchiveError> for HypervisorError {
    fn from(error: ArchiveError) -> Self {
        HypervisorError::Archive(Box::new(error))
    }
}

impl From<Wrong> for ArchiveError {
    fn from(Wrong { cid, what }: Wrong) -> Self {
        ArchiveError::Malformed { cid, what }
    }
}

impl From<Wrong> for HypervisorError {
    fn from(wrong: Wrong) -> Self {
        ArchiveError::from(wrong).into()
    }
}

/// An archive's complaint about a block of the store itself is damage of the store.
pub(crate) fn in_store(error: HypervisorError) -> HypervisorError {
    match error {
        HypervisorError::Archive(error) => match *error {
            ArchiveError::Malformed { cid, what } => {
                StoreError::Damaged { place: format!("block {cid}"), what }.into()
            }
            error => error.into(),
        },
        error => error,
    }
}
