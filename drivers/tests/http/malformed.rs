//! Clients that do not speak HTTP as it is written: each gets an answer or an end, and nobody else notices.

use everturn_drivers::http::Settings;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use crate::world::{Running, echo, within};

#[tokio::test]
async fn what_is_no_request_is_400() {
    let server = Running::start(Settings::default(), echo()).await;
    let cases = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/7.1\r\nHost: a\r\n\r\n",
        "G\u{1}T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ];
    for case in cases {
        assert_eq!(server.ask(case).await.status, 400, "{case:?}");
    }
    assert_eq!(server.inside.told(), []);
    assert_eq!(server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn a_length_and_chunks_at_once_are_never_two_requests() {
    let server = Running::start(Settings::default(), echo()).await;
    let mut client = server.connect().await;
    // To whom the length counts, a second request begins behind the first chunk.
    let smuggled = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\nGET /smuggled HTTP/1.1\r\nA: \r\n\r\n0\r\n\r\n";
    client.send(smuggled).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    client.rest().await;
    assert!(server.inside.told().iter().all(|told| !told.url.contains("smuggled")));
}

#[tokio::test]
async fn a_body_that_breaks_off_never_arrives() {
    let server = Running::start(Settings::default(), echo()).await;
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut client = server.connect().await;
        client.send(request).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
        let rest = client.rest().await;
        assert!(!String::from_utf8_lossy(&rest).starts_with("HTTP/1.1 200"), "{request:?}: {rest:?}");
    }
    assert_eq!(server.inside.told(), []);
}

#[test]
fn random_bytes_do_no_harm() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Running::start(Settings::default(), echo()));
    let piece = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => proptest::sample::select(vec![
            "GET / HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n", "5\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\u{4}\0\0\0\0\0", "\0\0\u{5}\u{1}\u{5}\0\0\0\u{1}",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(pieces in proptest::collection::vec(piece, 0..12))| {
        runtime.block_on(async {
            let mut client = server.connect().await;
            // The server may have heard enough before all of it is sent.
            let _ = client.stream.write_all(&pieces.concat()).await;
            let _ = client.stream.shutdown().await;
            client.rest().await;
        });
    });
    runtime.block_on(within(async {
        assert_eq!(server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
        assert_eq!(server.stop().await.unwrap(), Ok(()));
    }));
}
