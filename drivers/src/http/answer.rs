//! An answer from data: checked in full, since a program made it.

use std::collections::BTreeMap;

use bytes::Bytes;
use everturn_dag::Ipld;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::Answer;
use super::body::Body;
use super::request::{is_of_connection, named_by_connection};

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the answer is no map with status, statusText, headers and body")]
    Shape,
    #[error("the status is {0}, not 200 to 599")]
    Status(i128),
    #[error("the status text {0:?} cannot be sent")]
    StatusText(String),
    #[error("the number of its stream is {0}")]
    Stream(i128),
    #[error("the header {name:?}: {value:?} cannot be sent")]
    Header { name: String, value: String },
}

/// An answer, whose body may be still to come.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) answer: Answer,
    pub(super) stream: Option<Streamed>,
}

/// A body that comes piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streamed {
    /// It is to be sent.
    Wanted(u64),
    /// An answer to this request has no body.
    Unwanted(u64),
}

/// The answer to a request with this method.
pub(super) fn decode(answer: Ipld, method: &Method) -> Result<Decoded, Malformed> {
    let Ipld::Map(mut fields) = answer else {
        return Err(Malformed::Shape);
    };
    let status = status(&mut fields)?;
    let reason = reason(&mut fields, status)?;
    let mut headers = headers(&mut fields)?;
    let body = match fields.remove("body") {
        Some(Ipld::Bytes(body)) => body,
        _ => return Err(Malformed::Shape),
    };
    let announced = headers.remove(CONTENT_LENGTH);
    let stream = stream(&mut fields, status, method)?;
    let body = match stream {
        Some(_) => Bytes::new(),
        None => fit_body(body, status, method, announced, &mut headers),
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    if let Some(reason) = reason {
        answer.extensions_mut().insert(reason);
    }
    Ok(Decoded { answer, stream })
}

fn stream(
    fields: &mut BTreeMap<String, Ipld>,
    status: StatusCode,
    method: &Method,
) -> Result<Option<Streamed>, Malformed> {
    let Some(number) = fields.remove("stream") else { return Ok(None) };
    let Ipld::Integer(number) = number else { return Err(Malformed::Shape) };
    let number = u64::try_from(number).map_err(|_| Malformed::Stream(number))?;
    let has_none =
        matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(Some(if has_none || method == Method::HEAD {
        Streamed::Unwanted(number)
    } else {
        Streamed::Wanted(number)
    }))
}

fn status(fields: &mut BTreeMap<String, Ipld>) -> Result<StatusCode, Malformed> {
    let Some(Ipld::Integer(number)) = fields.remove("status") else {
        return Err(Malformed::Shape);
    };
    let code = u16::try_from(number).ok().filter(|code| (200..600).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed::Status(number))
}

/// The words beside the status, where they are not the usual ones.
fn reason(
    fields: &mut BTreeMap<String, Ipld>,
    status: StatusCode,
) -> Result<Option<ReasonPhrase>, Malformed> {
    let Some(Ipld::String(text)) = fields.remove("statusText") else {
        return Err(Malformed::Shape);
    };
    if text.is_empty() || status.canonical_reason() == Some(&text) {
        return Ok(None);
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
    let reason = bytes.and_then(|bytes| ReasonPhrase::try_from(bytes).ok());
    reason.map(Some).ok_or(Malformed::StatusText(text))
}

/// The headers without those of the connection, repetitions kept.
fn headers(fields: &mut BTreeMap<String, Ipld>) -> Result<HeaderMap, Malformed> {
    let Some(Ipld::List(lines)) = fields.remove("headers") else {
        return Err(Malformed::Shape);
    };
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let (name, value) = pair(line)?;
        match (HeaderName::try_from(&name), header_value(&value)) {
            (Ok(name), Some(value)) => {
                // Only more than 32,768 different names are too many, for one answer of a bounded size.
                let added = headers.try_append(&name, value.clone());
                added.map_err(|_| Malformed::Header {
                    name: name.to_string(),
                    value: "too many headers".to_owned(),
                })?;
            }
            _ => return Err(Malformed::Header { name, value }),
        }
    }
    let named = named_by_connection(&headers);
    let dropped: Vec<HeaderName> =
        headers.keys().filter(|name| is_of_connection(name, &named)).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
    Ok(headers)
}

fn pair(line: Ipld) -> Result<(String, String), Malformed> {
    let Ipld::List(line) = line else {
        return Err(Malformed::Shape);
    };
    match <[Ipld; 2]>::try_from(line) {
        Ok([Ipld::String(name), Ipld::String(value)]) => Ok((name, value)),
        _ => Err(Malformed::Shape),
    }
}

/// Each character up to U+00FF is one byte.
fn header_value(text: &str) -> Option<HeaderValue> {
    if text.is_ascii() {
        return HeaderValue::from_str(text).ok();
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

/// The body as it may be sent with this status to this method, and its length where that is not said by the body.
fn fit_body(
    body: Vec<u8>,
    status: StatusCode,
    method: &Method,
    announced: Option<HeaderValue>,
    headers: &mut HeaderMap,
) -> Bytes {
    match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Bytes::new(),
        StatusCode::RESET_CONTENT => Bytes::new(),
        _ if method == Method::HEAD => {
            // A program may say how long the body would be without making it.
            let announced = announced.filter(|length| body.is_empty() && is_number(length));
            headers.insert(CONTENT_LENGTH, announced.unwrap_or_else(|| HeaderValue::from(body.len())));
            Bytes::new()
        }
        _ => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            Bytes::from(body)
        }
    }
}

fn is_number(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| text.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn data(status: i128, headers: &[(&str, &str)], body: &[u8]) -> BTreeMap<String, Ipld> {
        let line = |(name, value): &(&str, &str)| {
            Ipld::List(vec![Ipld::String((*name).to_owned()), Ipld::String((*value).to_owned())])
        };
        BTreeMap::from([
            ("status".to_owned(), Ipld::Integer(status)),
            ("statusText".to_owned(), Ipld::String(String::new())),
            ("headers".to_owned(), Ipld::List(headers.iter().map(line).collect())),
            ("body".to_owned(), Ipld::Bytes(body.to_vec())),
        ])
    }

    fn decoded(fields: BTreeMap<String, Ipld>) -> Result<Answer, Malformed> {
        decode(Ipld::Map(fields), &Method::GET).map(|decoded| decoded.answer)
    }

    async fn body(answer: Answer) -> Vec<u8> {
        answer.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn status_headers_and_body_are_taken_over() {
        let answer = decoded(data(299, &[("Set-Cookie", "a"), ("set-cookie", "\u{e4}")], &[0, 255])).unwrap();
        assert_eq!(answer.status().as_u16(), 299);
        let cookies: Vec<&[u8]> =
            answer.headers().get_all("set-cookie").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(cookies, [b"a".as_slice(), &[0xe4]]);
        assert_eq!(body(answer).await, [0, 255]);
    }

    #[test]
    fn what_cannot_be_sent_is_malformed() {
        for status in [0, 99, 101, 199, 600, -1, i128::from(u64::MAX)] {
            assert_eq!(decoded(data(status, &[], b"")).unwrap_err(), Malformed::Status(status));
        }
        for (name, value) in
            [("", "a"), ("a b", "a"), ("a:", "a"), ("a", "b\r\nc: d"), ("a", "\u{100}"), ("a", "\0")]
        {
            let found = decoded(data(200, &[(name, value)], b"")).unwrap_err();
            assert!(matches!(found, Malformed::Header { .. }), "{name:?} {value:?}: {found}");
        }
        for text in ["a\r\nb", "\u{100}"] {
            let mut fields = data(200, &[], b"");
            fields.insert("statusText".to_owned(), Ipld::String(text.to_owned()));
            assert_eq!(decoded(fields).unwrap_err(), Malformed::StatusText(text.to_owned()));
        }
    }

    #[test]
    fn what_has_another_shape_is_malformed() {
        assert_eq!(decode(Ipld::Null, &Method::GET).unwrap_err(), Malformed::Shape);
        for field in ["status", "statusText", "headers", "body"] {
            for other in [None, Some(Ipld::Null), Some(Ipld::List(vec![Ipld::Null]))] {
                let mut fields = data(200, &[], b"");
                fields.remove(field);
                fields.extend(other.map(|other| (field.to_owned(), other)));
                assert_eq!(decoded(fields).unwrap_err(), Malformed::Shape, "{field}");
            }
        }
    }

    #[tokio::test]
    async fn where_no_body_may_be_there_is_none() {
        for status in [204, 205, 304] {
            let answer = decoded(data(status, &[("content-length", "9")], b"body")).unwrap();
            assert_eq!(answer.headers().get(CONTENT_LENGTH), None);
            assert!(body(answer).await.is_empty());
        }
        type Lines = &'static [(&'static str, &'static str)];
        let cases: [(Lines, &[u8], &str); 4] = [
            (&[], b"body", "4"),
            (&[("content-length", "77")], b"", "77"),
            (&[("content-length", "77")], b"body", "4"),
            (&[("content-length", "x")], b"", "0"),
        ];
        for (headers, given, length) in cases {
            let answer = decode(Ipld::Map(data(200, headers, given)), &Method::HEAD).unwrap().answer;
            assert_eq!(answer.headers()[CONTENT_LENGTH], length);
            assert!(body(answer).await.is_empty());
        }
    }

    #[test]
    fn a_stream_comes_where_a_body_may_be() {
        let of = |status, method: Method, number| {
            let mut fields = data(status, &[("content-length", "9")], b"");
            fields.insert("stream".to_owned(), number);
            decode(Ipld::Map(fields), &method).map(|decoded| {
                assert_eq!(decoded.answer.headers().get(CONTENT_LENGTH), None);
                decoded.stream
            })
        };
        assert_eq!(of(200, Method::GET, Ipld::Integer(7)), Ok(Some(Streamed::Wanted(7))));
        assert_eq!(of(200, Method::HEAD, Ipld::Integer(7)), Ok(Some(Streamed::Unwanted(7))));
        assert_eq!(of(304, Method::GET, Ipld::Integer(7)), Ok(Some(Streamed::Unwanted(7))));
        assert_eq!(of(200, Method::GET, Ipld::Integer(-1)), Err(Malformed::Stream(-1)));
        assert_eq!(of(200, Method::GET, Ipld::Null), Err(Malformed::Shape));
    }

    #[test]
    fn a_length_is_ours_and_headers_of_the_connection_are_dropped() {
        let given = [
            ("content-length", "1"),
            ("connection", "x-own"),
            ("x-own", "1"),
            ("upgrade", "h2c"),
            ("x", "y"),
        ];
        let answer = decoded(data(200, &given, b"body")).unwrap();
        let mut names: Vec<&str> = answer.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "x"]);
        assert_eq!(answer.headers()[CONTENT_LENGTH], "4");
    }
}
