use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{Cid, Ipld, address};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The meaning of "strict", slowly: decodes, and encodes back to the same bytes.
fn round_trips(bytes: &[u8]) -> bool {
    let Ok(value) = serde_ipld_dagcbor::from_slice::<Ipld>(bytes) else { return false };
    serde_ipld_dagcbor::to_vec(&value).is_ok_and(|again| again == bytes)
}

fn lists(levels: usize) -> Vec<u8> {
    let mut bytes = vec![0x81; levels - 1];
    bytes.push(0x80);
    bytes
}

#[test]
fn a_type_goes_out_sorted_and_comes_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        ports: BTreeMap<String, Cid>,
        nonce: Vec<u8>,
        a: Option<f64>,
    }
    let link = address::raw_cid(b"x");
    let state = State { ports: [("first".to_owned(), link)].into(), nonce: vec![1, 0], a: None };
    let bytes = encode(&state).unwrap();
    assert_eq!(&bytes[..5], &hex("a3 61 61 f6 65")[..], "the shortest key comes first");
    assert_eq!(decode::<State>(&bytes).unwrap(), state);
}

#[test]
fn floats_have_one_form() {
    assert_eq!(encode(&Ipld::Float(-0.0)).unwrap(), hex("fb 0000000000000000"));
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(encode(&Ipld::Float(float)), Err(NodeError::Unrepresentable(_))), "{float}");
    }
}

#[test]
fn integers_reach_64_bits_and_no_further() {
    for number in [u64::MAX as i128, -(u64::MAX as i128) - 1, i64::MIN as i128, 23, 24, -24, -25] {
        let bytes = encode(&Ipld::Integer(number)).unwrap();
        assert_eq!(decode::<Ipld>(&bytes).unwrap(), Ipld::Integer(number));
    }
    assert!(encode(&Ipld::Integer(u64::MAX as i128 + 1)).is_err());
}

#[test]
fn a_key_that_is_no_text_or_comes_twice_is_not_encoded() {
    assert!(encode(&BTreeMap::from([(1, 2)])).is_err());
    #[derive(Serialize)]
    struct Inner {
        a: u8,
    }
    #[derive(Serialize)]
    struct Outer {
        a: u8,
        #[serde(flatten)]
        inner: Inner,
    }
    assert!(encode(&Outer { a: 1, inner: Inner { a: 2 } }).is_err());
}

#[test]
fn every_loose_form_is_refused_with_its_place() {
    use NodeError::*;
    type Expected = fn(&NodeError) -> bool;
    let cases: &[(&str, Expected)] = &[
        ("", |error| matches!(error, Truncated { at: 0 })),
        ("62 61", |error| matches!(error, Truncated { at: 2 })),
        ("9b ffffffffffffffff 00", |error| matches!(error, Truncated { .. })),
        ("5b ffffffffffffffff 00", |error| matches!(error, Truncated { .. })),
        ("01 02", |error| matches!(error, Trailing { at: 1 })),
        ("18 17", |error| matches!(error, NotStrict { at: 0, .. })),
        ("39 00ff", |error| matches!(error, NotStrict { .. })),
        ("1a 0000ffff", |error| matches!(error, NotStrict { .. })),
        ("1b 00000000ffffffff", |error| matches!(error, NotStrict { .. })),
        ("58 01 61", |error| matches!(error, NotStrict { .. })),
        ("5f 41 61 ff", |error| matches!(error, NotStrict { .. })),
        ("9f ff", |error| matches!(error, NotStrict { .. })),
        ("bf ff", |error| matches!(error, NotStrict { .. })),
        ("1c", |error| matches!(error, Forbidden { .. })),
        ("a2 61 62 01 61 61 02", |error| matches!(error, NotStrict { at: 4, .. })),
        ("a2 62 61 61 01 61 62 02", |error| matches!(error, NotStrict { .. })),
        ("a2 61 61 01 61 61 02", |error| matches!(error, Forbidden { at: 4, .. })),
        ("a1 01 02", |error| matches!(error, Forbidden { at: 1, .. })),
        ("61 ff", |error| matches!(error, Forbidden { at: 1, .. })),
        ("f7", |error| matches!(error, Forbidden { .. })),
        ("f8 20", |error| matches!(error, Forbidden { .. })),
        ("f9 3c00", |error| matches!(error, NotStrict { .. })),
        ("fa 3f800000", |error| matches!(error, NotStrict { .. })),
        ("fb 7ff8000000000000", |error| matches!(error, Forbidden { .. })),
        ("fb fff0000000000000", |error| matches!(error, Forbidden { .. })),
        ("fb 8000000000000000", |error| matches!(error, NotStrict { .. })),
        ("c0 60", |error| matches!(error, Forbidden { .. })),
        ("c2 41 01", |error| matches!(error, Forbidden { .. })),
        ("d9 002a 41 00", |error| matches!(error, NotStrict { .. })),
        ("d8 2a 41 00", |error| matches!(error, Forbidden { .. })),
        ("d8 2a 60", |error| matches!(error, Forbidden { .. })),
        // A whole CID with one byte after it, and one without the leading zero.
        ("d8 2a 46 00 01 55 00 00 00", |error| matches!(error, Forbidden { .. })),
        ("d8 2a 44 01 55 00 00", |error| matches!(error, Forbidden { .. })),
        // A CID whose codec takes a byte more than it needs.
        ("d8 2a 46 00 01 d5 00 00 00", |error| matches!(error, Forbidden { .. })),
    ];
    for (text, expected) in cases {
        let bytes = hex(text);
        let error = validate(&bytes).expect_err(text);
        assert!(expected(&error), "{text}: {error:?}");
        assert!(decode::<Ipld>(&bytes).is_err(), "{text}");
        assert!(!round_trips(&bytes), "{text}");
    }
}

#[test]
fn depth_is_bounded_on_both_sides() {
    let most = lists(DEPTH_MAX);
    let value = decode::<Ipld>(&most).unwrap();
    assert_eq!(encode(&value).unwrap(), most);
    assert_eq!(validate(&lists(DEPTH_MAX + 1)), Err(NodeError::TooDeep { at: DEPTH_MAX }));
    assert!(matches!(encode(&Ipld::List(vec![value])), Err(NodeError::TooDeep { .. })));
    assert!(matches!(decode::<Ipld>(&lists(1_000_000)), Err(NodeError::TooDeep { .. })));
}

#[test]
fn the_deepest_value_decodes_on_a_small_stack() {
    let mut bytes = b"\xa1\x61a".repeat(DEPTH_MAX);
    bytes.push(0x01);
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let value = thread.spawn(move || decode::<Ipld>(&bytes).is_ok()).unwrap().join().unwrap();
    assert!(value);
}

#[test]
fn a_shape_that_does_not_fit_is_no_strictness_error() {
    assert!(matches!(decode::<u8>(&hex("61 61")), Err(NodeError::Shape(_))));
    assert!(matches!(decode::<u8>(&hex("19 0100")), Err(NodeError::Shape(_))));
}

fn ipld() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<u64>().prop_map(|number| Ipld::Integer(number.into())),
        any::<u64>().prop_map(|number| Ipld::Integer(-1 - i128::from(number))),
        (0..300i128).prop_map(Ipld::Integer),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Ipld::Float),
        ".{0,30}".prop_map(Ipld::String),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Ipld::Bytes),
        any::<[u8; 4]>().prop_map(|seed| Ipld::Link(address::node_cid(&seed))),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..30).prop_map(Ipld::List),
            proptest::collection::btree_map(".{0,4}", inner, 0..8).prop_map(Ipld::Map),
        ]
    })
}

fn agree(bytes: &[u8]) {
    assert_eq!(validate(bytes).is_ok(), round_trips(bytes), "{bytes:02x?}");
    assert_eq!(validate(bytes).is_ok(), decode::<Ipld>(bytes).is_ok(), "{bytes:02x?}");
    let number = match decode(bytes) {
        Ok(Ipld::Integer(number)) => Some(number),
        _ => None,
    };
    assert_eq!(integer(bytes), number, "{bytes:02x?}");
    let (text_is, bytes_are) = match decode(bytes) {
        Ok(Ipld::String(text)) => (Some(text), None),
        Ok(Ipld::Bytes(bytes)) => (None, Some(bytes)),
        _ => (None, None),
    };
    assert_eq!(text(bytes), text_is.as_deref(), "{bytes:02x?}");
    assert_eq!(super::bytes(bytes), bytes_are.as_deref(), "{bytes:02x?}");
}

#[test]
fn an_integer_is_read_in_its_least_form_alone() {
    for number in [0, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
        for major in [0, 1] {
            for (short, bytes) in [(24, 1), (25, 2), (26, 4), (27, 8)] {
                let form = [&[major << 5 | short][..], &number.to_be_bytes()[8 - bytes..]].concat();
                agree(&form);
                agree(&form[..bytes]);
                agree(&[&form[..], &[0]].concat());
            }
            let number = if major == 0 { number.into() } else { -1 - i128::from(number) };
            assert_eq!(integer(&encode(&Ipld::Integer(number)).unwrap()), Some(number));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_encodes_is_accepted_and_means_the_same(value in ipld()) {
        let bytes = encode(&value).unwrap();
        let again: Ipld = decode(&bytes).unwrap();
        // Equal but for the sign of zero, which the encoding drops.
        prop_assert_eq!(encode(&again).unwrap(), bytes);
        prop_assert_eq!(again, value);
    }

    #[test]
    fn what_is_valid_is_read_the_same_when_it_is_not_looked_at_again(value in ipld()) {
        if let Ok(bytes) = encode(&value) {
            prop_assert_eq!(links_of_valid(&bytes), links_as_they_stand(&bytes));
            prop_assert_eq!(entries_of_valid(&bytes), entries(&bytes));
            prop_assert_eq!(items_of_valid(&bytes), items(&bytes));
        }
    }

    #[test]
    fn links_stand_beside_those_of_a_version_that_differs_in_nothing_else(value in ipld(), others in any::<[u8; 4]>()) {
        let Ok(bytes) = encode(&value) else { return Ok(()) };
        let mut others = others.into_iter().cycle();
        let mut earlier = bytes.clone();
        for link in links_as_they_stand(&bytes).unwrap() {
            let at = link.as_ptr() as usize - bytes.as_ptr() as usize + link.len() - 1;
            // The last byte of a digest may be any.
            if address::is_usual(link) {
                earlier[at] = others.next().unwrap();
            }
        }
        let pairs = links_beside(&bytes, &earlier).unwrap().unwrap();
        let (links, before): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        prop_assert_eq!(Ok(links), links_as_they_stand(&bytes));
        prop_assert_eq!(Ok(before), links_as_they_stand(&earlier));
        let mut longer = earlier.clone();
        longer.push(0);
        if scan::may_have_links(&bytes) {
            prop_assert_eq!(links_beside(&bytes, &longer), Ok(None));
        }
    }

    #[test]
    fn what_stands_between_links_must_be_the_same(links in proptest::collection::vec(0..3u8, 1..4), numbers in [0..3u8, 0..3u8]) {
        let node = |number: u8| {
            let links = links.iter().map(|link| Ipld::Link(address::raw_cid(&[*link])));
            encode(&Ipld::List(links.chain([Ipld::Integer(number.into())]).collect::<Vec<_>>())).unwrap()
        };
        let (one, other) = (node(numbers[0]), node(numbers[1]));
        prop_assert_eq!(links_beside(&one, &other).unwrap().is_some(), numbers[0] == numbers[1]);
    }

    #[test]
    fn accepted_is_what_round_trips_after_any_damage(
        value in ipld(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        let mut bytes = encode(&value).unwrap();
        for (place, byte, kind) in edits {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte & 7),
                2 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        agree(&bytes);
        // What was found valid before and is damaged now is read wrongly or not at all.
        let whole = encode(&value).unwrap();
        let _ = (links_of_valid(&bytes), entries_of_valid(&bytes), items_of_valid(&bytes));
        let _ = (links_beside(&bytes, &whole), links_beside(&whole, &bytes));
    }

    #[test]
    fn accepted_is_what_round_trips_for_arbitrary_bytes(
        bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(&b"\xa2\xa1\x61\x62\x81\x82\xd8\x2a\xfb\xf6\x18\x00\x40\x45"[..])],
            0..24,
        ),
    ) {
        agree(&bytes);
    }
}

#[test]
fn a_node_is_taken_apart_and_put_together_again() {
    let link = address::raw_cid(b"x");
    let long = "n".repeat(300);
    let value = Ipld::Map(BTreeMap::from([
        ("list".to_owned(), Ipld::List(vec![Ipld::Integer(-1), Ipld::Link(link), Ipld::List(vec![])])),
        ("id".to_owned(), Ipld::Link(link)),
        (long.clone(), Ipld::Map(BTreeMap::from([("a".to_owned(), Ipld::Null)]))),
    ]));
    let bytes = encode(&value).unwrap();
    let parts = entries(&bytes).unwrap();
    assert_eq!(parts.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["id", "list", &long]);
    assert_eq!(map_of(parts.iter().rev().copied().collect()), bytes, "whatever the order");
    let listed = items(parts[1].1).unwrap();
    assert_eq!(listed.iter().map(|item| decode::<Ipld>(item).unwrap()).collect::<Vec<_>>(), {
        let Ipld::Map(fields) = &value else { unreachable!() };
        let Ipld::List(list) = &fields["list"] else { unreachable!() };
        list.clone()
    });
    assert!(matches!(items(&bytes), Err(NodeError::Shape(_))));
    assert!(matches!(entries(parts[1].1), Err(NodeError::Shape(_))));
    assert!(matches!(entries(&[&bytes[..], &[0]].concat()), Err(NodeError::Trailing { .. })));
    assert!(entries(&bytes[..bytes.len() - 1]).is_err());
}

proptest! {
    #[test]
    fn what_is_composed_is_what_would_be_encoded(number: u64, text in ".{0,300}", items in 0..300usize) {
        let link = address::node_cid(&[1]);
        let mut node = Composer::default();
        node.map(2).text("a").list(items + 3);
        for item in 0..items {
            node.integer(item as u64);
        }
        node.integer(number).link(Some(&link)).link(None).text("bc").text(&text);
        let numbers = (0..items as i128).map(Ipld::Integer);
        let rest = [Ipld::Integer(number.into()), Ipld::Link(link), Ipld::Null];
        let value = BTreeMap::from([
            ("a".to_owned(), Ipld::List(numbers.chain(rest).collect())),
            ("bc".to_owned(), Ipld::String(text)),
        ]);
        prop_assert_eq!(node.finish(), encode(&value).unwrap());
    }
}
