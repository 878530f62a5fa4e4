//! What a program is told of a request, and what a client is told of its answer.

use std::time::Duration;

use everturn_drivers::http::{Failure, Settings};
use everturn_exo_interface::{Exception, ExceptionKind};

use crate::world::{Fake, Running, answer, echo, ok};

#[tokio::test]
async fn a_request_is_told_whole_and_its_answer_comes_back() {
    let inside = Fake::answering(|told| {
        answer(201, &[("x-who", "\u{e4}"), ("set-cookie", "a"), ("set-cookie", "b")], told.body.clone())
    });
    let server = Running::start(Settings::default(), inside).await;
    let head = b"POST /a%20b?q=1 HTTP/1.1\r\nHost: Example.com:81\r\nAccept: a\r\naccept: b\r\nX-B: \xff\xe4\r\nContent-Length: 3\r\n\r\n";
    let heard = server.ask([head.as_slice(), &[0, 255, 10]].concat()).await;
    assert_eq!((heard.status, heard.body.as_slice()), (201, [0, 255, 10].as_slice()));
    assert_eq!(heard.header("x-who"), ["\u{e4}"]);
    assert_eq!(heard.header("set-cookie"), ["a", "b"]);
    assert_eq!(heard.header("date").len(), 1);
    let told = &server.inside.told()[0];
    assert_eq!((told.method.as_str(), told.url.as_str()), ("POST", "http://Example.com:81/a%20b?q=1"));
    assert_eq!(told.body, [0, 255, 10]);
    assert_eq!(told.header("accept"), ["a", "b"]);
    assert_eq!(told.header("x-b"), ["\u{ff}\u{e4}"]);
    assert_eq!(told.header("host"), ["Example.com:81"]);
}

#[tokio::test]
async fn a_body_in_chunks_is_one_body() {
    let server = Running::start(Settings::default(), echo()).await;
    let request = "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n";
    assert_eq!(server.ask(request).await.text(), "PUT http://a/x 5");
    let told = &server.inside.told()[0];
    assert_eq!(told.body, b"abcde");
    assert_eq!(told.header("transfer-encoding"), Vec::<&str>::new());
}

#[tokio::test]
async fn a_key_makes_a_request_one_that_is_done_once() {
    let server = Running::start(Settings::default(), echo()).await;
    let post = |key: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {key}\r\nContent-Length: 0\r\n\r\n")
    };
    let first = server.ask(post("\"new\"")).await;
    assert_eq!((first.status, first.header("idempotency-replayed").len()), (200, 0));
    assert_eq!(server.inside.told()[0].header("idempotency-key"), ["\"new\""]);
    let again = server.ask(post("known")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, vec!["true"]));
    assert_eq!(again.text(), first.text());
    let get = post("known").replace("POST", "GET");
    assert!(server.ask(get).await.header("idempotency-replayed").is_empty());
    assert_eq!(server.ask(post("other")).await.status, 422);
    let full = server.ask(post("full")).await;
    assert_eq!((full.status, full.header("retry-after")), (503, vec!["1"]));
    let asked = server.inside.told().len();
    for wrong in ["\"", "a b", "a\r\nIdempotency-Key: a"] {
        assert_eq!(server.ask(post(wrong)).await.status, 400, "{wrong}");
    }
    assert_eq!(server.inside.told().len(), asked);
}

#[tokio::test]
async fn without_a_time_a_key_says_nothing() {
    let settings = Settings { idempotency_time: Duration::ZERO, ..Settings::default() };
    let server = Running::start(settings, echo()).await;
    let heard =
        server.ask("POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: other\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(heard.status, 200);
}

#[tokio::test]
async fn every_method_arrives_also_one_that_nobody_knows() {
    let server = Running::start(Settings::default(), echo()).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW", "P"] {
        let heard = server.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(heard.text(), format!("{method} http://a/ 0"));
    }
    let heard = server.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(heard.text(), "OPTIONS http://a 0");
    let heard = server.ask("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await;
    assert_eq!(heard.status, 501);
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let server = Running::start(Settings::default(), echo()).await;
    let mut client = server.connect().await;
    for number in 0..3 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.hear().await.text(), format!("GET http://a/{number} 0"));
    }
    client.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.hear().await.text(), "GET http://a/last 0");
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_their_order() {
    let server = Running::start(Settings::default(), echo()).await;
    let mut client = server.connect().await;
    let ahead: String = (0..50)
        .map(|number| format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy"))
        .collect();
    client.send(ahead).await;
    for number in 0..50 {
        assert_eq!(client.hear().await.text(), format!("POST http://a/{number} 2"));
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let server = Running::start(Settings::default(), echo()).await;
    let mut client = server.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(client.hear_head().await.status, 100);
    client.send("xy").await;
    assert_eq!(client.hear().await.text(), "POST http://a/ 2");
}

#[tokio::test]
async fn head_and_statuses_without_a_body_send_none() {
    let inside = Fake::answering(|told| {
        let status = told.url.rsplit('/').next().unwrap().parse().unwrap();
        answer(status, &[], "body")
    });
    let server = Running::start(Settings::default(), inside).await;
    let mut client = server.connect().await;
    for (method, status, length) in
        [("HEAD", 200, vec!["4"]), ("GET", 204, vec![]), ("GET", 304, vec![]), ("GET", 205, vec!["0"])]
    {
        client.send(format!("{method} /{status} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let heard = client.hear_head().await;
        assert_eq!((heard.status, heard.header("content-length")), (status, length), "{method} {status}");
    }
    // Had a body been sent, it would be read as the head of this.
    client.send("GET /200 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.hear().await.text(), "body");
}

#[tokio::test]
async fn what_went_wrong_inside_stays_inside() {
    let secret = Exception::new(ExceptionKind::Throw, "Error: the password is hunter2");
    let cases = [
        (Err(Failure::Exception(secret)), 500),
        (answer(99, &[], ""), 500),
        (answer(200, &[("a b", "hunter2")], ""), 500),
        (answer(200, &[("a", "hunter2\r\nb: c")], ""), 500),
        (Ok(everturn_dag::Ipld::String("hunter2".to_owned())), 500),
        (Err(Failure::Unanswered("hunter2".to_owned())), 500),
        (Err(Failure::TooLarge("hunter2".to_owned())), 413),
    ];
    for (answer, status) in cases {
        let inside = Fake::answering(move |_| answer.clone());
        let server = Running::start(Settings::default(), inside).await;
        let heard = server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(heard.status, status);
        assert!(!heard.text().contains("hunter2") && !heard.head.contains("hunter2"), "{heard:?}");
    }
}

#[tokio::test]
async fn a_full_inside_is_busy_and_says_when_to_come_again() {
    let server = Running::start(Settings::default(), Fake::answering(|_| Err(Failure::Busy))).await;
    let heard = server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((heard.status, heard.header("retry-after")), (503, vec!["1"]));
}

#[tokio::test]
async fn a_connection_goes_on_after_a_failure() {
    let inside =
        Fake::answering(|told| if told.url.ends_with("/bad") { Err(Failure::Busy) } else { ok("good") });
    let server = Running::start(Settings::default(), inside).await;
    let mut client = server.connect().await;
    for (path, status) in [("/bad", 503), ("/", 200), ("/bad", 503), ("/", 200)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.hear().await.status, status);
    }
}
