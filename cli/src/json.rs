//! JSON to and from IPLD data: messages as people write them, answers as people read them.

use everturn::Ipld;
use serde_json::{Map, Number, Value};

/// Parses a message.
///
/// # Errors
/// Says what is wrong with it and where.
pub(crate) fn parse(text: &str) -> Result<Ipld, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))?;
    Ok(from_json(value))
}

/// Integers stay integers; every other number is a float.
fn from_json(value: Value) -> Ipld {
    match value {
        Value::Null => Ipld::Null,
        Value::Bool(value) => Ipld::Bool(value),
        Value::Number(number) => from_number(&number),
        Value::String(text) => Ipld::String(text),
        Value::Array(items) => Ipld::List(items.into_iter().map(from_json).collect()),
        Value::Object(fields) => {
            Ipld::Map(fields.into_iter().map(|(name, value)| (name, from_json(value))).collect())
        }
    }
}

fn from_number(number: &Number) -> Ipld {
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match integer {
        Some(integer) => Ipld::Integer(integer),
        None => Ipld::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Data as JSON. Bytes and links, which JSON has not, are as in DAG-JSON: `{"/": {"bytes": base64}}`, `{"/": cid}`.
pub(crate) fn to_json(data: &Ipld) -> Value {
    match data {
        Ipld::Null => Value::Null,
        Ipld::Bool(value) => Value::Bool(*value),
        Ipld::Integer(integer) => from_integer(*integer),
        Ipld::Float(float) => Number::from_f64(*float).map_or(Value::Null, Value::Number),
        Ipld::String(text) => Value::String(text.clone()),
        Ipld::Bytes(bytes) => slash(field("bytes", Value::String(base64(bytes)))),
        Ipld::List(items) => Value::Array(items.iter().map(to_json).collect()),
        Ipld::Map(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect())
        }
        Ipld::Link(cid) => slash(Value::String(cid.to_string())),
    }
}

/// An integer beyond 64 bits, which dag-cbor barely has, as its digits.
fn from_integer(integer: i128) -> Value {
    match (i64::try_from(integer), u64::try_from(integer)) {
        (Ok(integer), _) => integer.into(),
        (_, Ok(integer)) => integer.into(),
        _ => Value::String(integer.to_string()),
    }
}

fn slash(value: Value) -> Value {
    field("/", value)
}

fn field(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// Base64 without padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for letter in 0..=group.len() {
            let index = bits >> (18 - 6 * letter) & 63;
            text.push(char::from(LETTERS[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stay_integers_and_other_numbers_are_floats() {
        assert_eq!(parse("18446744073709551615").unwrap(), Ipld::Integer(u64::MAX.into()));
        assert_eq!(parse("-9223372036854775808").unwrap(), Ipld::Integer(i64::MIN.into()));
        assert_eq!(parse("1.0").unwrap(), Ipld::Float(1.0));
        assert_eq!(parse("1e2").unwrap(), Ipld::Float(100.0));
    }

    #[test]
    fn what_json_can_say_comes_back_as_it_was() {
        let text = r#"{"a":[1,-2,0.5,true,false,null],"b":{"c":"é\n"}}"#;
        let data = parse(text).unwrap();
        assert_eq!(to_json(&data), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn broken_json_is_refused_with_its_place() {
        for (text, place) in
            [("", "line 1 column 0"), ("{\"n\": }", "line 1 column 7"), ("[1,\n2", "line 2 column 1")]
        {
            let error = parse(text).unwrap_err();
            assert!(error.contains(place), "{text}: {error}");
        }
    }

    #[test]
    fn bytes_are_base64_without_padding() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(to_json(&Ipld::Bytes(vec![255])), serde_json::json!({"/": {"bytes": "/w"}}));
    }
}
