//! Health and metrics.

use everturn_drivers::http::{Failure, Measure, MeasureKind, Settings};
use tokio::net::TcpStream;

use crate::world::{Client, Fake, Heard, Running, answer, echo};

async fn look(server: &Running, request: &str) -> Heard {
    let mut client = Client::on(TcpStream::connect(server.admin).await.unwrap());
    client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    client.hear().await
}

#[tokio::test]
async fn health_is_that_of_the_inside() {
    let server = Running::start(Settings::default(), echo()).await;
    assert_eq!(look(&server, "GET /-/health").await.status, 200);
    assert_eq!(look(&server, "POST /-/health").await.status, 405);
    assert_eq!(look(&server, "GET /").await.status, 404);
    let ill = Fake { measures: Err(Failure::Stopped("the disk is full".to_owned())), ..echo() };
    let server = Running::start(Settings::default(), ill).await;
    let heard = look(&server, "GET /-/health").await;
    assert_eq!((heard.status, heard.text()), (503, "Service Unavailable: the disk is full\n"));
}

#[tokio::test]
async fn metrics_count_what_was_served_and_tell_of_the_inside() {
    let turns =
        Measure { name: "everturn_turns_total", help: "turns", kind: MeasureKind::Counter, value: 7.0 };
    let inside = Fake { measures: Ok(vec![turns]), ..Fake::answering(|_| answer(418, &[], "")) };
    let server = Running::start(Settings::default(), inside).await;
    for _ in 0..3 {
        server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    }
    let heard = look(&server, "GET /-/metrics").await;
    for line in [
        "everturn_http_requests_total{method=\"GET\"} 3",
        "everturn_http_answers_total{status=\"418\"} 3",
        "everturn_http_answer_seconds_count 3",
        "everturn_http_requests_under_way 0",
        "everturn_turns_total 7",
    ] {
        assert!(heard.text().lines().any(|told| told == line), "{line} in\n{}", heard.text());
    }
    // What is for those who run it is not for its clients.
    let heard = server.ask("GET /-/metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(heard.status, 418);
}
