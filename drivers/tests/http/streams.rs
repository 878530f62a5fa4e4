//! Bodies that come piece by piece, over HTTP/2: many on one connection, each with its own pace and end.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use everturn_drivers::http::{Failure, Piece, Rest, Settings};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;

use crate::http2::{ask, connect, request};
use crate::world::{Fake, Running, ok, streamed, within};

type Client = SendRequest<http_body_util::Full<Bytes>>;

async fn serving() -> (Running, Client) {
    let inside = Fake::answering(|told| if told.url.ends_with("/stream") { streamed() } else { ok("whole") });
    let server = Running::start(Settings::default(), inside).await;
    let client = connect(&server).await;
    (server, client)
}

async fn open(client: &Client) -> Incoming {
    within(client.clone().send_request(request("GET", "/stream", ""))).await.unwrap().into_body()
}

/// The next bytes that arrive; `None` is the end, which a frame without any may announce.
async fn heard(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame = within(body.frame()).await?;
        match frame.map(|frame| frame.into_data().unwrap()) {
            Ok(bytes) if bytes.is_empty() => {}
            data => return Some(data),
        }
    }
}

fn piece(bytes: &[u8], rest: Rest) -> Result<Piece, Failure> {
    Ok(Piece { bytes: bytes.to_vec(), rest })
}

#[tokio::test]
async fn a_piece_arrives_before_the_next_is_made() {
    let (server, client) = serving().await;
    let mut body = open(&client).await;
    for n in 0..3_u8 {
        server.inside.stream.give(piece(&[n; 10], Rest::More));
        assert_eq!(heard(&mut body).await.unwrap().unwrap()[..], [n; 10]);
        // Others are answered meanwhile.
        assert_eq!(ask(&client, request("GET", "/", "")).await, (200, "whole".to_owned()));
    }
    server.inside.stream.give(piece(b"last", Rest::Nothing));
    assert_eq!(heard(&mut body).await.unwrap().unwrap(), "last");
    assert!(heard(&mut body).await.is_none(), "a clean end");
}

#[tokio::test]
async fn one_that_is_taken_back_is_cancelled_and_its_connection_goes_on() {
    let (server, client) = serving().await;
    let mut body = open(&client).await;
    server.inside.stream.give(piece(b"first", Rest::More));
    assert_eq!(heard(&mut body).await.unwrap().unwrap(), "first");
    drop(body);
    assert_eq!(server.inside.stream.is_cancelled().await, "the client has gone");
    assert_eq!(ask(&client, request("GET", "/", "")).await, (200, "whole".to_owned()));
}

#[tokio::test]
async fn who_does_not_read_is_not_read_ahead_for() {
    let (server, client) = serving().await;
    let mut body = open(&client).await;
    let large = vec![0; 1 << 20];
    for _ in 0..40 {
        server.inside.stream.give(piece(&large, Rest::More));
    }
    server.inside.stream.give(piece(b"", Rest::Nothing));
    // While others are answered, the one that nobody reads comes no further than its window and what lies on the way.
    for _ in 0..100 {
        assert_eq!(ask(&client, request("GET", "/", "")).await, (200, "whole".to_owned()));
    }
    let asked = server.inside.stream.asked.load(Ordering::SeqCst);
    assert!(asked < 20, "{asked} pieces of 1 MiB were asked for");
    let mut length = 0;
    while let Some(piece) = heard(&mut body).await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, 40 << 20);
}

#[tokio::test]
async fn what_breaks_off_has_no_clean_end_and_its_connection_goes_on() {
    let (server, client) = serving().await;
    let mut body = open(&client).await;
    server.inside.stream.give(piece(b"first", Rest::More));
    assert_eq!(heard(&mut body).await.unwrap().unwrap(), "first");
    server.inside.stream.give(Err(Failure::Unanswered("made up".to_owned())));
    let error = heard(&mut body).await.expect("no clean end").unwrap_err();
    assert!(!error.is_timeout(), "{error}");
    assert_eq!(server.inside.stream.is_cancelled().await, "it failed");
    assert_eq!(ask(&client, request("GET", "/", "")).await, (200, "whole".to_owned()));
}
