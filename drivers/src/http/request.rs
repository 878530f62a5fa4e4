//! A request as data.
//!
//! Invariant: what a program gets is absolute and unambiguous: one host, one length, no header that speaks of the
//! connection.

use std::borrow::Cow;

use everturn_dag::{NodeError, node};
use hyper::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Uri, Version};
use serde::Serialize;

/// What the url of a request begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// Why a request is none that a program could answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the request names no host")]
    NoHost,
    #[error("the request names several hosts")]
    SeveralHosts,
    #[error("the request's host is none")]
    NotAHost,
    #[error("this server is no proxy")]
    Connect,
}

/// What a program is told, in the order in which dag-cbor wants it.
#[derive(Serialize)]
struct Told<'a> {
    url: &'a str,
    #[serde(with = "serde_bytes")]
    body: &'a [u8],
    method: &'a str,
    headers: Vec<(&'a str, Cow<'a, str>)>,
}

/// The absolute url that a request is for.
pub(super) fn url(head: &Parts, scheme: Scheme) -> Result<String, Unfit> {
    if head.method == Method::CONNECT {
        return Err(Unfit::Connect);
    }
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let host = host(head)?;
    // `OPTIONS *` is for the server itself: its url ends with the host.
    let path = match head.uri.path_and_query().map_or("/", |path| path.as_str()) {
        "*" => "",
        path => path,
    };
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    Ok(format!("{scheme}://{host}{slash}{path}"))
}

/// The host that a request is for: that of its target (HTTP/2's `:authority`), else that of the header.
fn host(head: &Parts) -> Result<String, Unfit> {
    let mut named = head.headers.get_all(HOST).iter();
    let header = named.next();
    if named.next().is_some() {
        return Err(Unfit::SeveralHosts);
    }
    let authority = |value: &HeaderValue| Authority::try_from(value.as_bytes()).map_err(|_| Unfit::NotAHost);
    // A bad header makes a bad request, also where the target says it better.
    let header = header.map(authority).transpose()?;
    let header = header.as_ref();
    let authority = authority_of(&head.uri).or(header).ok_or(Unfit::NoHost)?;
    let text = authority.as_str();
    let has_odd_port = text.len() > authority.host().len() && authority.port_u16().is_none();
    if authority.host().is_empty() || text.contains('@') || has_odd_port {
        return Err(Unfit::NotAHost);
    }
    Ok(text.to_owned())
}

fn authority_of(uri: &Uri) -> Option<&Authority> {
    uri.authority()
}

/// What a program is told of a request.
pub(super) fn encode(head: &Parts, url: &str, body: &[u8]) -> Result<Vec<u8>, NodeError> {
    let told = Told { url, body, method: head.method.as_str(), headers: headers(head) };
    node::encode(&told)
}

/// The headers without those of the connection, repetitions kept.
fn headers(head: &Parts) -> Vec<(&str, Cow<'_, str>)> {
    let named = named_by_connection(&head.headers);
    let mut told = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let is_split_cookie = head.version == Version::HTTP_2 && *name == COOKIE;
        if !is_of_connection(name, &named) && !is_split_cookie {
            told.push((name.as_str(), text(value)));
        }
    }
    if head.version == Version::HTTP_2 {
        told.extend(joined_cookies(&head.headers));
    }
    told
}

/// HTTP/2 may send a cookie in pieces, which are one header everywhere else (RFC 9113, 8.2.3).
fn joined_cookies(headers: &HeaderMap) -> Option<(&str, Cow<'_, str>)> {
    let pieces: Vec<Cow<'_, str>> = headers.get_all(COOKIE).iter().map(text).collect();
    (!pieces.is_empty()).then(|| (COOKIE.as_str(), Cow::Owned(pieces.join("; "))))
}

/// The names that `Connection` makes part of the connection, in lower case.
pub(super) fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(hyper::header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// Whether a header speaks of this connection alone (RFC 9110, 7.6.1), as the one that `Connection` names do.
pub(super) fn is_of_connection(name: &HeaderName, named: &[String]) -> bool {
    const OWN: [&str; 7] =
        ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
    OWN.contains(&name.as_str()) || named.iter().any(|named| named == name.as_str())
}

/// A header's value with each byte as one character.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(value.as_bytes().iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_url_is_absolute() {
        let cases = [
            ("/", "a.example", "http://a.example/"),
            ("/a?b=c", "a.example:8080", "http://a.example:8080/a?b=c"),
            ("/", "[::1]:80", "http://[::1]:80/"),
            ("http://target/x", "header", "http://target/x"),
            ("*", "a", "http://a"),
        ];
        for (target, host, expected) in cases {
            assert_eq!(url(&head(target, &[("host", host)]), Scheme::Http), Ok(expected.to_owned()));
        }
        assert_eq!(url(&head("/", &[("host", "a")]), Scheme::Https), Ok("https://a/".to_owned()));
    }

    #[test]
    fn a_request_without_a_host_or_with_a_bad_one_is_unfit() {
        assert_eq!(url(&head("/", &[]), Scheme::Http), Err(Unfit::NoHost));
        assert_eq!(url(&head("/", &[("host", "a"), ("host", "a")]), Scheme::Http), Err(Unfit::SeveralHosts));
        for host in ["", "a b", "user@a", "a:port", "a:", "a:99999", "a/b", "[::1"] {
            assert_eq!(url(&head("/", &[("host", host)]), Scheme::Http), Err(Unfit::NotAHost), "{host:?}");
            assert_eq!(
                url(&head("http://b/", &[("host", host)]), Scheme::Http).is_ok(),
                ["user@a", "a:port", "a:", "a:99999"].contains(&host),
                "{host:?}"
            );
        }
    }

    #[test]
    fn headers_of_the_connection_stay_with_it_and_others_are_kept_as_they_came() {
        let told = head(
            "/",
            &[
                ("host", "a"),
                ("connection", "keep-alive, X-Own"),
                ("x-own", "1"),
                ("te", "trailers"),
                ("accept", "a"),
                ("accept", "b"),
            ],
        );
        let told = headers(&told);
        let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        assert_eq!(told, [("host", "a"), ("accept", "a"), ("accept", "b")]);
    }

    #[test]
    fn a_value_keeps_its_bytes() {
        let value = HeaderValue::from_bytes(&[b'a', 0xff, 0xc3, 0xa4]).unwrap();
        assert_eq!(text(&value), "a\u{ff}\u{c3}\u{a4}");
    }

    #[test]
    fn a_cookie_in_pieces_is_one() {
        let mut told = head("/", &[("host", "a"), ("cookie", "a=1"), ("cookie", "b=2")]);
        assert_eq!(headers(&told).len(), 3);
        told.version = Version::HTTP_2;
        let told = headers(&told);
        assert_eq!(told.last(), Some(&("cookie", Cow::Borrowed("a=1; b=2"))));
        assert_eq!(told.len(), 2);
    }
}
