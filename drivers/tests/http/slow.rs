//! Clients that take their time: with a head, with a body, with an answer, with nothing at all.

use std::time::Duration;

use everturn_drivers::http::Settings;

use crate::world::{Fake, Running, echo, ok};

fn impatient() -> Settings {
    let short = Duration::from_millis(100);
    Settings { head_timeout: short, body_timeout: short, write_timeout: short, ..Settings::default() }
}

#[tokio::test]
async fn who_says_nothing_is_let_go() {
    let server = Running::start(impatient(), echo()).await;
    assert!(server.connect().await.rest().await.is_empty());
    // The same between two requests.
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.hear().await.status, 200);
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_head_that_does_not_end_is_408() {
    let server = Running::start(impatient(), echo()).await;
    for beginning in ["P", "PRI * HTTP/2.0\r\n\r\nS", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = server.connect().await;
        client.send(beginning).await;
        assert_eq!(client.hear().await.status, 408, "{beginning:?}");
        assert!(client.rest().await.is_empty());
    }
}

#[tokio::test]
async fn a_head_in_drops_has_no_more_time_than_another() {
    let server = Running::start(impatient(), echo()).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    let (mut read, mut write) = client.stream.split();
    let dripping = async {
        while tokio::io::AsyncWriteExt::write_all(&mut write, b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut heard = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut heard);
    tokio::select! {
        _ = reading => {}
        () = dripping => {}
    }
    assert!(heard.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&heard));
    assert_eq!(server.inside.told(), []);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let server = Running::start(impatient(), echo()).await;
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = server.connect().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n1")).await;
        assert_eq!(client.hear().await.status, 408, "{head}");
    }
    assert_eq!(server.inside.told(), []);
}

#[tokio::test]
async fn who_takes_no_answer_is_let_go() {
    let body = vec![b'x'; 32 << 20];
    let settings = Settings { connections_max: 1, ..impatient() };
    let server = Running::start(
        settings,
        Fake::answering(move |told| if told.url.ends_with("/large") { ok(body.clone()) } else { ok("") }),
    )
    .await;
    let mut greedy = server.connect().await;
    greedy.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.inside.is_asked(1).await;
    // There is one place, and it becomes free though the client holds on.
    assert_eq!(server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    assert!(greedy.rest().await.len() < 32 << 20);
}
