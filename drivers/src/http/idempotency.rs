//! `Idempotency-Key`: a request that its client may send again, and that is done once
//! (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! Invariant: whoever is somebody else, or asks for something else, never gets a reply that is kept: what says so is part of the
//! fingerprint.

use std::time::Duration;

use everturn_dag::{address, node};
use hyper::Method;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue,
};
use hyper::http::request::Parts;

use super::Answer;
use super::inside::Once;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key, in characters.
const KEY_MAX: usize = 255;
/// What else tells one request from another.
const TELLING: [HeaderName; 4] = [AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE];

/// What is wrong with a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadKey {
    #[error("the request has several keys in Idempotency-Key")]
    Several,
    #[error(
        "an Idempotency-Key is 1 to {KEY_MAX} visible ASCII characters, which may stand in double quotes"
    )]
    Malformed,
}

/// Whether a request is to be done once; one that only looks may be done as often as one likes.
pub(super) fn once(head: &Parts, url: &str, body: &[u8], kept: Duration) -> Result<Option<Once>, BadKey> {
    let changes = matches!(head.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    if kept.is_zero() || !changes {
        return Ok(None);
    }
    let Some(key) = key(&head.headers)? else { return Ok(None) };
    let telling = TELLING.iter().flat_map(|name| {
        head.headers
            .get_all(name)
            .iter()
            .map(|value| (name.as_str(), serde_bytes::Bytes::new(value.as_bytes())))
    });
    let telling: Vec<(&str, &serde_bytes::Bytes)> = telling.collect();
    let request = (head.method.as_str(), url, telling, serde_bytes::Bytes::new(body));
    let request = node::encode(&request).map_err(|_| BadKey::Malformed)?;
    let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    Ok(Some(Once { key: digest(key.as_bytes()), fingerprint: digest(&request), kept_ms }))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(address::raw_cid(bytes).hash().digest());
    digest
}

/// The key: a string as RFC 9651 has it, or the same without quotes, as many clients send it.
fn key(headers: &HeaderMap) -> Result<Option<String>, BadKey> {
    let mut lines = headers.get_all(&KEY).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(BadKey::Several);
    }
    let text = line.to_str().map_err(|_| BadKey::Malformed)?.trim_matches(' ');
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted.strip_suffix('"').ok_or(BadKey::Malformed)?)?,
        None if text.contains(['"', '\\', ',', ';', ' ']) => return Err(BadKey::Malformed),
        None => text.to_owned(),
    };
    let fits = (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if fits { Ok(Some(key)) } else { Err(BadKey::Malformed) }
}

/// What stands between quotes: a backslash comes before a quote or a backslash, and neither comes without.
fn unquoted(quoted: &str) -> Result<String, BadKey> {
    let (mut key, mut letters) = (String::with_capacity(quoted.len()), quoted.chars());
    while let Some(letter) = letters.next() {
        key.push(match letter {
            '\\' => letters.next().filter(|next| matches!(next, '"' | '\\')).ok_or(BadKey::Malformed)?,
            '"' => return Err(BadKey::Malformed),
            letter => letter,
        });
    }
    Ok(key)
}

/// Says that an answer is one that was given before.
pub(super) fn mark(answer: &mut Answer) {
    answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("http://here/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn of(headers: &[(&str, &str)]) -> Result<Option<Once>, BadKey> {
        once(&head("POST", headers), "http://here/", b"body", DAY)
    }

    #[test]
    fn a_key_may_stand_in_quotes() {
        let plain = of(&[("idempotency-key", "8e03978e-40d5")]).unwrap().unwrap();
        assert_eq!(of(&[("Idempotency-Key", "\"8e03978e-40d5\"")]).unwrap(), Some(plain));
        assert_eq!(plain.kept_ms, 86_400_000);
        let escaped = of(&[("idempotency-key", r#""a\"b\\c d""#)]).unwrap();
        assert_ne!(escaped.unwrap().key, plain.key);
    }

    #[test]
    fn what_is_no_key_is_told() {
        let long = "x".repeat(KEY_MAX + 1);
        for wrong in ["", "\"\"", "\"a", "a\"", r#""a\b""#, r#""a"b""#, "a b", "a, b", "a;b=1", &long] {
            assert_eq!(of(&[("idempotency-key", wrong)]), Err(BadKey::Malformed), "{wrong:?}");
        }
        assert_eq!(of(&[("idempotency-key", "a"), ("idempotency-key", "a")]), Err(BadKey::Several));
    }

    #[test]
    fn only_what_changes_something_is_done_once() {
        for (method, is_done_once) in [
            ("POST", true),
            ("PUT", true),
            ("PATCH", true),
            ("DELETE", true),
            ("GET", false),
            ("HEAD", false),
            ("OPTIONS", false),
        ] {
            let head = head(method, &[("idempotency-key", "a")]);
            assert_eq!(once(&head, "http://here/", b"", DAY).unwrap().is_some(), is_done_once, "{method}");
            assert_eq!(once(&head, "http://here/", b"", Duration::ZERO), Ok(None), "{method}");
        }
        assert_eq!(of(&[]), Ok(None));
    }

    #[test]
    fn another_request_or_another_client_has_another_fingerprint() {
        let key = ("idempotency-key", "a");
        let first = of(&[key]).unwrap().unwrap();
        let others = [
            of(&[key, ("authorization", "Bearer 1")]),
            of(&[key, ("cookie", "session=1")]),
            of(&[key, ("content-type", "text/plain")]),
            once(&head("PUT", &[key]), "http://here/", b"body", DAY),
            once(&head("POST", &[key]), "http://here/other", b"body", DAY),
            once(&head("POST", &[key]), "http://here/", b"other", DAY),
        ];
        for other in others {
            let other = other.unwrap().unwrap();
            assert_eq!(other.key, first.key);
            assert_ne!(other.fingerprint, first.fingerprint);
        }
        assert_eq!(of(&[key, ("accept", "text/html")]).unwrap(), Some(first));
    }
}
