//! Bounds in bytes and in number.

use std::time::Duration;

use everturn_drivers::http::Settings;

use crate::world::{Client, Fake, Running, echo, ok, within};

fn small() -> Settings {
    Settings { head_bytes_max: 2_000, headers_max: 10, body_bytes_max: 1_000, ..Settings::default() }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_and_one_that_fits_is_not() {
    let server = Running::start(small(), echo()).await;
    let announced = |bytes: usize| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
    };
    assert_eq!(server.ask(announced(1_000)).await.text(), "POST http://a/ 1000");
    assert_eq!(server.ask(announced(1_001)).await.status, 413);
    // Nobody has to send it to be told so, nor may send it for ever.
    let huge = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000\r\n\r\n";
    assert_eq!(server.ask(huge).await.status, 413);
    let impossible = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n";
    assert!([400, 413, 431].contains(&server.ask(impossible).await.status));
    let chunk = format!("1f4\r\n{}\r\n", "y".repeat(500));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(server.ask(format!("{head}{chunk}{chunk}0\r\n\r\n")).await.text(), "POST http://a/ 1000");
    assert_eq!(server.ask(format!("{head}{chunk}{chunk}1\r\nx\r\n0\r\n\r\n")).await.status, 413);
    assert_eq!(server.inside.told().len(), 2);
}

#[tokio::test]
async fn a_client_that_is_still_sending_hears_that_it_is_too_much() {
    let server = Running::start(small(), echo()).await;
    let mut client = server.connect().await;
    let bytes = 1 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n")).await;
    for _ in 0..16 {
        client.send(vec![b'x'; bytes / 16]).await;
    }
    let heard = client.hear().await;
    assert_eq!((heard.status, heard.header("connection")), (413, vec!["close"]));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let server = Running::start(small(), echo()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2_000));
    assert_eq!(server.ask(long).await.status, 431);
    let path = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(2_000));
    assert_eq!(server.ask(path).await.status, 431, "the first line is of the head");
    let many = |lines: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(lines));
    assert_eq!(server.ask(many(9)).await.status, 200);
    assert_eq!(server.ask(many(10)).await.status, 431);
    assert_eq!(server.inside.told().len(), 1);
}

#[tokio::test]
async fn a_target_that_no_head_is_too_small_for_is_414() {
    let server = Running::start(Settings { head_bytes_max: 200_000, ..Settings::default() }, echo()).await;
    let path = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
    assert_eq!(server.ask(path(60_000)).await.status, 200);
    assert_eq!(server.ask(path(65_536)).await.status, 414);
}

#[tokio::test]
async fn a_flood_of_headers_ends() {
    let server = Running::start(Settings::default(), echo()).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    let flood = "x-flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(100);
    // The server stops reading at its bound; what is sent after it has hung up fails.
    for _ in 0..2_000 {
        if tokio::io::AsyncWriteExt::write_all(&mut client.stream, flood.as_bytes()).await.is_err() {
            break;
        }
    }
    client.rest().await;
    assert_eq!(server.inside.told(), []);
    assert_eq!(server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn a_request_too_many_is_503_until_another_has_its_answer() {
    let settings = Settings { requests_max: 2, ..Settings::default() };
    let server = Running::start(settings, Fake::held(|_| ok("done"))).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.send(request).await;
        clients.push(client);
    }
    server.inside.is_asked(2).await;
    let heard = server.ask(request).await;
    assert_eq!((heard.status, heard.header("retry-after")), (503, vec!["1"]));
    // A client that goes away does not make room: what it asked for is still under way.
    drop(clients.pop());
    for _ in 0..20 {
        assert_eq!(server.ask(request).await.status, 503);
    }
    server.inside.gate.add_permits(1_000);
    assert_eq!(clients[0].hear().await.text(), "done");
    within(async { while server.ask(request).await.status == 503 {} }).await;
}

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let settings = Settings { connections_max: 2, ..Settings::default() };
    let server = Running::start(settings, echo()).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut clients: Vec<Client<_>> = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.send(request).await;
        client.hear().await;
        clients.push(client);
    }
    let mut third = server.connect().await;
    third.send(request).await;
    // The two that are in are served, the third is not.
    for client in &mut clients {
        client.send(request).await;
        client.hear().await;
    }
    assert_eq!(server.inside.told().len(), 4);
    drop(clients.pop());
    assert_eq!(third.hear().await.status, 200);
}

#[tokio::test]
async fn a_program_that_does_not_answer_is_504_and_makes_room() {
    let answer_timeout = Duration::from_millis(50);
    let settings = Settings { requests_max: 1, answer_timeout, ..Settings::default() };
    let server = Running::start(settings, Fake::held(|_| ok("late"))).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(server.ask(request).await.status, 504);
    assert_eq!(server.ask(request).await.status, 504);
    server.inside.gate.add_permits(1);
    assert_eq!(server.ask(request).await.text(), "late");
}
