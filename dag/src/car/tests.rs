use super::*;
use crate::address::{node_cid, raw_cid};

fn car(blocks: &[&[u8]]) -> Vec<u8> {
    let mut writer = CarWriter::new(Vec::new(), &[raw_cid(blocks[0])]).unwrap();
    for block in blocks {
        writer.write(&raw_cid(block), block).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<(Cid, Vec<u8>)>, CarError> {
    CarReader::new(bytes)?.collect()
}

#[test]
fn blocks_come_back_in_order() {
    let long = vec![9; 300];
    let bytes = car(&[b"one", b"", &long, b"one"]);
    let reader = CarReader::new(&*bytes).unwrap();
    assert_eq!(reader.roots(), [raw_cid(b"one")]);
    let blocks: Vec<_> = reader.map(|block| block.unwrap().1).collect();
    assert_eq!(blocks, [b"one".to_vec(), b"".to_vec(), long, b"one".to_vec()]);
}

#[test]
fn every_cut_is_noticed_unless_it_is_between_blocks() {
    let bytes = car(&[b"one", b"two", b"three"]);
    let header = bytes[0] as usize + 1;
    let mut whole = Vec::new();
    for end in 0..bytes.len() {
        match read(&bytes[..end]) {
            Ok(blocks) => whole.push((end, blocks.len())),
            Err(CarError::Truncated { at }) => assert_eq!(at, end as u64),
            Err(other) => panic!("cut at {end}: {other}"),
        }
    }
    assert_eq!(whole, [(header, 0), (header + 40, 1), (header + 80, 2)]);
}

/// The header's roots and an address's codec are claims that no hash covers; the blocks are not.
#[test]
fn a_flipped_bit_never_changes_a_block_in_silence() {
    let bytes = car(&[b"one", b"two", b"three"]);
    let original = read(&bytes).unwrap();
    let mut passed = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(blocks) = read(&flipped) else { continue };
        assert_eq!(blocks.len(), 3, "bit {bit}");
        for (left, right) in blocks.iter().zip(&original) {
            assert!(left.0.hash() == right.0.hash() && left.1 == right.1, "bit {bit}");
        }
        passed += 1;
    }
    assert!(passed < 33 * 8 + 4 * 16, "{passed} flips passed");
}

#[test]
fn after_an_error_there_is_nothing_more() {
    let mut bytes = car(&[b"one", b"two"]);
    let last = bytes.len() - 1;
    bytes[last - 40] ^= 1;
    let mut reader = CarReader::new(&*bytes).unwrap();
    assert!(matches!(reader.next(), Some(Err(CarError::WrongBlock { .. }))));
    assert!(reader.next().is_none());
}

#[test]
fn lengths_that_lie_are_refused_without_the_memory_they_ask_for() {
    let header = car(&[b"x"])[..60].to_vec();
    let with = |section: &[u8]| [&header[..usize::from(header[0]) + 1], section].concat();
    assert!(matches!(read(&with(&varint(SECTION_BYTES_MAX))), Err(CarError::Truncated { .. })));
    assert!(matches!(read(&with(&varint(SECTION_BYTES_MAX + 1))), Err(CarError::TooLarge { .. })));
    assert!(matches!(read(&with(&varint(u64::MAX >> 1))), Err(CarError::TooLarge { .. })));
    assert!(matches!(read(&with(&[0xff; 12])), Err(CarError::BadLength { .. })));
    assert!(matches!(read(&with(&[0x81, 0x00, 0x01])), Err(CarError::BadLength { .. })));
    assert!(matches!(read(&with(&[0x80])), Err(CarError::Truncated { .. })));
    assert!(matches!(read(&with(&[0])), Err(CarError::BadCid { .. })));
    assert!(matches!(read(&with(&[3, 1, 0x55, 0x12])), Err(CarError::BadCid { .. })));
    assert!(matches!(read(&varint(HEADER_BYTES_MAX + 1)), Err(CarError::TooLarge { .. })));
}

#[test]
fn what_is_no_car_is_called_so() {
    let header = |value: &crate::Ipld| {
        let header = node::encode(value).unwrap();
        [varint(header.len() as u64), header].concat()
    };
    let two = crate::Ipld::Map([("version".to_owned(), 2.into())].into());
    assert!(matches!(read(&header(&two)), Err(CarError::Version(2))));
    let rootless = crate::Ipld::Map([("version".to_owned(), 1.into())].into());
    assert!(matches!(read(&header(&rootless)), Err(CarError::Header(_))));
    let more = [("version", 1.into()), ("roots", crate::Ipld::List(vec![])), ("x", crate::Ipld::Null)];
    let more = crate::Ipld::Map(more.map(|(key, value)| (key.to_owned(), value)).into());
    assert!(matches!(read(&header(&more)), Err(CarError::Header(_))));
    assert!(matches!(read(b"hello, this is text"), Err(CarError::Header(_) | CarError::Truncated { .. })));
    assert!(matches!(read(b""), Err(CarError::Truncated { at: 0 })));
}

#[test]
fn a_hash_that_is_not_known_is_no_proof() {
    let foreign = cid::multihash::Multihash::wrap(0x1e, &[7; 32]).unwrap();
    let mut writer = CarWriter::new(Vec::new(), &[]).unwrap();
    writer.write(&Cid::new_v1(address::RAW, foreign), b"anything").unwrap();
    assert!(matches!(read(&writer.finish().unwrap()), Err(CarError::UnknownHash { .. })));
    let identity = cid::multihash::Multihash::wrap(0, b"inline").unwrap();
    for (block, right) in [(&b"inline"[..], true), (b"other", false)] {
        let mut writer = CarWriter::new(Vec::new(), &[node_cid(b"")]).unwrap();
        writer.write(&Cid::new_v1(address::RAW, identity), block).unwrap();
        assert_eq!(read(&writer.finish().unwrap()).is_ok(), right);
    }
}

#[test]
fn a_block_beyond_the_limit_is_not_written() {
    let mut writer = CarWriter::new(io::sink(), &[]).unwrap();
    let block = vec![0; SECTION_BYTES_MAX as usize];
    assert!(matches!(writer.write(&raw_cid(b""), &block), Err(CarError::TooLarge { .. })));
}
