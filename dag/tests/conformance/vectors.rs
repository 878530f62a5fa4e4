//! Vectors that others made, read in place. Where the folder is absent these tests say so and check nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use everturn_dag::car::{CarError, CarReader, CarWriter};
use everturn_dag::{Cid, Ipld, address, node};

fn vectors() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    if !folder.is_dir() {
        println!("skipped: there is no {}", folder.display());
        return None;
    }
    Some(folder)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn fixtures_round_trip_in_the_codecs_that_are_spoken() {
    let Some(vectors) = vectors() else { return };
    let (mut checked, mut skipped) = (BTreeMap::new(), BTreeMap::new());
    for folder in entries(&vectors.join("ipld-codec-fixtures/fixtures")).iter().filter(|path| path.is_dir()) {
        for file in entries(folder) {
            let codec = file.extension().unwrap().to_str().unwrap().to_owned();
            let cid: Cid = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            let bytes = std::fs::read(&file).unwrap();
            // A dag-pb value in dag-cbor is a dag-cbor node like any other.
            let count = match codec.as_str() {
                "dag-cbor" => {
                    let value: Ipld =
                        node::decode(&bytes).unwrap_or_else(|error| panic!("{file:?}: {error}"));
                    assert_eq!(node::encode(&value).unwrap(), bytes, "{file:?}");
                    assert_eq!(address::node_cid(&bytes), cid, "{file:?}");
                    checked.entry(codec)
                }
                "raw" => {
                    assert_eq!(address::raw_cid(&bytes), cid, "{file:?}");
                    checked.entry(codec)
                }
                _ => {
                    // Not decoded, but the address can be compared.
                    assert_eq!(address::check(&cid, &bytes), address::Verdict::Right, "{file:?}");
                    skipped.entry(codec)
                }
            };
            *count.or_insert(0) += 1;
        }
    }
    println!("round trips: {checked:?}; codecs not spoken, hash compared only: {skipped:?}");
    assert!(checked["dag-cbor"] > 100, "{checked:?}");
}

#[test]
fn negative_fixtures_are_refused() {
    let Some(vectors) = vectors() else { return };
    let mut refused = 0;
    for file in entries(&vectors.join("ipld-codec-fixtures/negative-fixtures/dag-cbor/decode")) {
        let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let bytes = hex(case["hex"].as_str().unwrap());
            assert!(node::validate(&bytes).is_err(), "{case}");
            assert!(node::decode::<Ipld>(&bytes).is_err(), "{case}");
            refused += 1;
        }
    }
    println!("{refused} negative fixtures refused");
    assert!(refused > 0);
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).map(|pair| u8::from_str_radix(pair, 16).unwrap());
    (0..text.len()).step_by(2).filter_map(digit).collect()
}

/// Reads a CAR whole and writes it again.
fn rewrite(bytes: &[u8]) -> (Vec<Cid>, Vec<Cid>, Vec<u8>) {
    let reader = CarReader::new(bytes).unwrap();
    let roots = reader.roots().to_vec();
    let mut writer = CarWriter::new(Vec::new(), &roots).unwrap();
    let mut cids = Vec::new();
    for block in reader {
        let (cid, block) = block.unwrap();
        writer.write(&cid, &block).unwrap();
        cids.push(cid);
    }
    (roots, cids, writer.finish().unwrap())
}

#[test]
fn the_fixtures_car_reads_and_writes_back() {
    let Some(vectors) = vectors() else { return };
    let bytes = std::fs::read(vectors.join("ipld-codec-fixtures/fixtures.car")).unwrap();
    let (_, cids, again) = rewrite(&bytes);
    assert_eq!(again, bytes);
    println!("{} blocks", cids.len());
    assert!(cids.len() > 100);
}

#[test]
fn the_specifications_car_is_read_as_it_says() {
    let Some(vectors) = vectors() else { return };
    let folder = vectors.join("ipld-car/carv1-basic");
    let bytes = std::fs::read(folder.join("carv1-basic.car")).unwrap();
    let told = std::fs::read_to_string(folder.join("carv1-basic.json")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let (roots, cids, again) = rewrite(&bytes);
    assert_eq!(again, bytes);
    let link = |value: &serde_json::Value| value["/"].as_str().unwrap().parse::<Cid>().unwrap();
    let told_roots: Vec<_> = told["header"]["roots"].as_array().unwrap().iter().map(link).collect();
    let told_cids: Vec<_> =
        told["blocks"].as_array().unwrap().iter().map(|block| link(&block["cid"])).collect();
    assert_eq!(roots, told_roots);
    assert_eq!(cids, told_cids);
    assert!(!cids.is_empty());
}

#[test]
fn a_car_of_version_2_is_named() {
    let Some(vectors) = vectors() else { return };
    let bytes = std::fs::read(vectors.join("ipld-car/carv2-basic/carv2-basic.car")).unwrap();
    assert!(matches!(CarReader::new(&*bytes), Err(CarError::Version(2))));
}
