//! A request from data, and an answer as data.

use std::collections::BTreeMap;

use bytes::Bytes;
use everturn_dag::Ipld;
use hyper::Method;
use hyper::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::response::Parts;

use super::target::Target;

/// What keeps a server from doing twice what was asked twice.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Headers that speak of one connection alone, and that are ours to say.
const OWN: [HeaderName; 3] = [HOST, CONTENT_LENGTH, EXPECT];
const OF_CONNECTION: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
const OUR_NAME: &str = concat!("everturn/", env!("CARGO_PKG_VERSION"));

/// What is done with an answer that leads elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    Followed,
    Answers,
    Errors,
}

/// What a program wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) redirects: Redirects,
}

impl Wanted {
    /// # Errors
    /// A text for the program.
    pub(super) fn read(request: Ipld, key: &str) -> Result<Wanted, String> {
        const SHAPE: &str = "a request is a map of method, url, headers and body";
        let Ipld::Map(mut fields) = request else { return Err(SHAPE.into()) };
        let (Some(Ipld::String(method)), Some(Ipld::String(url))) =
            (fields.remove("method"), fields.remove("url"))
        else {
            return Err(SHAPE.into());
        };
        let body = match fields.remove("body") {
            Some(Ipld::Bytes(body)) => Bytes::from(body),
            None => Bytes::new(),
            Some(_) => return Err(SHAPE.into()),
        };
        let method = match Method::try_from(method.as_str()) {
            Ok(Method::CONNECT | Method::TRACE) | Err(_) => {
                return Err(format!("a request with the method {method:?} cannot be made"));
            }
            Ok(method) => method,
        };
        let redirects = match fields.remove("redirect") {
            Some(Ipld::String(text)) if text == "manual" => Redirects::Answers,
            Some(Ipld::String(text)) if text == "error" => Redirects::Errors,
            _ => Redirects::Followed,
        };
        let headers = headers(fields.remove("headers"), key)?;
        Ok(Wanted { method, target: Target::parse(&url)?, headers, body, redirects })
    }
}

fn headers(lines: Option<Ipld>, key: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let lines = match lines {
        Some(Ipld::List(lines)) => lines,
        _ => Vec::new(),
    };
    for line in lines {
        let Ipld::List(pair) = line else { return Err("a header is a pair of texts".into()) };
        let [Ipld::String(name), Ipld::String(value)] = &pair[..] else {
            return Err("a header is a pair of texts".into());
        };
        let bytes: Option<Vec<u8>> = value.chars().map(|letter| u8::try_from(letter).ok()).collect();
        let value = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
        match (HeaderName::try_from(name), value) {
            (Ok(name), _) if OWN.contains(&name) || OF_CONNECTION.contains(&name.as_str()) => {}
            (Ok(name), Some(value)) => {
                headers.try_append(name, value).map_err(|_| "there are too many headers".to_owned())?;
            }
            _ => return Err(format!("the header {name:?} cannot be sent")),
        }
    }
    let ours = [(IDEMPOTENCY_KEY, key), (USER_AGENT, OUR_NAME), (hyper::header::ACCEPT, "*/*")];
    for (name, value) in ours {
        if !headers.contains_key(&name) {
            let value =
                HeaderValue::from_str(value).map_err(|_| format!("the header {name} cannot be sent"))?;
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

/// An answer as a program gets it.
pub(super) fn answer(head: &Parts, body: Vec<u8>, url: &Target, redirected: bool) -> Ipld {
    let reason = head.status.canonical_reason().unwrap_or_default();
    let reason = head.extensions.get::<hyper::ext::ReasonPhrase>().map_or_else(
        || reason.to_owned(),
        |reason| reason.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    );
    let of_connection = |name: &HeaderName| OF_CONNECTION.contains(&name.as_str());
    let told = head.headers.iter().filter(|(name, _)| !of_connection(name));
    let lines = told.map(|(name, value)| {
        let value: String = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        Ipld::List(vec![Ipld::String(name.to_string()), Ipld::String(value)])
    });
    Ipld::Map(BTreeMap::from([
        ("status".to_owned(), Ipld::Integer(head.status.as_u16().into())),
        ("statusText".to_owned(), Ipld::String(reason)),
        ("headers".to_owned(), Ipld::List(lines.collect())),
        ("body".to_owned(), Ipld::Bytes(body)),
        ("url".to_owned(), Ipld::String(url.to_string())),
        ("redirected".to_owned(), Ipld::Bool(redirected)),
    ]))
}
